//! Whether a head may come in, from what it says of itself once its signature holds. Pure.

use super::record::{Offered, Record};
use super::report::Step;
use crate::config::Alerts;
use crate::detect::{Rules, RulesError};
use crate::frame::ContentHash;
use crate::model::{HeadBackbone, HeadManifest};

/// What a head must fit.
#[derive(Debug, Clone)]
pub(super) struct Trap {
    /// Its name.
    pub name: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// The frozen network that is loaded.
    pub backbone: HeadBackbone,
    /// What should alert.
    pub alerts: Alerts,
    /// Largest head, in bytes of network and canaries.
    pub max_bytes: u64,
    /// How far a sequence may lie above the floor.
    pub max_jump: u64,
}

/// Why a head may not come in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is meant for {audience}, and this trap is {trap}; push it to those, or sign it again for others")]
    Audience { audience: String, trap: String },
    #[error(
        "it was trained on backbone {wants}, but this trap's is {has}; train it again on features of that backbone"
    )]
    Backbone { wants: String, has: String },
    #[error(
        "it has {bytes} bytes, more than the {limit} of heads.max_bytes; make it smaller, or raise the limit there"
    )]
    TooLarge { bytes: u64, limit: u64 },
    #[error("its sequence {sequence} is not above {floor}, the highest so far; make it again with --sequence {}", floor + 1)]
    Old { sequence: u64, floor: u64 },
    #[error("its sequence {sequence} is more than {max_jump} above {floor}, the highest so far; make it again with --sequence {}", floor + 1)]
    Jump { sequence: u64, floor: u64, max_jump: u64 },
    #[error("it is to be forgotten: a signed request said so; make another head")]
    Forgotten,
    #[error("a trap fitted it on its own frames, and it serves there alone; train a head, and push that")]
    Local,
    #[error(transparent)]
    Rules(#[from] RulesError),
}

/// What is done with an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It comes in.
    Take,
    /// It is under way already.
    UnderWay,
    /// It was decided before, or is in service: nothing happens.
    Known,
    /// A later head is under way: nothing happens now, and nothing is decided.
    Behind,
    /// It stays out.
    Refuse(Refusal),
}

/// Holds a head against the trap and against what was before. `bytes`: of network and canaries; `rival`: what it would take
/// the place of.
pub(super) fn enter(
    trap: &Trap,
    record: &Record,
    rival: Option<&Offered>,
    id: &ContentHash,
    manifest: &HeadManifest,
    bytes: u64,
) -> Entry {
    if record.is_on_its_way(id) {
        return Entry::UnderWay;
    }
    let serves = record.active.as_ref().is_some_and(|active| active.id == Some(*id));
    if serves || record.decision(id).is_some_and(|decided| decided.state != Step::Superseded) {
        return Entry::Known;
    }
    if record.is_forgotten(id) {
        return Entry::Refuse(Refusal::Forgotten);
    }
    match check(trap, record.floor, manifest, bytes) {
        Err(refusal) => Entry::Refuse(refusal),
        Ok(()) if rival.is_some_and(|rival| rival.head.sequence >= manifest.sequence) => Entry::Behind,
        Ok(()) => Entry::Take,
    }
}

/// Whether a message for this audience is for this trap.
pub(super) fn for_us(trap: &Trap, audience: &[String]) -> Result<(), Refusal> {
    let ours = |name: &String| *name == trap.name || trap.groups.contains(name);
    if audience.is_empty() || audience.iter().any(ours) {
        return Ok(());
    }
    let mut names = vec![trap.name.as_str()];
    names.extend(trap.groups.iter().map(String::as_str));
    Err(Refusal::Audience { audience: audience.join(", "), trap: names.join(", ") })
}

fn check(trap: &Trap, floor: u64, manifest: &HeadManifest, bytes: u64) -> Result<(), Refusal> {
    if manifest.local.is_some() {
        return Err(Refusal::Local);
    }
    for_us(trap, &manifest.audience)?;
    let (wanted, found) = (&manifest.backbone, &trap.backbone);
    let same = wanted.id == found.id && wanted.sha256.eq_ignore_ascii_case(&found.sha256);
    if !same || wanted.features != found.features {
        return Err(Refusal::Backbone { wants: describe(wanted), has: describe(found) });
    }
    if bytes > trap.max_bytes {
        return Err(Refusal::TooLarge { bytes, limit: trap.max_bytes });
    }
    let sequence = manifest.sequence;
    if sequence <= floor {
        return Err(Refusal::Old { sequence, floor });
    }
    if sequence - floor > trap.max_jump {
        return Err(Refusal::Jump { sequence, floor, max_jump: trap.max_jump });
    }
    Rules::new(&trap.alerts, manifest)?;
    Ok(())
}

