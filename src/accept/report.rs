//! What a trap says on `head/state`, retained: which heads it has, and how far the last offer came.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::Kind;
use crate::contract::words;
use crate::frame::ContentHash;

/// Origin of a head that this trap fitted.
pub const LOCAL: &str = "local";

/// How far a head has come. On disk before the step's work begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Its manifest is signed by a trusted key and it may come in.
    Offered,
    /// Pieces are coming in.
    Receiving,
    /// All pieces are here and are those of the manifest.
    Verified,
    /// It lies whole in the store.
    Staged,
    /// This machine computes with it what its maker's did.
    CanariesPassed,
    /// It looks at each frame beside the head in service, and nobody hears it.
    Shadow,
    /// Both look at each frame; what either calls an alert is one.
    Trial,
    /// It is in service alone.
    Active,
    /// It never came into service.
    Rejected,
    /// It was tried or in service and is so no more.
    RolledBack,
    /// A later head came before it was decided.
    Superseded,
}

impl Step {
    /// Whether nothing more happens to this head by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Active | Self::Rejected | Self::RolledBack | Self::Superseded)
    }

    /// Whether pieces of it are still to come.
    pub fn awaits_pieces(self) -> bool {
        matches!(self, Self::Offered | Self::Receiving)
    }

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Receiving => "receiving",
            Self::Verified => "verified",
            Self::Staged => "staged",
            Self::CanariesPassed => "canaries_passed",
            Self::Shadow => "shadow",
            Self::Trial => "trial",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::RolledBack => "rolled_back",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A head in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HeadFacts {
    /// sha256 of its manifest; null for one that did not come as a signed bundle.
    pub id: Option<ContentHash>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its sequence.
    pub sequence: u64,
    /// Id of the key that signed it, 16 hexadecimal digits.
    #[schemars(regex(pattern = words::KEY))]
    pub key: Option<String>,
    /// Where it came from: `pushed`, `file`, `local` (refitted here), `configured` or `builtin`.
    #[schemars(extend("enum" = ["pushed", "file", "local", "configured", "builtin"]))]
    pub origin: String,
}

/// The payload of `head/state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Report {
    /// Version of the payload, 1.
    #[schemars(extend("const" = 1))]
    pub schema: u32,
    /// Name of the trap.
    #[schemars(regex(pattern = words::NAME))]
    pub trap: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// RFC 3339, the trap's clock.
    #[schemars(regex(pattern = words::MOMENT))]
    pub at: String,
    /// Id of the backbone that heads must be for.
    pub backbone: String,
    /// sha256 of its network.
    #[schemars(regex(pattern = words::SHA256))]
    pub backbone_sha256: String,
    /// Largest head that is taken, in bytes of network and canaries.
    pub max_bytes: u64,
    /// The head in service.
    pub active: HeadFacts,
    /// The one that a rollback returns to.
    pub previous: Option<HeadFacts>,
    /// No head with this or a lower sequence is taken.
    pub floor: u64,
    /// And none with a higher one than this.
    #[serde(default = "unbounded")]
    pub ceiling: u64,
    /// The last head that was offered with a signature that holds.
    pub offer: Option<OfferReport>,
    /// A later one whose pieces come in while `offer` is tried.
    #[serde(default)]
    pub next: Option<OfferReport>,
    /// What became of earlier offers, the latest last; at most 8.
    pub decided: Vec<Decided>,
    /// What was refused before its signature held, and requests that came too late or to the wrong trap, since the daemon
    /// started.
    pub refused: Refusals,
    /// What the trap knows of its own frames, and what became of requests.
    #[serde(default)]
    pub local: Local,
}

/// Of a trap that does not tell.
fn unbounded() -> u64 {
    u64::MAX
}

/// What a trap can be asked about, and what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Local {
    /// Frames whose features it keeps.
    pub kept: u64,
    /// Those among them that have a label, by label.
    pub labelled: BTreeMap<String, u64>,
    /// The last request of each kind.
    pub asked: BTreeMap<Kind, Asked>,
}

