//! A bundle taken apart into the entries of its archive, to be put together in ways that arcticd never would.

/// Size of a header, and what content is padded to.
const BLOCK: usize = 512;

/// An entry of a tar archive.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub header: [u8; BLOCK],
    pub content: Vec<u8>,
}

impl Entry {
    /// A regular file as arcticd writes it.
    pub fn new(name: &str, content: Vec<u8>) -> Self {
        let mut entry = Self { header: [0; BLOCK], content };
        for (at, text) in [(100, "0000644\0"), (108, "0000000\0"), (116, "0000000\0"), (136, "13602760400\0")] {
            entry.put(at, text.as_bytes());
        }
        for (at, text) in [(156, "0"), (257, "ustar\x0000"), (329, "0000000\0"), (337, "0000000\0")] {
            entry.put(at, text.as_bytes());
        }
        entry.named(name).sized()
    }

    pub fn named(mut self, name: &str) -> Self {
        self.put(0, &[0; 100]);
        self.put(0, &name.as_bytes()[..name.len().min(100)]);
        self
    }

    /// With the size of its content.
    pub fn sized(mut self) -> Self {
        let size = format!("{:011o}\0", self.content.len());
        self.put(124, size.as_bytes());
        self.sealed()
    }

    pub fn kind(mut self, kind: u8) -> Self {
        self.put(156, &[kind]);
        self.sealed()
    }

    pub fn link(mut self, to: &str) -> Self {
        self.put(157, to.as_bytes());
        self.sealed()
    }

    /// Writes into the header.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.header.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    /// With the checksum of its header: only what it says is wrong, not how it is written.
    pub fn sealed(mut self) -> Self {
        self.put(148, b"        ");
        let sum: u32 = self.header.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self
    }
}

/// The entries of a valid archive.
pub(super) fn entries(file: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut rest = file;
    while let Some((header, behind)) = rest.split_first_chunk::<BLOCK>() {
        let digits = String::from_utf8_lossy(&header[124..135]).into_owned();
        let Ok(size) = usize::from_str_radix(&digits, 8) else { break };
        let Some((content, behind)) = behind.split_at_checked(size) else { break };
        found.push(Entry { header: *header, content: content.to_vec() });
        rest = behind.get(size.next_multiple_of(BLOCK) - size..).unwrap_or_default();
    }
    found
}

/// The archive of these entries, padded, with its end.
pub(super) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for Entry { header, content } in entries {
        bytes.extend(header);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::head::signed::{Maker, file};

    #[test]
    fn a_bundle_is_put_together_again_byte_by_byte_also_from_its_contents_alone() {
        let bundle = file(&super::super::steady(&Maker::new().unwrap(), 0.9, 1).unwrap()).unwrap();
        let entries = entries(&bundle);
        assert_eq!(archive(&entries), bundle);
        let anew = arcticd::heads::bundle::ENTRIES.iter().zip(entries);
        let anew: Vec<Entry> = anew.map(|(name, entry)| Entry::new(name, entry.content)).collect();
        assert_eq!(archive(&anew), bundle);
    }
}
