//! Which format a file has, by its first bytes; names lie.

use serde::{Deserialize, Serialize};

use super::FrameError;

/// A picture format that is decoded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG: baseline, progressive or arithmetic; gray, colour, CMYK.
    Jpeg,
    /// PNG.
    Png,
    /// Windows bitmap.
    Bmp,
    /// GIF, its first picture.
    Gif,
    /// TIFF, its first picture.
    Tiff,
    /// WebP, its first picture.
    WebP,
}

impl Format {
    /// Recognises a file.
    ///
    /// # Errors
    ///
    /// [`FrameError::Unsupported`] by name for what cameras write but is not decoded here, else
    /// [`FrameError::Unrecognised`].
    pub fn of(bytes: &[u8]) -> Result<Self, FrameError> {
        if let Some(brand) = iso_media_brand(bytes) {
            return Err(FrameError::Unsupported { format: brand.to_owned() });
        }
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Ok(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(Self::Gif),
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Ok(Self::Tiff),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => {
                Err(FrameError::Unsupported { format: "an AVI film".to_owned() })
            }
            [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => {
                Err(FrameError::Unsupported { format: "JPEG XL".to_owned() })
            }
            // Two letters are a weak sign, so the four reserved bytes, always zero, must agree.
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Ok(Self::Bmp),
            _ => Err(FrameError::Unrecognised),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
        })
    }
}

/// What an ISO base media file (HEIC, AVIF, MP4 and their kin) is, by its major brand.
fn iso_media_brand(bytes: &[u8]) -> Option<&'static str> {
    let [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] = bytes else { return None };
    Some(match brand.get(..4)? {
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" => "HEIC",
        b"mif1" | b"msf1" => "HEIF",
        b"avif" | b"avis" => "AVIF",
        b"crx " => "a Canon raw picture",
        _ => "a film (MP4 or MOV)",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn formats_that_phones_write_are_refused_by_name() {
        for (brand, name) in [(b"heic", "HEIC"), (b"mif1", "HEIF"), (b"avif", "AVIF"), (b"isom", "film")] {
            let bytes = [b"\0\0\0\x18ftyp".as_slice(), brand, b"\0\0\0\0"].concat();
            let error = Format::of(&bytes).expect_err("not decoded here");
            assert!(matches!(&error, FrameError::Unsupported { format } if format.contains(name)), "{error:?}");
            assert!(error.to_string().contains("JPEG"), "says what to do: {error}");
        }
    }

    #[test]
    fn text_and_stubs_are_not_pictures() {
        for bytes in [b"hello, polar bear".as_slice(), b"\xFF\xD8", b"BM", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftyp"] {
            assert_eq!(Format::of(bytes), Err(FrameError::Unrecognised));
        }
    }
}
