//! The archive of a bundle: plain ustar, one way to write it and that way alone to read it.
//!
//! Any `tar` unpacks it. Reading builds the header that [`header`] would write and compares: other names, types, owners,
//! times, links, extensions and damaged bytes are all the same to it, refused. That is less code than asking a general
//! reader to be strict, and there is nothing that it could have forgotten to check.

use std::io::{self, Read, Write};

use super::error::BundleError;

/// Size of a header and what content is padded to.
const BLOCK: usize = 512;
/// Two empty blocks end an archive; nothing follows.
const END: usize = 2 * BLOCK;
/// 2020-01-01T00:00:00Z, so that the same content gives the same bytes.
const MTIME: u64 = 1_577_836_800;
/// Largest size that fits eleven octal digits.
const MAX_SIZE: u64 = 0o777_7777_7777;

/// The header of a regular file `name` of `size` bytes.
fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, 0, name);
    put(&mut block, 100, "0000644\0"); // mode
    put(&mut block, 108, "0000000\0"); // uid
    put(&mut block, 116, "0000000\0"); // gid
    put(&mut block, 124, &format!("{size:011o}\0"));
    put(&mut block, 136, &format!("{MTIME:011o}\0"));
    put(&mut block, 148, "        "); // the checksum counts spaces in its own place
    put(&mut block, 156, "0"); // a regular file
    put(&mut block, 257, "ustar\x0000");
    put(&mut block, 329, "0000000\0"); // device numbers
    put(&mut block, 337, "0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, &format!("{sum:06o}\0 "));
    block
}

fn put(block: &mut [u8; BLOCK], at: usize, text: &str) {
    if let Some(field) = block.get_mut(at..at + text.len()) {
        field.copy_from_slice(text.as_bytes());
    }
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// Writes an entry.
pub(super) fn write(out: &mut impl Write, name: &str, content: &[u8]) -> io::Result<()> {
    let size = content.len() as u64;
    if size > MAX_SIZE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than an archive's entry can be"));
    }
    out.write_all(&header(name, size))?;
    out.write_all(content)?;
    out.write_all(&[0; BLOCK][..padding(size)])
}

/// Ends the archive.
pub(super) fn finish(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; END])
}

/// Reads the entry `name`, which must come next and hold at most `limit` bytes.
pub(super) fn read(from: &mut impl Read, name: &'static str, limit: u64) -> Result<Vec<u8>, BundleError> {
    let mut found = [0; BLOCK];
    fill(from, &mut found, name)?;
    let size = size_of(&found).ok_or(BundleError::Header { entry: name })?;
    if header(name, size) != found {
        return Err(BundleError::Header { entry: name });
    }
    if size > limit {
        return Err(BundleError::TooLarge { entry: name, bytes: size, limit });
    }
    // Grows as bytes arrive: a header alone must not claim memory.
    let mut content = Vec::new();
    from.take(size).read_to_end(&mut content).map_err(|error| BundleError::Read { source: error })?;
    if content.len() as u64 != size {
        return Err(BundleError::Truncated { entry: name });
    }
    let mut rest = [0; BLOCK];
    let rest = &mut rest[..padding(size)];
    fill(from, rest, name)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(BundleError::Padding { entry: name });
    }
    Ok(content)
}

/// Reads the end of the archive: two empty blocks, and nothing after them.
pub(super) fn end(from: &mut impl Read) -> Result<(), BundleError> {
    let mut rest = Vec::new();
    from.take(END as u64 + 1).read_to_end(&mut rest).map_err(|error| BundleError::Read { source: error })?;
    if rest.len() < END && rest.iter().all(|byte| *byte == 0) {
        return Err(BundleError::Truncated { entry: "the end" });
    }
    if rest.len() > END || rest.iter().any(|byte| *byte != 0) {
        return Err(BundleError::Trailing);
    }
    Ok(())
}

/// Eleven octal digits and a zero.
fn size_of(header: &[u8; BLOCK]) -> Option<u64> {
    let (digits, end) = header.get(124..136)?.split_at(11);
    let octal = end == [0] && digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    octal.then(|| digits.iter().fold(0, |size, digit| size * 8 + u64::from(digit - b'0')))
}

fn fill(from: &mut impl Read, buffer: &mut [u8], entry: &'static str) -> Result<(), BundleError> {
    from.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BundleError::Truncated { entry },
        _ => BundleError::Read { source: error },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn archive(name: &str, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, name, content).unwrap();
        finish(&mut bytes).unwrap();
        bytes
    }

    fn unpack(bytes: &[u8], limit: u64) -> Result<Vec<u8>, BundleError> {
        let mut from = bytes;
        let content = read(&mut from, "a.txt", limit)?;
        end(&mut from)?;
        Ok(content)
    }

    #[test]
    fn content_of_every_size_around_a_block_comes_back() {
        for size in [0, 1, 511, 512, 513, 1024] {
            let content = vec![7; size];
            let bytes = archive("a.txt", &content);
            assert_eq!(bytes.len() % BLOCK, 0);
            assert_eq!(unpack(&bytes, 2000).unwrap(), content);
        }
    }

    #[test]
    fn another_name_a_larger_size_and_what_follows_the_end_are_refused() {
        assert!(matches!(unpack(&archive("b.txt", b"x"), 9), Err(BundleError::Header { .. })));
        assert!(matches!(unpack(&archive("a.txt", b"0123456789"), 9), Err(BundleError::TooLarge { bytes: 10, .. })));
        for extra in [vec![0], vec![0; BLOCK], b"x".to_vec()] {
            let bytes = [archive("a.txt", b"x"), extra].concat();
            assert!(matches!(unpack(&bytes, 9), Err(BundleError::Trailing)));
        }
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_outside_the_content_is_refused() {
        let bytes = archive("a.txt", b"x");
        for length in 0..bytes.len() {
            assert!(unpack(&bytes[..length], 9).is_err(), "cut to {length}");
        }
        for bit in (0..bytes.len() * 8).filter(|bit| bit / 8 != BLOCK) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(unpack(&flipped, 9).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_header_alone_claims_no_memory() {
        let mut bytes = header("a.txt", MAX_SIZE).to_vec();
        bytes.extend([1; 100]);
        assert!(matches!(unpack(&bytes, u64::MAX), Err(BundleError::Truncated { .. })));
    }
}
