//! One view a camera: what its frames usually show, and what of a frame is new.

use std::collections::HashMap;

use super::background::{Background, mean};
use super::finder::{self, Found};
use super::lens::Lens;
use super::plane::Plane;
use super::{Part, Trouble};
use crate::frame::Pixels;

/// Cameras that are remembered, at most 400 kB each; of more the one that was silent longest starts anew.
const CAMERAS: usize = 32;
/// Frames after which a scene is known so well that another one is worth a warning.
const SETTLED: u32 = 12;
/// Mean step between neighbours, in levels, that is more than noise.
const LEAST_DETAIL: f32 = 1.0;
/// Likeness of the fine structure below which a frame shows another scene.
const UNLIKE: f32 = 0.15;
/// Frames in a row that show one and the same other scene: the camera stands elsewhere now.
const ELSEWHERE: u32 = 5;

/// What is known of each camera's scene.
#[derive(Debug, Default)]
pub struct Regions {
    cameras: HashMap<String, View>,
    looks: u64,
}

#[derive(Debug)]
struct View {
    background: Background,
    // Another scene that the last frames show, and how many they are.
    elsewhere: Option<(Background, u32)>,
    lens: Lens,
    last: u64,
}

impl Regions {
    /// Looks at a camera's next frame, at most `most` parts of which are new; `None` if the scene is not known, or the light
    /// (or the camera) changed so much that nothing can be said. With none wanted it only looks after the camera, which is cheaper. Frames may come in any order, as long as the scene stays.
    pub fn look(&mut self, camera: Option<&str>, pixels: &Pixels, most: usize) -> Option<Vec<Part>> {
        let plane = Plane::of(pixels)?;
        let name = camera.unwrap_or_default();
        self.looks += 1;
        if !self.cameras.contains_key(name) {
            self.make_room();
            let view = View::new(plane, self.looks);
            self.cameras.insert(name.to_owned(), view);
            return None;
        }
        let view = self.cameras.get_mut(name)?;
        view.last = self.looks;
        view.look(plane, most)
    }

    /// Cameras that don't see what they were set up for, by name; without a name it is the only one.
    pub fn troubles(&self) -> Vec<(&str, Trouble)> {
        let troubles = self.cameras.iter().filter_map(|(name, view)| Some((name.as_str(), view.lens.trouble()?)));
        let mut troubles: Vec<_> = troubles.collect();
        troubles.sort_by_key(|(name, _)| *name);
        troubles
    }

    /// The same as a warning for whoever looks after the trap.
    pub fn warning(&self) -> Option<String> {
        let texts = self.troubles().into_iter().map(|(name, trouble)| match name {
            "" => format!("camera: {trouble}"),
            name => format!("camera {name}: {trouble}"),
        });
        Some(texts.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
    }

    /// Cameras that are known.
    pub fn cameras(&self) -> usize {
        self.cameras.len()
    }

    fn make_room(&mut self) {
        if self.cameras.len() < CAMERAS {
            return;
        }
        if let Some(oldest) = self.cameras.iter().min_by_key(|(_, view)| view.last).map(|(name, _)| name.clone()) {
            self.cameras.remove(&oldest);
        }
    }
}

impl View {
    fn new(plane: Plane, last: u64) -> Self {
        let mut lens = Lens::default();
        lens.see(mean(&plane.luma), None);
        Self { background: Background::new(plane), elsewhere: None, lens, last }
    }

    fn look(&mut self, plane: Plane, most: usize) -> Option<Vec<Part>> {
        if !self.background.fits(&plane) {
            // Turned upright, or set to another resolution.
            let mut lens = self.lens;
            lens.see(mean(&plane.luma), None);
            *self = Self { lens, ..Self::new(plane, self.last) };
            return None;
        }
        let settled = self.background.frames() >= SETTLED;
        // A scene without detail has none to lose.
        let usual = self.background.detail();
        let detail = (settled && usual > LEAST_DETAIL).then(|| mean(&plane.edges()) / usual);
        let clear = self.lens.see(mean(&plane.luma), detail);
        if !clear {
            self.elsewhere = None;
            return None;
        }
        if self.background.likeness(&plane).is_some_and(|likeness| likeness < UNLIKE) {
            self.is_elsewhere(plane, settled);
            return None;
        }
        self.elsewhere = None;
        if most == 0 {
            self.background.follow(&plane);
            return None;
        }
        let difference = self.background.difference(&plane);
        let known = self.background.is_ready();
        self.background.learn(&difference);
        match finder::find(&difference, plane.columns, most) {
            Found::Parts(parts) if known => Some(parts),
            _ => None,
        }
    }

    /// Another scene; if it stays, it is the scene from now on.
    fn is_elsewhere(&mut self, plane: Plane, settled: bool) {
        let again =
            self.elsewhere.take().filter(|(scene, _)| scene.likeness(&plane).is_none_or(|likeness| likeness >= UNLIKE));
        let (mut scene, frames) =
            again.map_or_else(|| (Background::new(plane.clone()), 0), |(scene, frames)| (scene, frames));
        if frames > 0 {
            scene.follow(&plane);
        }
        if frames + 1 < ELSEWHERE {
            self.elsewhere = Some((scene, frames + 1));
            return;
        }
        self.background = scene;
        if settled {
            self.lens.moved();
        }
    }
}
