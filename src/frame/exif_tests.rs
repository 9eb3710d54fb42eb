#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::super::testing::{Value, exif};
use super::*;

const SVALBARD: [(u16, Value); 4] = [
    (tag::GPS_LATITUDE_REF, Value::Text("N")),
    (tag::GPS_LATITUDE, Value::Rationals([(78, 1), (13, 1), (2400, 100)])),
    (tag::GPS_LONGITUDE_REF, Value::Text("E")),
    (tag::GPS_LONGITUDE, Value::Rationals([(15, 1), (39, 1), (0, 1)])),
];

fn taken(time: &'static str) -> [(u16, Value); 1] {
    [(tag::DATE_TIME_ORIGINAL, Value::Text(time))]
}

fn full(big_endian: bool) -> Vec<u8> {
    exif(
        big_endian,
        &[(tag::ORIENTATION, Value::Short(6)), (tag::DATE_TIME, Value::Text("2027:01:01 00:00:00"))],
        &[
            (tag::DATE_TIME_ORIGINAL, Value::Text("2026:11:23 06:12:00")),
            (tag::OFFSET_TIME_ORIGINAL, Value::Text("+01:00")),
            (tag::SUB_SEC_TIME_ORIGINAL, Value::Text("5")),
        ],
        &SVALBARD,
    )
}

#[test]
fn time_place_and_orientation_are_read_in_both_byte_orders() {
    for big_endian in [false, true] {
        let block = full(big_endian);
        for block in [block.clone(), [b"Exif\0\0", block.as_slice()].concat()] {
            let read = Exif::read(&block);
            assert_eq!(read.orientation, Orientation::from_exif(6));
            assert_eq!(
                read.captured_at,
                Some(CaptureTime::WithOffset(time::macros::datetime!(2026-11-23 06:12:00.5 +1)))
            );
            let (latitude, longitude) = read.position.expect("has a position");
            assert!((latitude - 78.22333).abs() < 1e-4 && (longitude - 15.65).abs() < 1e-9, "{latitude} {longitude}");
        }
    }
}

#[test]
fn another_reader_finds_the_same() {
    use nom_exif::{ExifTag, MediaParser, MediaSource};
    for big_endian in [false, true] {
        let block = full(big_endian);
        let read = Exif::read(&block);
        let theirs: nom_exif::Exif =
            MediaParser::new().parse_exif(MediaSource::from_memory(block).unwrap()).unwrap().into();
        assert_eq!(theirs.get(ExifTag::Orientation).and_then(|value| value.as_u16()), Some(6));
        let taken = theirs.get(ExifTag::DateTimeOriginal).and_then(|value| value.as_datetime()?.aware()).unwrap();
        let ours = read.captured_at.unwrap().assume_offset(time::UtcOffset::UTC);
        assert_eq!(taken.timestamp(), ours.unix_timestamp());
        let gps = theirs.gps_info().unwrap();
        assert_eq!(read.position, gps.latitude_decimal().zip(gps.longitude_decimal()));
    }
}

#[test]
fn a_nonsense_exposure_time_falls_back_to_the_other_times() {
    let main = [(tag::DATE_TIME, Value::Text("2026:11:23 06:12:00"))];
    let read = Exif::read(&exif(false, &main, &taken("0000:00:00 00:00:00"), &[]));
    assert_eq!(read.captured_at, Some(CaptureTime::Local(time::macros::datetime!(2026-11-23 06:12))));
    assert_eq!(Exif::read(&exif(false, &[], &taken("2026:13:23 06:12:00"), &[])).captured_at, None);
}

#[test]
fn a_position_that_cannot_be_is_none() {
    let with = |index: usize, value: Value| {
        let mut gps = SVALBARD;
        gps[index].1 = value;
        Exif::read(&exif(true, &[], &[], &gps)).position
    };
    assert!(with(0, Value::Text("N")).is_some());
    assert!(with(0, Value::Text("S")).is_some_and(|(latitude, _)| latitude < -78.0));
    assert!(with(2, Value::Text("W")).is_some_and(|(_, longitude)| longitude < -15.0));
    assert_eq!(with(0, Value::Text("?")), None);
    assert_eq!(with(1, Value::Rationals([(91, 1), (0, 1), (0, 1)])), None);
    assert_eq!(with(1, Value::Rationals([(78, 0), (0, 1), (0, 1)])), None);
    assert_eq!(with(3, Value::Rationals([(180, 1), (1, 1), (0, 1)])), None);
    assert_eq!(with(3, Value::Text("15")), None);
    let mut no_fix = SVALBARD;
    no_fix[1].1 = Value::Rationals([(0, 1); 3]);
    no_fix[3].1 = Value::Rationals([(0, 1); 3]);
    assert_eq!(Exif::read(&exif(true, &[], &[], &no_fix)).position, None);
    assert_eq!(Exif::read(&exif(true, &[], &[], &SVALBARD[1..])).position, None, "without a hemisphere");
}

#[test]
fn a_block_cut_anywhere_loses_tags_and_nothing_else() {
    let whole = full(true);
    for length in 0..whole.len() {
        let read = Exif::read(&whole[..length]);
        assert!(read.orientation.is_upright() || read.orientation == Orientation::from_exif(6), "cut at {length}");
    }
    assert_eq!(Exif::read(&[]), Exif::default());
    assert_eq!(Exif::read(b"II*\0\xFF\xFF\xFF\xFF"), Exif::default());
}

#[test]
fn loops_and_huge_counts_are_harmless() {
    // The main directory is its own Exif and GPS directory and claims 65535 entries.
    let mut looped = b"II*\0\x08\0\0\0\xFF\xFF".to_vec();
    for pointer in [tag::EXIF_DIRECTORY, tag::GPS_DIRECTORY] {
        looped.extend(pointer.to_le_bytes());
        looped.extend([4, 0, 1, 0, 0, 0, 8, 0, 0, 0]);
    }
    assert_eq!(Exif::read(&looped), Exif::default());

    // Counts and offsets whose products and sums overflow 32 bits.
    let mut huge = full(false);
    for at in (10..10 + 4 * 12).step_by(12) {
        huge[at + 4..at + 12].fill(0xFF);
    }
    assert_eq!(Exif::read(&huge), Exif::default());
}

#[test]
fn random_blocks_never_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut block = full(random.bool());
        for _ in 0..random.usize(1..8) {
            let at = random.usize(2..block.len());
            block[at] = random.u8(..);
        }
        block.truncate(random.usize(..=block.len()));
        let read = Exif::read(&block);
        if let Some((latitude, longitude)) = read.position {
            assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
        }
    }
}