fn describe(backbone: &HeadBackbone) -> String {
    let short = backbone.sha256.get(..12).unwrap_or(&backbone.sha256);
    format!("{} ({short}, {} features)", backbone.id, backbone.features)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::model::Label;

    fn trap() -> Trap {
        let backbone = HeadBackbone { id: "net".into(), sha256: "AB12".into(), features: 4 };
        let (name, groups, alerts) = ("north".into(), vec!["coast".into()], Alerts::default());
        Trap { name, groups, backbone, alerts, max_bytes: 1000, max_jump: 10 }
    }

    fn manifest(sequence: u64) -> HeadManifest {
        let label = |name: &str| Label { name: name.into(), alert: false, threshold: 0.5, background: false };
        let backbone = HeadBackbone { sha256: "ab12".into(), ..trap().backbone };
        let labels = vec![label("polar_bear"), label("fox")];
        HeadManifest { sequence, ..HeadManifest::new("bears".into(), "1".into(), backbone, labels) }
    }

    fn entry(record: &Record, change: impl FnOnce(&mut HeadManifest)) -> Entry {
        let mut manifest = manifest(5);
        change(&mut manifest);
        enter(&trap(), record, record.latest(), &ContentHash::of(b"head"), &manifest, 1000)
    }

    #[test]
    fn a_head_for_this_trap_comes_in() {
        assert_eq!(entry(&Record::new(), |_| {}), Entry::Take);
        for audience in ["north", "coast"] {
            let audience = vec!["south".into(), audience.into()];
            assert_eq!(entry(&Record::new(), |manifest| manifest.audience = audience), Entry::Take);
        }
    }

    #[test]
    fn a_head_for_others_for_another_backbone_too_large_or_of_the_past_stays_out() {
        let refused = |change: &dyn Fn(&mut HeadManifest)| match entry(&Record::new(), |manifest| change(manifest)) {
            Entry::Refuse(refusal) => refusal,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(&|it| it.audience = vec!["south".into()]), Refusal::Audience { .. }));
        assert!(matches!(refused(&|it| it.backbone.id = "other".into()), Refusal::Backbone { .. }));
        assert!(matches!(refused(&|it| it.backbone.sha256 = "ff".into()), Refusal::Backbone { .. }));
        assert!(matches!(refused(&|it| it.backbone.features = 5), Refusal::Backbone { .. }));
        assert!(matches!(refused(&|it| it.labels[0].name = "deer".into()), Refusal::Rules(_)));
        let local = crate::accept::testing::local_fit();
        assert_eq!(refused(&|it| it.local = Some(local.clone())), Refusal::Local);
        assert!(matches!(refused(&|it| it.sequence = 0), Refusal::Old { .. }));
        assert!(matches!(refused(&|it| it.sequence = 11), Refusal::Jump { .. }));
        assert!(matches!(refused(&|it| it.sequence = u64::MAX), Refusal::Jump { .. }));
        let large = enter(&trap(), &Record::new(), None, &ContentHash::of(b"head"), &manifest(5), 1001);
        assert!(matches!(large, Entry::Refuse(Refusal::TooLarge { .. })));
    }

    #[test]
    fn what_was_decided_is_not_tried_again() {
        let id = ContentHash::of(b"head");
        let mut record = Record::new();
        record.decide(id, 5, Step::Rejected, None);
        assert_eq!(entry(&record, |_| {}), Entry::Known);
        // Superseded by a later one that was then refused: it may come again.
        record.decide(id, 5, Step::Superseded, None);
        assert_eq!(entry(&record, |_| {}), Entry::Take);
        record.forget(&[id]);
        assert_eq!(entry(&record, |_| {}), Entry::Refuse(Refusal::Forgotten));
        record.forgotten.clear();
        record.floor = 5;
        assert!(matches!(entry(&record, |_| {}), Entry::Refuse(Refusal::Old { .. })));
    }
}