/// A request that was taken, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Asked {
    /// Its sequence: none up to it is taken any more.
    pub sequence: u64,
    /// sha256 of its message.
    pub id: ContentHash,
    /// Id of the key that signed it.
    #[schemars(regex(pattern = words::KEY))]
    pub key: String,
    /// How far it came.
    pub state: AskState,
    /// What was done, or why it was not.
    pub outcome: Option<String>,
    /// How many frames were labelled or published, or heads forgotten or proposed.
    pub count: u64,
}

/// How far a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AskState {
    /// Taken, and not answered yet.
    UnderWay,
    /// Done.
    Done,
    /// It can't be done.
    Refused,
}

/// What became of an offer. It is not tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Decided {
    /// sha256 of the head's manifest.
    pub id: ContentHash,
    /// Its sequence.
    pub sequence: u64,
    /// Rejected, rolled back, superseded, or active before another was.
    pub state: Step,
    /// Why.
    pub reason: Option<String>,
}

impl Report {
    /// The offer of the head with this id, tried or awaited.
    pub fn offer_of(&self, id: ContentHash) -> Option<&OfferReport> {
        [&self.offer, &self.next].into_iter().flatten().find(|offer| offer.head.id == Some(id))
    }

    /// How far the head with this id came, and why not further; none if the trap does not speak of it.
    pub fn fate(&self, id: ContentHash) -> Option<(Step, Option<&str>)> {
        let offer = self.offer_of(id).map(|offer| (offer.state, offer.reason.as_deref()));
        let decided = self.decided.iter().rev().find(|decided| decided.id == id);
        offer.or_else(|| decided.map(|decided| (decided.state, decided.reason.as_deref())))
    }
}

/// How the last offer stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OfferReport {
    /// The head.
    #[serde(flatten)]
    pub head: HeadFacts,
    /// How far it has come.
    pub state: Step,
    /// Why it was rejected or rolled back, or what it waits for.
    pub reason: Option<String>,
    /// Pieces here.
    pub received: u32,
    /// Pieces in all; 0 if it came whole.
    pub pieces: u32,
    /// Pieces that are missing, as `0-3,7`; at most 200 ranges.
    pub missing: String,
    /// How the trial goes, or went.
    pub trial: Option<TrialReport>,
}

/// What became of the frames that two heads looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct TrialReport {
    /// Frames that both judged.
    pub frames: u64,
    /// Frames after which the trial may end.
    pub of: u64,
    /// Both alerted, with the same label.
    pub agreed_alerts: u64,
    /// Only the new one alerted.
    pub new_alerts: u64,
    /// Only the old one alerted, whatever its confidence.
    pub dropped_alerts: u64,
    /// Only the old one alerted, and with confidence.
    pub dropped_confident: u64,
    /// The old one alerted with confidence.
    pub confident: u64,
    /// The most probable labels differ.
    pub other_label: u64,
}

/// What was refused unproven. Not on disk: whoever may publish here must not wear out the flash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Refusals {
    /// How many messages.
    pub count: u64,
    /// Why the last one.
    pub last: Option<String>,
}

/// Numbers in rising order as ranges, `0-3,7`; at most `most` ranges, then `...`.
pub fn ranges(numbers: impl IntoIterator<Item = u32>, most: usize) -> String {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        if let Some((_, last)) = found.last_mut()
            && last.checked_add(1) == Some(number)
        {
            *last = number;
            continue;
        }
        found.push((number, number));
        if found.len() > most {
            break;
        }
    }
    let more = found.len() > most;
    found.truncate(most);
    let mut text: Vec<String> = found
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    if more {
        text.push("...".into());
    }
    text.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_pieces_are_told_as_ranges_and_their_number_is_bounded() {
        assert_eq!(ranges([], 3), "");
        assert_eq!(ranges([0, 1, 2, 7], 3), "0-2,7");
        assert_eq!(ranges([0, 2, 4, 6, 8], 3), "0,2,4,...");
        assert_eq!(ranges([u32::MAX], 3), u32::MAX.to_string());
    }
}
