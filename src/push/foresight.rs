//! What a trap will make of a head, by what it last said of itself: told before a byte is published.

use super::Parcel;
use crate::accept::{Report, Step};

/// What is to be expected of a trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foresight {
    /// Nothing speaks against it.
    Takes,
    /// It has this very head already, and it has come so far.
    Has(Step),
    /// It will refuse it, or has done so, for this reason.
    Refuses(String),
}

/// What the trap `name` will make of the head.
pub fn foresee(name: &str, report: &Report, parcel: &Parcel) -> Foresight {
    let (manifest, id) = (parcel.manifest(), Some(parcel.id()));
    if report.active.id == id {
        return Foresight::Has(Step::Active);
    }
    if let Some((state, reason)) = report.fate(parcel.id()) {
        return match state {
            Step::Rejected | Step::RolledBack | Step::Superseded => {
                let reason = reason.unwrap_or("it gave no reason");
                Foresight::Refuses(format!("{state} before: {reason}"))
            }
            step => Foresight::Has(step),
        };
    }
    let (wanted, has) = (&manifest.backbone, (&report.backbone, &report.backbone_sha256));
    if wanted.id != *has.0 {
        return Foresight::Refuses(format!("the head is for backbone {}, the trap runs {}", wanted.id, has.0));
    }
    if !wanted.sha256.eq_ignore_ascii_case(has.1) {
        return Foresight::Refuses(format!(
            "the head is for another file of backbone {} than the trap runs",
            wanted.id
        ));
    }
    if manifest.sequence <= report.floor {
        return Foresight::Refuses(format!(
            "sequence {} is not above {}, the highest that the trap has had; make the head again with --sequence {}",
            manifest.sequence,
            report.floor,
            report.floor.saturating_add(1)
        ));
    }
    // One that is awaited beside another keeps out what comes in pieces, and not what comes whole.
    let awaited = report.next.as_ref().filter(|_| !parcel.is_whole());
    let later = awaited.or_else(|| report.offer.as_ref().filter(|offer| !offer.state.is_final()));
    if let Some(offer) = later.filter(|offer| offer.head.sequence >= manifest.sequence) {
        return Foresight::Refuses(format!(
            "a later head is on its way there: {} {}, sequence {}, {}; push with a higher sequence",
            offer.head.name, offer.head.version, offer.head.sequence, offer.state
        ));
    }
    if manifest.sequence > report.ceiling {
        return Foresight::Refuses(format!(
            "sequence {} is above {}, the highest that the trap takes now (heads.max_jump)",
            manifest.sequence, report.ceiling
        ));
    }
    if parcel.bytes() > report.max_bytes {
        return Foresight::Refuses(format!(
            "{} bytes are more than the {} that the trap takes (heads.max_bytes)",
            parcel.bytes(),
            report.max_bytes
        ));
    }
    let meant = |who: &String| who == name || report.groups.contains(who);
    if !manifest.audience.is_empty() && !manifest.audience.iter().any(meant) {
        return Foresight::Refuses("its manifest names neither this trap nor a group of it (audience)".into());
    }
    Foresight::Takes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::accept::HeadFacts;
    use crate::frame::ContentHash;

    #[test]
    fn a_trap_that_nothing_speaks_against_takes_it() {
        let parcel = testing::small();
        assert_eq!(foresee("north", &testing::report(&parcel), &parcel), Foresight::Takes);
    }

    /// What makes a good report a bad one.
    type Spoil = fn(&mut Report);

    #[test]
    fn each_refusal_is_foreseen_with_its_reason() {
        let parcel = testing::large();
        let good = testing::report(&parcel);
        let cases: [(&str, Spoil); 5] = [
            ("runs other-net", |report| report.backbone = "other-net".into()),
            ("another file of backbone", |report| report.backbone_sha256 = "00".repeat(32)),
            ("sequence 5 is not above 5", |report| report.floor = 5),
            ("sequence 5 is above 4", |report| (report.floor, report.ceiling) = (0, 4)),
            ("heads.max_bytes", |report| report.max_bytes = 4096),
        ];
        for (expected, spoil) in cases {
            let mut report = good.clone();
            spoil(&mut report);
            let Foresight::Refuses(reason) = foresee("north", &report, &parcel) else { panic!("{expected}") };
            assert!(reason.contains(expected), "{reason}");
        }
        let mut report = good.clone();
        report.offer = Some(testing::offered(ContentHash::of(b"another"), Step::Receiving, None));
        let Foresight::Refuses(reason) = foresee("north", &report, &parcel) else { panic!("a later one is under way") };
        assert!(reason.contains("a later head is on its way"), "{reason}");
        report.offer = Some(testing::offered(ContentHash::of(b"another"), Step::Superseded, None));
        assert_eq!(foresee("north", &report, &parcel), Foresight::Takes);
        // Beside one on trial that is older.
        let mut tried = testing::offered(ContentHash::of(b"older"), Step::Trial, None);
        tried.head.sequence = 4;
        report.offer = Some(tried);
        assert_eq!(foresee("north", &report, &parcel), Foresight::Takes);
        report.next = Some(testing::offered(ContentHash::of(b"another"), Step::Receiving, None));
        let Foresight::Refuses(reason) = foresee("north", &report, &parcel) else { panic!("a later one is awaited") };
        assert!(reason.contains("a later head is on its way"), "{reason}");
        let small = testing::small();
        report.max_bytes = small.bytes();
        report.backbone_sha256 = small.manifest().backbone.sha256.clone();
        assert_eq!(foresee("north", &report, &small), Foresight::Takes, "it comes whole");
        report.next = Some(testing::offered(parcel.id(), Step::Receiving, None));
        assert_eq!(foresee("north", &report, &parcel), Foresight::Has(Step::Receiving));
        report.next = None;
        let mut report = good.clone();
        report.backbone_sha256 = report.backbone_sha256.to_uppercase();
        report.max_bytes = parcel.bytes();
        assert_eq!(foresee("north", &report, &parcel), Foresight::Takes);
    }

    #[test]
    fn a_head_that_the_trap_knows_is_not_news_to_it() {
        let parcel = testing::small();
        let mut report = testing::report(&parcel);
        report.offer = Some(testing::offered(parcel.id(), Step::Receiving, None));
        assert_eq!(foresee("north", &report, &parcel), Foresight::Has(Step::Receiving));
        report.offer = Some(testing::offered(parcel.id(), Step::RolledBack, Some("NaN")));
        assert_eq!(foresee("north", &report, &parcel), Foresight::Refuses("rolled_back before: NaN".into()));
        report.offer = Some(testing::offered(parcel.id(), Step::Active, None));
        report.active = HeadFacts { id: Some(parcel.id()), ..report.active };
        report.floor = 5;
        assert_eq!(foresee("north", &report, &parcel), Foresight::Has(Step::Active));
    }
}
