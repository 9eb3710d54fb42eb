//! A frame, small and gray.

use crate::frame::Pixels;

/// Cells of the longer side: an animal a sixteenth as wide as the frame is twelve cells wide.
const LONGER: u32 = 192;

/// Mean luma of the cells, 0 to 255, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plane {
    pub columns: usize,
    pub rows: usize,
    pub luma: Vec<f32>,
}

impl Plane {
    /// `None` for a picture without pixels.
    pub fn of(pixels: &Pixels) -> Option<Self> {
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        if width == 0 || height == 0 || pixels.rgb.len() != width * height * 3 {
            return None;
        }
        let longer = pixels.width.max(pixels.height);
        let cells = |side: u32| (u64::from(side) * u64::from(LONGER.min(longer)) / u64::from(longer)).max(1) as usize;
        let (columns, rows) = (cells(pixels.width), cells(pixels.height));
        let column_of: Vec<u32> = (0..width).map(|x| (x * columns / width) as u32).collect();
        let mut sums = vec![0_u32; columns * rows];
        let mut counts = vec![0_u32; columns * rows];
        for (y, line) in pixels.rgb.chunks_exact(width * 3).enumerate() {
            let first = y * rows / height * columns;
            let (sums, counts) = (&mut sums[first..first + columns], &mut counts[first..first + columns]);
            for (pixel, column) in line.chunks_exact(3).zip(&column_of) {
                let luma = 77 * u32::from(pixel[0]) + 150 * u32::from(pixel[1]) + 29 * u32::from(pixel[2]);
                sums[*column as usize] += luma >> 8;
                counts[*column as usize] += 1;
            }
        }
        let luma = sums.iter().zip(&counts).map(|(sum, count)| *sum as f32 / (*count).max(1) as f32).collect();
        Some(Self { columns, rows, luma })
    }

    /// Steepest step to the right or lower neighbour, cell by cell.
    pub fn edges(&self) -> Vec<f32> {
        let at =
            |column: usize, row: usize| self.luma[row.min(self.rows - 1) * self.columns + column.min(self.columns - 1)];
        (0..self.rows)
            .flat_map(|row| (0..self.columns).map(move |column| (column, row)))
            .map(|(column, row)| {
                let here = at(column, row);
                (at(column + 1, row) - here).abs().max((at(column, row + 1) - here).abs())
            })
            .collect()
    }
}

/// Mean of each cell's surroundings, `radius` cells in each direction; at the border of what there is.
pub(super) fn smoothed(values: &[f32], columns: usize, rows: usize, radius: usize) -> Vec<f32> {
    let window = |at: usize, length: usize| (at.saturating_sub(radius), (at + radius).min(length - 1));
    // Sums of whole rows, from row to row: memory is read as it lies. In `f64`, so that what was added and taken away again
    // leaves nothing.
    let mut sums = vec![0.0_f64; columns];
    let row = |row: usize| &values[row * columns..(row + 1) * columns];
    for first in 0..radius.min(rows) {
        sums.iter_mut().zip(row(first)).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let mut result = vec![0.0; values.len()];
    for (at, line) in result.chunks_exact_mut(columns).enumerate() {
        if at + radius < rows {
            sums.iter_mut().zip(row(at + radius)).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        if at > radius {
            sums.iter_mut().zip(row(at - radius - 1)).for_each(|(sum, value)| *sum -= f64::from(*value));
        }
        let (top, bottom) = window(at, rows);
        let mut across: f64 = sums.iter().take(radius).sum();
        for (column, mean) in line.iter_mut().enumerate() {
            if column + radius < columns {
                across += sums[column + radius];
            }
            if column > radius {
                across -= sums[column - radius - 1];
            }
            let (left, right) = window(column, columns);
            *mean = (across / ((right - left + 1) * (bottom - top + 1)) as f64) as f32;
        }
    }
    result
}
