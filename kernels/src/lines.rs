//! Copies of a picture's rows with the padding beside them, so that no window of a row is a special case.

use std::ptr::copy_nonoverlapping;

use crate::buffer::with_scratch;
use crate::{KernelError, Size, Window};

/// Bytes that may be read beyond a line's last value.
pub(crate) const SLACK: usize = 64;

/// Most bytes that lines and what lies beside them may take. Large networks need some;
/// allowed shapes can ask for more than a 32-bit address holds.
const MAX_SCRATCH: usize = 64 << 20;

/// What lines are made from.
pub(crate) struct Picture<'a> {
    pub input: &'a [u8],
    pub size: Size,
    pub channels: usize,
    pub window: &'a Window,
    /// Bytes of an element of a line.
    pub element: usize,
    /// What lies outside.
    pub outside: u8,
    /// Turns activations into elements.
    ///
    /// # Safety
    /// `from` is readable for `count` bytes, `to` writable for `count` elements.
    pub gather: unsafe fn(from: *const u8, count: usize, to: *mut u8),
}

/// As many lines as a window has rows, in turn, and one that lies outside the picture.
pub(crate) struct Lines<'a> {
    picture: Picture<'a>,
    bytes: &'a mut [u8],
    length: usize,
    /// The picture's row in each line.
    held: Vec<Option<usize>>,
}

impl Picture<'_> {
    /// Bytes of a line, and of all of them with as many beside them.
    fn lengths(&self, beside: usize) -> Option<(usize, usize)> {
        let Window { size, padding, .. } = self.window;
        let pixels = self.size.width.checked_add(padding.left)?.checked_add(padding.right)?;
        let line = pixels.checked_mul(self.channels)?.checked_mul(self.element)?.checked_next_multiple_of(64)?;
        let lines = size.height.checked_add(1)?.checked_mul(line)?.checked_add(SLACK)?;
        (lines.checked_add(beside)? <= MAX_SCRATCH).then_some((line, lines))
    }

    /// Lends lines, and as many bytes beside them.
    ///
    /// # Errors
    /// They would take more than 64 MiB.
    pub fn with_lines(self, beside: usize, work: impl FnOnce(Lines, &mut [u8])) -> Result<(), KernelError> {
        let (length, lines) = self.lengths(beside).ok_or_else(|| {
            let Size { height, width } = self.window.size;
            let row = format!("{} pixels of {} channels", self.size.width, self.channels);
            KernelError::Range(format!(
                "a window of {height} x {width} over rows of {row}: copies of them are too large"
            ))
        })?;
        with_scratch(lines + beside, |bytes| {
            let (bytes, beside) = bytes.split_at_mut(lines);
            let (outside, element) = ([self.outside; 64], self.element);
            for at in (0..lines / element).step_by(outside.len()) {
                let count = (lines / element - at).min(outside.len());
                // SAFETY: `count` elements are left from the one at `at` on.
                unsafe { (self.gather)(outside.as_ptr(), count, bytes[at * element..].as_mut_ptr()) };
            }
            let held = vec![None; self.window.size.height];
            work(Lines { picture: self, bytes, length, held }, beside);
        });
        Ok(())
    }
}

impl Lines<'_> {
    /// Where each row of the windows of output row `row` starts, [`SLACK`] bytes readable beyond its end.
    pub fn starts(&mut self, row: usize, starts: &mut [*const u8]) {
        let Picture { input, size, channels, window, element, gather, .. } = self.picture;
        for (y, start) in starts.iter_mut().enumerate().take(window.size.height) {
            let source =
                (row * window.stride.height + y).checked_sub(window.padding.top).filter(|at| *at < size.height);
            let place = source.map_or(window.size.height, |source| source % window.size.height);
            if let Some(source) = source
                && self.held[place] != Some(source)
            {
                self.held[place] = Some(source);
                let values = &input[source * size.width * channels..][..size.width * channels];
                let line = &mut self.bytes[place * self.length + window.padding.left * channels * element..];
                let line = &mut line[..values.len() * element];
                // SAFETY: the slices hold as many values and elements.
                unsafe { gather(values.as_ptr(), values.len(), line.as_mut_ptr()) };
            }
            *start = self.bytes[place * self.length..].as_ptr();
        }
    }
}

/// Copies `count` bytes in steps of 16.
///
/// # Safety
/// Up to 15 bytes more are readable and writable.
#[inline(always)]
pub(crate) unsafe fn copy_loosely(from: *const u8, to: *mut u8, count: usize) {
    let mut at = 0;
    while at < count {
        // SAFETY: the caller vouches for whole steps.
        unsafe { copy_nonoverlapping(from.add(at), to.add(at), 16) };
        at += 16;
    }
}
