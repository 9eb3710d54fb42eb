//! When a camera says a picture was taken.

use std::fmt;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// When a camera says a picture was taken.
///
/// As text it is ISO 8601 to the second, with the offset if it is known: `2026-11-23T06:12:00` or
/// `2026-11-23T06:12:00+01:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureTime {
    /// The camera also says how far its clock is from UTC.
    WithOffset(OffsetDateTime),
    /// The camera's clock, in a time zone that only its owner knows.
    Local(PrimitiveDateTime),
}

impl CaptureTime {
    /// The instant, taking a clock without a zone to be at `offset`.
    pub fn assume_offset(self, offset: UtcOffset) -> OffsetDateTime {
        match self {
            Self::WithOffset(time) => time,
            Self::Local(time) => time.assume_offset(offset),
        }
    }

    /// Reads EXIF's `2026:11:23 06:12:00`, its `+01:00` and its digits of a second.
    ///
    /// `None` for what is no time, and for years before 1990: a clock that was never set. A broken offset or fraction is
    /// left out.
    pub(super) fn from_exif(time: &str, offset: Option<&str>, fraction: Option<&str>) -> Option<Self> {
        let field = |from: usize, to: usize| digits(time.get(from..to)?);
        let year = i32::try_from(field(0, 4)?).ok().filter(|year| *year >= 1990)?;
        let month = Month::try_from(u8::try_from(field(5, 7)?).ok()?).ok()?;
        let date = Date::from_calendar_date(year, month, u8::try_from(field(8, 10)?).ok()?).ok()?;
        let [hour, minute, second] = [field(11, 13)?, field(14, 16)?, field(17, 19)?];
        let nanosecond = fraction.and_then(nanoseconds).unwrap_or(0);
        let small = |value: u32| u8::try_from(value).ok();
        let time = Time::from_hms_nano(small(hour)?, small(minute)?, small(second)?, nanosecond).ok()?;
        let local = PrimitiveDateTime::new(date, time);
        Some(match offset.and_then(utc_offset) {
            Some(offset) => Self::WithOffset(local.assume_offset(offset)),
            None => Self::Local(local),
        })
    }
}

impl fmt::Display for CaptureTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = match self {
            Self::WithOffset(at) => (at.date(), at.time()),
            Self::Local(at) => (at.date(), at.time()),
        };
        let (hour, minute, second) = time.as_hms();
        write!(f, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())?;
        write!(f, "T{hour:02}:{minute:02}:{second:02}")?;
        if let Self::WithOffset(at) = self {
            let (hours, minutes, _) = at.offset().as_hms();
            let sign = if at.offset().is_negative() { '-' } else { '+' };
            write!(f, "{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())?;
        }
        Ok(())
    }
}

/// A number of digits only: `parse` alone would take a sign too.
fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `+01:00`, `-03:30` or `Z`, within the offsets in use on Earth.
fn utc_offset(text: &str) -> Option<UtcOffset> {
    if text == "Z" {
        return Some(UtcOffset::UTC);
    }
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let hours = i8::try_from(digits(text.get(1..3)?)?).ok().filter(|hours| *hours <= 14)?;
    let minutes = i8::try_from(digits(text.get(4..6)?)?).ok().filter(|minutes| *minutes < 60)?;
    UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()
}

/// `5`, `52` or `520` are the same fraction of a second.
fn nanoseconds(fraction: &str) -> Option<u32> {
    let fraction = fraction.get(..fraction.len().min(9)).filter(|digits| !digits.is_empty())?;
    let scale = 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?);
    Some(digits(fraction)? * scale)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use time::macros::{datetime, offset};

    #[test]
    fn a_clock_with_an_offset_is_an_instant() {
        let time = CaptureTime::from_exif("2026:11:23 06:12:00", Some("+01:00"), Some("25"));
        assert_eq!(time, Some(CaptureTime::WithOffset(datetime!(2026-11-23 06:12:00.25 +1))));
        let newfoundland = CaptureTime::from_exif("2026:11:23 06:12:00", Some("-03:30"), None).expect("a time");
        assert_eq!(newfoundland.to_string(), "2026-11-23T06:12:00-03:30");
        assert_eq!(newfoundland.assume_offset(offset!(+5)), datetime!(2026-11-23 09:42:00 UTC));
    }

    #[test]
    fn a_clock_without_a_usable_offset_stays_local() {
        for offset in [None, Some(""), Some("   :  "), Some("+25:00"), Some("+1"), Some("é:00é00")] {
            let time = CaptureTime::from_exif("2026:11:23 06:12:00", offset, Some("x")).expect("a time");
            assert_eq!(time, CaptureTime::Local(datetime!(2026-11-23 06:12)));
            assert_eq!(time.to_string(), "2026-11-23T06:12:00");
            assert_eq!(time.assume_offset(offset!(+2)), datetime!(2026-11-23 04:12 UTC));
        }
    }

    #[test]
    fn other_separators_are_read_too() {
        let time = CaptureTime::from_exif("2026-11-23T06:12:00", None, None);
        assert_eq!(time, Some(CaptureTime::Local(datetime!(2026-11-23 06:12))));
    }

    #[test]
    fn nonsense_is_no_time() {
        let nonsense = [
            "",
            "0000:00:00 00:00:00",
            "1970:01:01 00:00:00",
            "2026:13:01 00:00:00",
            "2026:02:30 00:00:00",
            "2026:11:23 24:00:00",
            "2026:11:23 06:12:60",
            "2026:11:23",
            "+026:11:23 06:12:00",
            "    :  :     :  :  ",
            "2026:1é:23 06:12:00",
        ];
        for text in nonsense {
            assert_eq!(CaptureTime::from_exif(text, None, None), None, "{text:?}");
        }
    }
}
