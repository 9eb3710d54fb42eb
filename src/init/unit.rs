//! What systemd has to be told of the capture directory, and the commands that are left to the engineer.

use std::fs;
use std::path::{Component, Path};

use anyhow::{Result, bail};

use crate::account::in_a_home;
use crate::config::DEFAULT_PATH;

/// The drop-in beside the packaged unit.
pub(super) const DROP_IN: &str = "/etc/systemd/system/arcticd.service.d/capture.conf";

/// The drop-in's first line, by which it is known again.
const HEADING: &str =
    "# Written by `arcticd init`: the capture directory, in a home that is closed to the daemon's user.\n";

/// The drop-in that lets the daemon reach `directory`; none where it needs none.
///
/// A home is replaced by an empty one that holds this directory alone, so that the folders above it need not be open to
/// the daemon's user; its file system is mounted first.
///
/// # Errors
/// The path has characters that a unit file can't say without doubt.
pub(super) fn drop_in(directory: &Path) -> Result<Option<String>> {
    if !in_a_home(directory) {
        return Ok(None);
    }
    let path = escaped(directory)?;
    Ok(Some(format!(
        "{HEADING}[Unit]\nRequiresMountsFor=\"{path}\"\n\n[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths=\"{path}\"\n"
    )))
}

/// Whether the drop-in at `path` is there and `init`'s own.
pub(super) fn is_own(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.starts_with(HEADING))
}

/// Whether the drop-in that is installed mounts `directory` for the daemon.
pub(crate) fn binds(directory: &Path) -> bool {
    let line = escaped(directory).map(|path| format!("BindReadOnlyPaths=\"{path}\""));
    let text = fs::read_to_string(DROP_IN).unwrap_or_default();
    line.is_ok_and(|line| text.lines().any(|there| there == line))
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

    fn of(path: &str) -> Option<String> {
        drop_in(Path::new(path)).unwrap()
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
            assert!(drop_in(Path::new(path)).is_err(), "{path:?}");
        }
    }
}
