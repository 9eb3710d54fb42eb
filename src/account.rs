//! The daemon's user, who may be allowed less than whoever runs `init` or `check`, and sees less of the system.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{Config, Mqtt, Retention};

/// Name of the daemon's user, as packages make it.
const DAEMON: &str = "arcticd";

/// Closed to other users, as on Raspberry Pi OS. Where cards and disks are mounted the unit needs no help.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

/// Of which systemd gives the daemon its own, empty.
const PRIVATE: [&str; 2] = ["/tmp", "/var/tmp"];

/// Whether `path` is in some user's home.
pub(crate) fn in_a_home(path: &Path) -> bool {
    HOMES.iter().any(|home| path.starts_with(home))
}

/// Numbers of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Account {
    /// The daemon's user, if there is one and this process may act for it (root alone may).
    pub(crate) fn of_daemon() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        Self::in_passwd(&fs::read_to_string("/etc/passwd").ok()?)
    }

    fn in_passwd(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.split(':').next() == Some(DAEMON))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some(Self { user: numbers.next()?.ok()?, group: numbers.next()?.ok()? })
    }

    /// Whether this user can list `path` (a folder) or read it, and change it where `writes`, as the kernel sees it, access
    /// lists included. Folders above a path that systemd mounts for the daemon (`bound`) don't matter.
    fn reaches(self, path: &Path, bound: bool, writes: bool) -> bool {
        let Ok(metadata) = fs::metadata(path) else { return true };
        let wanted = if metadata.is_dir() { 0o5 } else { 0o4 } | if writes { 0o2 } else { 0 };
        if bound {
            let mode = metadata.permissions().mode();
            let bits = match () {
                () if metadata.uid() == self.user => mode >> 6,
                () if metadata.gid() == self.group => mode >> 3,
                () => mode,
            };
            return bits & wanted == wanted;
        }
        let mut test = Command::new("/usr/bin/test");
        test.arg("-r").arg(path).stdin(Stdio::null()).uid(self.user).gid(self.group);
        for (flag, _) in [("-x", metadata.is_dir()), ("-w", writes)].into_iter().filter(|(_, wanted)| *wanted) {
            test.args(["-a", flag]).arg(path);
        }
        // Where it can't be tried, nothing is claimed.
        test.status().map_or(true, |status| status.success())
    }

    /// Something in the daemon's own `directory` that belongs to somebody else; systemd hands over no part of it alone.
    fn lacks_in(self, directory: &Path) -> Option<PathBuf> {
        let own = |path: &Path| path.symlink_metadata().map_or(true, |metadata| metadata.uid() == self.user);
        let entries = fs::read_dir(directory).ok().filter(|_| own(directory))?;
        entries.flatten().map(|entry| entry.path()).find(|path| !own(path))
    }
}

