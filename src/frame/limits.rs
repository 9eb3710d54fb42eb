//! What a file may ask for.

use super::FrameError;

/// Upper bounds on what one file may cost; beyond them it is refused before anything is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file. Default 64 MiB.
    pub max_bytes: u64,
    /// Pixels on a side. Default 16384.
    pub max_side: u32,
    /// Pixels in all. Default 60 million.
    pub max_pixels: u64,
    /// Bytes of memory that one decode may take, as estimated from the header. Default 512 MiB.
    pub max_memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_side: 16_384, max_pixels: 60_000_000, max_memory: 512 << 20 }
    }
}

impl Limits {
    /// Refuses a file that is too long.
    pub(super) fn check_bytes(&self, bytes: &[u8]) -> Result<(), FrameError> {
        at_most("file in bytes", bytes.len() as u64, self.max_bytes)
    }

    /// Refuses sides that are too long or zero, and too many pixels.
    pub(super) fn check_sides(&self, width: u32, height: u32) -> Result<(), FrameError> {
        if width == 0 || height == 0 {
            return Err(FrameError::damaged("its header says it has no pixels"));
        }
        at_most("longer side in pixels", u64::from(width.max(height)), u64::from(self.max_side))?;
        at_most("picture in pixels", u64::from(width) * u64::from(height), self.max_pixels)
    }

    /// Refuses a decode that would need too much memory.
    pub(super) fn check_memory(&self, bytes: u64) -> Result<(), FrameError> {
        at_most("memory to decode it in bytes", bytes, self.max_memory)
    }
}

fn at_most(what: &'static str, actual: u64, limit: u64) -> Result<(), FrameError> {
    if actual > limit { Err(FrameError::TooLarge { what, actual, limit }) } else { Ok(()) }
}
