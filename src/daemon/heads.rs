//! Pushed heads: what is known of them takes its place, and others are accepted as long as the daemon runs.

use std::sync::{Arc, mpsc};
use std::thread;

use anyhow::{Context, Result};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::accept::{self, Acceptor, HeadFacts, Input, Order};
use crate::classifier::{Classifier, guarded};
use crate::config::Config;
use crate::health::Status;
use crate::journal::{InWork, Journal};
use crate::model::HeadBackbone;
use crate::model::source::Origin;

/// Takes up what is known of pushed heads: from here on the right one judges.
pub(super) fn acceptor(
    config: &Config,
    classifier: &Classifier,
    journal: &Journal,
    status: &Arc<Status>,
    outbox_filled: &Arc<Notify>,
    orders: UnboundedSender<Order>,
) -> Result<Acceptor> {
    let (backbone, judge) = (classifier.backbone(), classifier.proven());
    let of = backbone.manifest();
    let mut in_work = InWork::open(journal.directory());
    let chosen = Origin::from_setting(&config.model.head) != Origin::Builtin;
    let manifest = judge.head().manifest();
    let facts = HeadFacts {
        id: None,
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        sequence: manifest.sequence,
        key: None,
        origin: if chosen { "configured" } else { "builtin" }.to_owned(),
    };
    let setup = accept::Setup {
        state: config.state.directory.clone(),
        trap: config.trap_name(),
        groups: config.groups.clone(),
        prefix: config.mqtt.prefix.clone(),
        backbone: HeadBackbone { id: of.id.clone(), sha256: of.sha256.clone(), features: backbone.features() },
        alerts: config.alerts.clone(),
        heads: config.heads.clone(),
        configured: accept::Configured { judge, facts, chosen },
        seat: classifier.seat().clone(),
        died_on_frame: in_work.died(),
        features: journal.feature_store()?,
        outbox_filled: outbox_filled.clone(),
    };
    let (acceptor, head_is_to_blame) = Acceptor::begin(setup, journal.head_log()?, status.clone(), orders)?;
    if head_is_to_blame && let Err(error) = in_work.forgive() {
        tracing::warn!("{error}; the frame on which the last process died is suspected with the head");
    }
    Ok(acceptor)
}

/// Heads are accepted on a thread of their own; if that should die, the heads in service stay.
pub(super) fn accept(
    acceptor: Acceptor,
    heard: mpsc::Receiver<Input>,
    status: Arc<Status>,
) -> Result<thread::JoinHandle<()>> {
    let work = move || {
        if let Err(panic) = guarded("accept", || acceptor.run(&heard)) {
            let text = format!("no more heads are accepted until the next start: {panic}");
            tracing::error!("{text}");
            status.warn("heads", Some(text));
        }
    };
    thread::Builder::new().name("arcticd-heads".into()).spawn(work).context("the heads' thread can't be started")
}