/// What the daemon, as its unit starts it, can't reach though this process can, with the remedy. `bound`: a drop-in mounts
/// the capture directory for it.
pub(crate) fn remarks(config: &Config, bound: bool) -> Vec<String> {
    let directory = &config.capture.directory;
    let mut remarks = Vec::new();
    if PRIVATE.iter().any(|private| directory.starts_with(private)) {
        remarks.push(format!(
            "{} is hidden by the systemd unit, which has a /tmp of its own: let the camera write elsewhere, as into /srv/captures",
            directory.display()
        ));
    }
    let Mqtt { password_file, ca_file, cert_file, key_file, .. } = &config.mqtt;
    let files = [password_file, ca_file, cert_file, key_file, &config.http.token_file];
    let (hidden, files): (Vec<&PathBuf>, Vec<&PathBuf>) = files.into_iter().flatten().partition(|file| in_a_home(file));
    remarks.extend(hidden.into_iter().map(|file| {
        format!(
            "{} is in a home, which the systemd unit hides or may not enter: move it to /etc/arcticd, and name it there",
            file.display()
        )
    }));
    let Some(account) = Account::of_daemon() else { return remarks };
    if !account.reaches(directory, bound, false) {
        let way = match in_a_home(directory) && !bound {
            true => "`arcticd init` makes systemd let it through, or ",
            false => "",
        };
        remarks.push(format!(
            "the user {DAEMON} can't list {0}: {way}`chmod o+rx {0}` and the folders above it, or `setfacl -m u:{DAEMON}:rx`",
            directory.display()
        ));
    } else if config.capture.retention != Retention::Keep {
        let archive = config.capture.retention_directory.as_ref().map(|archive| (archive, false));
        for (place, _) in
            [(directory, bound)].into_iter().chain(archive).filter(|it| !account.reaches(it.0, it.1, true))
        {
            remarks.push(format!(
                "the user {DAEMON} can't write in {0}, so frames stay: `setfacl -R -m u:{DAEMON}:rwx -m d:u:{DAEMON}:rwx {0}`",
                place.display()
            ));
        }
    }
    for file in files {
        if !account.reaches(file, false, false) {
            remarks.push(format!("the user {DAEMON} can't read {0}: `chown {DAEMON} {0}`", file.display()));
        }
    }
    let state = &config.state.directory;
    if let Some(foreign) = account.lacks_in(state) {
        remarks.push(format!(
            "{} does not belong to the user {DAEMON}, as after a run by root: `chown -R {DAEMON}: {}`",
            foreign.display(),
            state.display()
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_in_a_home_are_remarked_whoever_runs_this() {
        let mqtt = |file: &str| Mqtt { ca_file: Some(file.into()), ..Default::default() };
        let remarks = |file| remarks(&Config { mqtt: mqtt(file), ..Default::default() }, false);
        let hidden = remarks("/home/pi/ca.pem");
        assert!(hidden.iter().any(|text| text.contains("/home/pi/ca.pem is in a home")), "{hidden:?}");
        assert!(!remarks("/etc/arcticd/ca.pem").iter().any(|text| text.contains("in a home")));
        let http = crate::config::Http { token_file: Some("/root/token".into()), ..Default::default() };
        let remarks = super::remarks(&Config { http, ..Default::default() }, false);
        assert!(remarks.iter().any(|text| text.contains("/root/token is in a home")), "{remarks:?}");
    }

    #[test]
    fn a_capture_directory_that_the_unit_has_of_its_own_is_remarked() {
        let remarks = |directory: &str| {
            let capture = crate::config::Capture { directory: directory.into(), ..Default::default() };
            remarks(&Config { capture, ..Default::default() }, false)
        };
        for hidden in ["/tmp/captures", "/var/tmp/c"] {
            assert!(remarks(hidden)[0].contains("hidden by the systemd unit"), "{hidden}");
        }
        assert!(!remarks("/srv/tmp").iter().any(|text| text.contains("hidden")));
    }

    #[test]
    fn what_a_run_by_root_left_in_the_state_directory_is_found() {
        let state = tempfile::tempdir().unwrap();
        let journal = state.path().join("journal.sqlite");
        fs::write(&journal, "").unwrap();
        let user = fs::metadata(&journal).unwrap().uid();
        let account = |user| Account { user, group: 0 };
        assert_eq!(account(user).lacks_in(state.path()), None);
        // The whole directory is somebody else's: systemd hands it over with all that is in it.
        assert_eq!(account(user + 1).lacks_in(state.path()), None);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(state.path(), Some(user + 1), None).unwrap();
            assert_eq!(account(user + 1).lacks_in(state.path()), Some(journal));
        }
    }

    #[test]
    fn a_folder_that_is_closed_to_the_user_is_not_reached_and_one_that_it_may_only_read_not_written() {
        if !rustix::process::geteuid().is_root() {
            return eprintln!("skipped: only root may act for another user");
        }
        let folder = tempfile::tempdir().unwrap();
        let account = Account { user: 65_533, group: 65_533 };
        for (mode, reads, writes) in [(0o700, false, false), (0o755, true, false), (0o777, true, true)] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            for bound in [false, true] {
                let reaches = |writes| account.reaches(folder.path(), bound, writes);
                assert_eq!((reaches(false), reaches(true)), (reads, writes), "{mode:o}, bound: {bound}");
            }
        }
    }

    #[test]
    fn the_daemons_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\narcticd2:x:7:7::/:\narcticd:x:998:997:a:/:/usr/sbin/nologin\n";
        assert_eq!(Account::in_passwd(passwd), Some(Account { user: 998, group: 997 }));
        for none in ["", "arcticd", "arcticd:x:a:b", "xarcticd:x:1:1"] {
            assert_eq!(Account::in_passwd(none), None, "{none}");
        }
    }
}
