//! Which range of its values a tensor's 256 levels cover.

use std::collections::BTreeMap;

use serde::Serialize;

use super::QuantizeError;
use super::levels::Levels;
use super::photos::Photos;
use super::plan::Plan;
use super::progress::Progress;
use super::run::{Runner, Seen};
use super::simplify::Prepared;
use crate::model::Input;

/// Bins of a histogram on each side of 0.
const BINS: usize = 4096;

/// How a range is chosen from the values seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// All values seen.
    MinMax,
    /// All but the outermost 0.001 % on each side.
    #[serde(rename = "percentile_99.999")]
    Percentile99999,
    /// All but the outermost 0.01 % on each side.
    #[serde(rename = "percentile_99.99")]
    Percentile9999,
    /// All but the outermost 0.1 % on each side.
    #[serde(rename = "percentile_99.9")]
    Percentile999,
    /// The range with the smallest mean-square error, of rounding and clipping together.
    Mse,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::MinMax, Self::Percentile99999, Self::Percentile9999, Self::Percentile999, Self::Mse];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "minmax",
            Self::Percentile99999 => "percentile 99.999",
            Self::Percentile9999 => "percentile 99.99",
            Self::Percentile999 => "percentile 99.9",
            Self::Mse => "mse",
        }
    }
}

/// The values of one tensor, counted.
///
/// The bins lie evenly between -`limit` and `limit`, which doubles when a value lies outside.
#[derive(Debug, Clone)]
pub struct Histogram {
    limit: f32,
    counts: Vec<u64>,
    low: f32,
    high: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { limit: 1e-6, counts: vec![0; 2 * BINS], low: f32::INFINITY, high: f32::NEG_INFINITY }
    }
}

impl Histogram {
    /// Counts `values`; what is not finite is left out.
    pub fn add(&mut self, values: &[f32]) {
        let finite = values.iter().copied().filter(|value| value.is_finite());
        let (low, high) = finite.clone().fold((self.low, self.high), |(low, high), v| (low.min(v), high.max(v)));
        (self.low, self.high) = (low, high);
        while low.abs().max(high.abs()) >= self.limit && self.limit < f32::MAX / 4.0 && low <= high {
            self.double();
        }
        let bins_per_unit = BINS as f32 / self.limit;
        for value in finite {
            let bin = (value * bins_per_unit).floor() as i32 + BINS as i32;
            if let Some(count) = usize::try_from(bin).ok().and_then(|bin| self.counts.get_mut(bin)) {
                *count += 1;
            }
        }
    }

    fn double(&mut self) {
        let mut wider = vec![0; 2 * BINS];
        for (bin, count) in self.counts.iter().enumerate() {
            wider[BINS / 2 + bin / 2] += count;
        }
        self.counts = wider;
        self.limit *= 2.0;
    }

    /// The smallest and largest value counted; zeros if there is none.
    pub fn extremes(&self) -> (f32, f32) {
        if self.low <= self.high { (self.low, self.high) } else { (0.0, 0.0) }
    }

    /// Middle and count of each bin that is not empty.
    fn bins(&self) -> impl DoubleEndedIterator<Item = (f32, u64)> {
        let width = self.limit / BINS as f32;
        let all = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        all.map(move |(bin, count)| ((bin as f32 - BINS as f32 + 0.5) * width, *count))
    }

    /// The range that `method` chooses.
    pub fn range(&self, method: Method) -> (f32, f32) {
        match method {
            Method::MinMax => self.extremes(),
            Method::Percentile99999 => self.without_outermost(1e-5),
            Method::Percentile9999 => self.without_outermost(1e-4),
            Method::Percentile999 => self.without_outermost(1e-3),
            Method::Mse => self.of_least_error(),
        }
    }

    /// The range outside which at most `share` of the values lie, on each side.
    fn without_outermost(&self, share: f64) -> (f32, f32) {
        let (low, high) = self.extremes();
        let total: u64 = self.counts.iter().sum();
        let spare = (total as f64 * share) as u64;
        let half = self.limit / BINS as f32 / 2.0;
        let from = edge(self.bins(), spare).map_or(low, |(middle, _)| middle - half);
        let to = edge(self.bins().rev(), spare).map_or(high, |(middle, _)| middle + half);
        (from.max(low), to.min(high))
    }

