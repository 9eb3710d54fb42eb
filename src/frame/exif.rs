//! What the camera notes about a picture: which way is up, when and where.
//!
//! A reader of our own, not a crate: it follows exactly three directories (IFD0, Exif, GPS) with a bounded number of
//! entries and checked 64-bit offsets, so that loops, huge counts and cut-off blocks cost nothing, on 32-bit boards too.

use super::CaptureTime;
use super::orient::Orientation;

/// More entries than any camera writes; the rest of a longer directory is not read.
const MAX_ENTRIES: u16 = 1_000;

/// Numbers of the tags that are read.
mod tag {
    pub const ORIENTATION: u16 = 0x0112;
    pub const DATE_TIME: u16 = 0x0132;
    pub const EXIF_DIRECTORY: u16 = 0x8769;
    pub const GPS_DIRECTORY: u16 = 0x8825;
    pub const DATE_TIME_ORIGINAL: u16 = 0x9003;
    pub const DATE_TIME_DIGITIZED: u16 = 0x9004;
    pub const OFFSET_TIME: u16 = 0x9010;
    pub const OFFSET_TIME_ORIGINAL: u16 = 0x9011;
    pub const OFFSET_TIME_DIGITIZED: u16 = 0x9012;
    pub const SUB_SEC_TIME: u16 = 0x9290;
    pub const SUB_SEC_TIME_ORIGINAL: u16 = 0x9291;
    pub const SUB_SEC_TIME_DIGITIZED: u16 = 0x9292;
    pub const GPS_LATITUDE_REF: u16 = 1;
    pub const GPS_LATITUDE: u16 = 2;
    pub const GPS_LONGITUDE_REF: u16 = 3;
    pub const GPS_LONGITUDE: u16 = 4;
}

/// The camera's notes; what is missing or broken is at its default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Exif {
    pub orientation: Orientation,
    pub captured_at: Option<CaptureTime>,
    pub position: Option<(f64, f64)>,
}

impl Exif {
    /// Reads a TIFF structure: an EXIF block (with or without its `Exif\0\0` prefix) or a whole TIFF file.
    pub fn read(block: &[u8]) -> Self {
        Self::try_read(block.strip_prefix(b"Exif\0\0").unwrap_or(block)).unwrap_or_default()
    }

    fn try_read(block: &[u8]) -> Option<Self> {
        let tiff = Tiff::open(block)?;
        let main = tiff.directory(tiff.u32_at(4)?)?;
        let sub_directory = |tag| main.entry(tag)?.number().and_then(|at| tiff.directory(at));
        let exif = sub_directory(tag::EXIF_DIRECTORY);
        let gps = sub_directory(tag::GPS_DIRECTORY);
        Some(Self {
            orientation: main
                .entry(tag::ORIENTATION)
                .and_then(|entry| entry.number())
                .map(Orientation::from_exif)
                .unwrap_or_default(),
            captured_at: captured_at(&main, exif.as_ref()),
            position: gps.as_ref().and_then(position),
        })
    }
}

/// The moment of exposure, else of digitising, else of the last change, whichever comes first and makes sense.
fn captured_at(main: &Directory, exif: Option<&Directory>) -> Option<CaptureTime> {
    let text = |tag| exif?.entry(tag)?.text();
    let time = |time: Option<&str>, offset, fraction| {
        CaptureTime::from_exif(time?, text(offset).or_else(|| text(tag::OFFSET_TIME)), text(fraction))
    };
    time(text(tag::DATE_TIME_ORIGINAL), tag::OFFSET_TIME_ORIGINAL, tag::SUB_SEC_TIME_ORIGINAL)
        .or_else(|| time(text(tag::DATE_TIME_DIGITIZED), tag::OFFSET_TIME_DIGITIZED, tag::SUB_SEC_TIME_DIGITIZED))
        .or_else(|| {
            time(main.entry(tag::DATE_TIME).and_then(|entry| entry.text()), tag::OFFSET_TIME, tag::SUB_SEC_TIME)
        })
}

