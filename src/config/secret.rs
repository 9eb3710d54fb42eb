//! The broker's password and the status page's token: from a file or a systemd credential, never from the command line or
//! the environment.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Http, Mqtt};

/// Most bytes of a password: MQTT gives its length in 16 bits.
const LONGEST: u64 = 65_535;

/// A secret's names: in messages, in the configuration, as a systemd credential.
#[derive(Clone, Copy)]
struct Kind {
    what: &'static str,
    key: &'static str,
    credential: &'static str,
}

const PASSWORD: Kind = Kind { what: "password", key: "mqtt.password_file", credential: "mqtt_password" };
const TOKEN: Kind = Kind { what: "token", key: "http.token_file", credential: "http_token" };

/// A text that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// Why there is no password or token.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the {what} file {}: {reason}; check `{key}` and its owner", path.display())]
    Read {
        /// `password` or `token`.
        what: &'static str,
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        reason: io::Error,
    },
    /// Any user of this machine may read or change the file.
    #[error("the {what} file {} is open to every user (mode {mode:03o}): run `chmod 600 {}`", path.display(), path.display())]
    Open {
        /// `password` or `token`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds nothing but a newline.
    #[error("the {what} file {} is empty", path.display())]
    Empty {
        /// `password` or `token`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The file is longer than MQTT allows, or not UTF-8.
    #[error("the {what} file {} does not hold a {what}: it must be one line of UTF-8, at most {LONGEST} bytes", path.display())]
    NoSecret {
        /// `password` or `token`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
}

impl Mqtt {
    /// The password from `password_file`, else from the systemd credential `mqtt_password`, else none.
    ///
    /// # Errors
    /// A file that is named but cannot be read, is open to every user, or holds no password.
    pub fn password(&self) -> Result<Option<Secret>, SecretError> {
        secret(PASSWORD, self.password_file.as_deref(), credentials().as_deref())
    }
}

impl Http {
    /// The token from `token_file`, else from the systemd credential `http_token`, else none.
    ///
    /// # Errors
    /// A file that is named but cannot be read, is open to every user, or holds no token.
    pub fn token(&self) -> Result<Option<Secret>, SecretError> {
        secret(TOKEN, self.token_file.as_deref(), credentials().as_deref())
    }
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

fn secret(kind: Kind, named: Option<&Path>, credentials: Option<&Path>) -> Result<Option<Secret>, SecretError> {
    if let Some(path) = named {
        return read(kind, path, true).map(Some);
    }
    let Some(path) = credentials.map(|folder| folder.join(kind.credential)) else { return Ok(None) };
    match read(kind, &path, false) {
        // The unit may pass other credentials and not this one.
        Err(SecretError::Read { reason, .. }) if reason.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// The file's only line. systemd guards its credentials itself, by directory, so that only other files are `guarded`.
fn read(kind: Kind, path: &Path, guarded: bool) -> Result<Secret, SecretError> {
    let Kind { what, key, .. } = kind;
    let path = path.to_path_buf();
    let (text, mode) = match slurp(&path) {
        Ok(read) => read,
        Err(source) if source.kind() == io::ErrorKind::InvalidData => return Err(SecretError::NoSecret { what, path }),
        Err(reason) => return Err(SecretError::Read { what, key, path, reason }),
    };
    if guarded && is_open(mode) {
        return Err(SecretError::Open { what, path, mode: mode & 0o777 });
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err(SecretError::Empty { what, path }),
        _ if line.contains(['\n', '\0']) || line.len() as u64 > LONGEST => Err(SecretError::NoSecret { what, path }),
        _ => Ok(Secret(line.to_string())),
    }
}

/// Whether a file with these permission bits may hold a secret: a group may read it, but not every user of the machine.
///
/// # Errors
/// [`SecretError::Open`].
pub(crate) fn kept_from_all(path: &Path, mode: u32) -> Result<(), SecretError> {
    match is_open(mode) {
        false => Ok(()),
        true => Err(SecretError::Open { what: PASSWORD.what, path: path.to_owned(), mode: mode & 0o777 }),
    }
}

/// Whether every user of the machine may read or change a file with these permission bits.
fn is_open(mode: u32) -> bool {
    mode & 0o007 != 0
}

/// Text and permission bits of the same open file, so that it cannot be exchanged in between.
fn slurp(path: &Path) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut text = String::new();
    file.take(LONGEST + 3).read_to_string(&mut text)?;
    Ok((text, mode))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn file(name: &str, content: impl AsRef<[u8]>, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn only_the_trailing_newline_is_stripped() {
        for (content, expected) in [("a b \n", "a b "), ("x\r\n", "x"), ("x", "x"), ("\tx\n", "\tx")] {
            let (_folder, path) = file("p", content, 0o600);
            assert_eq!(secret(PASSWORD, Some(&path), None).unwrap().unwrap().expose(), expected);
        }
    }

    #[test]
    fn a_password_file_open_to_everyone_is_refused_with_the_remedy() {
        for mode in [0o644, 0o604, 0o602] {
            let (_folder, path) = file("p", "hunter2", mode);
            let error = secret(PASSWORD, Some(&path), None).unwrap_err();
            assert!(matches!(error, SecretError::Open { .. }), "{mode:o}: {error}");
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())));
        }
        let (_folder, path) = file("p", "hunter2", 0o640);
        assert!(
            secret(PASSWORD, Some(&path), None).is_ok(),
            "a group may read it: root owns it, the daemon's group reads it"
        );
    }

    #[test]
    fn the_named_file_comes_before_the_systemd_credential() {
        let (_named_folder, named) = file("p", "named", 0o600);
        let (credentials, _) = file("mqtt_password", "credential\n", 0o444);
        let exposed = |named: Option<&Path>, credentials: Option<&Path>| {
            secret(PASSWORD, named, credentials).unwrap().map(|secret| secret.expose().to_string())
        };
        assert_eq!(exposed(Some(&named), Some(credentials.path())).as_deref(), Some("named"));
        assert_eq!(exposed(None, Some(credentials.path())).as_deref(), Some("credential"));
        assert_eq!(exposed(None, None), None);
        let without = tempfile::tempdir().unwrap();
        assert_eq!(exposed(None, Some(without.path())), None);
        assert!(secret(PASSWORD, Some(&without.path().join("p")), None).is_err(), "a named file must be there");
    }

    #[test]
    fn the_token_has_a_credential_and_messages_of_its_own() {
        let (credentials, _) = file("http_token", "opens the page\n", 0o444);
        let token = secret(TOKEN, None, Some(credentials.path())).unwrap();
        assert_eq!(token.as_ref().map(Secret::expose), Some("opens the page"));
        assert_eq!(secret(PASSWORD, None, Some(credentials.path())).unwrap(), None);
        let error = secret(TOKEN, Some(&credentials.path().join("gone")), None).unwrap_err().to_string();
        assert!(error.contains("token file") && error.contains("`http.token_file`"), "{error}");
    }

    #[test]
    fn what_the_system_says_is_said_once_also_with_all_causes() {
        let missing = Path::new("/nonexistent/password");
        let error = anyhow::Error::new(secret(PASSWORD, Some(missing), None).unwrap_err());
        let said = format!("{error:#}");
        assert_eq!(said.matches("No such file").count(), 1, "{said}");
    }

    #[test]
    fn what_is_no_password_is_refused() {
        for content in [&b"\n"[..], b"", b"\xff\xfe", b"a\nb\n", b"a\0", &[b'x'; 65_536]] {
            let (_folder, path) = file("p", content, 0o600);
            assert!(secret(PASSWORD, Some(&path), None).is_err(), "{:?}", &content[..content.len().min(8)]);
        }
    }

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(format!("{:?}", Some(Secret("hunter2".into()))), "Some(Secret(...))");
    }
}
