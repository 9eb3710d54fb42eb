//! The real binary as a child process, in a world of its own: captures, state and configuration in a temporary
//! directory, no `ARCTICD_*` variable of the caller's.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::ledger::Ledger;
use crate::wait_until;

/// How long a daemon may take to end after a signal.
const END: Duration = Duration::from_secs(30);

/// A command of `binary`, or of what stands in for it: `ARCTICD_TEST_BINARY` names another build, `ARCTICD_TEST_RUNNER`
/// what runs that, an emulator with its arguments, split at spaces. So tests of this machine drive a daemon that was built
/// for another processor.
pub fn program(binary: impl AsRef<Path>) -> Command {
    stand_in(binary.as_ref(), std::env::var_os("ARCTICD_TEST_BINARY"), std::env::var("ARCTICD_TEST_RUNNER").ok())
}

fn stand_in(binary: &Path, other: Option<OsString>, runner: Option<String>) -> Command {
    let binary = other.map_or_else(|| binary.to_owned(), PathBuf::from);
    let runner = runner.unwrap_or_default();
    let mut words = runner.split_whitespace();
    match words.next() {
        None => Command::new(binary),
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.args(words).arg(binary);
            command
        }
    }
}

/// A place to run daemons in, one after another: it outlives them, so that a restart finds what was there.
pub struct World {
    directory: TempDir,
    settings: Vec<(String, String)>,
    env: Vec<(String, String)>,
    stays: bool,
}

impl World {
    /// An empty world: `captures/`, `state/` and a configuration that names them and the trap `test`. What is found of silent
    /// frames is in the journal after a second.
    ///
    /// # Errors
    /// The temporary directory can't be made.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("arcticd-world-").tempdir()?;
        let world = Self { directory, settings: Vec::new(), env: Vec::new(), stays: false };
        std::fs::create_dir(world.captures())?;
        Ok(world
            .set("trap", "test")
            .set_path("capture.directory", "captures")
            .set_path("state.directory", "state")
            .set_raw("state.hold_s", "1"))
    }

    /// Sets a configuration key, as `alerts.policy`, to a string.
    #[must_use]
    pub fn set(self, key: &str, value: impl AsRef<str>) -> Self {
        // JSON's string escapes are TOML's too.
        let text = serde_json::Value::from(value.as_ref()).to_string();
        self.set_raw(key, text)
    }

    /// Sets a configuration key to a path below this world's directory.
    #[must_use]
    fn set_path(self, key: &str, name: &str) -> Self {
        let path = self.path(name);
        self.set(key, path.to_string_lossy())
    }

    /// Sets a configuration key to a value in TOML's notation: `5`, `["polar_bear"]`, `{ polar_bear = 0.5 }`.
    #[must_use]
    pub fn set_raw(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// Sets an environment variable for the daemons of this world.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Leaves the directory to be looked at if the test fails.
    #[must_use]
    pub fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    /// The capture directory.
    pub fn captures(&self) -> PathBuf {
        self.path("captures")
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// A path below this world's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the journal says.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(&self.state())
    }

    /// Writes a frame as a camera does, under its final name; folders on the way are made.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn drop_frame(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let file = self.captures().join(name);
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        std::fs::write(&file, bytes).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// The configuration as TOML.
    pub fn config_text(&self) -> String {
        // Dotted keys, not table headers: their order does not matter.
        self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    }

    /// Writes the configuration file, and returns its path.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write_config(&self) -> Result<PathBuf> {
        let file = self.path("arcticd.toml");
        std::fs::write(&file, self.config_text()).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// A command of `binary` (in tests `env!("CARGO_BIN_EXE_arcticd")`) in this world, without arguments yet.
    pub fn command(&self, binary: impl AsRef<Path>) -> Command {
        let mut command = program(binary);
        let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ARCTICD_"));
        for (name, _) in ours {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value))).current_dir(self.directory.path());
        command
    }

    /// Starts `binary run` on this world's configuration. It need not be ready when this returns.
    ///
    /// # Errors
    /// The binary can't be started.
    pub fn start(&self, binary: impl AsRef<Path>) -> Result<Daemon> {
        self.start_under(&[], binary)
    }

    /// The same under other programs: `wrapper` is their command line, and the daemon's follows.
    ///
    /// # Errors
    /// As [`World::start`].
    pub fn start_under(&self, wrapper: &[&str], binary: impl AsRef<Path>) -> Result<Daemon> {
        let config = self.write_config()?;
        let binary = binary.as_ref();
        let mut command = match wrapper {
            [] => self.command(binary),
            [program, arguments @ ..] => {
                let mut command = self.command(program);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.arg("run").arg("--config").arg(config);
        Daemon::spawn(command).with_context(|| format!("{} can't be started", binary.display()))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.stays && std::thread::panicking() {
            self.directory.disable_cleanup(true);
            println!("its folder stays: {}", self.directory.path().display());
        }
    }
}

/// A running daemon; dropping it kills the process.
pub struct Daemon {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    log: Vec<String>,
    stdout: Vec<String>,
    open: usize,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Daemon {
    /// Starts another program, which is heard and ended in the same way.
    ///
    /// # Errors
    /// It can't be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = Arc::new(Output::default());
        let mut readers = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            readers.push(collect(pipe, &output, |lines| &mut lines.stdout));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.push(collect(pipe, &output, |lines| &mut lines.log));
        }
        Ok(Self { child, output, readers })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines of standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.output.lock().log.clone()
    }

    /// The lines of standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.output.lock().stdout.clone()
    }

    /// Waits for a log line that contains `text`, and returns it; lines from before count.
    ///
    /// # Errors
    /// None came within `limit`, or the daemon ended without one: the error carries the log.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> Result<String> {
        self.wait_for(limit, |lines| &lines.log, text)
    }

    /// Waits for a line of standard output that contains `text`, and returns it; lines from before count.
    ///
    /// # Errors
    /// As [`Daemon::wait_for_log`].
    pub fn wait_for_stdout(&self, text: &str, limit: Duration) -> Result<String> {
        self.wait_for(limit, |lines| &lines.stdout, text)
    }

    fn wait_for(&self, limit: Duration, of: impl Fn(&Lines) -> &Vec<String>, text: &str) -> Result<String> {
        let end = Instant::now() + limit;
        let mut lines = self.output.lock();
        loop {
            if let Some(line) = of(&lines).iter().find(|line| line.contains(text)) {
                return Ok(line.clone());
            }
            let left = end.checked_duration_since(Instant::now()).filter(|_| lines.open > 0);
            let Some(left) = left else {
                bail!("no line with `{text}` within {limit:?}; the log:\n{}", lines.log.join("\n"));
            };
            lines = self.output.changed.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks it to stop (SIGTERM), and returns its exit code.
    ///
    /// # Errors
    /// It does not end within thirty seconds: it is killed then, and the error carries the log.
    pub fn terminate(&mut self) -> Result<i32> {
        self.ask_to_stop()?;
        self.wait_exit(END)
    }

    /// Asks it to stop (SIGTERM), and does not wait for it.
    ///
    /// # Errors
    /// The process can't be signalled.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for its end without asking for it, and returns its exit code.
    ///
    /// # Errors
    /// As [`Daemon::terminate`].
    pub fn wait_exit(&mut self, limit: Duration) -> Result<i32> {
        let Some(status) = wait_until(limit, || self.child.try_wait().ok().flatten()) else {
            self.kill()?;
            bail!("it did not end within {limit:?}; its log:\n{}", self.log().join("\n"));
        };
        self.drain();
        status.code().with_context(|| format!("ended by {status}; its log:\n{}", self.log().join("\n")))
    }

    /// Ends it as a power cut would (SIGKILL).
    ///
    /// # Errors
    /// The process can't be ended.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("the daemon can't be killed")?;
        self.child.wait().context("the daemon does not end")?;
        self.drain();
        Ok(())
    }

    /// Asks it to read its configuration again (SIGHUP).
    ///
    /// # Errors
    /// The process can't be signalled.
    pub fn ask_to_reload(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, signal).context("the daemon can't be signalled")
    }

    /// After its end: the last lines are still in the pipes.
    fn drain(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.kill();
        // What a test that fails waited for in vain is told here.
        if std::thread::panicking() {
            println!("the daemon said:\n{}", self.log().join("\n"));
        }
    }
}

