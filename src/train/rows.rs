//! Feature rows, one a view of a photo.

use std::path::PathBuf;

/// Feature vectors of equal length, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    width: usize,
    values: Vec<f32>,
}

impl Rows {
    /// No rows yet, of `width` features each (at least 1).
    pub fn new(width: usize) -> Self {
        Self { width: width.max(1), values: Vec::new() }
    }

    /// Makes room for so many more rows, so that none is copied as they come.
    pub fn reserve(&mut self, rows: usize) {
        self.values.reserve_exact(rows.saturating_mul(self.width));
    }

    /// Takes out the rows whose place `moves`, in order; the others close up. Memory is taken for the moved ones alone.
    pub fn split_off_where(&mut self, moves: impl Fn(usize) -> bool) -> Self {
        let mut moved = Self::new(self.width);
        moved.reserve((0..self.len()).filter(|place| moves(*place)).count());
        let mut kept = 0;
        for place in 0..self.len() {
            if moves(place) {
                moved.push(self.row(place));
            } else {
                self.values.copy_within(place * self.width..(place + 1) * self.width, kept * self.width);
                kept += 1;
            }
        }
        self.values.truncate(kept * self.width);
        self.values.shrink_to_fit();
        moved
    }

    /// Appends a row; one of another length is cut or filled with zeros, which callers exclude.
    pub fn push(&mut self, row: &[f32]) {
        debug_assert_eq!(row.len(), self.width);
        let end = self.values.len() + self.width;
        self.values.extend(row.iter().take(self.width));
        self.values.resize(end, 0.0);
    }

    /// Features a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> + Clone {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Row `place`; empty beyond the end.
    pub fn row(&self, place: usize) -> &[f32] {
        self.values.get(place * self.width..(place + 1) * self.width).unwrap_or_default()
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Labelled feature rows. The vectors beside `rows` hold one entry a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// The labels, sorted.
    pub labels: Vec<String>,
    /// One row a view.
    pub rows: Rows,
    /// Place of the row's label in `labels`.
    pub class: Vec<usize>,
    /// Place in `photos` of the photo that the row is a view of. Views of a photo stay on one side of a split.
    pub photo: Vec<usize>,
    /// Whether the row is the photo itself, as a trap would see it, and not a changed view.
    pub plain: Vec<bool>,
    /// The photos. Packaged background rows have none of their own: their path is empty.
    pub photos: Vec<PathBuf>,
    /// For each photo the first photo of its label's near-duplicates (often itself): they stay on one side of a split.
    pub cluster: Vec<usize>,
    /// For each photo the first photo of its label with the very same content (often itself).
    pub copies: Vec<usize>,
}

impl Dataset {
    /// Whether a photo (a place in `photos`) is a packaged row: there is no picture of it, and it is not the user's.
    pub fn is_packaged(&self, photo: usize) -> bool {
        self.photos.get(photo).is_some_and(|path| path.as_os_str().is_empty())
    }

    /// Groups that a split may not part: for each photo the first of its group, and the labels (places) whose
    /// near-duplicates are parted nevertheless.
    ///
    /// These are the labels with one group of near-duplicates, a fixed camera's as a rule: all its frames are alike, and
    /// joined they would leave nothing to hold out. Only copies of them stay together.
    pub(super) fn groups(&self) -> (Vec<usize>, Vec<usize>) {
        let mut class_of = vec![None; self.photos.len()];
        for (photo, class) in self.photo.iter().zip(&self.class) {
            if let Some(slot) = class_of.get_mut(*photo) {
                *slot = Some(*class);
            }
        }
        let named = |groups: &[usize], photo: usize| groups.get(photo).copied().unwrap_or(photo);
        let count = |groups: &[usize], class: usize| {
            let own = class_of.iter().enumerate().filter(|(_, own)| **own == Some(class));
            own.filter(|(photo, _)| named(groups, *photo) == *photo).count()
        };
        let parted: Vec<usize> = (0..self.labels.len())
            .filter(|class| {
                let joined = count(&self.cluster, *class);
                joined < 2 && count(&self.copies, *class) > joined
            })
            .collect();
        let group = |(photo, class): (usize, &Option<usize>)| match class {
            Some(class) if parted.contains(class) => named(&self.copies, photo),
            _ => named(&self.cluster, photo),
        };
        (class_of.iter().enumerate().map(group).collect(), parted)
    }
}