/// Latitude and longitude in degrees. Without both hemispheres there is no position, and exactly 0, 0 is a receiver that
/// had no fix: no camera trap stands in the Gulf of Guinea.
fn position(gps: &Directory) -> Option<(f64, f64)> {
    let degrees = |tag, reference, positive, negative| {
        let sign = match gps.entry(reference)?.text()? {
            text if text.eq_ignore_ascii_case(positive) => 1.0,
            text if text.eq_ignore_ascii_case(negative) => -1.0,
            _ => return None,
        };
        let entry = gps.entry(tag)?;
        Some(sign * (entry.rational(0)? + entry.rational(1)? / 60.0 + entry.rational(2)? / 3600.0))
    };
    let latitude = degrees(tag::GPS_LATITUDE, tag::GPS_LATITUDE_REF, "N", "S")?;
    let longitude = degrees(tag::GPS_LONGITUDE, tag::GPS_LONGITUDE_REF, "E", "W")?;
    let on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
    (on_earth && (latitude != 0.0 || longitude != 0.0)).then_some((latitude, longitude))
}

/// A TIFF structure: a byte order and offsets into one block.
#[derive(Clone, Copy)]
struct Tiff<'a> {
    block: &'a [u8],
    big_endian: bool,
}

impl<'a> Tiff<'a> {
    fn open(block: &'a [u8]) -> Option<Self> {
        match block {
            [b'I', b'I', 42, 0, ..] => Some(Self { block, big_endian: false }),
            [b'M', b'M', 0, 42, ..] => Some(Self { block, big_endian: true }),
            _ => None,
        }
    }

    fn slice(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        let end = usize::try_from(at.checked_add(length)?).ok()?;
        self.block.get(usize::try_from(at).ok()?..end)
    }

    fn u16_at(&self, at: u64) -> Option<u16> {
        let bytes = self.slice(at, 2)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32_at(&self, at: u64) -> Option<u32> {
        let bytes = self.slice(at, 4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn directory(self, at: u32) -> Option<Directory<'a>> {
        let entries = self.u16_at(u64::from(at))?.min(MAX_ENTRIES);
        Some(Directory { tiff: self, first: u64::from(at) + 2, entries })
    }
}

/// A list of tagged values.
struct Directory<'a> {
    tiff: Tiff<'a>,
    first: u64,
    entries: u16,
}

impl<'a> Directory<'a> {
    /// The first entry with this tag, if its value lies within the block.
    fn entry(&self, tag: u16) -> Option<Entry<'a>> {
        let tiff = self.tiff;
        let at = (0..u64::from(self.entries))
            .map(|index| self.first + index * 12)
            .find(|at| tiff.u16_at(*at) == Some(tag))?;
        let kind = tiff.u16_at(at + 2)?;
        let size = match kind {
            1 | 2 | 7 => 1,
            3 => 2,
            4 => 4,
            5 => 8,
            _ => return None,
        };
        let length = u64::from(tiff.u32_at(at + 4)?) * size;
        let value_at = if length <= 4 { at + 8 } else { u64::from(tiff.u32_at(at + 8)?) };
        let value = tiff.slice(value_at, length)?;
        Some(Entry { tiff, kind, value_at, value })
    }
}

/// One tagged value.
struct Entry<'a> {
    tiff: Tiff<'a>,
    kind: u16,
    value_at: u64,
    value: &'a [u8],
}

impl<'a> Entry<'a> {
    /// A short or long number.
    fn number(&self) -> Option<u32> {
        match self.kind {
            3 if self.value.len() >= 2 => self.tiff.u16_at(self.value_at).map(u32::from),
            4 if self.value.len() >= 4 => self.tiff.u32_at(self.value_at),
            _ => None,
        }
    }

    /// Text up to its first zero byte, trimmed.
    fn text(&self) -> Option<&'a str> {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        std::str::from_utf8(self.value.get(..end)?).ok().map(str::trim)
    }

    /// The unsigned fraction at `index`.
    fn rational(&self, index: u64) -> Option<f64> {
        if self.kind != 5 || (index + 1) * 8 > self.value.len() as u64 {
            return None;
        }
        let numerator = self.tiff.u32_at(self.value_at + index * 8)?;
        let denominator = self.tiff.u32_at(self.value_at + index * 8 + 4)?;
        (denominator != 0).then(|| f64::from(numerator) / f64::from(denominator))
    }
}

#[cfg(test)]
#[path = "exif_tests.rs"]
mod tests;
