//! x86-64.

pub(crate) mod avx2;
pub(crate) mod avx2_depthwise;
pub(crate) mod avx2_narrow;
