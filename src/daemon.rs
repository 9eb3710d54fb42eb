//! The daemon: opens the journal, loads the model, and lets watch, pipeline and link run until it is told to stop.

mod capture;
mod heads;
mod networks;
mod visible;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::accept::judges::Seat;
use crate::accept::{Doors, Inbox, Input, control};
use crate::classifier::Classifier;
use crate::config::Config;
use crate::console::Console;
use crate::health::{self, Status};
use crate::journal::{Journal, JournalError, Outbox, distrust};
use crate::model::source::Origin;
use crate::mqtt::{Intake, Link, OptionsError, Topics, Windows, connect_options};
use crate::page::{self, Door, DoorError, Feed};
use crate::pipeline::Pipeline;
use crate::retention;
use crate::service::{Manager, OWN_INTERVAL, Progress, Pulse, Reload, Teller, Watchdog, renew};
use crate::watch as frames;

/// How long the first frames wait for the first word about the link: `replayed` is told from it.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// How long a stop waits for the link or the console, which bound themselves unless something hangs.
const LAST_WORDS: Duration = Duration::from_secs(10);

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

impl From<DoorError> for DaemonError {
    fn from(error: DoorError) -> Self {
        Self::Config(error.into())
    }
}

/// Runs until `stop` resolves, then finishes the frame in work, sends what is queued and says `stopped`. `manager` hears
/// of it, and `reload` may come in between.
///
/// # Errors
/// [`DaemonError`]. One bad frame, a missing capture directory or an absent broker are none.
pub async fn run(
    config: Config,
    stop: impl Future<Output = ()>,
    manager: Manager,
    reload: Reload,
) -> Result<(), DaemonError> {
    let state = config.state.directory.clone();
    let ended = live(config, stop, manager, reload).await;
    if let Err(DaemonError::Failed(error)) = &ended
        && let Some(damage) =
            error.chain().find_map(|cause| cause.downcast_ref().filter(|it: &&JournalError| it.is_damage()))
        && let Err(unwritten) = distrust(&state, &damage.to_string())
    {
        tracing::warn!("{unwritten}; the next start has only its own check to find the damage");
    }
    ended
}

