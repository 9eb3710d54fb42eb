//! How much is free where frames are written.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{StatVfs, fstatvfs, statvfs};

/// Free bytes, and how many are to stay so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    free: u64,
    floor: u64,
}

impl Room {
    /// Of the file system of `path`, of which `min_free` bytes are to stay free, or a tenth if that is less.
    ///
    /// # Errors
    /// Those of the system.
    pub fn of(path: &Path, min_free: u64) -> io::Result<Self> {
        Ok(Self::from(&statvfs(path)?, min_free))
    }

    /// The same of an open directory.
    pub(super) fn at(directory: impl AsFd, min_free: u64) -> io::Result<Self> {
        Ok(Self::from(&fstatvfs(directory)?, min_free))
    }

    fn from(stat: &StatVfs, min_free: u64) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Self { free: bytes(stat.f_bavail), floor: min_free.min(bytes(stat.f_blocks) / 10) }
    }

    /// MiB that are free.
    pub fn free_mib(&self) -> u64 {
        self.free >> 20
    }

    /// Whether less is free than is to be.
    pub fn is_low(&self) -> bool {
        self.free < self.floor
    }

    /// Whether it would still not be low with so many bytes less.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        self.free.saturating_sub(bytes) >= self.floor.max(1)
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By the bytes where MiB would say that 0 is less than 0.
        let (free, floor, unit) = match self.floor >> 20 {
            0 => (self.free >> 10, self.floor >> 10, "KiB"),
            _ => (self.free >> 20, self.floor >> 20, "MiB"),
        };
        write!(f, "{free} {unit} are free, and {floor} are to be (capture.min_free_mib)")
    }
}
