//! Proven heads that did not come in: those that may not, and one that finds no room. Not on disk: they come again, to the
//! same end, and whoever replays them must not wear out the flash.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::report::{Decided, HeadFacts, OfferReport, Step};
use crate::frame::ContentHash;

/// Refusals that are remembered.
const KNOWN: usize = 64;
/// Refusals that are told at once, within a minute; more of them are remembered, and told when next something is.
const AT_ONCE: u32 = 8;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a head that found no room is spoken of after it last came.
const WAITS: Duration = Duration::from_secs(180);

/// Heads that stay outside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    refused: VecDeque<Decided>,
    // Since when how many were told.
    window: Option<(Instant, u32)>,
    untold: bool,
    waiting: Option<(HeadFacts, String, Instant)>,
}

impl Aside {
    /// A proven head was refused. None if that is known; else whether it is told at once.
    pub fn refuse(&mut self, decided: Decided) -> Option<bool> {
        if self.refused.contains(&decided) {
            return None;
        }
        self.refused.retain(|known| known.id != decided.id);
        self.refused.push_back(decided);
        if self.refused.len() > KNOWN {
            self.refused.pop_front();
        }
        let told = match &mut self.window {
            Some((since, told)) if since.elapsed() < MINUTE => told,
            window => &mut window.insert((Instant::now(), 0)).1,
        };
        *told = told.saturating_add(1);
        let tell = *told <= AT_ONCE;
        self.untold |= !tell;
        Some(tell)
    }

    /// What was refused, the latest last; at most so many.
    pub fn refused(&self, most: usize) -> impl Iterator<Item = &Decided> {
        self.refused.iter().skip(self.refused.len().saturating_sub(most))
    }

    /// This head comes in.
    pub fn comes_in(&mut self, id: &ContentHash) {
        self.refused.retain(|known| known.id != *id);
        self.waiting = None;
    }

    /// A head found no room; whether that is news.
    pub fn wait(&mut self, head: HeadFacts, reason: String) -> bool {
        let news = self.waiting.as_ref().is_none_or(|(known, ..)| *known != head);
        self.waiting = Some((head, reason, Instant::now()));
        news
    }

    /// The head that finds no room, for `head/state`.
    pub fn waiting(&self) -> Option<OfferReport> {
        let (head, reason, _) = self.waiting.as_ref()?;
        let (head, reason) = (head.clone(), Some(reason.clone()));
        Some(OfferReport {
            head,
            state: Step::Offered,
            reason,
            received: 0,
            pieces: 0,
            missing: String::new(),
            trial: None,
        })
    }

    /// Whether there is something to tell that was not told yet.
    pub fn look_after(&mut self) -> bool {
        let gone = self.waiting.take_if(|(.., came)| came.elapsed() >= WAITS).is_some();
        std::mem::take(&mut self.untold) || gone
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(number: u64) -> Decided {
        let (id, reason) = (ContentHash::of(&number.to_le_bytes()), Some("old".to_owned()));
        Decided { id, sequence: number, state: Step::Rejected, reason }
    }

    #[test]
    fn a_refusal_is_told_once_and_a_flood_of_them_is_not_told_one_by_one() {
        let mut aside = Aside::default();
        assert_eq!((aside.refuse(refusal(0)), aside.refuse(refusal(0))), (Some(true), None));
        let told = (1..1_000).filter(|number| aside.refuse(refusal(*number)) == Some(true)).count();
        assert_eq!((told as u32, aside.refused(2_000).count()), (AT_ONCE - 1, KNOWN));
        assert_eq!(aside.refused(2).map(|it| it.sequence).collect::<Vec<_>>(), [998, 999]);
        assert!(aside.look_after() && !aside.look_after(), "those that were not told are told later, and once");
        // For another reason than before it is news.
        assert!(aside.refuse(Decided { reason: None, ..refusal(999) }).is_some());
        assert_eq!(aside.refused(2_000).filter(|it| it.sequence == 999).count(), 1);
        aside.comes_in(&refusal(999).id);
        assert!(!aside.refused(2_000).any(|it| it.sequence == 999));
    }
}
