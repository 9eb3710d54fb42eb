//! `arcticd head`: keys, signing, inspection, heads from outside.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::secret::{self, KeyError, SecretKey};
use super::signature::Signature;
use super::{Bundle, TrustedKeys, bundle, inspect, keys};
use crate::classifier::guarded;
use crate::cli::{HeadCommand, NewKey, Sign};
use crate::config::kept_from_all;
use crate::exit_code::ExitCode;
use crate::terminal;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(call: &HeadCommand) -> Result<ExitCode> {
    match call {
        HeadCommand::NewKey(call) => new_key(call),
        HeadCommand::Sign(call) => sign(call),
        HeadCommand::Inspect(call) => inspect::run(call),
        HeadCommand::Pack(call) => super::pack::run(call),
    }
}

/// The sequence of a head that is to be written to `output`, and what is to be said of one that lies there already: without
/// a `wanted` number it goes on from that one, since traps refuse what is older than what they have.
pub(crate) fn sequence(output: &Path, wanted: Option<u64>) -> (u64, Option<String>) {
    // What is no head, or can't be read, is no release either.
    let there = std::fs::File::open(output).ok().and_then(|file| bundle::read_head_of(io::BufReader::new(file)).ok());
    let Some(there) = there.and_then(|sealed| sealed.open_unverified().ok()) else {
        return (wanted.unwrap_or(1), None);
    };
    let before = there.manifest().sequence;
    let sequence = wanted.unwrap_or_else(|| before.saturating_add(1));
    let signed = there.signature().map(|by| format!(", signed by key {}", by.key())).unwrap_or_default();
    let path = output.display();
    let mut words =
        format!("{path}: it replaces a head of sequence {before}{signed}; the new one has sequence {sequence}");
    if sequence <= before {
        words.push_str(", which traps that have the old one refuse: give a higher --sequence, or none");
    }
    (sequence, Some(words))
}

fn new_key(call: &NewKey) -> Result<ExitCode> {
    let (secret, public) = (with_ending(&call.name, ".key"), with_ending(&call.name, ".pub"));
    // Before a password is asked for; creating them fails too if they appear meanwhile.
    if let Some(there) = [&secret, &public].into_iter().find(|path| fs::symlink_metadata(path).is_ok()) {
        bail!("{} exists already and is not overwritten; choose another name", there.display());
    }
    let password = match &call.password_file {
        _ if call.no_password => None,
        Some(file) => Some(password_in(file)?),
        None => Some(new_password()?),
    };
    let pair = secret::generate(password)?;
    create(&secret, &pair.secret, 0o600)?;
    if let Err(error) = create(&public, &pair.public, 0o644) {
        // Half a pair is of no use, and would be in the way of the next attempt.
        let _ = fs::remove_file(&secret);
        return Err(error);
    }
    terminal::print(&format!(
        "key {}\n  {}  signs heads; keep it to yourself, and a copy where it can't be lost\n  {}  goes to the traps, into /etc/arcticd/trusted_keys",
        pair.id,
        terminal::line(secret.display()),
        terminal::line(public.display())
    ))?;
    Ok(ExitCode::Ok)
}

fn sign(call: &Sign) -> Result<ExitCode> {
    let path = call.head.display();
    let mut bundle = Bundle::load(&call.head, &TrustedKeys::default()).with_context(|| path.to_string())?;
    if bundle.manifest().local.is_some() {
        bail!(
            "{path}: a trap fitted it on its own frames, and no trap takes it from elsewhere; train a head, and sign that"
        );
    }
    // Whoever trusts the key trusts the signer to have looked.
    guarded("load", || bundle.head())?.with_context(|| path.to_string())?;
    let before = bundle.signature().map(Signature::key);
    let signature = match (&call.key, &call.signature, &call.public_key) {
        (Some(key), _, _) => sign_with(&bundle, &load_key(key, call.password_file.as_deref())?)?,
        (None, Some(signature), Some(public)) => made_elsewhere(&bundle, signature, public)?,
        _ => bail!("give --key, or --signature and --public-key"),
    };
    let key = signature.key();
    bundle.set_signature(signature);
    bundle.save(&call.head)?;
    let manifest = bundle.manifest();
    let path = terminal::line(path);
    let mut words =
        format!("{path}: {} {}, sequence {}, signed by key {key}", manifest.name, manifest.version, manifest.sequence);
    if let Some(before) = before {
        words.push_str(&format!("\n  in place of a signature by key {before}"));
    }
    terminal::print(&words)?;
    Ok(ExitCode::Ok)
}

