//! What systemd has to be told of the capture directory, and the commands that are left to the engineer.

use std::path::Path;

use anyhow::{Result, bail};

use crate::config::DEFAULT_PATH;

/// The drop-in beside the packaged unit.
pub(super) const DROP_IN: &str = "/etc/systemd/system/arcticd.service.d/capture.conf";

/// What the hardened unit hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// Where disks and cards are mounted, some of them later than the daemon starts.
const MOUNTS: [&str; 3] = ["/media", "/mnt", "/run/media"];

/// Whether `path` is in some user's home.
pub(super) fn in_a_home(path: &Path) -> bool {
    HOMES.iter().any(|home| path.starts_with(home))
}

/// The drop-in that lets the daemon reach `directory`; none where it needs none.
///
/// A home is replaced by an empty one that holds this directory alone, so that the folders above it need not be open to
/// the daemon's user; its file system is mounted first. For cards and disks no mount is required: systemd would stop the
/// daemon with the mount, while the daemon by itself waits for it and sends meanwhile what is queued.
///
/// # Errors
/// The path has characters that a unit file can't say without doubt.
pub(super) fn drop_in(directory: &Path) -> Result<Option<String>> {
    let home = in_a_home(directory);
    if !home && !MOUNTS.iter().any(|mounts| directory.starts_with(mounts)) {
        return Ok(None);
    }
    let path = escaped(directory)?;
    let heading = "# Written by `arcticd init`: the capture directory, which the unit would not reach.\n";
    Ok(Some(if home {
        format!(
            "{heading}[Unit]\nRequiresMountsFor=\"{path}\"\n\n[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths=\"{path}\"\n"
        )
    } else {
        format!("{heading}[Service]\nBindReadOnlyPaths=\"-{path}\"\n")
    }))
}

/// `path` as it stands between quotes in a unit file.
fn escaped(path: &Path) -> Result<String> {
    let text = path.to_string_lossy();
    // A colon would name the place inside the unit; the others end or change the quoted text.
    if text.contains(|letter: char| letter.is_control() || "\"\\:".contains(letter)) || path.to_str().is_none() {
        bail!("{}: a unit file can't name it; choose a capture directory without \", \\ and :", path.display());
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
    fn only_homes_and_mounts_need_a_drop_in() {
        for path in ["/srv/captures", "/var/lib/motion", "/homes/a", "/mnt2"] {
            assert_eq!(of(path), None, "{path}");
        }
        for path in ["/home/pi/my photos", "/root/c", "/media/card/DCIM", "/mnt/disk", "/run/media/pi/x"] {
            assert!(of(path).unwrap().contains(&format!("{path}\"\n")), "{path}");
        }
    }

    #[test]
    fn a_card_that_is_pulled_does_not_stop_the_daemon_and_a_home_is_mounted_first() {
        assert!(of("/home/pi/c").unwrap().contains("RequiresMountsFor=\"/home/pi/c\"\n"));
        let card = of("/media/card").unwrap();
        assert!(!card.contains("Requires") && card.contains("=\"-/media/card\"\n"), "{card}");
    }

    #[test]
    fn a_path_that_could_say_something_else_in_a_unit_file_is_refused() {
        assert!(of("/home/a/50%").unwrap().contains("/home/a/50%%\""));
        for path in ["/home/a/x:y", "/home/a/x\"y", "/home/a/x\\y", "/home/a/x\nExecStart=y"] {
            assert!(drop_in(Path::new(path)).is_err(), "{path:?}");
        }
    }
}
