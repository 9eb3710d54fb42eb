//! Folds that hold each class in like shares and never part near-duplicates or the views of a photo.

use fastrand::Rng;

use super::fit::FitError;
use super::rows::Dataset;

/// Rows of one fold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows held out, changed views included.
    pub held_out: Vec<usize>,
}

/// Divides the dataset into `wanted` folds, or fewer where a class has fewer groups: near-duplicates, or, where these are
/// all one, copies ([`Dataset::groups`]).
///
/// # Errors
/// [`FitError::TooFewPhotos`] if a class has less than two of them: nothing could be held out.
pub(super) fn splits(dataset: &Dataset, wanted: usize, seed: u64) -> Result<Vec<Split>, FitError> {
    // A group is of the class of the first row met, should a photo and its double be labelled differently.
    let mut class_of = vec![None; dataset.photos.len()];
    let mut photos_of = vec![0_usize; dataset.photos.len()];
    let (groups, _) = dataset.groups();
    let group = |row: usize| dataset.photo.get(row).and_then(|photo| groups.get(*photo)).copied().unwrap_or(0);
    for (row, class) in dataset.class.iter().enumerate() {
        let group = group(row);
        class_of[group].get_or_insert(*class);
        photos_of[group] += usize::from(dataset.plain.get(row).copied().unwrap_or(false));
    }
    let mut rng = Rng::with_seed(seed ^ 0x5eed_f01d);
    let mut fold_of = vec![0; dataset.photos.len()];
    let mut folds = wanted.max(2);
    let mut groups_of_class = Vec::with_capacity(dataset.labels.len());
    for (class, label) in dataset.labels.iter().enumerate() {
        let mut groups: Vec<usize> = (0..class_of.len()).filter(|group| class_of[*group] == Some(class)).collect();
        if groups.len() < 2 {
            return Err(FitError::TooFewPhotos { label: label.clone(), photos: groups.len() });
        }
        folds = folds.min(groups.len());
        rng.shuffle(&mut groups);
        // Large groups first: small ones then even out what they left.
        groups.sort_by_key(|group| std::cmp::Reverse(photos_of[*group]));
        groups_of_class.push(groups);
    }
    let mut filled = vec![0_usize; folds];
    for groups in groups_of_class {
        let mut own = vec![0_usize; folds];
        for group in groups {
            let emptiest = (0..folds).min_by_key(|fold| (own[*fold], filled[*fold])).unwrap_or(0);
            own[emptiest] += photos_of[group].max(1);
            filled[emptiest] += photos_of[group].max(1);
            fold_of[group] = emptiest;
        }
    }
    let mut splits = vec![Split::default(); folds];
    for row in 0..dataset.class.len() {
        for (fold, split) in splits.iter_mut().enumerate() {
            if fold_of[group(row)] == fold { split.held_out.push(row) } else { split.train.push(row) }
        }
    }
    Ok(splits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::train::testing;

    #[test]
    fn near_duplicates_and_views_stay_on_one_side() {
        let mut dataset = testing::blobs(3, 20, 4, 2, 1);
        // Every third photo is a double of the one before it, of the same class.
        for photo in (2..dataset.photos.len()).filter(|photo| photo % 3 == 2) {
            dataset.cluster[photo] = photo - 1;
        }
        for split in splits(&dataset, 5, 3).unwrap() {
            let groups = |rows: &[usize]| -> std::collections::HashSet<usize> {
                rows.iter().map(|row| dataset.cluster[dataset.photo[*row]]).collect()
            };
            assert!(groups(&split.train).is_disjoint(&groups(&split.held_out)));
            for class in 0..3 {
                let held_out =
                    split.held_out.iter().filter(|row| dataset.plain[**row] && dataset.class[**row] == class);
                assert!((3..=5).contains(&held_out.count()));
            }
        }
    }

    #[test]
    fn a_fixed_cameras_label_is_held_out_photo_by_photo_and_its_copies_together() {
        let mut dataset = testing::blobs(2, 15, 3, 2, 1);
        // All of the first label are alike, two of them the same file; the other label has five groups of three.
        dataset.cluster[..15].fill(0);
        dataset.copies[4] = 3;
        (15..30).for_each(|photo| dataset.cluster[photo] = photo / 3 * 3);
        assert_eq!(dataset.groups().1, [0]);
        let splits = splits(&dataset, 5, 3).unwrap();
        assert_eq!(splits.len(), 5);
        for split in splits {
            let photos = |rows: &[usize]| -> std::collections::HashSet<usize> {
                rows.iter().map(|row| dataset.photo[*row]).collect()
            };
            let (train, held_out) = (photos(&split.train), photos(&split.held_out));
            assert_eq!(held_out.contains(&3), held_out.contains(&4));
            assert!((2..=4).contains(&held_out.iter().filter(|photo| **photo < 15).count()));
            let groups = |photos: &std::collections::HashSet<usize>| -> std::collections::HashSet<usize> {
                photos.iter().filter(|photo| **photo >= 15).map(|photo| photo / 3).collect()
            };
            assert!(groups(&train).is_disjoint(&groups(&held_out)), "near-duplicates are parted only where they must");
        }
    }

    #[test]
    fn two_near_duplicate_groups_make_two_folds_and_are_never_parted() {
        for groups in [2, 3, 4] {
            let mut dataset = testing::blobs(2, 24, 3, 2, 1);
            // The first label's groups are of 3, 3, .. and all the rest; the other label's photos are all unlike.
            (0..24).for_each(|photo| dataset.cluster[photo] = (photo / 3).min(groups - 1) * 3);
            let splits = splits(&dataset, 5, 3).unwrap();
            assert_eq!((splits.len(), dataset.groups().1), (groups, vec![]));
            for split in splits {
                let clusters = |rows: &[usize]| -> std::collections::HashSet<usize> {
                    rows.iter().map(|row| dataset.cluster[dataset.photo[*row]]).collect()
                };
                assert!(clusters(&split.train).is_disjoint(&clusters(&split.held_out)));
                for (class, part) in [(0, &split.train), (0, &split.held_out), (1, &split.train), (1, &split.held_out)]
                {
                    assert!(part.iter().any(|row| dataset.class[*row] == class), "label {class} is on both sides");
                }
            }
        }
    }

    #[test]
    fn every_row_is_held_out_once() {
        let dataset = testing::blobs(2, 7, 3, 3, 1);
        let mut held_out: Vec<usize> =
            splits(&dataset, 4, 0).unwrap().into_iter().flat_map(|split| split.held_out).collect();
        held_out.sort_unstable();
        assert_eq!(held_out, (0..dataset.class.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_small_class_makes_fewer_folds_and_a_single_photo_is_an_error() {
        assert_eq!(splits(&testing::blobs(2, 3, 3, 1, 1), 5, 0).unwrap().len(), 3);
        assert!(matches!(splits(&testing::blobs(2, 1, 3, 1, 1), 5, 0), Err(FitError::TooFewPhotos { .. })));
    }
}
