//! Broker, daemon and subscriber, joined by nothing but a directory and loopback sockets.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use arcticd::config::{Alerts, Capture, Config, Model, Mqtt, State};
use arcticd::daemon::{self, DaemonError};
use arcticd::detection::{Detection, Kind};
use arcticd::service::{Manager, Reload};
use tempfile::TempDir;
use testkit::broker::Embedded;
use testkit::ledger::Ledger;
use testkit::subscriber::{Subscriber, Subscription};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use crate::print;

/// Name of the trap.
const TRAP: &str = "demo";
/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ctrl-C.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Everything that runs. Dropping it stops everything and removes all files.
pub struct Rig {
    interrupted: Arc<AtomicBool>,
    subscriber: Subscriber,
    daemon: Option<JoinHandle<Result<(), DaemonError>>>,
    stop: Option<oneshot::Sender<()>>,
    ledger: Ledger,
    captures: PathBuf,
    dropped: HashMap<String, Instant>,
    detections: Vec<Detection>,
    read: usize,
    // After what runs on them.
    broker: Embedded,
    _runtime: Runtime,
    _directory: TempDir,
}

impl Rig {
    /// Starts all of it. `head` prepares the head's setting in the temporary directory.
    pub fn start(alerts: Alerts, head: impl FnOnce(&Path) -> Result<String>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let interrupted = Arc::new(AtomicBool::new(false));
        // Caught before the first file is written, so that Ctrl-C leaves none behind.
        let mut interrupts = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt()).context("Ctrl-C can't be caught")?
        };
        runtime.spawn({
            let interrupted = interrupted.clone();
            async move {
                interrupts.recv().await;
                interrupted.store(true, Ordering::Relaxed);
            }
        });

        let directory = tempfile::Builder::new().prefix("arcticd-demo-").tempdir()?;
        let (captures, state) = (directory.path().join("captures"), directory.path().join("state"));
        std::fs::create_dir(&captures)?;
        let broker = Embedded::start()?;
        let subscriber = Subscriber::start(Subscription::new(broker.port(), format!("arcticd/{TRAP}/#")))?;
        let config = Config {
            trap: Some(TRAP.into()),
            capture: Capture { directory: captures.clone(), settle_ms: 500, reconcile_s: 2, ..Capture::default() },
            // The demo follows each frame in the journal.
            state: State { directory: state.clone(), hold_s: 0, ..State::default() },
            model: Model { head: head(directory.path())?, ..Model::default() },
            alerts,
            mqtt: Mqtt { url: Some(broker.url()), ..Mqtt::default() },
            ..Config::default()
        };
        // The daemon's own log goes to standard error in one's own set-up; here its errors are enough.
        let errors = EnvFilter::new("off,arcticd=error");
        let _ = tracing_subscriber::fmt().with_env_filter(errors).with_writer(std::io::stderr).try_init();
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let daemon = std::thread::Builder::new().name("arcticd".into()).spawn(move || {
            let stop = async {
                let _ = stopped.await;
            };
            handle.block_on(daemon::run(config, stop, Manager::nobody(), Reload::never()))
        })?;
        let mut rig = Self {
            interrupted,
            subscriber,
            daemon: Some(daemon),
            stop: Some(stop),
            ledger: Ledger::new(&state),
            captures,
            dropped: HashMap::new(),
            detections: Vec::new(),
            read: 0,
            broker,
            _runtime: runtime,
            _directory: directory,
        };
        rig.wait_availability("online")?;
        Ok(rig)
    }

    /// Where the broker listens.
    pub fn broker_url(&self) -> String {
        self.broker.url()
    }

    /// What the journal says.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The detections that arrived so far.
    pub fn detections(&self) -> &[Detection] {
        &self.detections
    }

    /// The alert of this frame that arrived over MQTT.
    pub fn alert_of(&self, name: &str) -> Option<&Detection> {
        self.detections.iter().find(|detection| detection.kind == Kind::Detection && detection.frame.name == name)
    }

    /// Writes a frame into the capture directory, as a camera does.
    pub fn drop_frame(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.make_room(name)?;
        self.dropped.insert(name.to_owned(), Instant::now());
        std::fs::write(&file, bytes).with_context(|| file.display().to_string())
    }

    /// Copies a file into the capture directory, with its time.
    pub fn copy_in(&mut self, name: &str, from: &Path) -> Result<()> {
        let file = self.make_room(name)?;
        // Under a name that is no frame's until it is whole, as a careful uploader does.
        let part = file.with_added_extension("part");
        std::fs::copy(from, &part).with_context(|| from.display().to_string())?;
        if let Ok(modified) = from.metadata().and_then(|metadata| metadata.modified()) {
            let _ = std::fs::File::options().append(true).open(&part).and_then(|file| file.set_modified(modified));
        }
        self.dropped.insert(name.to_owned(), Instant::now());
        std::fs::rename(&part, &file).with_context(|| file.display().to_string())?;
        self.look()
    }

    fn make_room(&self, name: &str) -> Result<PathBuf> {
        let file = self.captures.join(name);
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(file)
    }

    /// Waits until all these frames are in the journal, printing what arrives meanwhile.
    pub fn wait_classified(&mut self, names: &[&str]) -> Result<()> {
        self.wait("the frames to be classified", PATIENCE, |rig| {
            let done = rig.ledger.files()?;
            Ok(names.iter().all(|name| done.iter().any(|file| file == name)))
        })
    }

    /// Prints what arrives, until `done`.
    ///
    /// Fails after `limit`, on Ctrl-C, or if the daemon ends.
    pub fn wait(&mut self, what: &str, limit: Duration, mut done: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let start = Instant::now();
        loop {
            self.look()?;
            if done(self)? {
                return Ok(());
            }
            ensure!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
            if self.daemon.as_ref().is_none_or(JoinHandle::is_finished) {
                self.stop()?;
                bail!("the daemon ended while waiting for {what}");
            }
            let read = self.read;
            // Sooner if a message comes; the journal tells nobody when it changes.
            let _ = self.subscriber.wait_for(Duration::from_millis(50), |messages| messages.len() > read);
        }
    }

    /// Prints what has arrived.
    fn look(&mut self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        for message in self.subscriber.messages().into_iter().skip(self.read) {
            self.read += 1;
            if message.topic.ends_with("/detection") {
                let detection: Detection =
                    serde_json::from_slice(&message.payload).context("a message is no detection")?;
                let after = self.dropped.get(&detection.frame.name).map(|dropped| message.at - *dropped);
                print::alert(&detection, after);
                self.detections.push(detection);
            }
        }
        Ok(())
    }

    fn wait_availability(&mut self, word: &str) -> Result<()> {
        self.wait(&format!("the trap to be {word}"), PATIENCE, |rig| {
            let messages = rig.subscriber.messages();
            Ok(messages.iter().any(|m| m.topic.ends_with("/availability") && m.payload == word.as_bytes()))
        })
    }

    /// Stops the daemon in peace: it sends what is queued, and says `stopped`. What arrives is printed.
    pub fn finish(&mut self) -> Result<()> {
        self.stop()?;
        let said = self.subscriber.wait_for(PATIENCE, |messages| {
            messages.iter().any(|message| message.topic.ends_with("/availability") && message.payload == b"stopped")
        });
        self.look()?;
        said.map(|_| ())
    }

    fn stop(&mut self) -> Result<()> {
        drop(self.stop.take());
        match self.daemon.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended.context("the daemon failed"),
            Some(Err(_)) => Err(anyhow!("the daemon panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
