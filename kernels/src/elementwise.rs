//! Operators without sums over channels. They are plain loops that compilers vectorize; on x86-64 they are compiled a second
//! time with AVX2.

use crate::arithmetic::{Limits, Output};
use crate::{Isa, KernelError, check_length};

/// Compiles `$name`'s body for AVX2 too and calls the form that `isa` allows.
macro_rules! vectorized {
    ($(#[$doc:meta])* fn $name:ident($isa:ident, $($arg:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        fn $name($isa: Isa, $($arg: $type),*) {
            #[inline(always)]
            fn plain($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $type),*) {
                    plain($($arg),*)
                }
                if $isa != Isa::Portable && Isa::Avx2.is_available() {
                    // SAFETY: AVX2 was just seen.
                    return unsafe { wide($($arg),*) };
                }
            }
            let _ = $isa;
            plain($($arg),*)
        }
    };
}

/// An addend of a [`Sum`]: `(x - zero) * ratio` in output steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Addend {
    /// Its zero point.
    pub zero: u8,
    /// Its scale over the result's; finite.
    pub ratio: f32,
}

/// The sum of two quantized tensors, as a residual block ends in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// The addends.
    pub addends: [Addend; 2],
    /// The result's levels.
    pub output: Output,
}

impl Sum {
    /// `output[i] = level((a[i] - za) * ra + (b[i] - zb) * rb)`.
    ///
    /// # Errors
    /// Lengths differ, or a ratio is no finite number.
    pub fn run(&self, isa: Isa, a: &[u8], b: &[u8], output: &mut [u8]) -> Result<(), KernelError> {
        self.output.check()?;
        check_length("second addend", b.len(), a.len())?;
        check_length("output", output.len(), a.len())?;
        if self.addends.iter().any(|addend| !addend.ratio.is_finite()) {
            return Err(KernelError::Range("a ratio is no finite number".into()));
        }
        add(isa, a, b, self.addends, self.output.limits(), output);
        Ok(())
    }
}

vectorized! {
    fn add(isa, a: &[u8], b: &[u8], addends: [Addend; 2], limits: Limits, output: &mut [u8]) {
        let [left, right] = addends;
        let steps = |x: u8, addend: Addend| (i32::from(x) - i32::from(addend.zero)) as f32 * addend.ratio;
        for ((a, b), output) in a.iter().zip(b).zip(output) {
            *output = limits.level(steps(*a, left) + steps(*b, right));
        }
    }
}

/// `output[i] = table[input[i]]`: any function of one quantized value.
///
/// # Errors
/// Lengths differ.
pub fn look_up(table: &[u8; 256], input: &[u8], output: &mut [u8]) -> Result<(), KernelError> {
    check_length("output", output.len(), input.len())?;
    for (input, output) in input.iter().zip(output) {
        *output = table[usize::from(*input)];
    }
    Ok(())
}

/// `output[p, c] = tables[c][input[p, c]]` over `[pixels, channels]`: any function a channel, as batch norms that no
/// convolution can take in. `tables` holds 256 bytes a channel.
///
/// # Errors
/// Lengths that do not fit.
pub fn look_up_channels(tables: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), KernelError> {
    /// Their tables stay in the nearest cache.
    const BLOCK: usize = 64;
    let (tables, rest) = tables.as_chunks::<256>();
    let channels = tables.len();
    check_length("output", output.len(), input.len())?;
    if channels == 0 || !rest.is_empty() || !input.len().is_multiple_of(channels) {
        return Err(KernelError::Range(format!("{} values are no whole pixels of {channels} channels", input.len())));
    }
    for first in (0..channels).step_by(BLOCK) {
        let last = (first + BLOCK).min(channels);
        for (input, output) in input.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
            let values = input[first..last].iter().zip(&mut output[first..last]);
            for ((x, y), table) in values.zip(&tables[first..last]) {
                *y = table[usize::from(*x)];
            }
        }
    }
    Ok(())
}
