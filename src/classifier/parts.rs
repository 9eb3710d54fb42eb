//! A closer look at the parts of a frame, where its whole does not alert.

use std::time::{Duration, Instant};

use super::{Classifier, ClassifyError, guarded};
use crate::accept::judges::{Judge, Opinion};
use crate::frame::{self, Filter, Frame, Scale};
use crate::regions::{self, Closer, Part, Region};

/// Parts of a frame that were looked at closely, after its whole did not alert.
#[derive(Debug, Clone, Default)]
pub struct CloserLook {
    /// How many.
    pub parts: usize,
    /// Time for all of them.
    pub took: Duration,
    /// Why they could not be looked at; the whole frame's verdict stands.
    pub failed: Option<String>,
}

impl Classifier {
    /// The most probable alert in the parts of a frame that `closer` names, if they are to be looked at.
    pub(super) fn look_closer(
        &self,
        bytes: &[u8],
        frame: &Frame,
        camera: Option<&str>,
        closer: &mut Closer,
        whole: &Opinion,
        judge: &Judge,
    ) -> Option<(CloserLook, Option<(Region, Opinion)>)> {
        let start = Instant::now();
        let parts = guarded("regions", || closer.parts(camera, frame)).unwrap_or_default();
        // The scene is learned from each frame, but one that alerts has said all.
        if parts.is_empty() || whole.verdict.alert {
            return None;
        }
        let found = self.look_at(bytes, frame, &parts, closer.threshold(), judge);
        let (found, failed) = match found {
            Ok(found) => (found, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Some((CloserLook { parts: parts.len(), took: start.elapsed(), failed }, found))
    }

    fn look_at(
        &self,
        bytes: &[u8],
        frame: &Frame,
        parts: &[Part],
        threshold: f32,
        judge: &Judge,
    ) -> Result<Option<(Region, Opinion)>, ClassifyError> {
        let sides = (frame.width, frame.height);
        let regions: Vec<Region> = parts.iter().map(|part| part.square(frame.width, frame.height)).collect();
        let input = &self.backbone.manifest().input;
        let scale = match input.filter {
            Filter::Nearest => Scale::Full,
            _ => regions::scale_for(&regions, sides, (input.width, input.height)),
        };
        let larger = guarded("decode", || frame::decode(bytes, scale, &self.limits))??;
        let mut best: Option<(Region, Opinion)> = None;
        for region in regions {
            let Some(crop) = regions::cut(&larger.pixels, region, sides) else { continue };
            let (features, _) = guarded("classify", || self.backbone.timed_features_of(&crop))??;
            let mut opinion = judge.look(&features)?;
            let verdict = &mut opinion.verdict;
            let is_better = best.as_ref().is_none_or(|(_, best)| best.verdict.confidence < verdict.confidence);
            if verdict.alert && verdict.confidence >= threshold && is_better {
                verdict.threshold = verdict.threshold.max(threshold);
                verdict.rule = format!("{} alerts from {} in a part of the frame", verdict.label, verdict.threshold);
                best = Some((region, opinion));
            }
        }
        Ok(best)
    }
}
