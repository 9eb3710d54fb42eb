//! The control socket: this machine's own way to ask the running daemon. One JSON line there, one back.
//!
//! Whoever may open the socket may ask: its mode is 0600, so that is the daemon's user and root.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::inbox::{Answer, Control, Input, Request};

/// The socket's name in the runtime directory, or in the state directory where there is none.
const NAME: &str = "control.sock";
/// Where systemd makes the runtime directory.
const RUNTIME: &str = "/run/arcticd";
/// Longest question, in bytes.
const MAX_REQUEST: usize = 64 << 10;
/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 16 << 20;
/// How long a question may take to be written.
const QUESTION: Duration = Duration::from_secs(5);
/// How long an answer may take to be found: loading a head takes seconds on a small board.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nobody is let in after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// How many are answered at a time: one who asks nothing keeps nobody else waiting.
const AT_ONCE: usize = 8;
/// What those threads may need: they read a line and write one.
const STACK: usize = 256 << 10;

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
    let seats = Arc::new(());
    let listen = move || {
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!("control socket: {error}");
                    // Whatever it lacks, descriptors as a rule, is not there again at once.
                    thread::sleep(ACCEPT_AGAIN);
                    continue;
                }
            };
            let served = if Arc::strong_count(&seats) > AT_ONCE {
                say(&stream, &Answer::Refused(format!("{AT_ONCE} others are asking; try again")))
            } else {
                let (inputs, seat) = (inputs.clone(), seats.clone());
                let serve = move || {
                    if let Err(error) = answer(&stream, &inputs) {
                        tracing::debug!("control socket: {error:#}");
                    }
                    drop(seat);
                };
                let begun = thread::Builder::new().name("arcticd-answer".into()).stack_size(STACK).spawn(serve);
                begun.map(drop).map_err(anyhow::Error::new)
            };
            if let Err(error) = served {
                tracing::debug!("control socket: {error:#}");
            }
        }
    };
    thread::Builder::new().name("arcticd-control".into()).spawn(listen).with_context(of)?;
    Ok(())
}

fn answer(stream: &UnixStream, inputs: &Sender<Input>) -> Result<()> {
    let answer = match question(stream)? {
        Err(reason) => Answer::Refused(reason),
        Ok(line) => match serde_json::from_slice::<Request>(&line) {
            Err(error) => Answer::Refused(format!("the question is not understood: {error}")),
            Ok(request) => ask_the_heads(request, inputs),
        },
    };
    say(stream, &answer)
}

/// A line; or why there is none, however it is dealt out.
fn question(mut stream: &UnixStream) -> Result<Result<Vec<u8>, String>> {
    let (end, mut line, mut some) = (Instant::now() + QUESTION, Vec::new(), [0; 4096]);
    while !line.contains(&b'\n') {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(format!("no question came within {} s", QUESTION.as_secs())));
        }
        if line.len() > MAX_REQUEST {
            return Ok(Err(format!("the question has more than {MAX_REQUEST} bytes")));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut some) {
            Ok(0) => break,
            Ok(count) => line.extend(some.iter().take(count)),
            Err(error) if is_too_late(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok(line))
}

fn ask_the_heads(request: Request, inputs: &Sender<Input>) -> Answer {
    let (reply, answers) = mpsc::channel();
    if inputs.send(Input::Control(Control { request, reply })).is_err() {
        return Answer::Refused(
            "the daemon is ending, or what looks after its heads has died; its log says why".into(),
        );
    }
    answers.recv_timeout(PATIENCE).unwrap_or_else(|error| {
        Answer::Refused(match error {
            RecvTimeoutError::Timeout => {
                format!("the daemon is busy with a head and found no answer in {} s; try again", PATIENCE.as_secs())
            }
            RecvTimeoutError::Disconnected => "the daemon is ending".into(),
        })
    })
}

fn say(mut stream: &UnixStream, answer: &Answer) -> Result<()> {
    stream.set_write_timeout(Some(QUESTION))?;
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    Ok(stream.write_all(&text)?)
}

/// A timeout of a socket, which the system calls by either name.
fn is_too_late(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
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
    // It says itself that it found none in time.
    let patience = QUESTION + PATIENCE;
    stream.set_read_timeout(Some(patience))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    // One that has sent us away already has said why.
    stream
        .write_all(&text)
        .or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
        .context("the daemon does not listen")?;
    let mut line = Vec::new();
    let left = || anyhow!("the daemon ended the connection without an answer; its log may say why");
    match BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut line) {
        Ok(0) => return Err(left()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(left()),
        Err(error) if is_too_late(&error) => {
            bail!("the daemon has not answered within {} s; is it stopped, or very busy?", patience.as_secs())
        }
        Err(error) => return Err(error).context("the daemon does not answer"),
    }
    serde_json::from_slice(&line).context("the daemon's answer is not understood; is it of another version?")
}
