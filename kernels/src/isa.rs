//! Instruction sets: which there are, which this processor has, which one is taken.

use std::fmt;

/// An instruction set that kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, on any processor.
    Portable,
    /// x86-64 with AVX2: 16-bit products added in pairs.
    Avx2,
    /// x86-64 with AVX-VNNI: four 8-bit products added at once, 256 bits wide.
    AvxVnni,
    /// x86-64 with AVX-512 VNNI (and BW, VL): four 8-bit products added at once, 512 bits wide.
    Avx512Vnni,
    /// aarch64 without dot product (Cortex-A53, A72: Raspberry Pi 3, 4, Zero 2).
    Neon,
    /// aarch64 with SDOT (Cortex-A76, A78: Raspberry Pi 5, Orin).
    NeonDot,
    /// aarch64 with SMMLA (the i8mm extension).
    NeonI8mm,
    /// 32-bit ARM (armv7) with NEON.
    Neon32,
}

impl Isa {
    /// All of them, plainest first.
    pub const ALL: [Self; 8] = [
        Self::Portable,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
        Self::Neon,
        Self::NeonDot,
        Self::NeonI8mm,
        Self::Neon32,
    ];

    /// Its name, as `ARCTICD_KERNELS` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Neon => "neon",
            Self::NeonDot => "neon-dot",
            Self::NeonI8mm => "neon-i8mm",
            Self::Neon32 => "neon32",
        }
    }

    /// The one called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => Self::Avx2.is_available() && is_x86_feature_detected!("avxvnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm => {
                // Its depthwise kernel is that of the dot product.
                std::arch::is_aarch64_feature_detected!("i8mm") && std::arch::is_aarch64_feature_detected!("dotprod")
            }
            #[cfg(target_arch = "arm")]
            Self::Neon32 => *crate::arm::neon32::DETECTED,
            _ => false,
        }
    }

    /// Those that this processor has, plainest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// The fastest one that this processor has.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Portable)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}
