//! `arcticd head ask`: a signed request to traps, and their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::time::{Instant, timeout_at};

use super::command::until_interrupted;
use super::gather::{Ear, gather};
use super::settings::Settings;
use super::wire::{News, Stop, Wire};
use crate::accept::ask::{FrameLabel, MAX_LABELS, Wanted, What};
use crate::accept::{Ask, AskState, Asked, Content, Envelope, Exported, Kind, Report, Scope};
use crate::cli::{AskCall, AskWhat};
use crate::config::Mqtt;
use crate::exit_code::ExitCode;
use crate::frame::ContentHash;
use crate::heads::command::{load_key, sign_message};
use crate::terminal::{self, plain};
use crate::whole_file;

/// A broker that is away for longer is given up.
const PATIENCE: Duration = Duration::from_secs(300);
/// Largest file of labels that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Publishes the request and waits for the traps; `configured` is what the configuration file says of the broker.
///
/// # Errors
/// It can't be signed, or the broker not be reached.
pub fn run(configured: &Mqtt, call: &AskCall) -> Result<ExitCode> {
    let way = call.what.way();
    let what = what(&call.what)?;
    let settings = Settings::of(configured, &way.broker, "push")?;
    if let Some(warning) = settings.warning {
        terminal::complain(warning);
    }
    let key = load_key(&way.key, way.key_password_file.as_deref())?;
    let folder = match &call.what {
        AskWhat::Features { output: Some(folder), .. } => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            Some(folder.clone())
        }
        _ => None,
    };
    let mut asking = Asking::new(settings.prefix.clone(), way.targets.scopes(), folder);
    let ended = until_interrupted(async {
        let mut wire = Wire::connect(settings).await?;
        let filters = asking.states();
        while let Err(stop) = gather(&mut wire, &filters, &mut asking).await {
            renew(&mut wire, stop).await?;
        }
        let kind = what.kind();
        let sequence = way.sequence.unwrap_or_else(|| asking.last(kind).saturating_add(1));
        let names = asking.scopes.iter().map(|(Scope::Trap(name) | Scope::Group(name))| name.clone());
        let message = Ask { audience: names.collect(), sequence, what: what.clone() }.encode();
        let signature = sign_message(&key, &message, &format!("ask:{kind}\tsequence:{sequence}"))?;
        let key = signature.key().to_string();
        terminal::complain(format_args!("{kind}, sequence {sequence}, signed by key {key}"));
        asking.begin(Sought { kind, sequence, id: ContentHash::of(&message), key });
        let payload = Envelope { message, signature: signature.encode().into_bytes() }.encode();
        let deadline = (way.wait > 0).then(|| Instant::now() + Duration::from_secs(way.wait));
        while let Err(stop) = asking.leg(&mut wire, &payload, deadline).await {
            renew(&mut wire, stop).await?;
        }
        wire.leave().await;
        Ok::<(), anyhow::Error>(())
    })?;
    match ended {
        Some(ended) => ended?,
        None => terminal::complain("interrupted; what was published is done all the same"),
    }
    Ok(if way.wait > 0 { asking.conclude() } else { ExitCode::Ok })
}

/// Connects anew after a lost connection.
async fn renew(wire: &mut Wire, stop: Stop) -> Result<()> {
    match stop {
        Stop::Failed(error) => Err(error),
        Stop::Lost(reason) => {
            terminal::complain(format_args!("the connection is lost ({reason}); connecting again"));
            wire.reconnect(PATIENCE).await
        }
    }
}

fn what(call: &AskWhat) -> Result<What> {
    Ok(match call {
        AskWhat::Labels { file, .. } => What::Labels(labels(file)?),
        AskWhat::Refit { .. } => What::Refit,
        AskWhat::Features { which: Some(which), limit, .. } => What::Features(Wanted::Some(*which, *limit)),
        AskWhat::Features { frame, .. } => What::Features(Wanted::Frames(frame.clone())),
        AskWhat::Forget { heads, .. } => What::Forget(heads.clone()),
    })
}

/// Reads a file of frames and labels.
fn labels(file: &Path) -> Result<Vec<FrameLabel>> {
    let shown = file.display();
    let bytes = std::fs::metadata(file).with_context(|| shown.to_string())?.len();
    if bytes > MAX_FILE {
        bail!("{shown}: {bytes} bytes are more than {MAX_FILE}; ask in several requests");
    }
    let text = std::fs::read_to_string(file).with_context(|| shown.to_string())?;
    let labels = parse_labels(&text).map_err(|problem| anyhow!("{shown}{problem}"))?;
    match labels.len() {
        0 => bail!("{shown}: there is no label in it"),
        count if count > MAX_LABELS => {
            bail!("{shown}: {count} labels are more than the {MAX_LABELS} of a request; ask in several")
        }
        _ => Ok(labels),
    }
}