    /// The share of the full range with the least mean-square error: a twelfth of the step squared for each value within
    /// (0 itself is exact), the distance squared for each outside.
    fn of_least_error(&self) -> (f32, f32) {
        const SHARES: u32 = 90;
        let (low, high) = self.extremes();
        let width = self.limit / BINS as f32;
        let error = |share: f32| {
            let levels = Levels::of_range(low * share, high * share);
            let step = f64::from(levels.scale);
            let of_bin = |(middle, count): (f32, u64)| {
                let nearest = middle.clamp(levels.low(), levels.high());
                let clipped = f64::from(middle - nearest);
                let zero_bin = (0.0..width).contains(&middle);
                let rounded = if zero_bin { 0.0 } else { step * step / 12.0 };
                count as f64 * if clipped == 0.0 { rounded } else { clipped * clipped }
            };
            self.bins().map(of_bin).sum::<f64>()
        };
        let shares = (0..=SHARES).map(|step| 1.0 - step as f32 / 100.0);
        let best = shares.map(|share| (share, error(share))).reduce(|a, b| if b.1 < a.1 { b } else { a });
        let share = best.map_or(1.0, |(share, _)| share);
        (low * share, high * share)
    }
}

/// What was seen in a network's tensors on the photos.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// By tensor.
    pub histograms: BTreeMap<String, Histogram>,
    /// Largest absolute value a channel (axis 1), by tensor of rank 4.
    pub channels: BTreeMap<String, Vec<f32>>,
}

impl Statistics {
    /// Runs `prepared` on the photos and counts the tensors of `plan`.
    ///
    /// # Errors
    /// [`QuantizeError::Run`].
    pub fn collect(
        prepared: &Prepared,
        plan: &Plan,
        photos: &Photos,
        progress: &Progress,
    ) -> Result<Self, QuantizeError> {
        let input = prepared.graph.inputs().next().unwrap_or_default().to_owned();
        let tensors: Vec<&str> = plan.tensors.iter().map(String::as_str).filter(|name| *name != input).collect();
        let runner = Runner::new(&prepared.graph, &prepared.manifest.input, &tensors)?;
        let mut histograms = vec![Histogram::default(); tensors.len()];
        let mut channels: Vec<Vec<f32>> = vec![Vec::new(); tensors.len()];
        for (done, picture) in photos.pictures.iter().enumerate() {
            progress.show("measuring ranges", done + 1, photos.pictures.len());
            runner.run(picture, |number, seen| {
                histograms[number].add(seen.values);
                widen(&mut channels[number], seen);
            })?;
        }
        let named = |name: &&str| (*name).to_owned();
        Ok(Self {
            histograms: tensors.iter().map(named).zip(histograms).collect(),
            channels: tensors.iter().map(named).zip(channels).filter(|(_, c)| !c.is_empty()).collect(),
        })
    }

    /// Levels of all tensors of `plan`.
    pub fn levels(&self, prepared: &Prepared, plan: &Plan, method: Method) -> BTreeMap<String, Levels> {
        let mut levels: BTreeMap<String, Levels> = BTreeMap::new();
        for tensor in &plan.tensors {
            let own = match self.histograms.get(tensor) {
                Some(histogram) => {
                    let (low, high) = histogram.range(method);
                    Levels::of_range(low, high)
                }
                None => levels_of_pixels(&prepared.manifest.input),
            };
            let shared = plan.like.get(tensor).and_then(|source| levels.get(source)).copied();
            levels.insert(tensor.clone(), shared.unwrap_or(own));
        }
        levels
    }
}

/// The first bin that is reached once more than `spare` values are passed.
fn edge(mut bins: impl Iterator<Item = (f32, u64)>, spare: u64) -> Option<(f32, u64)> {
    let mut passed = 0;
    bins.find(|(_, count)| {
        passed += count;
        passed > spare
    })
}

