//! Which message each acknowledgement belongs to. The client hands out packet ids only as it writes, in the order in
//! which it was given the messages, so the two are paired in order.

use std::collections::{HashMap, VecDeque};

/// What was handed to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// An outbox entry.
    Entry(u64),
    /// The last word before a clean stop.
    Farewell,
    /// What became of pushed heads; only the latest matters.
    HeadState,
    /// A picture, or what Home Assistant is told: large, and in no hurry.
    Extra,
    /// Health and the like: nobody waits for it.
    Other,
    /// Its acknowledgement tells that the broker had nothing more to say: what it sent before came before.
    Question,
}

/// What one connection has under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    unnumbered: VecDeque<Sent>,
    numbered: HashMap<u16, Sent>,
    // Entries from hand-over until their acknowledgement is on disk, and the bytes of their bodies.
    entries: HashMap<u64, usize>,
    // Of the bodies that the client holds, to send them or until they are acknowledged.
    bytes: usize,
    acknowledged: Vec<u64>,
}

impl Flight {
    /// A QoS 1 message with a body of so many bytes was handed to the client.
    pub(super) fn sent(&mut self, sent: Sent, bytes: usize) {
        if let Sent::Entry(seq) = sent {
            self.entries.insert(seq, bytes);
            self.bytes += bytes;
        }
        self.unnumbered.push_back(sent);
    }

    /// The client wrote the next message under this packet id.
    pub(super) fn written(&mut self, packet: u16) {
        if let Some(sent) = self.unnumbered.pop_front() {
            self.numbered.insert(packet, sent);
        }
    }

    /// The broker acknowledged a packet; entries wait in [`Flight::take_acknowledged`].
    pub(super) fn acknowledged(&mut self, packet: u16) -> Option<Sent> {
        let sent = self.numbered.remove(&packet)?;
        if let Sent::Entry(seq) = sent {
            self.acknowledged.push(seq);
            self.bytes -= self.entries.get(&seq).copied().unwrap_or_default();
        }
        Some(sent)
    }

    /// Whether an entry is under way, or acknowledged but not yet noted on disk.
    pub(super) fn holds(&self, seq: u64) -> bool {
        self.entries.contains_key(&seq)
    }

    /// Messages that are not acknowledged yet.
    pub(super) fn under_way(&self) -> usize {
        self.unnumbered.len() + self.numbered.len()
    }

    /// How much of the window is taken. A picture takes none: with a window of one, an alert would wait for it to arrive.
    pub(super) fn in_window(&self) -> usize {
        self.sent_ones().filter(|sent| **sent != Sent::Extra).count()
    }

    /// Bytes of the entries' bodies that are not acknowledged yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message that somebody waits for is not acknowledged yet, or its acknowledgement not on disk.
    pub(super) fn owes(&self) -> bool {
        let waited_for = |sent: &Sent| matches!(sent, Sent::Entry(_) | Sent::HeadState | Sent::Extra);
        !self.entries.is_empty() || self.sent_ones().any(waited_for)
    }

    /// Whether an acknowledgement is awaited that tells of the link's health: a large message in no hurry takes its time.
    pub(super) fn hurries(&self) -> bool {
        self.sent_ones().any(|sent| *sent != Sent::Extra)
    }

    fn sent_ones(&self) -> impl Iterator<Item = &Sent> {
        self.unnumbered.iter().chain(self.numbered.values())
    }

    /// How many acknowledgements wait to be noted.
    pub(super) fn waiting_acknowledgements(&self) -> usize {
        self.acknowledged.len()
    }

    /// The acknowledged entries, to be noted on disk and then [`Flight::noted`].
    pub(super) fn take_acknowledged(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.acknowledged)
    }

    /// These acknowledgements could not be noted: they wait again.
    pub(super) fn give_back(&mut self, seqs: Vec<u64>) {
        self.acknowledged.extend(seqs);
    }

    /// These acknowledgements are on disk: the outbox does not offer the entries any more.
    pub(super) fn noted(&mut self, seqs: &[u64]) {
        for seq in seqs {
            self.entries.remove(seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_find_their_entries_whatever_their_order() {
        let mut flight = Flight::default();
        for sent in [Sent::Other, Sent::Entry(7), Sent::Entry(8)] {
            flight.sent(sent, 10);
        }
        for packet in [1, 2, 3] {
            flight.written(packet);
        }
        assert_eq!(flight.acknowledged(3), Some(Sent::Entry(8)));
        assert_eq!(flight.acknowledged(1), Some(Sent::Other));
        assert_eq!(flight.acknowledged(2), Some(Sent::Entry(7)));
        assert_eq!(flight.take_acknowledged(), [8, 7]);
    }

    #[test]
    fn an_entry_is_held_until_its_acknowledgement_is_on_disk() {
        let mut flight = Flight::default();
        flight.sent(Sent::Entry(7), 10);
        flight.written(1);
        flight.acknowledged(1);
        let seqs = flight.take_acknowledged();
        assert!(flight.holds(7));
        flight.noted(&seqs);
        assert!(!flight.holds(7));
    }

    #[test]
    fn a_large_message_in_no_hurry_says_nothing_of_the_links_health_but_is_waited_for() {
        let mut flight = Flight::default();
        flight.sent(Sent::Extra, 10);
        assert!(flight.owes() && !flight.hurries());
        assert_eq!((flight.under_way(), flight.in_window()), (1, 0), "it takes no alert's place");
        flight.sent(Sent::Entry(7), 10);
        assert!(flight.hurries());
    }

    #[test]
    fn a_body_takes_its_bytes_until_it_is_acknowledged() {
        let mut flight = Flight::default();
        flight.sent(Sent::Entry(7), 300);
        flight.sent(Sent::Extra, 9_000);
        flight.sent(Sent::Entry(8), 200);
        for packet in [1, 2, 3] {
            flight.written(packet);
        }
        assert_eq!(flight.bytes(), 500, "a picture beside them takes no alert's room");
        flight.acknowledged(1);
        flight.acknowledged(1);
        assert_eq!(flight.bytes(), 200);
        flight.acknowledged(3);
        let seqs = flight.take_acknowledged();
        flight.noted(&seqs);
        assert_eq!(flight.bytes(), 0);
    }

    #[test]
    fn an_acknowledgement_for_nothing_is_ignored() {
        assert_eq!(Flight::default().acknowledged(9), None);
    }
}