async fn live(
    mut config: Config,
    stop: impl Future<Output = ()>,
    manager: Manager,
    mut reload: Reload,
) -> Result<(), DaemonError> {
    let mut stop = pin!(stop);
    let trap = config.trap_name();
    let connection = connect_options(&config.mqtt, &config.client_id())?;
    let (door, no_page) = match Door::of(&config) {
        Ok(door) => (door, None),
        // A page is no reason to go blind.
        Err(DoorError::Secret(error)) => (None, Some(format!("there is no status page: {error}"))),
        Err(error) => return Err(error.into()),
    };
    let (classifier, fallback) = networks::classifier(&config, &trap)?;
    let journal = Journal::open(&config.state.directory, config.outbox.max_entries).map_err(anyhow::Error::new)?;
    let (seen, outbox) = doors(&journal)?;

    let backbone = &classifier.backbone().manifest().id;
    let head = classifier.proven().head().title();
    let status = Arc::new(Status::new(&trap, backbone, &head, &config.state.directory).on_board(&config.power));
    if let Some(text) = &no_page {
        tracing::error!("{text}");
    }
    status.warn("page", no_page);
    let backbone = fallback.as_ref().map_or_else(|| Origin::from_setting(&config.model.backbone), |_| Origin::Builtin);
    status.warn("model", fallback);
    status.warn("journal", journal.warning().map(str::to_owned));
    let (inputs, heard) = mpsc::channel();
    let (order, orders) = unbounded_channel();
    let inbox = Inbox { arrivals: inputs.clone(), orders };
    let doors = Doors::new(&config.mqtt.prefix, &trap, &config.groups);
    let max_bytes = config.heads.max_bytes;
    let outbox_filled = Arc::new(Notify::new());
    let acceptor = heads::acceptor(&config, &classifier, &journal, &status, &outbox_filled, order)?;
    greet(&config, &trap, &classifier);
    let pictures = visible::pictures(&config, &status);
    let extras = visible::extras(&config, &trap, classifier.seat(), &pictures);

    let queue = Arc::new(frames::Queue::new());
    let (stop_link, link_stops) = watch::channel(false);
    let topics = Topics::new(&config.mqtt.prefix, &trap);
    let health_every = Duration::from_secs(config.mqtt.health_s);
    let watch_pulse = Arc::new(Pulse::new("the watch"));
    let link_pulse = Arc::new(Pulse::new("the link"));
    // Before the broker hears of the daemon: who heard that it is there may ask. What is asked waits for the acceptor.
    if let Err(error) = control::serve(&control::path(&config.state.directory), inputs.clone()) {
        tracing::warn!("{error:#}; `arcticd head list` and `head rollback` can't reach this daemon");
    }
    let mut sending = tokio::spawn({
        let (outbox_filled, status, pulse) = (outbox_filled.clone(), status.clone(), link_pulse.clone());
        let windows = Windows::of(&config.power);
        async move {
            match connection {
                Some(options) => {
                    let intake = Some(Intake::new(inbox, doors, max_bytes));
                    let link = Link::new(options, topics, outbox, outbox_filled, status, health_every, intake);
                    link.minded_by(pulse).open_in(windows).with(extras).run(link_stops).await;
                    Ok(())
                }
                None => {
                    status.set_link(health::Link::Up);
                    Console::new(outbox, outbox_filled, status).run(link_stops).await
                }
            }
        }
    });
    tokio::select! {
        () = first_word(&status) => {}
        () = &mut stop => {
            tracing::info!("stopped before the first frame");
            manager.stopping();
            let _ = stop_link.send(true);
            let _ = timeout(LAST_WORDS, sending).await;
            return Ok(());
        }
    }

    let accepting = heads::accept(acceptor, heard, status.clone())?;
    let observer = {
        let inputs = inputs.clone();
        move |observation| drop(inputs.send(Input::Observation(observation)))
    };
    if manager.listens() {
        let outbox = journal.outbox().map_err(anyhow::Error::new)?;
        // Ends with the runtime.
        tokio::spawn(Teller::new(manager, status.clone(), outbox, health_every).run());
    }
    let progress = Arc::new(Progress::new(manager.watchdog().unwrap_or(OWN_INTERVAL)));
    let watchdog = Watchdog::new(manager, vec![watch_pulse.clone(), link_pulse]);
    let feed = door.and_then(|door| show(door, &journal, classifier.seat(), &status, &progress, backbone));
    let watchdog = if feed.is_some() { watchdog.telling(progress) } else { watchdog };
    let files = || journal.done_files().map_err(anyhow::Error::new);
    let (bell, keeper) = retention::begin(&config.capture, &trap, &queue, &status, files)?;
    let (tell_alerts, new_alerts) = mpsc::channel();
    let pipeline =
        Pipeline::new(classifier, journal, config.alerts.clone(), trap, queue.clone(), status.clone(), outbox_filled)
            .map_err(anyhow::Error::new)?
            .observed_by(observer)
            .keeping_features(config.heads.keep_features)
            .picturing(pictures)
            .looking_closer(&config.regions)
            .holding(config.state.hold_s)
            .bounding_journal(config.state.max_mib.saturating_mul(1 << 20))
            .watched_by(watchdog)
            .shown_on(feed)
            .deferring(&config.power)
            .taking(new_alerts);
    let (pipeline_gone, mut pipeline_ended) = watch::channel(());
    let worker = thread::Builder::new()
        .name("arcticd-pipeline".into())
        .spawn(move || {
            pipeline.run();
            drop(pipeline_gone);
        })
        .context("the pipeline's thread can't be started")?;
    // Told after each scan, and gone with the watch's thread.
    let (scanned, mut scans) = watch::channel(());
    let reporter = capture::reporter(status.clone(), scanned, bell);
    let watching = frames::start(capture::settings(&config.capture), seen, queue.clone(), watch_pulse, reporter)
        .map_err(|error| DaemonError::Config(error.into()))?;

    // Whoever ends first ends the daemon; only `stop` does so in peace.
    let mut ready = false;
    let early = loop {
        tokio::select! {
            () = &mut stop => break None,
            scan = scans.changed() => match scan {
                Err(_) => break Some(anyhow!("the watch ended by itself; the log says why")),
                Ok(()) if ready => {}
                Ok(()) => {
                    ready = true;
                    manager.ready();
                }
            },
            load = reload.asked() => {
                manager.reloading();
                renew(&mut config, load(), &inputs, &tell_alerts, &status).await;
                if ready {
                    manager.ready();
                }
            }
            text = status.journal_damage() => {
                let file = config.state.directory.join("journal.sqlite");
                break Some(anyhow::Error::new(JournalError::Damaged { file, text }).context("the next start replaces it"));
            }
            _ = pipeline_ended.changed() => break Some(anyhow!("the pipeline ended by itself; the log says why")),
            ended = &mut sending => break Some(match ended {
                Ok(Ok(())) => anyhow!("the link ended by itself"),
                Ok(Err(error)) => error.context("alerts can't be written to standard output"),
                Err(error) => anyhow!("the link died: {error}"),
            }),
        }
    };
    tracing::info!("stopping");
    manager.stopping();
    tokio::task::block_in_place(|| watching.stop());
    queue.close();
    let worked = tokio::task::block_in_place(|| worker.join());
    if let Some(keeper) = keeper {
        // It ends with the file that it has in hand; a panic in there was told.
        let _ = tokio::task::block_in_place(|| keeper.join());
    }
    // Last, so that it has heard of every frame; it publishes nothing any more that would be missed.
    let _ = inputs.send(Input::Stop);
    let _ = tokio::task::block_in_place(|| accepting.join());
    if early.is_none() {
        let _ = stop_link.send(true);
        match timeout(LAST_WORDS, sending).await {
            Ok(Ok(result)) => result?,
            Ok(Err(error)) => return Err(anyhow!("the link died: {error}").into()),
            // A reader of standard output that does not read, for one.
            Err(_) => tracing::warn!("not everything could be sent in time; it is sent at the next start"),
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

/// Starts the status page; without one the trap does its work all the same.
fn show(
    door: Door,
    journal: &Journal,
    seat: &Seat,
    status: &Arc<Status>,
    progress: &Arc<Progress>,
    backbone: Origin,
) -> Option<Feed> {
    let start = || {
        let (outbox, events) = (journal.outbox()?, journal.events()?);
        let (status, seat, progress) = (status.clone(), seat.clone(), progress.clone());
        page::start(page::Setup { door, status, seat, outbox, events, progress, backbone })
    };
    start()
        .inspect_err(|error| {
            tracing::warn!("{error:#}; there is no status page");
            status.warn("page", Some(format!("there is no status page: {error:#}")));
        })
        .ok()
}

fn doors(journal: &Journal) -> Result<(crate::journal::SeenFiles, Outbox)> {
    Ok((journal.seen_files()?, journal.outbox()?))
}

fn greet(config: &Config, trap: &str, classifier: &Classifier) {
    let judge = classifier.proven();
    tracing::info!(
        "arcticd {} as trap {trap}: head {} on backbone {}, alerting {}; frames from {}, journal in {}",
        env!("CARGO_PKG_VERSION"),
        judge.head().title(),
        classifier.backbone().manifest().id,
        judge.rules().in_words(),
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
