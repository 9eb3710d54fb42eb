//! Which frame is being looked at: after a death that no `catch_unwind` stops (an allocation that aborts, the system
//! ending the process for its memory) the next start knows which one to distrust, and does not die of it for ever.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::frame::ContentHash;

/// A frame that the daemon died on this often is given up. Two deaths may be the work of somebody who kills it at a bad moment
/// twice.
const DEATHS: u32 = 3;

/// A line in a file of its own: the frame's content and how often it was begun. Never synced, since it has to outlive the
/// process, not the power; and always written over itself, since a file that is emptied and filled again goes to the flash
/// each time.
pub struct InWork {
    file: PathBuf,
    opened: Option<File>,
    last: Option<(ContentHash, u32)>,
}

impl InWork {
    /// Reads what the last process left in `directory`.
    pub fn open(directory: &Path) -> Self {
        let file = directory.join("in-work");
        let last = std::fs::read_to_string(&file).ok().and_then(|text| {
            let (hash, begun) = text.lines().next()?.trim().split_once(' ')?;
            Some((hash.parse().ok()?, begun.parse().ok()?))
        });
        Self { file, opened: None, last }
    }

    /// Whether the last process died while it looked at a frame.
    pub fn died(&self) -> bool {
        self.last.as_ref().is_some_and(|(_, begun)| *begun > 0)
    }

    /// Notes that this frame is begun. False if the daemon died on it often enough: leave it alone.
    ///
    /// # Errors
    /// The note can't be written.
    pub fn begin(&mut self, hash: &ContentHash) -> io::Result<bool> {
        let before = self.last.as_ref().filter(|(last, _)| last == hash).map_or(0, |(_, begun)| *begun);
        if before >= DEATHS {
            return Ok(false);
        }
        self.last = Some((*hash, before + 1));
        self.note(hash, before + 1)?;
        Ok(true)
    }

    /// Clears the note: it was not the frame that the daemon died of.
    ///
    /// # Errors
    /// The note can't be removed; the frame then keeps the blame.
    pub fn forgive(&mut self) -> io::Result<()> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        (self.opened, self.last) = (None, None);
        Ok(())
    }

    /// The frame was survived, whatever became of it: a later try counts anew.
    pub fn survived(&mut self) {
        if let Some((hash, _)) = self.last {
            self.last = Some((hash, 0));
            // A note that can't be cleared costs one wrong suspicion at worst, not a frame.
            let _ = self.note(&hash, 0);
        }
    }

    // One digit: each line takes the place of the one before to the byte.
    fn note(&mut self, hash: &ContentHash, begun: u32) -> io::Result<()> {
        let file = match &mut self.opened {
            Some(file) => file,
            none => none.insert(File::options().write(true).create(true).truncate(false).open(&self.file)?),
        };
        file.write_all_at(format!("{hash} {begun}\n").as_bytes(), 0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_killed_the_daemon_three_times_is_left_alone_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let (bad, good) = (ContentHash::of(b"bad"), ContentHash::of(b"good"));
        for _ in 0..DEATHS {
            assert!(InWork::open(directory.path()).begin(&bad).unwrap());
        }
        let mut later = InWork::open(directory.path());
        assert!(!later.begin(&bad).unwrap());
        assert!(later.begin(&good).unwrap());
    }

    #[test]
    fn a_frame_that_is_tried_again_is_not_held_against_it() {
        let directory = tempfile::tempdir().unwrap();
        let hash = ContentHash::of(b"frame");
        let mut process = InWork::open(directory.path());
        for _ in 0..10 {
            assert!(process.begin(&hash).unwrap());
            process.survived();
        }
        for _ in 0..10 {
            let mut later_process = InWork::open(directory.path());
            assert!(later_process.begin(&hash).unwrap());
            later_process.survived();
        }
    }

    #[test]
    fn a_frame_is_not_blamed_for_deaths_that_were_another_s() {
        let directory = tempfile::tempdir().unwrap();
        let frame = ContentHash::of(b"frame");
        for _ in 0..DEATHS {
            assert!(InWork::open(directory.path()).begin(&frame).unwrap());
        }
        let mut later = InWork::open(directory.path());
        later.forgive().unwrap();
        later.forgive().unwrap();
        for _ in 0..DEATHS {
            assert!(InWork::open(directory.path()).begin(&frame).unwrap());
        }
        assert!(!InWork::open(directory.path()).begin(&frame).unwrap());
    }

    #[test]
    fn a_note_that_cannot_be_read_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("in-work"), b"\xff nonsense").unwrap();
        assert!(InWork::open(directory.path()).begin(&ContentHash::of(b"frame")).unwrap());
    }
}