/// Reads the secret key in the file `key`; its password is read from a file, or asked for.
///
/// # Errors
/// Names the file and what is wrong with it.
pub(crate) fn load_key(key: &Path, password: Option<&Path>) -> Result<SecretKey> {
    Ok(SecretKey::load(key, || match password {
        Some(file) => password_in(file),
        None => ask(&format!("Password of {}: ", key.display())),
    })?)
}

/// Signs with a key at hand.
///
/// # Errors
/// The key can't sign.
pub(crate) fn sign_with(bundle: &Bundle, key: &SecretKey) -> Result<Signature> {
    let manifest = bundle.manifest();
    // As minisign's own, fields behind tabs; the time is for people.
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let comment = format!(
        "head:{}\tversion:{}\tsequence:{}\ttimestamp:{time}",
        manifest.name, manifest.version, manifest.sequence
    );
    sign_message(key, bundle.manifest_bytes(), &comment)
}

/// Signs any message; the comment is for people.
///
/// # Errors
/// The key can't sign.
pub(crate) fn sign_message(key: &SecretKey, message: &[u8], comment: &str) -> Result<Signature> {
    Ok(key.sign(message, comment)?)
}

fn made_elsewhere(bundle: &Bundle, signature: &Path, public: &Path) -> Result<Signature> {
    let text = keys::read(signature).with_context(|| format!("signature {}", signature.display()))?;
    let made = Signature::parse(text.as_bytes()).with_context(|| signature.display().to_string())?;
    let (trusted, bad) = TrustedKeys::load(&[public.to_owned()]);
    if let Some(bad) = bad.into_iter().next() {
        return Err(bad.into());
    }
    trusted.verify(&made, bundle.manifest_bytes()).with_context(|| {
        format!("{} is not a signature of this head's manifest.json by {}", signature.display(), public.display())
    })?;
    Ok(made)
}

fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

fn create(path: &Path, text: &str, mode: u32) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("{} can't be made", path.display()))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written.with_context(|| format!("{} can't be written", path.display()))
}

fn password_in(file: &Path) -> Result<String, KeyError> {
    // A key is worth no more than what protects it. Of the file's own, for a link's bits say nothing.
    if let Ok(metadata) = fs::metadata(file) {
        let kept = kept_from_all(file, metadata.permissions().mode());
        kept.map_err(|error| KeyError::NoPassword(error.to_string()))?;
    }
    let text = keys::read(file);
    let text = text.map_err(|error| KeyError::NoPassword(format!("password file {}: {error}", file.display())))?;
    match text.lines().next() {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => Err(KeyError::NoPassword(format!("password file {}: its first line is empty", file.display()))),
    }
}

fn new_password() -> Result<String, KeyError> {
    let password = ask("Password for the new secret key: ")?;
    if password.is_empty() {
        return Err(KeyError::NoPassword("the password is empty; for a key without one say --no-password".into()));
    }
    if ask("The same again: ")? != password {
        return Err(KeyError::NoPassword("the two passwords differ; nothing was written, try again".into()));
    }
    Ok(password)
}

fn ask(prompt: &str) -> Result<String, KeyError> {
    if !io::stdin().is_terminal() {
        let problem = "there is no terminal to ask for the password on; give --password-file FILE (`head ask`: \
                       --key-password-file FILE)";
        return Err(KeyError::NoPassword(problem.into()));
    }
    terminal::password(prompt).map_err(|error| KeyError::NoPassword(format!("no password: {error}")))
}