fn collect(
    pipe: impl Read + Send + 'static,
    output: &Arc<Output>,
    of: impl Fn(&mut Lines) -> &mut Vec<String> + Send + 'static,
) -> JoinHandle<()> {
    output.lock().open += 1;
    let output = output.clone();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            of(&mut output.lock()).push(text);
            output.changed.notify_all();
            line.clear();
        }
        output.lock().open -= 1;
        output.changed.notify_all();
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_worlds_configuration_is_toml_with_the_last_value_of_each_key() {
        let world = World::new().unwrap().set("mqtt.prefix", "a\"b").set_raw("alerts.gap_s", "5").set("trap", "other");
        let text = world.config_text();
        assert!(text.contains("trap = \"other\"\n"), "{text}");
        assert_eq!(text.matches("trap = ").count(), 1);
        assert!(text.contains("mqtt.prefix = \"a\\\"b\"\nalerts.gap_s = 5\n"), "{text}");
        assert!(text.contains(&format!("capture.directory = \"{}\"", world.captures().display())), "{text}");
    }

    #[test]
    fn another_build_stands_in_for_the_binary_behind_its_emulator() {
        let words = |command: Command| -> Vec<String> {
            let all = std::iter::once(command.get_program()).chain(command.get_args());
            all.map(|word| word.to_string_lossy().into_owned()).collect()
        };
        let own = Path::new("/own");
        assert_eq!(words(stand_in(own, None, None)), ["/own"]);
        assert_eq!(words(stand_in(own, Some("/arm".into()), None)), ["/arm"]);
        let runner = Some("qemu-arm -cpu  max".into());
        assert_eq!(words(stand_in(own, Some("/arm".into()), runner)), ["qemu-arm", "-cpu", "max", "/arm"]);
    }

    #[test]
    fn a_child_that_ends_gives_its_lines_and_its_exit_code() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo warning >&2; exit 78"]);
        let mut daemon = Daemon::spawn(command).unwrap();
        assert_eq!(daemon.wait_exit(END).unwrap(), 78);
        assert_eq!((daemon.stdout(), daemon.log()), (vec!["out".to_owned()], vec!["warning".to_owned()]));
        assert!(daemon.wait_for_log("never", END).is_err(), "a dead child is not waited for");
    }
}
