//! Bytes that start on a cache line, for packed weights and panels.

/// A cache line, and the alignment of the widest vector.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Zero-initialised bytes aligned to 64.
#[derive(Clone, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    pub fn zeroed(bytes: usize) -> Self {
        Self { lines: vec![Line([0; 64]); bytes.div_ceil(64)] }
    }

    /// Makes room for `bytes`; old contents stay, new ones are zero.
    pub fn grow(&mut self, bytes: usize) {
        let lines = bytes.div_ceil(64);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a Line is 64 initialised bytes without padding, and u8 has no alignment.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 64) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the exclusive borrow is passed on.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 64) }
    }
}

thread_local! {
    static SCRATCH: std::cell::Cell<Aligned> = const { std::cell::Cell::new(Aligned { lines: Vec::new() }) };
}

/// Lends this thread's scratch bytes, at least `bytes` of them, with whatever an earlier loan left in them.
pub(crate) fn with_scratch<T>(bytes: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with(|cell| {
        let mut scratch = cell.take();
        scratch.grow(bytes);
        let result = work(scratch.bytes_mut());
        cell.set(scratch);
        result
    })
}
