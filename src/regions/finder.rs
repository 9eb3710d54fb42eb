//! Boxes around what does not fit.

use super::Part;
use super::background::Difference;

/// Share of the cells that have to be strange together: an animal a twentieth as wide as the frame has three times as many.
const SMALLEST: f32 = 0.0006;
/// From this share of strange cells on it is the light, or the camera, and no animal.
const EVERYWHERE: f32 = 0.35;
/// Of the frame's longer side: something larger is seen as well in the whole frame, if it is something.
const LARGEST: f32 = 0.6;
/// Cells between two boxes that are taken for one thing: legs and belly of a bear on snow.
const NEAR: usize = 4;

/// What a difference says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// These parts are new, the most striking first; often none.
    Parts(Vec<Part>),
    /// So much is new that nothing can be said.
    Everything,
}

#[derive(Debug, Clone, Copy)]
struct Patch {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    cells: usize,
    sum: f32,
}

impl Patch {
    fn near(&self, other: &Self) -> bool {
        let apart = |end: usize, start: usize| end + NEAR < start;
        !(apart(self.right, other.left)
            || apart(other.right, self.left)
            || apart(self.bottom, other.top)
            || apart(other.bottom, self.top))
    }

    fn join(&mut self, other: &Self) {
        self.left = self.left.min(other.left);
        self.top = self.top.min(other.top);
        self.right = self.right.max(other.right);
        self.bottom = self.bottom.max(other.bottom);
        self.cells += other.cells;
        self.sum += other.sum;
    }
}

/// At most `most` parts of a plane with so many columns.
pub(super) fn find(difference: &Difference, columns: usize, most: usize) -> Found {
    let cells = &difference.strangeness;
    let strange = cells.iter().filter(|value| **value > 1.0).count();
    if strange as f32 > EVERYWHERE * cells.len() as f32 {
        return Found::Everything;
    }
    let rows = cells.len() / columns.max(1);
    let least = ((SMALLEST * cells.len() as f32) as usize).max(4);
    // Single cells are noise; they would also widen boxes.
    let mut patches: Vec<Patch> =
        patches(cells, columns, rows).into_iter().filter(|patch| patch.cells * 3 >= least).collect();
    while let Some((a, b)) = pair(&patches) {
        let other = patches.swap_remove(b);
        patches[a].join(&other);
    }
    let largest = (LARGEST * columns.max(rows) as f32) as usize;
    patches.retain(|patch| patch.cells >= least && (patch.right - patch.left).max(patch.bottom - patch.top) < largest);
    patches.sort_by(|a, b| b.sum.total_cmp(&a.sum));
    let share = |from: usize, to: usize, all: usize| (from as f32 / all as f32, (to - from + 1) as f32 / all as f32);
    let part = |patch: &Patch| {
        let ((x, width), (y, height)) = (share(patch.left, patch.right, columns), share(patch.top, patch.bottom, rows));
        Part { x, y, width, height }
    };
    Found::Parts(patches.iter().take(most).map(part).collect())
}

/// Two that are near, the earlier one first.
fn pair(patches: &[Patch]) -> Option<(usize, usize)> {
    (0..patches.len()).find_map(|a| (a + 1..patches.len()).find(|b| patches[a].near(&patches[*b])).map(|b| (a, b)))
}

/// Strange cells that touch, also at a corner.
fn patches(cells: &[f32], columns: usize, rows: usize) -> Vec<Patch> {
    let mut todo: Vec<bool> = cells.iter().map(|value| *value > 1.0).collect();
    let mut found = Vec::new();
    let mut stack = Vec::new();
    for start in 0..todo.len() {
        if !std::mem::take(&mut todo[start]) {
            continue;
        }
        let (column, row) = (start % columns, start / columns);
        let mut patch = Patch { left: column, top: row, right: column, bottom: row, cells: 0, sum: 0.0 };
        stack.push((column, row));
        while let Some((column, row)) = stack.pop() {
            let sum = (cells[row * columns + column] - 1.0).min(10.0);
            patch.join(&Patch { left: column, top: row, right: column, bottom: row, cells: 1, sum });
            for near_row in row.saturating_sub(1)..=(row + 1).min(rows - 1) {
                for near_column in column.saturating_sub(1)..=(column + 1).min(columns - 1) {
                    if std::mem::take(&mut todo[near_row * columns + near_column]) {
                        stack.push((near_column, near_row));
                    }
                }
            }
        }
        found.push(patch);
    }
    found
}
