//! `arcticd head clear`: takes off the broker what stands in a scope's topics, whoever put it there. For mistakes, and for
//! keys that got lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::command::until_interrupted;
use super::deliver::{Account, deliver};
use super::gather::{Ear, gather};
use super::plan::{Body, Message, Stage};
use super::rights;
use super::settings::Settings;
use super::table::count;
use super::wire::{Stop, Wire};
use crate::accept::{Content, Scope};
use crate::cli::Clear;
use crate::config::Mqtt;
use crate::exit_code::ExitCode;
use crate::frame::ContentHash;
use crate::terminal;

const PATIENCE: Duration = Duration::from_secs(300);
/// A connection that lives for less was fruitless,
const SHORT: Duration = Duration::from_secs(30);
/// and after so many in a row the next would be so too: brokers cut off who publishes what is not allowed.
const FRUITLESS: u32 = 3;

/// Topics with something in them.
#[derive(Debug, Default)]
struct Found(BTreeSet<String>);

impl Ear for Found {
    fn hear(&mut self, topic: &str, payload: &[u8]) {
        if payload.is_empty() {
            self.0.remove(topic);
        } else {
            self.0.insert(topic.to_owned());
        }
    }
}

/// Clears the scopes and says what was there.
///
/// # Errors
/// The broker can't be reached, does not let this user look there, or keeps what it was told to clear.
pub fn run(configured: &Mqtt, call: &Clear) -> Result<ExitCode> {
    let settings = Settings::of(configured, &call.broker, "push")?;
    if let Some(warning) = settings.warning {
        terminal::complain(warning);
    }
    let (prefix, scopes) = (settings.prefix.clone(), call.targets.scopes());
    let cleared = until_interrupted(async {
        let mut wire = Wire::connect(settings).await?;
        let cleared = clear(&mut wire, &prefix, &scopes).await;
        wire.leave().await;
        cleared
    })?;
    let Some(cleared) = cleared else {
        terminal::complain("interrupted; run it again to clear the rest");
        return Ok(ExitCode::Failure);
    };
    let cleared = cleared?;
    for scope in &scopes {
        terminal::print(&format!("{scope}: {}", summary(&scope.base(&prefix), &cleared)))?;
    }
    Ok(ExitCode::Ok)
}

fn filters(prefix: &str, scopes: &[Scope]) -> Vec<String> {
    let of = |scope: &Scope| {
        let base = scope.base(prefix);
        [scope.topic(prefix, Content::Set), scope.topic(prefix, Content::Offer), format!("{base}/head/chunk/+/+")]
    };
    scopes.iter().flat_map(of).collect()
}

/// Clears until nothing is found any more; the topics that were.
async fn clear(wire: &mut Wire, prefix: &str, scopes: &[Scope]) -> Result<BTreeSet<String>> {
    let filters = filters(prefix, scopes);
    let probes = probes(prefix, scopes);
    let (mut cleared, mut fruitless) = (BTreeSet::new(), 0);
    loop {
        let start = Instant::now();
        let reason = match once(wire, &filters, &probes, &mut cleared).await {
            Ok(()) => return Ok(cleared),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Lost(reason)) => reason,
        };
        fruitless = if start.elapsed() < SHORT { fruitless + 1 } else { 0 };
        if fruitless == FRUITLESS {
            let remedy = rights::remedy(wire.user(), &probes);
            bail!(
                "the broker ends each connection ({reason}): this user must be allowed to write and to read; {remedy}"
            );
        }
        terminal::complain(format_args!("the connection is lost ({reason}); connecting again"));
        wire.reconnect(PATIENCE).await?;
    }
}

/// A topic of each kind in each scope, to be tried where nothing is found: there may be nothing, or this user not be
/// allowed to see it.
fn probes(prefix: &str, scopes: &[Scope]) -> Vec<String> {
    // A head that nobody has.
    let id = ContentHash::of(b"");
    let kinds = [Content::Set, Content::Offer, Content::Chunk { id, piece: 0 }];
    scopes.iter().flat_map(|scope| kinds.map(|content| scope.topic(prefix, content))).collect()
}

/// What a topic is one of.
fn kind(topic: &str) -> &str {
    topic.split_once("/chunk/").map_or(topic, |(base, _)| base)
}

async fn once(
    wire: &mut Wire,
    filters: &[String],
    probes: &[String],
    cleared: &mut BTreeSet<String>,
) -> Result<(), Stop> {
    let mut found = Found::default();
    gather(wire, filters, &mut found).await?;
    let seen: BTreeSet<&str> = found.0.iter().chain(cleared.iter()).map(|topic| kind(topic)).collect();
    let unseen: Vec<String> = probes.iter().filter(|topic| !seen.contains(kind(topic))).cloned().collect();
    let closed = rights::closed(wire, &unseen).await?;
    if !closed.is_empty() {
        let error = rights::lacking(wire.user(), &closed);
        return Err(Stop::Failed(error.context("nothing was cleared, for what lies there can't be seen")));
    }
    let mut account = Account::default();
    account.plan(found.0.iter().map(|topic| removal(topic)).collect());
    cleared.extend(found.0.iter().cloned());
    deliver(wire, &mut account, &mut found, &|_| Vec::new(), &|_, _| {}).await?;
    // Subscribing again brings again what is kept.
    let mut left = Found::default();
    gather(wire, filters, &mut left).await?;
    match left.0.first() {
        None => Ok(()),
        Some(topic) => Err(Stop::Failed(anyhow!(
            "the broker still holds {topic}: this user must be allowed to write there, and nobody else be pushing"
        ))),
    }
}

/// The offer first, so that no trap begins with what is about to go.
fn removal(topic: &str) -> Message {
    let stage = if topic.contains("/head/chunk/") { Stage::Pieces } else { Stage::Head };
    Message { topic: topic.to_owned(), body: Body::Nothing, stage }
}

fn summary(base: &str, cleared: &BTreeSet<String>) -> String {
    let below: Vec<&str> =
        cleared.iter().filter_map(|topic| topic.strip_prefix(base)?.strip_prefix("/head/")).collect();
    let pieces = below.iter().filter(|topic| topic.starts_with("chunk/")).count();
    let mut parts: Vec<String> = Vec::new();
    for (topic, what) in [("set", "a head (head/set)"), ("offer", "an offer (head/offer)")] {
        if below.contains(&topic) {
            parts.push(what.into());
        }
    }
    if pieces > 0 {
        parts.push(count(pieces, "piece"));
    }
    if parts.is_empty() { "nothing was there".into() } else { format!("cleared {}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_what_was_in_its_own_scope() {
        let topics = ["a/x/head/set", "a/x/head/chunk/00/0", "a/x/head/chunk/01/1", "a/xy/head/offer"];
        let cleared = topics.map(str::to_owned).into();
        assert_eq!(summary("a/x", &cleared), "cleared a head (head/set), 2 pieces");
        assert_eq!(summary("a/xy", &cleared), "cleared an offer (head/offer)");
        assert_eq!(summary("a/z", &cleared), "nothing was there");
    }
}
