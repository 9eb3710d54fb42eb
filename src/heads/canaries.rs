//! `canaries.bin`: feature vectors and the probabilities that a head must give for them on every machine.
//!
//! A digest proves that a head arrived; canaries prove that this machine computes the same with it. All numbers are
//! little-endian:
//!
//! ```text
//! magic "ARCTCNRY" | u32 version = 1 | u32 features | u32 labels | u32 rows | f32 tolerance
//! row: u32 kind | what the features are | f32 probability, one a label in the manifest's order
//!   kind 0, made up:   u64 seed | f32 low | f32 span      feature i = low + span * (mix(seed + i) / 2^24)
//!   kind 1, from a photo: f32 low | f32 step | u8 level, one a feature      feature i = low + step * level
//! ```
//!
//! `mix` is the upper 24 bits of SplitMix64. Made-up rows cost 24 bytes whatever the width, so that a head on flattened
//! features (100,352 and more) has canaries too; rows from photos are stored in 256 levels, since the head's answer to
//! what is stored is what counts.

use crate::model::{Head, Levels, ModelError};

/// Largest `canaries.bin`, in bytes.
pub const MAX_BYTES: u64 = 256 * 1024;
/// Allowed difference of a probability. Arithmetic of other processors differs by 1e-6, a broken one by far more.
const TOLERANCE: f32 = 1e-3;
/// Largest tolerance that is accepted: a wider one would prove nothing.
const MAX_TOLERANCE: f32 = 0.01;
/// Rows kept of the photos given, and made up beside them. Each row of a photo costs as many bytes as it has features,
/// over a thin link.
const FROM_PHOTOS: usize = 4;
const MADE_UP: u64 = 4;
const MAX_ROWS: usize = 64;
const MAGIC: &[u8; 8] = b"ARCTCNRY";
const VERSION: u32 = 1;

/// Why canaries were refused.
#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    /// Not what `canaries.bin` looks like.
    #[error("canaries.bin is wrong: {problem}; make the head again")]
    Format {
        /// What is wrong.
        problem: String,
    },
    /// Made for another head.
    #[error(
        "canaries.bin has rows of {found_features} features and {found_labels} labels, the head has {features} and {labels}; make the head again"
    )]
    Shape {
        /// In the canaries.
        found_features: usize,
        /// In the canaries.
        found_labels: usize,
        /// Of the head.
        features: usize,
        /// Of the head.
        labels: usize,
    },
    /// The head gives another answer.
    #[error(
        "canary {row}: the head gives {label} {found} where {expected} +- {tolerance} is expected; the head is not the one it was, or this machine computes wrongly"
    )]
    Differs {
        /// Row, from 0.
        row: usize,
        /// Label.
        label: String,
        /// As computed here.
        found: f32,
        /// As computed where it was made.
        expected: f32,
        /// Allowed difference.
        tolerance: f32,
    },
    /// The head can't be run on a row.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The canaries of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct Canaries {
    features: usize,
    labels: usize,
    tolerance: f32,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    input: RowInput,
    expected: Vec<f32>,
}

#[derive(Debug, Clone, PartialEq)]
enum RowInput {
    MadeUp { seed: u64, low: f32, span: f32 },
    FromPhoto(Levels),
}

impl RowInput {
    fn features(&self, count: usize) -> Vec<f32> {
        match self {
            Self::MadeUp { seed, low, span } => {
                let unit = |index: usize| (mix(seed.wrapping_add(index as u64)) >> 40) as f32 / (1u64 << 24) as f32;
                (0..count).map(|index| low + span * unit(index)).collect()
            }
            Self::FromPhoto(levels) => levels.features(),
        }
    }
}

