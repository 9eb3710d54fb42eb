//! Kernels on VNNI, which multiplies four `u8` by four `i8` and adds the products to an `i32`, exactly.
//!
//! Written once over [`Lanes`] for both vector widths; `avx_vnni.rs` and `avx512_vnni.rs` hold the instructions. Everything
//! here is inlined into functions there that enable the instruction set.

use crate::arithmetic::Limits;
use crate::depthwise::{MAX_TAPS, Taps};
use crate::gemm::{Block, Tile};

/// Products that are added at once.
pub(super) const GROUP: usize = 4;
/// Vectors of columns of a matrix tile.
pub(super) const VECTORS: usize = 3;

/// A vector of 32-bit lanes.
///
/// # Safety
/// All methods call for the processor to have the instruction set; pointers are readable or writable as each says.
pub(super) trait Lanes: Copy {
    /// Its number of `i32`, a multiple of 4.
    const COUNT: usize;

    unsafe fn zero() -> Self;
    /// Reads [`Lanes::COUNT`] values, unaligned.
    unsafe fn load(from: *const u8) -> Self;
    /// The same four bytes in each lane, unaligned.
    unsafe fn broadcast(from: *const u8) -> Self;
    /// Adds to each lane its four products.
    unsafe fn dot(self, bytes: Self, weights: Self) -> Self;
    /// Requantizes neighbouring columns and writes the first `columns` of them, at least one of each vector.
    unsafe fn write<const N: usize>(sums: [Self; N], scale: *const f32, limits: Limits, out: *mut u8, columns: usize);

    /// Takes vectors of bytes that each belong to a tap and gives each channel its four taps' bytes, channels in
    /// quarters: each 128 bits of vector `q` hold channels `4 * q..4 * q + 4` of 16.
    unsafe fn interleave(taps: [Self; GROUP]) -> [Self; GROUP];
    /// Reads quarter `q` of `4 * COUNT` channels' values.
    unsafe fn load_quarter(from: *const i32, q: usize) -> Self;
    /// Requantizes `4 * COUNT` channels that lie in quarters, and writes them in order.
    unsafe fn write_quarters(sums: [Self; GROUP], scale: [Self; GROUP], limits: Limits, out: *mut u8);
}

/// Computes tiles of `ROWS` by `VECTORS * COUNT` results. A layer's last columns take only as many vectors as they fill.
///
/// # Safety
/// As [`crate::gemm::Gemm::block`].
#[inline(always)]
pub(super) unsafe fn block<V: Lanes, const ROWS: usize>(block: &Block) {
    // SAFETY: passed on.
    unsafe {
        match block.columns.div_ceil(V::COUNT) {
            1 => block.each_tile(|tile| multiply::<V, ROWS, 1>(tile)),
            2 => block.each_tile(|tile| multiply::<V, ROWS, 2>(tile)),
            _ => block.each_tile(|tile| multiply::<V, ROWS, VECTORS>(tile)),
        }
    }
}

#[inline(always)]
unsafe fn multiply<V: Lanes, const ROWS: usize, const N: usize>(tile: &Tile<ROWS>) {
    // SAFETY: rows hold `groups` groups of bytes, weights as many of `VECTORS` vectors, bias and scale `VECTORS` vectors.
    unsafe {
        let vector = GROUP * V::COUNT;
        let bias: [V; N] = std::array::from_fn(|n| V::load(tile.bias.cast::<u8>().add(n * vector)));
        let mut sums = [bias; ROWS];
        for group in 0..tile.groups {
            let weights = tile.weights.add(group * VECTORS * vector);
            let weights: [V; N] = std::array::from_fn(|n| V::load(weights.add(n * vector)));
            for (sums, row) in sums.iter_mut().zip(tile.rows) {
                let bytes = V::broadcast(row.add(group * GROUP));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = sum.dot(bytes, weights);
                }
            }
        }
        for (sums, out) in sums.into_iter().zip(tile.out) {
            V::write(sums, tile.scale, tile.limits, out, tile.columns);
        }
    }
}

/// The tap at `place` of `group`, if there is one. Nine taps are taken as the columns of a 3x3 window, so that the next
/// pixel can use two of them again.
fn tap(taps: usize, group: usize, place: usize) -> Option<usize> {
    match taps {
        9 => (place < 3).then_some(3 * place + group),
        _ => Some(GROUP * group + place).filter(|tap| *tap < taps),
    }
}

/// Writes the weights of the `4 * lanes` channels that begin with `first`: per group of taps the quarters' vectors.
/// Returns the number of bytes.
pub(super) fn pack(
    lanes: usize,
    weights: &[i8],
    taps: usize,
    channels: usize,
    first: usize,
    packed: &mut [u8],
) -> usize {
    let bytes = taps.div_ceil(GROUP) * GROUP * GROUP * lanes;
    for (at, byte) in packed[..bytes].iter_mut().enumerate() {
        let (vector, lane, place) = (at / (GROUP * lanes), at / GROUP % lanes, at % GROUP);
        let (group, quarter) = (vector / GROUP, vector % GROUP);
        let channel = first + lane / 4 * 16 + quarter * 4 + lane % 4;
        *byte = tap(taps, group, place).map_or(0, |tap| weights[tap * channels + channel] as u8);
    }
    bytes
}

/// Computes all pixels of the `4 * COUNT` channels that begin with `first`; `MOST` is the number of taps where it is
/// known, so that loops over it are unrolled.
///
/// # Safety
/// As [`crate::depthwise::Channels::run`]; `weights` are as [`pack`] wrote them, and the channels exist.
#[inline(always)]
pub(super) unsafe fn pixels<V: Lanes, const MOST: usize>(taps: &Taps, first: usize, weights: *const u8) {
    let count = if MOST == MAX_TAPS { taps.taps } else { MOST };
    let vector = GROUP * V::COUNT;
    // SAFETY: the block's channels lie within each tap's, and pixels within `count`.
    unsafe {
        let bias: [V; GROUP] = std::array::from_fn(|q| V::load_quarter(taps.bias.add(first), q));
        let scale: [V; GROUP] = std::array::from_fn(|q| V::load_quarter(taps.scale.add(first).cast(), q));
        let column = |group: usize, pixel: usize| {
            let offset = pixel * taps.step + first;
            V::interleave(std::array::from_fn(|place| match tap(count, group, place) {
                Some(tap) => V::load(taps.starts[tap].add(offset)),
                // Its weight is 0.
                None => V::zero(),
            }))
        };
        let add = |sums: [V; GROUP], bytes: [V; GROUP], group: usize| -> [V; GROUP] {
            let weights = weights.add(group * GROUP * vector);
            std::array::from_fn(|q| sums[q].dot(bytes[q], V::load(weights.add(q * vector))))
        };
        let write = |sums: [V; GROUP], pixel: usize| {
            V::write_quarters(sums, scale, taps.limits, taps.out.add(pixel * taps.channels + first));
        };
        if MOST == 9 && taps.slides() {
            let (mut left, mut middle) = (column(0, 0), column(1, 0));
            for pixel in 0..taps.count {
                let right = column(2, pixel);
                write(add(add(add(bias, left, 0), middle, 1), right, 2), pixel);
                (left, middle) = (middle, right);
            }
            return;
        }
        for pixel in 0..taps.count {
            let sums = (0..count.div_ceil(GROUP)).fold(bias, |sums, group| add(sums, column(group, pixel), group));
            write(sums, pixel);
        }
    }
}
