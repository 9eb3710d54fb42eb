#![allow(clippy::unwrap_used)]
use super::*;
use crate::heads::Bundle;
use crate::heads::testing::{FEATURES, manifest, network, network_of, photos};

fn head(scale: f32) -> Head {
    Bundle::make(manifest(), network(scale), &[]).unwrap().head().unwrap()
}

#[test]
fn canaries_come_back_from_their_bytes_and_pass_on_their_head() {
    let canaries = Canaries::of(&head(1.0), &photos()).unwrap();
    assert_eq!(canaries.len(), FROM_PHOTOS + MADE_UP as usize);
    let read = Canaries::parse(&canaries.encode()).unwrap();
    assert_eq!(read, canaries);
    assert_eq!(read.check(&head(1.0)).unwrap(), 0.0);
}

#[test]
fn a_head_that_computes_something_else_is_told_by_row_and_label() {
    let canaries = Canaries::of(&head(1.0), &photos()).unwrap();
    let message = canaries.check(&head(1.05)).unwrap_err().to_string();
    assert!(message.contains("canary 0") && message.contains("is expected"), "{message}");
    // A difference as another processor may have is none.
    canaries.check(&head(1.0 + 1e-6)).unwrap();
}

#[test]
fn photos_features_are_kept_to_a_255th_of_their_range_also_where_all_are_equal() {
    for row in photos().iter().chain([&vec![2.5; FEATURES]]) {
        let range = row.iter().copied().fold(f32::MIN, f32::max) - row.iter().copied().fold(f32::MAX, f32::min);
        let stored = Levels::of(row).unwrap().features();
        for (stored, value) in stored.iter().zip(row) {
            assert!((stored - value).abs() <= range / 255.0, "{stored} for {value}");
        }
    }
}

#[test]
fn canaries_of_features_that_are_no_numbers_or_too_few_are_not_made() {
    for row in
        [vec![f32::NAN; FEATURES], vec![f32::INFINITY; FEATURES], vec![f32::MAX, f32::MIN, 0., 0., 0., 0.], vec![1.0]]
    {
        assert!(matches!(Canaries::of(&head(1.0), &[row]), Err(CanaryError::Format { .. })));
    }
}

#[test]
fn made_up_features_never_change() {
    let row = RowInput::MadeUp { seed: 0, low: 0.0, span: 1.0 }.features(3);
    // SplitMix64 of seed 0 begins with e220a8397b1dcdaf.
    assert_eq!(row[0], (0xe220a8397b1dcdafu64 >> 40) as f32 / (1u64 << 24) as f32);
    assert!(row.iter().all(|value| (0.0..1.0).contains(value)));
}

#[test]
fn files_of_wrong_sizes_without_rows_or_with_what_is_no_number_are_refused() {
    let bytes = Canaries::of(&head(1.0), &photos()).unwrap().encode();
    for length in 0..bytes.len() {
        assert!(Canaries::parse(&bytes[..length]).is_err(), "cut to {length}");
    }
    assert!(Canaries::parse(&[&bytes[..], &[0]].concat()).is_err(), "a byte too many");
    let with = |at: usize, value: [u8; 4]| {
        let mut changed = bytes.clone();
        changed[at..at + 4].copy_from_slice(&value);
        Canaries::parse(&changed)
    };
    let last = bytes.len() - 4;
    for (at, value, what) in [
        (8, 2u32.to_le_bytes(), "another version"),
        (12, u32::MAX.to_le_bytes(), "too many features"),
        (16, 0u32.to_le_bytes(), "no labels"),
        (20, 0u32.to_le_bytes(), "no rows"),
        (20, u32::MAX.to_le_bytes(), "too many rows"),
        (24, f32::NAN.to_le_bytes(), "a tolerance that is no number"),
        (24, 0f32.to_le_bytes(), "no tolerance"),
        (24, 1f32.to_le_bytes(), "a tolerance that proves nothing"),
        (28, 7u32.to_le_bytes(), "an unknown kind"),
        (last, f32::NAN.to_le_bytes(), "a probability that is no number"),
        (last, 1.5f32.to_le_bytes(), "a probability above 1"),
    ] {
        assert!(with(at, value).is_err(), "{what}");
    }
}

#[test]
fn canaries_of_a_head_of_other_sizes_are_refused() {
    let mut other = Canaries::of(&head(1.0), &[]).unwrap();
    other.features += 1;
    assert!(matches!(other.check(&head(1.0)), Err(CanaryError::Shape { .. })));
}

#[test]
fn a_head_on_flattened_features_has_canaries_within_the_bound() {
    let mut wide = manifest();
    wide.backbone.features = 100_352;
    let rows = vec![vec![0.5; 100_352]; 9];
    let bundle = Bundle::make(wide, network_of(100_352, 1e-3), &rows).unwrap();
    assert!(bundle.canaries().len() as u64 <= MAX_BYTES);
    assert_eq!(Canaries::parse(bundle.canaries()).unwrap().len(), 1 + MADE_UP as usize);
    bundle.head().unwrap();
}
