//! Sizes, and windows that slide over a picture.

use crate::KernelError;

/// Rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Size {
    /// Rows and columns.
    pub fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }

    /// Rows times columns, the largest number there is if they are more.
    pub fn area(self) -> usize {
        self.height.saturating_mul(self.width)
    }
}

/// Rows and columns added around a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Padding {
    /// Above.
    pub top: usize,
    /// Left of it.
    pub left: usize,
    /// Below.
    pub bottom: usize,
    /// Right of it.
    pub right: usize,
}

/// A window's size, steps and padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its rows and columns.
    pub size: Size,
    /// Steps between windows, down and right.
    pub stride: Size,
    /// Around the picture.
    pub padding: Padding,
}

/// Largest side of a picture or window.
const MAX_SIDE: usize = 4096;

impl Window {
    /// One pixel, step one, nothing around.
    pub fn pointwise() -> Self {
        let one = Size::new(1, 1);
        Self { size: one, stride: one, padding: Padding::default() }
    }

    /// Whether it is [`Window::pointwise`].
    pub fn is_pointwise(&self) -> bool {
        *self == Self::pointwise()
    }

    /// Number of windows down and right.
    ///
    /// # Errors
    /// A side is 0 or beyond 4096, or the window is larger than the padded picture.
    pub fn output(&self, input: Size) -> Result<Size, KernelError> {
        let side = |input: usize, before: usize, after: usize, window: usize, stride: usize| {
            let sides = 1..=MAX_SIDE;
            let good = sides.contains(&input) && sides.contains(&window) && sides.contains(&stride);
            // A window must touch the picture, or maxima would be taken over nothing.
            let good = good && before < window && after < window && window <= input + before + after;
            good.then(|| (input + before + after - window) / stride + 1).ok_or_else(|| {
                KernelError::Range(format!(
                    "a window of {window} with stride {stride} and padding {before} + {after} does not fit a side of {input}"
                ))
            })
        };
        let Padding { top, left, bottom, right } = self.padding;
        Ok(Size {
            height: side(input.height, top, bottom, self.size.height, self.stride.height)?,
            width: side(input.width, left, right, self.size.width, self.stride.width)?,
        })
    }
}
