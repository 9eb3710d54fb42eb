//! The control socket: this machine's own way to ask the running daemon. One JSON line there, one back.
//!
//! Whoever may open the socket may ask: its mode is 0600, so that is the daemon's user and root.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::inbox::{Answer, Control, Input, Request};

/// The socket's name in the runtime directory, or in the state directory where there is none.
const NAME: &str = "control.sock";
/// Where systemd makes the runtime directory.
const RUNTIME: &str = "/run/arcticd";
/// Longest question, in bytes.
const MAX_REQUEST: u64 = 64 << 10;
/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 16 << 20;
/// How long a question may take to be written, and an answer to be found: loading a head takes seconds on a small board.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a daemon with this state directory listens.
pub fn path(state: &Path) -> PathBuf {
    let runtime = std::env::var_os("RUNTIME_DIRECTORY");
    // systemd may name several, separated by colons.
    let first = runtime.as_ref().and_then(|paths| std::env::split_paths(paths).next());
    first.unwrap_or_else(|| state.to_owned()).join(NAME)
}

/// Listens for as long as the process lives.
///
/// # Errors
/// The socket can't be made; the daemon goes on without it.
pub fn serve(path: &Path, inputs: Sender<Input>) -> Result<()> {
    let of = || format!("control socket {}", path.display());
    // The journal's lock is ours, so nobody listens there any more.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(of),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(of)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(of)?;
    let listen = move || {
        for stream in listener.incoming() {
            let served = stream.map_err(anyhow::Error::new).and_then(|stream| answer(stream, &inputs));
            if let Err(error) = served {
                tracing::debug!("control socket: {error:#}");
            }
        }
    };
    thread::Builder::new().name("arcticd-control".into()).spawn(listen).with_context(of)?;
    Ok(())
}

fn answer(mut stream: UnixStream, inputs: &Sender<Input>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = Vec::new();
    BufReader::new(stream.try_clone()?.take(MAX_REQUEST)).read_until(b'\n', &mut line)?;
    let answer = match serde_json::from_slice::<Request>(&line) {
        Err(error) => Answer::Refused(format!("the question is not understood: {error}")),
        Ok(request) => {
            let (reply, answers) = mpsc::channel();
            inputs.send(Input::Control(Control { request, reply })).context("the daemon is ending")?;
            answers.recv_timeout(PATIENCE).context("no answer was found in time")?
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    Ok(stream.write_all(&text)?)
}

/// Asks the daemon whose state directory this is.
///
/// # Errors
/// It does not run, or does not answer.
pub fn ask(state: &Path, request: &Request) -> Result<Answer> {
    let places = [path(state), Path::new(RUNTIME).join(NAME), state.join(NAME)];
    let Some(mut stream) = places.iter().find_map(|place| UnixStream::connect(place).ok()) else {
        let denied = places.iter().find(|place| {
            UnixStream::connect(place).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        });
        match denied {
            Some(place) => {
                bail!("{} may not be opened by this user; ask as root or as the daemon's user", place.display())
            }
            None => bail!(
                "no daemon answers at {}; is arcticd running, and is this its configuration?",
                places[0].display()
            ),
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text).context("the daemon does not listen")?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut line).context("the daemon does not answer")?;
    serde_json::from_slice(&line).context("the daemon's answer is not understood; is it of another version?")
}
