//! The daemon: opens the journal, loads the model, and lets watch, pipeline and link run until it is told to stop.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::sync::{Notify, watch};

use crate::classifier::Classifier;
use crate::config::{Config, WatchMode};
use crate::console::Console;
use crate::detect::Rules;
use crate::health::{self, Status};
use crate::journal::{Journal, Outbox};
use crate::model::source::{self, Origin};
use crate::model::{Head, Model};
use crate::mqtt::{Link, OptionsError, Topics, connect_options};
use crate::pipeline::Pipeline;
use crate::watch as frames;

/// How long the first frames wait for the first word about the link: `replayed` is told from it.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Starting again will not help.
    #[error("{0:#}")]
    Config(anyhow::Error),
    /// It may work another time.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl From<OptionsError> for DaemonError {
    fn from(error: OptionsError) -> Self {
        Self::Config(error.into())
    }
}

/// Runs until `stop` resolves, then finishes the frame in work, sends what is queued and says `stopped`.
///
/// # Errors
/// [`DaemonError`]. One bad frame, a missing capture directory or an absent broker are none.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
    let trap = config.trap_name();
    let connection = connect_options(&config.mqtt, &config.client_id())?;
    let (classifier, fallback) = classifier(&config, &trap)?;
    let journal = Journal::open(&config.state.directory, config.outbox.max_entries).map_err(anyhow::Error::new)?;
    let (seen, outbox) = doors(&journal)?;

    let model = classifier.model();
    let backbone = model.backbone().manifest().id.clone();
    let status = Arc::new(Status::new(&trap, &backbone, &model.head().title(), &config.state.directory));
    status.warn("head", fallback);
    greet(&config, &trap, &classifier);

    let queue = Arc::new(frames::Queue::new());
    let outbox_filled = Arc::new(Notify::new());
    let (stop_link, link_stops) = watch::channel(false);
    let topics = Topics::new(&config.mqtt.prefix, &trap);
    let health_every = Duration::from_secs(config.mqtt.health_s);
    let mut sending = tokio::spawn({
        let (outbox_filled, status) = (outbox_filled.clone(), status.clone());
        async move {
            match connection {
                Some(options) => {
                    Link::new(options, topics, outbox, outbox_filled, status, health_every).run(link_stops).await;
                    Ok(())
                }
                None => {
                    status.set_link(health::Link::Up);
                    Console::new(outbox, outbox_filled, status).run(link_stops).await
                }
            }
        }
    });
    first_word(&status).await;

    let pipeline =
        Pipeline::new(classifier, journal, config.alerts.clone(), trap, queue.clone(), status.clone(), outbox_filled)
            .map_err(anyhow::Error::new)?;
    let (pipeline_gone, mut pipeline_ended) = watch::channel(());
    let worker = thread::Builder::new()
        .name("arcticd-pipeline".into())
        .spawn(move || {
            pipeline.run();
            drop(pipeline_gone);
        })
        .context("the pipeline's thread can't be started")?;
    let watching = frames::start(settings(&config), seen, queue.clone(), reporter(status.clone()))
        .map_err(|error| DaemonError::Config(error.into()))?;

    // Whoever ends first ends the daemon; only `stop` does so in peace.
    let early = tokio::select! {
        () = stop => None,
        _ = pipeline_ended.changed() => Some(anyhow!("the pipeline ended by itself; the log says why")),
        ended = &mut sending => Some(match ended {
            Ok(Ok(())) => anyhow!("the link ended by itself"),
            Ok(Err(error)) => error.context("alerts can't be written to standard output"),
            Err(error) => anyhow!("the link died: {error}"),
        }),
    };
    tracing::info!("stopping");
    tokio::task::block_in_place(|| watching.stop());
    queue.close();
    let worked = tokio::task::block_in_place(|| worker.join());
    if early.is_none() {
        let _ = stop_link.send(true);
        match sending.await {
            Ok(result) => result?,
            Err(error) => return Err(anyhow!("the link died: {error}").into()),
        }
    }
    match (early, worked) {
        (Some(error), _) => Err(error.into()),
        (None, Err(_)) => Err(anyhow!("the pipeline panicked; the log says where").into()),
        (None, Ok(())) => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

fn doors(journal: &Journal) -> Result<(crate::journal::SeenFiles, Outbox)> {
    Ok((journal.seen_files()?, journal.outbox()?))
}

/// Loads backbone and head. A head that can't be used is replaced by the built-in one, and the reason returned: a trap
/// without a head is blind.
fn classifier(config: &Config, trap: &str) -> Result<(Classifier, Option<String>), DaemonError> {
    let backbone_origin = Origin::from_setting(&config.model.backbone);
    let head_origin = Origin::from_setting(&config.model.head);
    let load_backbone =
        || source::backbone(&backbone_origin, config.model.threads).map_err(DaemonError::Config);
    let configured = source::head(&head_origin)
        .and_then(|head| {
            Rules::new(&config.alerts, head.manifest())?;
            Ok(head)
        })
        .and_then(|head| Ok(Model::new(load_backbone()?, head)?));
    let (model, fallback) = match configured {
        Ok(model) => (model, None),
        Err(error) if head_origin == Origin::Builtin => return Err(DaemonError::Config(error)),
        Err(error) => {
            let reason = format!("head {}: {error:#}; using the built-in head", config.model.head);
            let builtin: Head = source::head(&Origin::Builtin)?;
            let model = Model::new(load_backbone()?, builtin)
                .map_err(|mismatch| DaemonError::Config(error.context(mismatch.to_string())))?;
            tracing::error!("{reason}");
            (model, Some(reason))
        }
    };
    let classifier =
        Classifier::new(model, trap.to_owned(), &config.alerts).map_err(|error| DaemonError::Config(error.into()))?;
    for warning in classifier.rules().warnings() {
        tracing::warn!("{warning}");
    }
    Ok((classifier, fallback))
}

fn greet(config: &Config, trap: &str, classifier: &Classifier) {
    let alerting: Vec<String> =
        classifier.rules().alerting().map(|(label, threshold)| format!("{label} from {threshold}")).collect();
    let model = classifier.model();
    tracing::info!(
        "arcticd {} as trap {trap}: head {} on backbone {}, alerting {}; frames from {}, journal in {}",
        env!("CARGO_PKG_VERSION"),
        model.head().title(),
        model.backbone().manifest().id,
        alerting.join(", "),
        config.capture.directory.display(),
        config.state.directory.display(),
    );
}

/// Waits until the first attempt to connect has ended one way or the other.
async fn first_word(status: &Status) {
    let word = async {
        while status.link() == health::Link::Starting {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(FIRST_WORD, word).await;
}

fn settings(config: &Config) -> frames::Settings {
    let capture = &config.capture;
    frames::Settings {
        directory: capture.directory.clone(),
        poll: capture.mode == WatchMode::Poll,
        settle: Duration::from_millis(capture.settle_ms),
        reconcile: Duration::from_secs(capture.reconcile_s),
        fresh: Duration::from_secs(capture.fresh_s),
    }
}

/// Logs what the watch has to say, and keeps its troubles in the heartbeat while they last.
fn reporter(status: Arc<Status>) -> impl Fn(frames::Report) + Send + 'static {
    use frames::Report;
    move |report| {
        let text = report.to_string();
        match report {
            Report::RootMissing { .. } => {
                tracing::error!("{text}");
                status.warn("capture", Some(text));
            }
            Report::RootBack { .. } => {
                tracing::info!("{text}");
                status.warn("capture", None);
            }
            Report::WatchUnavailable { .. } => {
                tracing::warn!("{text}");
                status.warn("watch", Some(text));
            }
            Report::WatchRestored => {
                tracing::info!("{text}");
                status.warn("watch", None);
            }
            Report::UnsupportedFile { .. } | Report::FileError { .. } => {
                tracing::warn!("{text}");
                status.count(|counters| counters.failed += 1);
            }
            Report::RootReplaced { .. } | Report::EventsLost => tracing::warn!("{text}"),
            Report::ScanDone { new, .. } if new > 0 => tracing::info!("{text}"),
            Report::ScanDone { .. } => tracing::debug!("{text}"),
        }
    }
}

/// Whether a daemon could be started on `directory`: used by `arcticd check`.
///
/// # Errors
/// Those of the system.
pub fn writable(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".arcticd-check-{}", std::process::id()));
    std::fs::write(&probe, b"check")?;
    std::fs::remove_file(&probe)
}
