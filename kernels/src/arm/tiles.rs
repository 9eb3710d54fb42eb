//! From blocks to tiles, for kernels that write whole ones.

use crate::gemm::Block;

/// Calls `multiply` with the rows of each tile, where its results go, and the bytes from one row's results to the next
/// one's. Parts of tiles are computed beside the picture, from rows that come twice, and what is wanted is copied.
///
/// # Safety
/// The block is as its fields say.
#[inline(always)]
pub(super) unsafe fn each<const ROWS: usize, const COLUMNS: usize>(
    block: &Block,
    multiply: impl Fn([*const u8; ROWS], *mut u8, usize),
) {
    // SAFETY: passed on; a row's results are `columns` bytes.
    unsafe {
        let rest = if block.columns == COLUMNS {
            block.whole_tiles(|tile| multiply(tile.rows, tile.out[0], block.pitch))
        } else {
            Block { ..*block }
        };
        rest.each_tile(|tile| {
            let mut levels = [[0_u8; COLUMNS]; ROWS];
            multiply(tile.rows, levels.as_mut_ptr().cast(), COLUMNS);
            for (levels, out) in levels.iter().zip(tile.out) {
                std::ptr::copy_nonoverlapping(levels.as_ptr(), out, block.columns);
            }
        });
    }
}
