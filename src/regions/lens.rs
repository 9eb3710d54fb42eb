//! Whether a camera still sees what it was set up for: dark, covered (snow, ice, a leaf, fog), or turned elsewhere.
//!
//! One frame proves nothing: a bear may sniff at the lens. So each trouble needs several frames in a row, and one good frame
//! ends it; only that a camera moved stays said for a while, since it goes on seeing something.

use std::fmt;

/// Mean luma, 0 to 255, below which nothing can be told apart.
const DARK: f32 = 8.0;
/// Share of the scene's usual detail below which something lies over it.
const VEILED: f32 = 0.25;
/// Frames in a row.
const DARK_FRAMES: u32 = 12;
const VEILED_FRAMES: u32 = 6;
/// Frames for which a move is told.
const MOVED_FRAMES: u32 = 100;

/// What is wrong with what a camera sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Black frames.
    Dark,
    /// No detail where there was some.
    Covered,
    /// Another scene than before.
    Moved,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dark => "its frames are black; look after the lens, and at night after the flash and its batteries",
            Self::Covered => "its frames have lost their detail; look after snow, ice, water or a leaf on the lens (or wait for fog to lift)",
            Self::Moved => "it sees another scene than before; if nobody turned it, put it back and fasten it",
        })
    }
}

/// What the last frames of one camera say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lens {
    dark: u32,
    veiled: u32,
    moved: u32,
}

impl Lens {
    /// Takes one frame into account: its mean luma, and its detail as a share of the scene's, where that is known.
    /// Returns whether the frame is good for learning the scene.
    pub fn see(&mut self, luma: f32, detail: Option<f32>) -> bool {
        let dark = luma < DARK;
        let veiled = !dark && detail.is_some_and(|detail| detail < VEILED);
        let count = |before: u32, now: bool| if now { before.saturating_add(1) } else { 0 };
        (self.dark, self.veiled) = (count(self.dark, dark), count(self.veiled, veiled));
        self.moved = self.moved.saturating_sub(1);
        !dark && !veiled
    }

    /// Notes that the scene is another one from now on.
    pub fn moved(&mut self) {
        self.moved = MOVED_FRAMES;
    }

    /// What is wrong, if something is.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self { dark: DARK_FRAMES.., .. } => Some(Trouble::Dark),
            Self { veiled: VEILED_FRAMES.., .. } => Some(Trouble::Covered),
            Self { moved: 1.., .. } => Some(Trouble::Moved),
            _ => None,
        }
    }
}
