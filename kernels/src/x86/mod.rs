//! x86-64.

pub(crate) mod avx2;
pub(crate) mod avx2_depthwise;
pub(crate) mod avx2_narrow;
pub(crate) mod avx512_vnni;
pub(crate) mod avx_vnni;
mod vnni;
