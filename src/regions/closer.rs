//! What the configuration says of regions, and the views that frames are held against.

use super::{Part, Regions, tiles};
use crate::config::{self, RegionsMode};
use crate::frame::Frame;

/// Says which parts of a frame are worth a closer look.
#[derive(Debug)]
pub struct Closer {
    settings: config::Regions,
    views: Regions,
}

impl Closer {
    /// `None` where neither regions nor the lens are to be looked at.
    pub fn new(settings: &config::Regions) -> Option<Self> {
        let wanted = settings.mode != RegionsMode::Off || settings.watch_lens;
        wanted.then(|| Self { settings: settings.clone(), views: Regions::default() })
    }

    /// Takes a frame into account, and names its parts to be looked at.
    pub fn parts(&mut self, camera: Option<&str>, frame: &Frame) -> Vec<Part> {
        let off = self.settings.mode == RegionsMode::Off;
        let most = if off { 0 } else { usize::from(self.settings.most) };
        // The gray of what could not be decoded is no scenery.
        let intact = frame.partial.is_none();
        let new = intact.then(|| self.views.look(camera, &frame.pixels, most)).flatten();
        match (self.settings.mode, new) {
            (RegionsMode::Off, _) | (RegionsMode::Motion, None) => Vec::new(),
            (_, Some(parts)) => parts,
            (RegionsMode::Tiles, None) => tiles(frame.width, frame.height),
        }
    }

    /// Probability from which a label alerts in a part of a frame, if its own threshold is lower.
    pub fn threshold(&self) -> f32 {
        self.settings.min_confidence
    }

    /// What is wrong with what the cameras see, in words.
    pub fn warning(&self) -> Option<String> {
        self.settings.watch_lens.then(|| self.views.warning()).flatten()
    }
}
