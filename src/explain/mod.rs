//! Where a decision came from: what each place of the frame says for a label.
//!
//! A linear head sees the mean of a map of features. So its logit is a mean over the map's cells of what it would say of
//! each cell alone, and that mean is taken apart here: exact, not an estimate. `paint` shows it.

mod paint;

use anyhow::{Context, Result, bail};

pub use paint::paint;

use crate::frame::{self, Pixels};
use crate::heads::LocalHead;
use crate::model::source::{self, Origin};
use crate::model::{Backbone, Head, HeadManifest, Logits, Pooling};

/// Between the sum over all cells and the logit nothing but rounding may lie, as a part of the largest amount among them.
const ROUNDING: f32 = 1e-3;

/// Takes decisions apart.
pub struct Explainer {
    backbone: Backbone,
    logits: Logits,
    labels: Vec<String>,
    title: String,
}

/// What each cell of a frame says for one label.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The label.
    pub label: String,
    /// The frame as the network saw it.
    pub seen: Pixels,
    /// Rows of cells.
    pub rows: usize,
    /// Cells in a row.
    pub columns: usize,
    /// What each cell adds to the logit, row by row.
    pub cells: Vec<f32>,
    /// What the head says of nothing: the logit less the sum of the cells.
    pub bias: f32,
}

impl Explanation {
    /// What goes into Softmax.
    pub fn logit(&self) -> f32 {
        self.bias + self.cells.iter().sum::<f32>()
    }
}

impl Explainer {
    /// For the configured networks.
    ///
    /// # Errors
    /// They can't be loaded, or the backbone's features are no mean of a map.
    pub fn load(backbone: &Origin, head: &Origin, threads: usize) -> Result<Self> {
        let local = LocalHead::at(head)?;
        Self::with(backbone, local.manifest(), || Ok(local.logits()?), threads)
    }

    /// For a head that is loaded.
    ///
    /// # Errors
    /// As [`Explainer::load`], and where the head is too large to be a linear one.
    pub fn of(backbone: &Origin, head: &Head, threads: usize) -> Result<Self> {
        let logits = || {
            let logits = head.logits();
            Ok(logits.with_context(|| format!("head {} is too large to be a linear one", head.title()))??)
        };
        Self::with(backbone, head.manifest(), logits, threads)
    }

    fn with(
        backbone: &Origin,
        manifest: &HeadManifest,
        logits: impl FnOnce() -> Result<Logits>,
        threads: usize,
    ) -> Result<Self> {
        let of = source::backbone_manifest(backbone)?;
        if of.output.pooling != Pooling::Average || source::wants_flattened(manifest, &of) {
            bail!("only heads on the mean of a feature map can be explained (`pooling = \"average\"`)");
        }
        Ok(Self {
            backbone: source::flattened_backbone(backbone, source::engine(threads)?)?,
            logits: logits()?,
            labels: manifest.labels.iter().map(|label| label.name.clone()).collect(),
            title: format!("{} {}", manifest.name, manifest.version),
        })
    }

    /// What says `label` in a decoded frame.
    ///
    /// # Errors
    /// The networks fail, the head does not know the label, or it is not linear: then there is no such sum.
    pub fn explain(&self, pixels: &Pixels, label: &str) -> Result<Explanation> {
        let place = self.labels.iter().position(|known| known == label);
        let place = place.with_context(|| format!("head {} does not know the label {label}", self.title))?;
        let input = &self.backbone.manifest().input;
        let seen = frame::resize(pixels, input.width, input.height, input.filter, input.fit)?;
        let map = self.backbone.map_of_input(&seen)?;
        let area = (map.rows * map.columns) as f32;
        let of = |features: &[f32]| -> Result<f32> {
            self.logits.of(features)?.get(place).copied().context("the head gives too few logits")
        };
        let bias = of(&vec![0.0; map.channels])?;
        let cells = map.values.chunks_exact(map.channels).map(|cell| Ok((of(cell)? - bias) / area));
        let cells = cells.collect::<Result<Vec<f32>>>()?;
        let mut mean = vec![0.0; map.channels];
        for cell in map.values.chunks_exact(map.channels) {
            mean.iter_mut().zip(cell).for_each(|(sum, value)| *sum += value / area);
        }
        let explanation =
            Explanation { label: label.to_owned(), seen, rows: map.rows, columns: map.columns, cells, bias };
        let (whole, sum) = (of(&mean)?, explanation.logit());
        let largest = explanation.cells.iter().map(|cell| cell.abs()).sum::<f32>().max(bias.abs()).max(1.0);
        if (whole - sum).abs() > ROUNDING * largest {
            bail!(
                "head {} is not linear: its cells sum to {sum:.3} and the logit is {whole:.3}, so no place can be said to \
                 have decided; train one with `--layers linear`",
                self.title
            );
        }
        Ok(explanation)
    }
}