/// SplitMix64: Steele, Lea, Flood, 'Fast splittable pseudorandom number generators', 2014.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Canaries {
    /// Makes the canaries of `head`: a few of the feature vectors `photos` (from photos it was not trained on, best of
    /// each label; may be empty) and a few made up.
    ///
    /// # Errors
    /// [`CanaryError::Format`] if a vector has another length than the head takes or holds what is no finite number,
    /// [`CanaryError::Model`] if the head can't be run.
    pub fn of(head: &Head, photos: &[Vec<f32>]) -> Result<Self, CanaryError> {
        let features = head.manifest().backbone.features;
        let labels = head.manifest().labels.len();
        if let Some(wrong) = photos.iter().find(|row| row.len() != features) {
            let problem = format!("a row of {} features was given to a head of {features}", wrong.len());
            return Err(CanaryError::Format { problem });
        }
        // As many as fit beside the made-up ones, spread over what was given.
        let room = (MAX_BYTES as usize / 2) / (features + 4 * labels).max(1);
        let count = photos.len().min(FROM_PHOTOS).min(room);
        let stored = (0..count).filter_map(|n| photos.get(n * photos.len() / count));
        let problem = || CanaryError::Format { problem: "a feature is no finite number".into() };
        let mut inputs: Vec<RowInput> =
            stored.map(|row| Levels::of(row).map(RowInput::FromPhoto).ok_or_else(problem)).collect::<Result<_, _>>()?;
        // Features are often those of a ReLU6, averaged: small, wide, and with negative ones.
        let ranges = [(0.0, 1.0), (0.0, 6.0), (-1.0, 2.0), (0.0, 0.25)];
        inputs.extend((0..MADE_UP).zip(ranges).map(|(seed, (low, span))| RowInput::MadeUp {
            seed: seed << 32,
            low,
            span,
        }));
        let mut rows = Vec::new();
        for input in inputs {
            let scores = head.score(&input.features(features))?;
            rows.push(Row { input, expected: scores.into_iter().map(|(_, score)| score).collect() });
        }
        Ok(Self { features, labels, tolerance: TOLERANCE, rows })
    }

    /// Runs `head` on every row and compares. Returns the largest difference of a probability.
    ///
    /// # Errors
    /// [`CanaryError`] says where it differs.
    pub fn check(&self, head: &Head) -> Result<f32, CanaryError> {
        let (features, labels) = (head.manifest().backbone.features, head.manifest().labels.len());
        if (self.features, self.labels) != (features, labels) {
            return Err(CanaryError::Shape {
                found_features: self.features,
                found_labels: self.labels,
                features,
                labels,
            });
        }
        let mut largest: f32 = 0.0;
        for (number, row) in self.rows.iter().enumerate() {
            for ((label, found), expected) in head.score(&row.input.features(features))?.into_iter().zip(&row.expected)
            {
                let difference = (found - expected).abs();
                if difference > self.tolerance || difference.is_nan() {
                    let (expected, tolerance) = (*expected, self.tolerance);
                    return Err(CanaryError::Differs { row: number, label, found, expected, tolerance });
                }
                largest = largest.max(difference);
            }
        }
        Ok(largest)
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Never: canaries without rows prove nothing and are refused.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Allowed difference of a probability.
    pub fn tolerance(&self) -> f32 {
        self.tolerance
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [VERSION, self.features as u32, self.labels as u32, self.rows.len() as u32] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.tolerance.to_le_bytes());
        for row in &self.rows {
            match &row.input {
                RowInput::MadeUp { seed, low, span } => {
                    bytes.extend(0u32.to_le_bytes());
                    bytes.extend(seed.to_le_bytes());
                    bytes.extend([low.to_le_bytes(), span.to_le_bytes()].concat());
                }
                RowInput::FromPhoto(Levels { low, step, levels }) => {
                    bytes.extend(1u32.to_le_bytes());
                    bytes.extend([low.to_le_bytes(), step.to_le_bytes()].concat());
                    bytes.extend(levels);
                }
            }
            bytes.extend(row.expected.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`CanaryError::Format`] for wrong sizes, no rows, and numbers out of their ranges.
    pub fn parse(bytes: &[u8]) -> Result<Self, CanaryError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(wrong(format!("{} bytes are more than {MAX_BYTES}", bytes.len())));
        }
        let mut rest = Rest(bytes);
        if rest.take(MAGIC.len())? != MAGIC {
            return Err(wrong("it does not begin with ARCTCNRY"));
        }
        let version = rest.u32()?;
        if version != VERSION {
            return Err(wrong(format!("it is of version {version}, this program reads {VERSION}; or update arcticd")));
        }
        let (features, labels, count) = (rest.u32()? as usize, rest.u32()? as usize, rest.u32()? as usize);
        if !(1..=1_000_000).contains(&features) || !(2..=1000).contains(&labels) {
            return Err(wrong(format!("{features} features and {labels} labels are out of range")));
        }
        if !(1..=MAX_ROWS).contains(&count) {
            return Err(wrong(format!("it has {count} rows; 1 to {MAX_ROWS} are allowed")));
        }
        let tolerance = rest.f32()?;
        if !(tolerance > 0.0 && tolerance <= MAX_TOLERANCE) {
            return Err(wrong(format!("its tolerance is {tolerance}; above 0 and up to {MAX_TOLERANCE} is allowed")));
        }
        let rows = (0..count).map(|_| rest.row(features, labels)).collect::<Result<_, _>>()?;
        if !rest.0.is_empty() {
            return Err(wrong(format!("{} bytes follow its last row", rest.0.len())));
        }
        Ok(Self { features, labels, tolerance, rows })
    }
}

fn wrong(problem: impl Into<String>) -> CanaryError {
    CanaryError::Format { problem: problem.into() }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CanaryError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| wrong("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CanaryError> {
        self.take(N)?.try_into().map_err(|_| wrong("it is cut off"))
    }

    fn u32(&mut self) -> Result<u32, CanaryError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn f32(&mut self) -> Result<f32, CanaryError> {
        let value = f32::from_le_bytes(self.array()?);
        if value.is_finite() { Ok(value) } else { Err(wrong("it holds what is no finite number")) }
    }

    fn row(&mut self, features: usize, labels: usize) -> Result<Row, CanaryError> {
        let input = match self.u32()? {
            0 => RowInput::MadeUp { seed: u64::from_le_bytes(self.array()?), low: self.f32()?, span: self.f32()? },
            1 => {
                let (low, step) = (self.f32()?, self.f32()?);
                RowInput::FromPhoto(Levels { low, step, levels: self.take(features)?.to_vec() })
            }
            kind => return Err(wrong(format!("a row is of the unknown kind {kind}"))),
        };
        let expected: Vec<f32> = (0..labels).map(|_| self.f32()).collect::<Result<_, _>>()?;
        if expected.iter().any(|value| !(0.0..=1.0).contains(value)) {
            return Err(wrong("it expects a probability outside 0 to 1"));
        }
        Ok(Row { input, expected })
    }
}

#[cfg(test)]
#[path = "canaries_tests.rs"]
mod tests;