fn parse_labels(text: &str) -> Result<Vec<FrameLabel>, String> {
    let mut labels = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split([',', ';', ' ', '\t']).filter(|word| !word.is_empty());
        let Some(frame) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        match (frame.parse(), words.next(), words.next()) {
            (Ok(frame), Some(label), None) if crate::model::is_label(label) => {
                labels.push(FrameLabel { frame, label: label.to_owned() });
            }
            // A table's first line may name its columns; anything else there is a label with a slip in it.
            (Err(_), Some("label"), None) if number == 1 => {}
            _ => return Err(format!(", line {number}: it must be the frame's sha256 and a label of [a-z0-9_]+")),
        }
    }
    Ok(labels)
}

/// What answers are compared with.
struct Sought {
    kind: Kind,
    sequence: u64,
    id: ContentHash,
    key: String,
}

/// A request under way.
struct Asking {
    prefix: String,
    scopes: Vec<Scope>,
    folder: Option<PathBuf>,
    reports: BTreeMap<String, Report>,
    // Once it is signed.
    sought: Option<Sought>,
    acknowledged: BTreeSet<usize>,
    answers: BTreeMap<String, Asked>,
    // What each trap had refused before the request.
    refused: BTreeMap<String, u64>,
    exported: BTreeMap<String, BTreeSet<ContentHash>>,
    trouble: Option<anyhow::Error>,
}

impl Ear for Asking {
    fn hear(&mut self, topic: &str, payload: &[u8]) {
        let below = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('/'));
        let Some((trap, rest)) = below.and_then(|below| below.split_once('/')) else { return };
        if rest == "head/state" {
            if let Ok(report) = serde_json::from_slice::<Report>(payload) {
                self.heard(trap, report);
            }
        } else if let Ok(exported) = serde_json::from_slice::<Exported>(payload)
            && rest == format!("features/{}", exported.frame)
            && let Err(error) = self.keep(trap, &exported, payload)
        {
            self.trouble.get_or_insert(error);
        }
    }
}

impl Asking {
    fn new(prefix: String, scopes: Vec<Scope>, folder: Option<PathBuf>) -> Self {
        Self {
            prefix,
            scopes,
            folder,
            reports: BTreeMap::new(),
            sought: None,
            acknowledged: BTreeSet::new(),
            answers: BTreeMap::new(),
            refused: BTreeMap::new(),
            exported: BTreeMap::new(),
            trouble: None,
        }
    }

    /// Filters of what the traps say of their heads.
    fn states(&self) -> Vec<String> {
        self.filters("head/state")
    }

    fn filters(&self, below: &str) -> Vec<String> {
        if self.scopes.iter().any(|scope| matches!(scope, Scope::Group(_))) {
            return vec![format!("{}/+/{below}", self.prefix)];
        }
        self.scopes.iter().map(|scope| format!("{}/{below}", scope.base(&self.prefix))).collect()
    }

    fn heard(&mut self, trap: &str, report: Report) {
        let ours = self.scopes.iter().any(|scope| match scope {
            Scope::Trap(name) => name == trap,
            Scope::Group(name) => report.groups.contains(name),
        });
        if !ours {
            return;
        }
        if let Some(Sought { kind, sequence, id, key }) = &self.sought {
            let (kind, sequence, id) = (*kind, *sequence, *id);
            let asked = report.local.asked.get(&kind);
            if let Some(asked) = asked.filter(|asked| asked.id == id && asked.state != AskState::UnderWay) {
                self.answers.insert(trap.to_owned(), asked.clone());
            }
            // It was refused without being taken: by its number, or before anything but the signature was looked at.
            let mark = format!("request {kind} {sequence} ");
            let ours = |last: &&String| last.contains(&mark) || last.to_uppercase().contains(key.as_str());
            let news = self.refused.get(trap).is_none_or(|before| report.refused.count > *before);
            if let Some(last) = report.refused.last.as_ref().filter(|last| news && ours(last)) {
                let (key, state) = (String::new(), AskState::Refused);
                let refused = Asked { sequence, id, key, state, outcome: Some(last.clone()), count: 0 };
                self.answers.entry(trap.to_owned()).or_insert(refused);
            }
        }
        self.reports.insert(trap.to_owned(), report);
    }

    /// The highest sequence that a trap has taken.
    fn last(&self, kind: Kind) -> u64 {
        let taken = self.reports.values().filter_map(|report| report.local.asked.get(&kind));
        taken.map(|asked| asked.sequence).max().unwrap_or(0)
    }

    fn begin(&mut self, sought: Sought) {
        self.sought = Some(sought);
        self.refused = self.reports.iter().map(|(trap, report)| (trap.clone(), report.refused.count)).collect();
    }

