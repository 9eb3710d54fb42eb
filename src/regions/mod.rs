//! Where in a wide frame something may be that is too small to see in the whole of it.
//!
//! A camera trap stands still, so what differs from its last frames is worth a closer look: `plane` makes a frame small and
//! gray, `background` knows how the scene usually looks and what the light does to it, `finder` makes boxes of what does not
//! fit, `tiles` are for a scene that is not known yet, and `crop` cuts either out of a picture for the backbone. `lens` tells
//! from the same planes when a camera is dark, covered or no longer where it was. [`Regions`] keeps one view a camera.
//!
//! Pure: pixels in, parts out. No files, clocks or networks; what is known of a scene is built anew after a start.

mod background;
mod closer;
mod crop;
mod finder;
mod lens;
mod plane;
#[cfg(test)]
mod tests;
mod tiles;
mod views;

pub use closer::Closer;
pub use crop::{cut, scale_for};
pub use lens::{Lens, Trouble};
pub use tiles::tiles;
pub use views::Regions;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a frame, in shares of its sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

/// A part of a frame in pixels of the upright picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Region {
    /// Pixels from the left.
    pub x: u32,
    /// Pixels from the top.
    pub y: u32,
    /// Pixels in a row.
    #[schemars(range(min = 1))]
    pub width: u32,
    /// Rows.
    #[schemars(range(min = 1))]
    pub height: u32,
}

impl Part {
    /// The square, in pixels of a frame of these sides, that holds this part; smaller only where the frame is.
    pub fn square(self, width: u32, height: u32) -> Region {
        let (frame_width, frame_height) = (width as f32, height as f32);
        let longer = (self.width * frame_width).max(self.height * frame_height);
        // No wider: the head was taught with animals that fill the picture (docs/accuracy.md).
        let side = longer.round().clamp(1.0, frame_width.min(frame_height).max(1.0));
        let place = |start: f32, length: f32, frame: f32| {
            ((start + length / 2.0) * frame - side / 2.0).round().clamp(0.0, (frame - side).max(0.0)) as u32
        };
        Region {
            x: place(self.x, self.width, frame_width),
            y: place(self.y, self.height, frame_height),
            width: side as u32,
            height: side as u32,
        }
    }
}
