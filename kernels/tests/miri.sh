#!/bin/sh
# Runs the kernels of x86-64 instruction sets that this processor lacks (AVX-VNNI, AVX-512 VNNI) in Miri, which interprets
# each instruction and watches every access (aliasing rules are left out, for time). The one instruction that it does not
# know, vcvtps2dq on 512 bits, is taken in halves. Takes about ten minutes; needs
#   rustup component add miri rust-src --toolchain nightly
set -eu
cd "$(dirname "$0")/.."
features=+avx2,+avxvnni,+avx512f,+avx512bw,+avx512vl,+avx512vnni
# Rounds of the random tests, which take a minute each: 0 leaves the fixed shapes.
MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-disable-validation -Zmiri-disable-stacked-borrows ${MIRIFLAGS:-}" \
    KERNELS_TEST_ROUNDS="${KERNELS_TEST_ROUNDS:-0}" RUSTFLAGS="-C target-feature=$features" \
    cargo +nightly miri test --test same_bits -- --no-capture every only convolutions "$@"
