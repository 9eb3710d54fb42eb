//! What Prometheus wants to know of frames and nothing else counts: how long they took, and what was on them.

use std::collections::BTreeMap;

use crate::detection::Detection;

/// Upper ends of the latency buckets, milliseconds.
pub(super) const BUCKETS: [u64; 10] = [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];
/// Labels that are counted by name: a bound for a trap that takes many heads.
const LABELS: usize = 100;

/// Since the daemon started.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Frames whose most likely label it was.
    pub labels: BTreeMap<String, u64>,
    /// Frames that took so long at most and longer than the bucket before.
    pub buckets: [u64; BUCKETS.len()],
    /// Sum of all latencies, milliseconds.
    pub sum_ms: u64,
    /// Frames.
    pub frames: u64,
}

impl Tally {
    /// Counts a frame.
    pub fn count(&mut self, detection: &Detection) {
        self.frames += 1;
        self.sum_ms += detection.latency_ms;
        let bucket = BUCKETS.iter().zip(&mut self.buckets).find(|(end, _)| detection.latency_ms <= **end);
        if let Some((_, count)) = bucket {
            *count += 1;
        }
        if let Some(count) = self.labels.get_mut(&detection.label) {
            *count += 1;
        } else if self.labels.len() < LABELS {
            self.labels.insert(detection.label.clone(), 1);
        }
    }
}
