//! What can be done to any bytes.

use crate::scenes::random::Random;

/// A place below `end`; 0 if there is none.
pub(super) fn below(random: &mut Random, end: usize) -> usize {
    (random.next() % end.max(1) as u64) as usize
}

/// So many bytes of noise.
pub(super) fn noise(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.next() as u8).collect()
}

pub(super) fn flip_bits(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..=below(random, 8) {
        let (at, bit) = (below(random, bytes.len()), below(random, 8));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
    bytes
}

/// A run of up to 64 bytes becomes something else.
pub(super) fn change_bytes(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let at = below(random, bytes.len());
    let run = 1 + below(random, 64);
    let same = random.pick(&[None, Some(0), Some(255), Some(b'0'), Some(b'/')]);
    for byte in bytes.iter_mut().skip(at).take(run) {
        *byte = same.unwrap_or(random.next() as u8);
    }
    bytes
}

pub(super) fn truncate(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    bytes.truncate(below(random, bytes.len()));
    bytes
}

/// Noise, zeros or itself once more behind it.
pub(super) fn extend(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let count = random.pick(&[1, 2, 511, 512, 513, 1024, 40_000]);
    match below(random, 3) {
        0 => bytes.extend(noise(random, count)),
        1 => bytes.resize(bytes.len() + count, 0),
        _ => bytes.extend_from_within(..),
    }
    bytes
}

/// A run is left out, doubled, or moved elsewhere.
pub(super) fn cut_and_paste(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let at = below(random, bytes.len());
    let run = 1 + below(random, random_run(bytes.len()));
    let piece: Vec<u8> = bytes.iter().skip(at).take(run).copied().collect();
    if below(random, 3) > 0 {
        bytes.drain(at..at + piece.len());
    }
    if below(random, 2) > 0 {
        let to = below(random, bytes.len() + 1);
        bytes.splice(to..to, piece);
    }
    bytes
}

fn random_run(len: usize) -> usize {
    (len / 2).clamp(1, 4096)
}
