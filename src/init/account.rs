//! The daemon's user, who may be allowed less than whoever runs `init`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::unit;
use crate::config::Config;

/// Name of the daemon's user, as packages make it.
const DAEMON: &str = "arcticd";

/// Numbers of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub user: u32,
    pub group: u32,
}

impl Account {
    /// The daemon's user, if there is one and this process may act for it (root alone may).
    pub(super) fn of_daemon() -> Option<Self> {
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

    /// Whether this user can list `path` (a folder) or read it, as the kernel sees it, access lists included. Folders
    /// above a path that systemd mounts into a home of the daemon's own don't matter.
    fn reads(self, path: &Path) -> bool {
        let Ok(metadata) = fs::metadata(path) else { return true };
        let wanted = if metadata.is_dir() { 0o5 } else { 0o4 };
        if unit::in_a_home(path) {
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
        if metadata.is_dir() {
            test.arg("-a").arg("-x").arg(path);
        }
        // Where it can't be tried, nothing is claimed.
        test.status().map_or(true, |status| status.success())
    }
}

/// What the daemon's user can't read though this one can, with the remedy.
pub(super) fn remarks(config: &Config) -> Vec<String> {
    let (hidden, files): (Vec<&PathBuf>, Vec<&PathBuf>) = [&config.mqtt.password_file, &config.mqtt.ca_file]
        .into_iter()
        .flatten()
        .partition(|file| unit::in_a_home(file));
    let mut remarks: Vec<String> = hidden
        .into_iter()
        .map(|file| {
            format!(
                "{} is in a home, which the systemd unit hides or may not enter: move it to /etc/arcticd, and name it there",
                file.display()
            )
        })
        .collect();
    let Some(account) = Account::of_daemon() else { return remarks };
    let directory = &config.capture.directory;
    if !account.reads(directory) {
        remarks.push(format!(
            "the user {DAEMON} can't list {0}: `chmod o+rx {0}` and the folders above it, or `setfacl -m u:{DAEMON}:rx`",
            directory.display()
        ));
    }
    for file in files {
        if !account.reads(file) {
            remarks.push(format!("the user {DAEMON} can't read {0}: `chown {DAEMON} {0}`", file.display()));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_in_a_home_are_remarked_whoever_runs_this() {
        let mqtt = |file: &str| crate::config::Mqtt { ca_file: Some(file.into()), ..Default::default() };
        let remarks = |file| remarks(&Config { mqtt: mqtt(file), ..Default::default() });
        let hidden = remarks("/home/pi/ca.pem");
        assert!(hidden.iter().any(|text| text.contains("/home/pi/ca.pem is in a home")), "{hidden:?}");
        assert!(!remarks("/etc/arcticd/ca.pem").iter().any(|text| text.contains("in a home")));
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
