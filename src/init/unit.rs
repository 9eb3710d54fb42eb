//! What systemd has to be told of the capture directory, and the commands that are left to the engineer.

use std::fs;
use std::path::{Component, Path};

use anyhow::{Result, bail};

use crate::account::in_a_home;
use crate::config::{Capture, DEFAULT_PATH, Retention};

/// The drop-in beside the packaged unit.
pub(super) const DROP_IN: &str = "/etc/systemd/system/arcticd.service.d/capture.conf";

/// The beginning of the drop-in, by which it is known again.
const HEADING: &str = "# Written by `arcticd init`: the capture directory, ";

/// The drop-in that lets the daemon reach the capture directory, and take frames out of it where they are not to stay; none
/// where the unit lets it.
///
/// A home is replaced by an empty one that holds this directory alone, so that the folders above it need not be open to
/// the daemon's user; its file system is mounted first. Elsewhere a directory that is not there, as a card's, keeps no daemon
/// from starting (`-`); it gets its rights at the next start then.
///
/// # Errors
/// The path has characters that a unit file can't say without doubt.
pub(super) fn drop_in(capture: &Capture) -> Result<Option<String>> {
    let leaves = capture.retention != Retention::Keep;
    let home = in_a_home(&capture.directory);
    if !home && !leaves {
        return Ok(None);
    }
    let path = escaped(&capture.directory)?;
    let mut text = HEADING.to_owned();
    text.push_str(match (home, leaves) {
        (true, false) => "in a home that is closed to the daemon's user.\n",
        (true, true) => "in a home that is closed to the daemon's user, and frames are taken out of it.\n",
        (false, _) => "frames are taken out of it.\n",
    });
    if home {
        let bind = if leaves { "BindPaths" } else { "BindReadOnlyPaths" };
        text.push_str(&format!(
            "[Unit]\nRequiresMountsFor=\"{path}\"\n\n[Service]\nProtectHome=tmpfs\n{bind}=\"{path}\"\n"
        ));
    } else {
        text.push_str(&format!("[Service]\nReadWritePaths=\"-{path}\"\n"));
    }
    let archive = capture.retention_directory.as_ref().filter(|_| capture.retention == Retention::Move);
    if let Some(archive) = archive {
        text.push_str(&format!("ReadWritePaths=\"-{}\"\n", escaped(archive)?));
    }
    Ok(Some(text))
}

/// Whether the drop-in at `path` is there and `init`'s own.
pub(super) fn is_own(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(HEADING))
}

/// Whether the drop-in that is installed mounts `directory` for the daemon.
pub(crate) fn binds(directory: &Path) -> bool {
    let Ok(path) = escaped(directory) else { return false };
    let lines = [format!("BindReadOnlyPaths=\"{path}\""), format!("BindPaths=\"{path}\"")];
    let text = fs::read_to_string(DROP_IN).unwrap_or_default();
    text.lines().any(|there| lines.iter().any(|line| line == there))
}

/// `path` as it stands between quotes in a unit file.
fn escaped(path: &Path) -> Result<String> {
    let text = path.to_string_lossy();
    // A colon would name the place inside the unit; the others end or change the quoted text.
    if text.contains(|letter: char| letter.is_control() || "\"\\:".contains(letter)) || path.to_str().is_none() {
        bail!("{}: a unit file can't name it; choose a capture directory without \", \\ and :", path.display());
    }
    // systemd passes over a line with such a path.
    if path.components().any(|part| part == Component::ParentDir) {
        bail!("{}: a unit file can't name it; write the capture directory without ..", path.display());
    }
    Ok(text.replace('%', "%%"))
}

/// What is left to do, for the engineer to type.
pub(super) fn next_steps(output: &Path, reload: bool) -> String {
    if output != Path::new(DEFAULT_PATH) {
        let path = output.display();
        return format!(
            "\nNothing was started. Next:\n  arcticd check --config {path}\n  arcticd --config {path}\nThe systemd unit reads {DEFAULT_PATH}."
        );
    }
    let reload = if reload { "  sudo systemctl daemon-reload\n" } else { "" };
    format!(
        "\nNothing was started. Next:\n{reload}  sudo arcticd check\n  sudo systemctl enable --now arcticd\n  journalctl -u arcticd -f"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn capture(path: &str, retention: Retention) -> Capture {
        Capture { directory: path.into(), retention, ..Capture::default() }
    }

    fn of(path: &str) -> Option<String> {
        drop_in(&capture(path, Retention::Keep)).unwrap()
    }

    #[test]
    fn only_where_frames_are_to_leave_may_the_daemon_write() {
        let deleting = |path| drop_in(&capture(path, Retention::Delete)).unwrap().unwrap();
        assert!(deleting("/srv/captures").contains("ReadWritePaths=\"-/srv/captures\"\n"));
        let home = deleting("/home/pi/photos");
        assert!(home.contains("\nBindPaths=\"/home/pi/photos\"\n") && !home.contains("ReadOnly"), "{home}");
        let archive = Some("/mnt/a b/frames".into());
        let moving = Capture { retention_directory: archive, ..capture("/srv/c", Retention::Move) };
        assert!(drop_in(&moving).unwrap().unwrap().contains("ReadWritePaths=\"-/mnt/a b/frames\"\n"));
        let text = of("/home/pi/photos").unwrap();
        assert!(!text.contains("ReadWrite") && !text.contains("\nBindPaths"), "{text}");
    }

    #[test]
    fn only_homes_need_a_drop_in_and_their_file_system_is_mounted_first() {
        for path in ["/srv/captures", "/var/lib/motion", "/homes/a", "/mnt/disk", "/media/card/DCIM"] {
            assert_eq!(of(path), None, "{path}");
        }
        for path in ["/home/pi/my photos", "/root/c"] {
            let text = of(path).unwrap();
            assert!(text.contains(&format!("BindReadOnlyPaths=\"{path}\"\n")), "{text}");
            assert!(text.contains(&format!("RequiresMountsFor=\"{path}\"\n")), "{text}");
        }
    }

    #[test]
    fn a_path_that_could_say_something_else_in_a_unit_file_is_refused() {
        assert!(of("/home/a/50%").unwrap().contains("/home/a/50%%\""));
        for path in ["/home/a/x:y", "/home/a/x\"y", "/home/a/x\\y", "/home/a/x\nExecStart=y", "/home/a/../x"] {
            assert!(drop_in(&capture(path, Retention::Keep)).is_err(), "{path:?}");
        }
    }
}
