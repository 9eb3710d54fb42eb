//! What this user may not do at the broker. Under MQTT 3.1.1 a broker acknowledges also what an access list keeps it from
//! taking, and grants subscriptions that it then never serves: only a message that comes back proves both rights.

use std::collections::BTreeSet;

use anyhow::{Error, anyhow};

use super::gather::{Ear, round};
use super::wire::{Stop, Wire};

/// Most topics that a message lists.
const LISTED: usize = 6;

/// Topics whose message has not come back.
struct Echo(BTreeSet<String>);

impl Ear for Echo {
    fn hear(&mut self, topic: &str, payload: &[u8]) {
        if payload.is_empty() {
            self.0.remove(topic);
        }
    }
}

/// Of these topics, those that this user may not write to, or not read. Each gets an empty message that the broker does
/// not keep: traps pass over it, and what lies there stays.
///
/// # Errors
/// [`Stop`].
pub async fn closed(wire: &mut Wire, topics: &[String]) -> Result<Vec<String>, Stop> {
    let mut echo = Echo(topics.iter().cloned().collect());
    let mut open = echo.0.len();
    for topic in &echo.0 {
        wire.subscribe(topic.clone())?;
    }
    for (number, topic) in echo.0.iter().enumerate() {
        // Far from the numbers of an account.
        wire.publish(usize::MAX - number, topic, Vec::new(), false)?;
    }
    loop {
        let before = echo.0.len();
        let came = round(wire, &mut open, &mut echo).await?;
        // What is retained there comes too, and on a thin link before the echo.
        if echo.0.is_empty() || (!came && echo.0.len() == before) {
            return Ok(echo.0.into_iter().collect());
        }
    }
}

/// Says that one of the rights lacks for these, and what to do.
pub fn lacking(user: Option<&str>, topics: &[String]) -> Error {
    let who = user.map_or_else(|| "a client without a name".to_owned(), |user| format!("user {user}"));
    let first = topics.first().map_or_else(String::new, |topic| allowed(topic));
    let more = if topics.len() > 1 { " and others" } else { "" };
    anyhow!(
        "{who} may not write to {first}{more}, or not read it back: a test message did not return. Both are needed; {}",
        remedy(user, topics)
    )
}

/// What to add to the broker's access list.
pub fn remedy(user: Option<&str>, topics: &[String]) -> String {
    let mut levels: Vec<String> = topics.iter().map(|topic| allowed(topic)).collect();
    levels.sort();
    levels.dedup();
    let more = match levels.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("\n  and so on for {more} more"),
    };
    let section = user.map_or_else(String::new, |user| format!("\n  user {user}"));
    let rules: String = levels.iter().take(LISTED).map(|level| format!("\n  topic readwrite {level}")).collect();
    format!("to mosquitto's access list (acl_file) add{section}{rules}{more}\n(docs/push.md)")
}

/// What an access list has to name: pieces have a topic each.
fn allowed(topic: &str) -> String {
    match topic.split_once("/head/chunk/") {
        Some((base, _)) => format!("{base}/head/chunk/+/+"),
        None => topic.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_each_topic_once_and_pieces_as_one() {
        let topics = ["a/x/head/chunk/00/7", "a/x/head/offer", "a/x/head/chunk/00/8"].map(str::to_owned);
        let text = remedy(Some("desk"), &topics);
        assert!(
            text.contains("\n  user desk\n  topic readwrite a/x/head/chunk/+/+\n  topic readwrite a/x/head/offer\n")
        );
        assert_eq!(text.matches("topic readwrite").count(), 2, "{text}");
        let many: Vec<String> = (0..100).map(|trap| format!("a/{trap}/head/set")).collect();
        let text = remedy(None, &many);
        assert!(text.contains("94 more") && !text.contains("\n  user"), "{text}");
    }
}
