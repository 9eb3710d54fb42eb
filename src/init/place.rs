//! Writing, and never over what somebody wrote.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};

use super::unit;
use crate::account::Account;
use crate::terminal::print;
use crate::whole_file;

/// Mode of what everyone may read.
const READABLE: u32 = 0o644;

/// Refuses a configuration that somebody wrote, unless `force`; says beforehand whether it can be written. What packages
/// install until somebody answers gives way.
///
/// # Errors
/// Says what to do instead.
pub(super) fn prepare(output: &Path, force: bool) -> Result<()> {
    refuse_over(output, force || super::is_untouched(output), |_| false)?;
    check(output)
}

/// The same for the drop-in, which may be there with the same content.
///
/// # Errors
/// Says what to do instead.
pub(super) fn prepare_drop_in(path: &Path, text: &str, force: bool) -> Result<()> {
    refuse_over(path, force, |found| found == text)?;
    check(path)
}

/// Removes `init`'s own drop-in, for a capture directory that needs none: the daemon would not start once the one before is
/// gone. Whether there was one.
///
/// # Errors
/// Those of the system.
pub(super) fn remove_drop_in(path: &Path) -> Result<bool> {
    if !unit::is_own(path) {
        return Ok(false);
    }
    fs::remove_file(path).with_context(|| format!("{} can't be removed; do it by hand", path.display()))?;
    print(&format!("removed {}: the capture directory needs it no longer", path.display()))?;
    Ok(true)
}

fn refuse_over(path: &Path, force: bool, harmless: impl Fn(&str) -> bool) -> Result<()> {
    let found = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.ok().and_then(|bytes| String::from_utf8(bytes).ok()),
    };
    if !force && !found.is_some_and(|text| harmless(&text)) {
        bail!("{} is there already and stays as it is; say --force to write over it", path.display());
    }
    Ok(())
}

fn check(path: &Path) -> Result<()> {
    folder_of(path)?;
    let hint = || format!("{}; with sudo, or --output FILE for another place", whole_file::cannot(path));
    whole_file::check_writable(path)
        .map_err(|error| error.root_cause().to_string())
        .map_err(anyhow::Error::msg)
        .with_context(hint)
}

/// The folder that `path` is in, made if there is none.
fn folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { bail!("{} is no file", path.display()) };
    fs::create_dir_all(folder).with_context(|| format!("{} can't be created; try it with sudo", folder.display()))
}

/// Writes `text` where [`prepare`] has looked; a new file can be read by everyone, whatever the umask.
///
/// # Errors
/// Those of the system.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let new = !path.exists();
    whole_file::write_bytes(path, text.as_bytes())?;
    if new {
        fs::set_permissions(path, Permissions::from_mode(READABLE)).with_context(|| whole_file::cannot(path))?;
    }
    Ok(())
}

/// Makes the capture directory, but no folder above it: below an empty mount point a card would hide it later. Under sudo
/// it belongs to whoever called, who runs the camera most likely.
///
/// # Errors
/// Those of the system, with a hint.
pub(super) fn create_capture(directory: &Path) -> Result<()> {
    fs::create_dir(directory).with_context(|| {
        format!("{} can't be created; is its disk mounted, and may this user write there?", directory.display())
    })?;
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let owner = (number("SUDO_UID"), number("SUDO_GID"));
    if let (Some(user), Some(group)) = owner {
        // Not through a link that took its place.
        lchown(directory, Some(user), Some(group)).with_context(|| format!("{}: its owner", directory.display()))?;
    }
    print(&format!("created {}", directory.display()))
}

/// The password's own file, beside the configuration.
pub(super) fn secret_path(output: &Path) -> PathBuf {
    output.with_file_name("mqtt_password")
}

/// A password that is not yet in its place, nor on any disk: in a file in memory, where it can be tried, and of which nothing
/// is left when somebody stops the questions.
#[derive(Debug)]
pub(super) struct StagedSecret {
    memory: File,
    at: PathBuf,
    place: PathBuf,
}

impl StagedSecret {
    /// Keeps `password` in memory, to be put at `place`.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn write(place: &Path, password: &str) -> Result<Self> {
        let write = || -> io::Result<File> {
            let mut memory = File::from(memfd_create("mqtt_password", MemfdFlags::CLOEXEC)?);
            memory.set_permissions(Permissions::from_mode(0o600))?;
            writeln!(memory, "{password}")?;
            Ok(memory)
        };
        let memory = write().context("the password can't be kept in memory")?;
        let at = format!("/proc/self/fd/{}", memory.as_raw_fd()).into();
        Ok(Self { memory, at, place: place.to_owned() })
    }

    /// Where it can be read now.
    pub(super) fn path(&self) -> &Path {
        &self.at
    }

    /// Puts it into its place, for the daemon's user alone to read (for this one, if there is no such user); says where that
    /// is and who may read it.
    ///
    /// # Errors
    /// Those of the system.
    pub(super) fn keep(mut self) -> Result<String> {
        let staged = self.place.with_file_name(format!(".mqtt_password.{}.part", std::process::id()));
        let owner = Account::of_daemon();
        let mut write = || -> io::Result<()> {
            // What an earlier process of the same number left. Never one that somebody else made, or opened before.
            let _ = fs::remove_file(&staged);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
            if let Some(owner) = &owner {
                fchown(&file, Some(owner.user), Some(owner.group))?;
            }
            self.memory.rewind()?;
            io::copy(&mut self.memory, &mut file)?;
            file.sync_all()?;
            fs::rename(&staged, &self.place)
        };
        if let Err(error) = write() {
            let _ = fs::remove_file(&staged);
            return Err(error).with_context(|| whole_file::cannot(&self.place));
        }
        let whose = if owner.is_some() { "the daemon's user" } else { "this user" };
        Ok(format!("{}: the password, for {whose} alone", self.place.display()))
    }
}
