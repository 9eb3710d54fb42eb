//! What the broker has retained, asked for until nothing more comes. MQTT 3.1.1 has no mark for the end of it.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::wire::{News, Stop, Wire};

/// A broker that has sent nothing for so long, and has answered meanwhile, has nothing more to send.
const QUIET: Duration = Duration::from_millis(500);
/// How long an answer may take: on a thin link it comes behind the pieces that are on their way.
pub const STUCK: Duration = Duration::from_secs(900);
/// Nobody subscribes to this; unsubscribing is the one question that every broker answers and no access list forbids.
const QUESTION: &str = "arcticd-push/is-that-all";

/// Who takes what comes in.
pub trait Ear {
    /// A message.
    fn hear(&mut self, topic: &str, payload: &[u8]);
}

/// Subscribes to `filters`, and returns when everything that was retained for them has been heard.
///
/// # Errors
/// [`Stop`].
pub async fn gather(wire: &mut Wire, filters: &[String], ear: &mut impl Ear) -> Result<(), Stop> {
    for filter in filters {
        wire.subscribe(filter.clone())?;
    }
    let mut open = filters.len();
    // A round in which nothing came is the last: the broker had the time, and nothing was on its way.
    while round(wire, &mut open, ear).await? {}
    Ok(())
}

/// Asks, and listens for a while and until there is an answer; whether something retained came. `open` subscriptions are
/// to be answered first.
///
/// # Errors
/// [`Stop`].
pub async fn round(wire: &mut Wire, open: &mut usize, ear: &mut impl Ear) -> Result<bool, Stop> {
    let question = wire.unsubscribe(QUESTION)?;
    let (start, mut answered, mut came) = (Instant::now(), false, false);
    loop {
        let complete = answered && *open == 0;
        let left = if complete { QUIET.saturating_sub(start.elapsed()) } else { STUCK };
        match timeout(left, wire.next()).await {
            Err(_) if complete => return Ok(came),
            Err(_) => return Err(Stop::Lost(format!("no answer for {} s", STUCK.as_secs()))),
            Ok(news) => match news? {
                News::Message { topic, payload, kept } => {
                    came |= kept;
                    ear.hear(&topic, &payload);
                }
                News::Answered(number) => answered |= number >= question,
                News::Subscribed => *open = open.saturating_sub(1),
                News::Acknowledged(_) => {}
            },
        }
    }
}
