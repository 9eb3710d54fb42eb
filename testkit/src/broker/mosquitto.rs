//! The installed mosquitto as a child process, with a directory, a configuration and a port of its own.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{START, TRIES, accepts, free_port};
use crate::wait_until;

/// Debian keeps it where users' paths do not lead.
const PLACES: [&str; 4] =
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto", "/opt/homebrew/sbin/mosquitto"];

/// How the broker is set up. Default: persistent, on a free port, without TLS or password.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keeps sessions and messages on disk, saved at each change: what it acknowledged survives [`Mosquitto::kill`].
    pub persistence: bool,
    /// Port on 127.0.0.1; none: a free one.
    pub port: Option<u16>,
    /// Speak TLS alone.
    pub tls: Option<Tls>,
    /// Let nobody else in.
    pub login: Option<Login>,
    /// Further lines of its configuration file.
    pub extra: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { persistence: true, port: None, tls: None, login: None, extra: Vec::new() }
    }
}

/// PEM files of a TLS listener.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority that clients' certificates are checked against.
    pub ca_file: PathBuf,
    /// The server's certificate.
    pub cert_file: PathBuf,
    /// The server's key.
    pub key_file: PathBuf,
    /// Whether a client must bring a certificate.
    pub client_certificate: bool,
}

/// A user that the broker knows.
#[derive(Debug, Clone)]
pub struct Login {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// A mosquitto; dropping it kills the process and removes its directory.
pub struct Mosquitto {
    directory: TempDir,
    port: u16,
    tls: bool,
    child: Option<Child>,
}

impl Mosquitto {
    /// Whether mosquitto is installed.
    pub fn available() -> bool {
        program().is_some()
    }

    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// It is not installed, or ends at once: the error carries its log.
    pub fn start(options: Options) -> Result<Self> {
        let mut last = None;
        for _ in 0..TRIES {
            let port = options.port.map_or_else(free_port, Ok)?;
            let directory = tempfile::Builder::new().prefix("mosquitto-").tempdir()?;
            let mut broker = Self { directory, port, tls: options.tls.is_some(), child: None };
            broker.configure(&options)?;
            match broker.launch() {
                Ok(()) => return Ok(broker),
                Err(error) if options.port.is_some() => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no try")))
    }

    /// Port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As `mqtt.url` wants it; with TLS the host is `localhost`, as in the certificates of
    /// [`crate::certificates::Certificates`].
    pub fn url(&self) -> String {
        if self.tls { format!("mqtts://localhost:{}", self.port) } else { format!("mqtt://127.0.0.1:{}", self.port) }
    }

    /// Ends it as a power cut would (SIGKILL); what it kept on disk stays.
    ///
    /// # Errors
    /// The process can't be ended.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().context("mosquitto can't be killed")?;
        child.wait().context("mosquitto does not end")?;
        Ok(())
    }

    /// Ends it in peace (SIGTERM): it saves its sessions.
    ///
    /// # Errors
    /// It does not end within twenty seconds; it is killed then.
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill_process(pid(&child)?, Signal::TERM).context("mosquitto can't be signalled")?;
        if wait_until(START, || child.try_wait().ok().flatten()).is_none() {
            child.kill()?;
            child.wait()?;
            bail!("mosquitto did not end on SIGTERM within {START:?}");
        }
        Ok(())
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing is answered, as over a link that stalls.
    ///
    /// # Errors
    /// It does not run, or can't be signalled.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Goes on after [`Mosquitto::freeze`].
    ///
    /// # Errors
    /// As [`Mosquitto::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("mosquitto does not run")?;
        kill_process(pid(child)?, signal).context("mosquitto can't be signalled")
    }

    /// Starts it again on the same port, with what it kept; stops it before if it runs.
    ///
    /// # Errors
    /// As [`Mosquitto::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, options: &Options) -> Result<()> {
        let mut text = String::new();
        // Started as root it would change to a user that can't read this directory; started by others the line is void.
        writeln!(text, "user root")?;
        writeln!(text, "listener {} 127.0.0.1", self.port)?;
        writeln!(text, "allow_anonymous {}", options.login.is_none())?;
        writeln!(text, "max_queued_messages 0")?;
        if options.persistence {
            writeln!(text, "persistence true")?;
            writeln!(text, "persistence_location {}/", self.directory.path().display())?;
            writeln!(text, "autosave_interval 1")?;
            writeln!(text, "autosave_on_changes true")?;
        }
        if let Some(tls) = &options.tls {
            writeln!(text, "cafile {}", tls.ca_file.display())?;
            writeln!(text, "certfile {}", tls.cert_file.display())?;
            writeln!(text, "keyfile {}", tls.key_file.display())?;
            writeln!(text, "require_certificate {}", tls.client_certificate)?;
        }
        if let Some(login) = &options.login {
            let file = self.path("passwords");
            make_password_file(&file, login)?;
            writeln!(text, "password_file {}", file.display())?;
        }
        for line in &options.extra {
            writeln!(text, "{line}")?;
        }
        let file = self.path("mosquitto.conf");
        std::fs::write(&file, text).with_context(|| format!("mosquitto's configuration {}", file.display()))
    }

    fn launch(&mut self) -> Result<()> {
        // Someone else's broker must not be taken for ours.
        ensure!(!accepts(self.port), "port {} is taken", self.port);
        let program = program().context("mosquitto is not installed; `apt-get install mosquitto` brings it")?;
        let log = File::options().create(true).append(true).open(self.path("log"))?;
        let mut child = Command::new(&program)
            .arg("-c")
            .arg(self.path("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} can't be started", program.display()))?;
        let port = self.port;
        let up = wait_until(START, || match child.try_wait() {
            Ok(None) => accepts(port).then_some(true),
            _ => Some(false),
        });
        self.child = Some(child);
        if up == Some(true) {
            return Ok(());
        }
        self.kill()?;
        bail!("mosquitto on port {port} does not accept connections; its log:\n{}", self.log())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn program() -> Option<PathBuf> {
    let from_path = std::env::var_os("PATH")
        .and_then(|paths| std::env::split_paths(&paths).map(|path| path.join("mosquitto")).find(|file| file.is_file()));
    from_path.or_else(|| PLACES.iter().map(PathBuf::from).find(|file| file.is_file()))
}

fn make_password_file(file: &Path, login: &Login) -> Result<()> {
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(file)
        .args([&login.user, &login.password])
        .output()
        .context("mosquitto_passwd can't be started; it comes with mosquitto")?;
    ensure!(made.status.success(), "mosquitto_passwd: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

fn pid(child: &Child) -> Result<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("no process id")
}
