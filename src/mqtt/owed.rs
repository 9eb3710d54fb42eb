//! Acknowledgements that the broker is owed. They go out in the order in which the messages came, as MQTT demands
//! (3.1.1, MQTT-4.6.0-2) and some brokers enforce: rumqttd cuts a client off whose acknowledgement is out of turn.

use std::collections::VecDeque;

/// How many bytes of messages without acknowledgement may wait to be looked at. No broker holds those back.
const LOOSE: usize = 32 << 20;

/// What came over one connection and is not acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Owed {
    // Packet ids in the order of arrival, and whether the acceptor is done with each.
    packets: VecDeque<(u16, bool)>,
    // Sizes of messages without a packet id, likewise.
    loose: VecDeque<usize>,
}

impl Owed {
    /// A message came that is to be acknowledged.
    pub(super) fn take(&mut self, packet: u16) {
        self.packets.push_back((packet, false));
    }

    /// A message of this many bytes came without a packet id; false if there is no room for it.
    pub(super) fn take_loose(&mut self, bytes: usize) -> bool {
        let waiting: usize = self.loose.iter().sum();
        let room = self.loose.is_empty() || waiting.saturating_add(bytes) <= LOOSE;
        if room {
            self.loose.push_back(bytes);
        }
        room
    }

    /// The message with this packet id is done with; 0 for one that has none.
    pub(super) fn give_back(&mut self, packet: u16) {
        if packet == 0 {
            self.loose.pop_front();
        } else if let Some(entry) = self.packets.iter_mut().find(|(id, done)| *id == packet && !done) {
            entry.1 = true;
        }
    }

    /// Whether all that came was looked at and acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.loose.is_empty()
    }

    /// The packet that may be acknowledged now.
    pub(super) fn next(&self) -> Option<u16> {
        self.packets.front().filter(|(_, done)| *done).map(|(packet, _)| *packet)
    }

    /// It was.
    pub(super) fn acknowledged(&mut self) {
        self.packets.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(owed: &mut Owed) -> Vec<u16> {
        std::iter::from_fn(|| owed.next().inspect(|_| owed.acknowledged())).collect()
    }

    #[test]
    fn acknowledgements_go_out_in_the_order_of_arrival_whatever_order_they_are_given_in() {
        let mut owed = Owed::default();
        for packet in [7, 3, 5] {
            owed.take(packet);
        }
        owed.give_back(5);
        owed.give_back(3);
        assert!(due(&mut owed).is_empty());
        owed.give_back(7);
        assert_eq!(due(&mut owed), [7, 3, 5]);
    }

    #[test]
    fn what_never_came_is_not_acknowledged() {
        let mut owed = Owed::default();
        owed.give_back(4);
        owed.take(4);
        assert!(due(&mut owed).is_empty());
        owed.give_back(4);
        owed.give_back(4);
        assert_eq!(due(&mut owed), [4]);
    }

    #[test]
    fn messages_that_no_broker_holds_back_are_taken_only_as_fast_as_they_are_looked_at() {
        let mut owed = Owed::default();
        assert!(owed.take_loose(LOOSE + 1), "nothing else waits");
        assert!(!owed.take_loose(1));
        owed.give_back(0);
        assert!(owed.take_loose(LOOSE - 1) && owed.take_loose(1));
        assert!(!owed.take_loose(1));
    }
}
