//! Plain Rust: the reference, and what runs where nothing better is there.

use crate::depthwise::{Channels, Taps};
use crate::gemm::{Block, Gemm, Tile};

const ROWS: usize = 4;
const COLUMNS: usize = 8;
const GROUP: usize = 2;

pub(crate) const GEMM: Gemm = Gemm {
    rows: ROWS,
    columns: COLUMNS,
    group: GROUP,
    element: 2,
    widen: Some(widen_weights),
    offset: 0,
    gather: widen,
    block,
};

/// Bytes to `i16`.
///
/// # Safety
/// As [`Gemm::gather`].
pub(crate) unsafe fn widen(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: the caller vouches for both; unaligned because a panel's element may start anywhere.
    unsafe {
        let to = to.cast::<i16>();
        for at in 0..count {
            to.add(at).write_unaligned(i16::from(*from.add(at)));
        }
    }
}

/// Weights to `i16`.
///
/// # Safety
/// As [`Gemm::widen`].
pub(crate) unsafe fn widen_weights(from: *const u8, count: usize, to: *mut u8) {
    // SAFETY: the caller vouches for both.
    unsafe {
        let to = to.cast::<i16>();
        for at in 0..count {
            to.add(at).write_unaligned(i16::from(*from.add(at) as i8));
        }
    }
}

unsafe fn block(block: &Block) {
    // SAFETY: passed on.
    unsafe { block.each_tile(|tile| multiply(tile)) }
}

unsafe fn multiply(tile: &Tile<ROWS>) {
    let mut sums = [[0_i32; COLUMNS]; ROWS];
    let weights = tile.weights.cast::<[[i16; GROUP]; COLUMNS]>();
    for group in 0..tile.groups {
        // SAFETY: weights hold `groups` groups of all columns, each row `groups * GROUP` elements.
        unsafe {
            let weights = *weights.add(group);
            for (row, sums) in sums.iter_mut().enumerate() {
                let [a, b] = tile.rows[row].cast::<[i16; GROUP]>().add(group).read_unaligned();
                for (sum, [wa, wb]) in sums.iter_mut().zip(weights) {
                    *sum += i32::from(a) * i32::from(wa) + i32::from(b) * i32::from(wb);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (column, sum) in sums.iter().enumerate().take(tile.columns) {
            // SAFETY: bias and scale hold all columns, `out` the first `columns`.
            unsafe {
                let sum = sum + *tile.bias.add(column);
                *tile.out[row].add(column) = tile.limits.requantize(sum, *tile.scale.add(column));
            }
        }
    }
}

pub(crate) const DEPTHWISE: Channels = Channels { lanes: 1, offset: 0, gather: None, pack, run: depthwise };

/// Weights as they come, `[tap, channel]`.
fn pack(weights: &[i8], _taps: usize, _channels: usize, packed: &mut [u8]) {
    for (to, weight) in packed.iter_mut().zip(weights) {
        *to = *weight as u8;
    }
}

unsafe fn depthwise(taps: &Taps) {
    for pixel in 0..taps.count {
        for channel in 0..taps.channels {
            // SAFETY: as the fields of `Taps` say.
            unsafe {
                let mut sum = *taps.bias.add(channel);
                for (tap, start) in taps.starts.iter().enumerate().take(taps.taps) {
                    let weight = *taps.weights.add(tap * taps.channels + channel) as i8;
                    sum += i32::from(*start.add(pixel * taps.step + channel)) * i32::from(weight);
                }
                let level = taps.limits.requantize(sum, *taps.scale.add(channel));
                *taps.out.add(pixel * taps.channels + channel) = level;
            }
        }
    }
}
