//! What came out, for people and for scripts.

use std::fmt;

use serde::Serialize;

use super::measure::{Agreement, Layer, Nearness};
use super::ranges::Method;

/// One way to quantize, and how near it came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Candidate {
    /// How ranges were chosen.
    pub method: Method,
    /// Whether channels were equalized.
    pub equalized: bool,
    /// Whether biases were corrected.
    pub bias_corrected: bool,
    /// On the photos that candidates are compared on.
    #[serde(flatten)]
    pub nearness: Nearness,
}

impl Candidate {
    /// Whether its features are nearer to the float ones than the other's.
    pub fn nearer_than(&self, other: &Self) -> bool {
        self.nearness.relative_error < other.nearness.relative_error
    }
}

/// The whole result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Id of the quantized backbone.
    pub id: String,
    /// Whether only weights are int8.
    pub weights_only: bool,
    /// Photos that were used.
    pub photos: usize,
    /// Files that could not be used.
    pub skipped: usize,
    /// Photos that candidates were compared on.
    pub compared_on: usize,
    /// All that was tried, in order.
    pub candidates: Vec<Candidate>,
    /// The one that was taken; `None` with `weights_only`.
    pub taken: Option<Candidate>,
    /// Pairs of convolutions that were equalized.
    pub equalized_pairs: usize,
    /// On all photos.
    pub features: Nearness,
    /// Layer by layer, in order.
    pub layers: Vec<Layer>,
    /// With a head.
    pub head: Option<Agreement>,
    /// Size of the float file, bytes.
    pub bytes_before: usize,
    /// Size of the quantized file, bytes.
    pub bytes_after: usize,
    /// Time taken, calibration included.
    pub seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.layers.is_empty() {
            writeln!(f, "{:>7}  {:<14} layer", "SQNR dB", "kind")?;
        }
        for layer in &self.layers {
            // Beyond what f32 can tell apart.
            let sqnr = if layer.sqnr_db > 140.0 { "exact".to_owned() } else { format!("{:.1}", layer.sqnr_db) };
            writeln!(f, "{sqnr:>7}  {:<14} {}", layer.kind, layer.tensor)?;
        }
        if !self.candidates.is_empty() {
            writeln!(
                f,
                "\n{:<18} {:<9} {:<9} {:>8} {:>9} {:>9}",
                "ranges", "equalized", "corrected", "error", "cosine", "least"
            )?;
        }
        for candidate in &self.candidates {
            let yes = |value| if value { "yes" } else { "no" };
            let Candidate { method, equalized, bias_corrected, nearness } = *candidate;
            let mark = if self.taken == Some(*candidate) { " <- taken" } else { "" };
            writeln!(
                f,
                "{:<18} {:<9} {:<9} {:8.4} {:9.5} {:9.5}{mark}",
                method.name(),
                yes(equalized),
                yes(bias_corrected),
                nearness.relative_error,
                nearness.cosine_mean,
                nearness.cosine_min,
            )?;
        }
        let Nearness { relative_error, cosine_mean, cosine_min } = self.features;
        writeln!(f, "\n{}", self.id)?;
        writeln!(
            f,
            "features of {} photos: cosine {cosine_mean:.5} mean, {cosine_min:.5} least; relative error {relative_error:.4}",
            self.photos
        )?;
        if let Some(head) = &self.head {
            writeln!(
                f,
                "head: the same label on {} of {} photos, probabilities differ by at most {:.4}",
                head.same_label, head.photos, head.max_difference
            )?;
        }
        if self.skipped > 0 {
            writeln!(f, "{} files could not be used", self.skipped)?;
        }
        let (before, after) = (self.bytes_before as f64 / 1e6, self.bytes_after as f64 / 1e6);
        write!(f, "{before:.2} MB -> {after:.2} MB in {:.0} s", self.seconds)
    }
}