fn widen(largest: &mut Vec<f32>, seen: Seen<'_>) {
    let &[_, channels, rows, columns] = seen.shape else { return };
    largest.resize(channels, 0.0);
    let area = rows * columns;
    if area == 0 {
        return;
    }
    for (largest, values) in largest.iter_mut().zip(seen.values.chunks_exact(area)) {
        *largest = values.iter().fold(*largest, |largest, value| largest.max(value.abs()));
    }
}

/// Levels of the picture, whose values are known beforehand.
///
/// A range like -1 to 1 has its 0 between two of 256 levels, so that all pixels would be rounded by half a step; 255
/// levels, with 0 on the middle one, are then nearer. Whichever is better for the 256 values of a pixel is taken.
fn levels_of_pixels(input: &Input) -> Levels {
    let numbers = input.preprocessing.normalisation(input.channels);
    let values: Vec<f32> = (0..3)
        .flat_map(|channel| (0..=255_u8).map(move |pixel| (channel, f32::from(pixel))))
        .map(|(channel, pixel)| (pixel - numbers.mean[channel]) * numbers.scale[channel])
        .collect();
    let (low, high) = values.iter().fold((0_f32, 0_f32), |(low, high), value| (low.min(*value), high.max(*value)));
    let even = Levels::of_range(low, high);
    let largest = low.abs().max(high.abs());
    let centred = Levels { scale: largest / 127.0, zero: 128 };
    let error = |levels: Levels| values.iter().map(|v| f64::from(levels.round_trip(*v) - v).powi(2)).sum::<f64>();
    if centred.scale.is_normal() && error(centred) < error(even) { centred } else { even }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100,000 values like those behind a ReLU, and one far outside.
    fn with_outlier() -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(&(0..100_000).map(|n| (n % 1000) as f32 / 1000.0).collect::<Vec<_>>());
        histogram.add(&[50.0]);
        histogram
    }

    #[test]
    fn minmax_covers_all_that_was_seen() {
        let mut histogram = with_outlier();
        histogram.add(&[-3.0, f32::NAN, f32::INFINITY]);
        assert_eq!(histogram.range(Method::MinMax), (-3.0, 50.0));
    }

    #[test]
    fn percentiles_ignore_an_outlier() {
        let histogram = with_outlier();
        for method in [Method::Percentile9999, Method::Percentile999] {
            let (low, high) = histogram.range(method);
            assert!(low >= 0.0 && (0.95..6.0).contains(&high), "{method:?}: {low} to {high}");
        }
    }

    #[test]
    fn least_error_is_less_than_that_of_any_other_method_when_values_are_really_rounded() {
        // Most values near 0, few far out.
        let values: Vec<f32> =
            (0..20_000).map(|n| ((n * 7919) % 20_011) as f32 / 2000.0 - 5.0).map(|x| x * x * x).collect();
        let mut histogram = Histogram::default();
        histogram.add(&values);
        let error = |method| {
            let (low, high) = histogram.range(method);
            let levels = Levels::of_range(low, high);
            values.iter().map(|value| f64::from(levels.round_trip(*value) - value).powi(2)).sum::<f64>()
        };
        let least = error(Method::Mse);
        for method in Method::ALL {
            assert!(least <= error(method) * 1.02, "{least} and {} by {method:?}", error(method));
        }
    }

    #[test]
    fn least_error_keeps_a_range_that_is_full_of_values() {
        let mut histogram = Histogram::default();
        histogram.add(&(-1000..=1000).map(|n| n as f32 / 250.0).collect::<Vec<_>>());
        let (low, high) = histogram.range(Method::Mse);
        assert!(low < -3.8 && high > 3.8, "{low} to {high}");
    }

    #[test]
    fn counts_survive_the_doubling_of_the_range() {
        let mut histogram = Histogram::default();
        histogram.add(&[1e-7, -1e-7]);
        histogram.add(&[1000.0, -0.5]);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 4);
        assert_eq!(Histogram::default().range(Method::Mse), (0.0, 0.0));
    }
}
