//! The signature of a head: minisign's format, so that the stock tool makes and checks it.
//!
//! <https://jedisct1.github.io/minisign/>: four lines, of which the first is protected by nothing. In a bundle it is
//! therefore fixed, and the base64 lines are those that encoding their bytes gives, so that no byte can change unseen.

use std::fmt;

use ct_codecs::{Base64, Decoder, Encoder};

/// Largest signature that is read, in bytes. Stock minisign's are about 300.
pub const MAX_BYTES: usize = 2048;

/// What stock minisign writes into the first line, and the only text that may stand there in a bundle.
const UNTRUSTED: &str = "untrusted comment: signature from minisign secret key";
const TRUSTED: &str = "trusted comment: ";

/// Which key signed, as stock minisign prints it: 16 hexadecimal digits. Anybody can claim one; it only says which key
/// to check with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// Of a public key's bytes: algorithm, id, key.
    pub(super) fn of_key(key: &[u8; 42]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&key[2..10]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Why bytes are no signature that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// More bytes than any signature has.
    #[error("the signature has {bytes} bytes, more than {MAX_BYTES}; sign again with a shorter trusted comment")]
    TooLarge {
        /// Found.
        bytes: usize,
    },
    /// Not the four lines.
    #[error("the signature is not in minisign's format ({problem}); it is damaged or something else, sign again")]
    Syntax {
        /// What is wrong.
        problem: &'static str,
    },
    /// Four lines that differ from those that its content gives.
    #[error("the signature is damaged: it is not written as minisign writes it; sign again")]
    NotExact,
}

/// A signature, taken apart but not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Algorithm, key id and the signature of the message.
    first: [u8; 74],
    comment: String,
    /// The signature of the signature and the trusted comment.
    global: [u8; 64],
}

impl Signature {
    /// Reads what minisign wrote, whatever its untrusted comment.
    ///
    /// # Errors
    /// [`FormatError::TooLarge`] and [`FormatError::Syntax`].
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > MAX_BYTES {
            return Err(FormatError::TooLarge { bytes: bytes.len() });
        }
        let wrong = |problem| FormatError::Syntax { problem };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is no UTF-8"))?;
        let mut lines = text.lines();
        let mut line = |problem| lines.next().ok_or(wrong(problem));
        if !line("it is empty")?.starts_with("untrusted comment: ") {
            return Err(wrong("its first line is no untrusted comment"));
        }
        let first: [u8; 74] = decode(line("it has no second line")?).ok_or(wrong("its second line is damaged"))?;
        if !matches!(&first[..2], b"ED" | b"Ed") {
            return Err(wrong("its algorithm is not Ed25519"));
        }
        let comment = line("it has no trusted comment")?.strip_prefix(TRUSTED);
        let comment = comment.ok_or(wrong("its third line is no trusted comment"))?;
        // It is printed on terminals and in logs; minisign's own comment holds tabs.
        if comment.chars().any(|c| c.is_control() && c != '\t') {
            return Err(wrong("its trusted comment holds control characters"));
        }
        let global = decode(line("it has no fourth line")?).ok_or(wrong("its fourth line is damaged"))?;
        if lines.next().is_some() {
            return Err(wrong("it has more than four lines"));
        }
        Ok(Self { first, comment: comment.to_owned(), global })
    }

    /// Reads a signature that must be written as [`Signature::encode`] does, as it is in a bundle.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn parse_exact(bytes: &[u8]) -> Result<Self, FormatError> {
        let signature = Self::parse(bytes)?;
        if signature.encode().as_bytes() == bytes { Ok(signature) } else { Err(FormatError::NotExact) }
    }

    /// The four lines, each with its end.
    pub fn encode(&self) -> String {
        let (first, global) = (base64(&self.first), base64(&self.global));
        format!("{UNTRUSTED}\n{first}\n{TRUSTED}{}\n{global}\n", self.comment)
    }

    /// The key that it claims to be made with.
    pub fn key(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.first[2..10]);
        KeyId(id)
    }

    /// What the signer wrote beside. Trustworthy only once the signature is checked.
    pub fn trusted_comment(&self) -> &str {
        &self.comment
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    // Fails only where a length overflows.
    Base64::encode_to_string(bytes).unwrap_or_default()
}

pub(super) fn decode<const N: usize>(line: &str) -> Option<[u8; N]> {
    Base64::decode_to_vec(line, None).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Made by stock minisign 0.11 (`test`, key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3).
    const STOCK: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";

    #[test]
    fn what_stock_minisign_writes_is_read_and_written_back_as_it_was() {
        let signature = Signature::parse_exact(STOCK.as_bytes()).unwrap();
        assert_eq!(signature.key().to_string(), "E7620F1842B4E81F");
        assert_eq!(signature.trusted_comment(), "timestamp:1633700835\tfile:test\tprehashed");
        assert_eq!(signature.encode(), STOCK);
    }

    #[test]
    fn another_untrusted_comment_is_read_but_not_in_a_bundle() {
        let other = STOCK.replace("signature from minisign secret key", "by Ada, with another pen");
        assert_eq!(Signature::parse(other.as_bytes()).unwrap().encode(), STOCK);
        assert_eq!(Signature::parse_exact(other.as_bytes()), Err(FormatError::NotExact));
    }

    #[test]
    fn lines_that_are_missing_too_many_or_damaged_are_refused() {
        let lines: Vec<&str> = STOCK.lines().collect();
        for missing in 0..4 {
            let mut rest = lines.clone();
            rest.remove(missing);
            assert!(Signature::parse(rest.join("\n").as_bytes()).is_err(), "without line {missing}");
        }
        for text in [format!("{STOCK}more\n"), STOCK.replace("RUQf", "RVQf"), STOCK.replace("\tfile", "\x1b[2Jfile")] {
            assert!(matches!(Signature::parse(text.as_bytes()), Err(FormatError::Syntax { .. })), "{text}");
        }
        assert!(matches!(Signature::parse(&[b'a'; 2049]), Err(FormatError::TooLarge { bytes: 2049 })));
        assert!(Signature::parse(b"").is_err() && Signature::parse(&[0xff; 300]).is_err());
    }

    #[test]
    fn the_unused_bits_of_a_base64_line_must_be_zero() {
        // `o=` and `p=` decode to the same byte where a decoder is lax.
        assert!(Signature::parse(STOCK.replace("LzZwo=", "LzZwp=").as_bytes()).is_err());
        assert!(Signature::parse(STOCK.replace("AooBQ==", "AooBR==").as_bytes()).is_err());
    }

    #[test]
    fn windows_line_ends_are_read_but_not_in_a_bundle() {
        let windows = STOCK.replace('\n', "\r\n");
        assert_eq!(Signature::parse(windows.as_bytes()).unwrap().encode(), STOCK);
        assert_eq!(Signature::parse_exact(windows.as_bytes()), Err(FormatError::NotExact));
    }
}