    /// Features that came; those of somebody else's request too, for they are as good.
    fn keep(&mut self, trap: &str, exported: &Exported, payload: &[u8]) -> Result<()> {
        if self.sought.is_none() || !self.exported.entry(trap.to_owned()).or_default().insert(exported.frame) {
            return Ok(());
        }
        match &self.folder {
            Some(folder) => whole_file::write_bytes(&folder.join(format!("{}.json", exported.frame)), payload),
            None => terminal::print(&serde_json::to_string(exported)?),
        }
    }

    /// As far as one connection carries.
    async fn leg(&mut self, wire: &mut Wire, payload: &[u8], deadline: Option<Instant>) -> Result<(), Stop> {
        let Some(kind) = self.sought.as_ref().map(|sought| sought.kind) else { return Ok(()) };
        let mut filters = self.states();
        if kind == Kind::Features {
            filters.extend(self.filters("features/+"));
        }
        for filter in filters {
            wire.subscribe(filter)?;
        }
        for (number, scope) in self.scopes.iter().enumerate() {
            if !self.acknowledged.contains(&number) {
                let topic = scope.topic(&self.prefix, Content::Ask(kind));
                wire.publish(number, &topic, payload.to_vec(), false)?;
            }
        }
        loop {
            if let Some(error) = self.trouble.take() {
                return Err(Stop::Failed(error));
            }
            let published = self.acknowledged.len() == self.scopes.len();
            if published && (deadline.is_none() || self.is_answered(kind)) {
                return Ok(());
            }
            let news = match deadline {
                Some(deadline) => match timeout_at(deadline, wire.next()).await {
                    Ok(news) => news?,
                    Err(_) if published => return Ok(()),
                    Err(_) => return Err(Stop::Failed(anyhow!("the broker did not take the request in time"))),
                },
                None => wire.next().await?,
            };
            match news {
                News::Message { topic, payload, .. } => self.hear(&topic, &payload),
                News::Acknowledged(number) => drop(self.acknowledged.insert(number)),
                News::Subscribed | News::Answered(_) => {}
            }
        }
    }

    /// Traps that are asked, as far as they are known.
    fn traps(&self) -> BTreeSet<&String> {
        let named = self.scopes.iter().filter_map(|scope| match scope {
            Scope::Trap(name) => Some(name),
            Scope::Group(_) => None,
        });
        self.reports.keys().chain(named).collect()
    }

    /// Whether all that are known of have answered, and what they announced is here.
    fn is_answered(&self, kind: Kind) -> bool {
        let whole = |trap: &&String| {
            self.answers.get(*trap).is_some_and(|asked| {
                let here = self.exported.get(*trap).map_or(0, BTreeSet::len) as u64;
                kind != Kind::Features || here >= asked.count
            })
        };
        let traps = self.traps();
        !traps.is_empty() && traps.iter().all(whole)
    }

    /// Says what each trap made of it; on standard error, for features may be on the other.
    fn conclude(&self) -> ExitCode {
        let part = |trap: &String| {
            let (word, text, code) = match self.answers.get(trap) {
                Some(Asked { state: AskState::Done, outcome, .. }) => ("done", outcome.clone(), ExitCode::Ok),
                Some(Asked { outcome, .. }) => ("refused", outcome.clone(), ExitCode::Failure),
                None => (
                    "no answer",
                    Some("it may be away, and does it when it gets it; what it says stands on head/state".to_owned()),
                    ExitCode::Failure,
                ),
            };
            terminal::complain(format_args!("{trap}: {word}: {}", plain(&text.unwrap_or_default())));
            code
        };
        let traps = self.traps();
        if traps.is_empty() {
            terminal::complain("no trap of this group was heard of");
            return ExitCode::Failure;
        }
        ExitCode::of_parts(traps.into_iter().map(part))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_from_a_table_and_nothing_else_is_taken_for_one() {
        let (one, two) = (ContentHash::of(b"1"), ContentHash::of(b"2"));
        let text = format!("sha256,label\n{one},polar_bear\n\n# empty ones\n{two}\tother\n");
        let read = parse_labels(&text).unwrap();
        assert_eq!(
            read.iter().map(|it| (it.frame, it.label.as_str())).collect::<Vec<_>>(),
            [(one, "polar_bear"), (two, "other")]
        );
        for wrong in [
            format!("{one}"),
            format!("{one},Polar Bear"),
            format!("a\n{one},fox"),
            format!("{one},fox\nlast,fox"),
            format!("abc,polar_bear\n{one},fox"),
        ] {
            assert!(parse_labels(&wrong).is_err(), "{wrong}");
        }
    }
}
