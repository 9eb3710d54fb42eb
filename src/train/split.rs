//! A test part of folders that have none.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Dataset, Features};

/// Near-duplicates, ordered as they are drawn.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    lot: [u8; 32],
    photos: Vec<usize>,
}

impl Features {
    /// Splits off about `share` (0 to 1; 0.2 is usual) of each label's photos, near-duplicates all on one side: what is
    /// left to train on, and the test part.
    ///
    /// The same photos and seed give the same parts, whatever the files are called. Where all photos of a label are
    /// near-duplicates, only copies stay on one side, and [`Self::also_in`] finds the others. A label whose photos are all
    /// the same stays whole in the first part; any other label has a photo in both.
    pub fn split(mut self, share: f64, seed: u64) -> (Self, Self) {
        let in_test = self.choose(share, seed);
        let is_test = |photo: usize| in_test.get(photo).copied().unwrap_or(false);
        let data = std::mem::take(&mut self.dataset);
        let Dataset { labels, mut rows, class, photo, plain, photos, cluster, copies } = data;
        let test_rows = rows.split_off_where(|row| photo.get(row).is_some_and(|photo| is_test(*photo)));
        let part = |test: bool, rows| {
            let of_part = |photo: &usize| is_test(*photo) == test;
            let kept: Vec<usize> = (0..photos.len()).filter(of_part).collect();
            // Kept photos keep their order.
            let place = |old: &usize| kept.binary_search(old).unwrap_or_default();
            let row_places: Vec<usize> =
                photo.iter().enumerate().filter(|(_, photo)| of_part(photo)).map(|(row, _)| row).collect();
            let dataset = Dataset {
                labels: labels.clone(),
                rows,
                class: pick(&class, &row_places),
                photo: pick(&photo, &row_places).iter().map(place).collect(),
                plain: pick(&plain, &row_places),
                photos: pick(&photos, &kept),
                cluster: renamed(&pick(&cluster, &kept)),
                copies: renamed(&pick(&copies, &kept)),
            };
            let partial = self.partial.iter().filter(|path| dataset.photos.contains(path)).cloned().collect();
            let exported = self.exported.iter().filter(|path| dataset.photos.contains(path)).cloned().collect();
            Self {
                exported,
                hashes: pick(&self.hashes, &kept),
                thumbs: pick(&self.thumbs, &kept),
                partial,
                // Said once.
                skipped: if test { Vec::new() } else { self.skipped.clone() },
                kept: if test { 0 } else { self.kept },
                took: self.took,
                dataset,
            }
        };
        (part(false, rows), part(true, test_rows))
    }

    /// Which photos go into the test part.
    fn choose(&self, share: f64, seed: u64) -> Vec<bool> {
        let data = &self.dataset;
        let mut class_of = vec![0; data.photos.len()];
        for (photo, class) in data.photo.iter().zip(&data.class) {
            if let Some(slot) = class_of.get_mut(*photo) {
                *slot = *class;
            }
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (photo, first) in data.groups().0.iter().enumerate() {
            groups.entry(*first).or_default().push(photo);
        }
        let mut by_class: BTreeMap<usize, Vec<Group>> = BTreeMap::new();
        for (first, photos) in groups {
            let class = class_of.get(first).copied().unwrap_or_default();
            by_class.entry(class).or_default().push(Group { lot: self.lot(&photos, seed), photos });
        }
        let mut in_test = vec![false; data.photos.len()];
        for groups in by_class.values_mut() {
            groups.sort();
            let all: usize = groups.iter().map(|group| group.photos.len()).sum();
            let wanted = ((all as f64 * share.clamp(0.0, 1.0)).round() as usize).max(1).min(all.saturating_sub(1));
            let mut taken: Vec<usize> = Vec::new();
            for Group { photos, .. } in groups.iter() {
                if taken.len() + photos.len() <= wanted {
                    taken.extend(photos);
                }
            }
            if taken.is_empty() && groups.len() > 1 {
                taken.extend(
                    groups.iter().map(|group| &group.photos).min_by_key(|photos| photos.len()).into_iter().flatten(),
                );
            }
            for photo in taken {
                if let Some(slot) = in_test.get_mut(photo) {
                    *slot = true;
                }
            }
        }
        in_test
    }

    /// What a group of photos is drawn by: its content and the seed.
    fn lot(&self, photos: &[usize], seed: u64) -> [u8; 32] {
        let least = photos.iter().filter_map(|photo| self.hashes.get(*photo)).min();
        let mut digest = Sha256::new();
        digest.update(seed.to_le_bytes());
        digest.update(least.map_or(&[0; 32], |hash| hash.as_bytes()));
        digest.finalize().into()
    }
}

/// Groups of a part of the photos, named after the first that is there.
fn renamed(groups: &[usize]) -> Vec<usize> {
    let mut first = BTreeMap::new();
    groups.iter().enumerate().map(|(photo, group)| *first.entry(group).or_insert(photo)).collect()
}

fn pick<T: Clone>(all: &[T], places: &[usize]) -> Vec<T> {
    places.iter().filter_map(|place| all.get(*place)).cloned().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::super::Rows;
    use super::super::duplicates::{Thumb, VALUES};
    use super::*;
    use crate::frame::ContentHash;

    /// Photos given by label and group; two rows each, whose numbers say which photo and view it is.
    fn features(photos: &[(usize, usize)]) -> Features {
        let mut features = Features::default();
        let data = &mut features.dataset;
        data.labels = vec!["bear".into(), "other".into()];
        data.rows = Rows::new(2);
        for (photo, (class, group)) in photos.iter().enumerate() {
            for view in 0..2 {
                data.rows.push(&[photo as f32, view as f32]);
                data.class.push(*class);
                data.photo.push(photo);
                data.plain.push(view == 0);
            }
            data.photos.push(PathBuf::from(format!("{photo}.jpg")));
            data.cluster.push(photos.iter().position(|(_, other)| other == group).unwrap());
            data.copies.push(photo);
            features.hashes.push(ContentHash::of(&[photo as u8]));
            features.thumbs.push(Thumb::from_gray([0; VALUES]));
        }
        features
    }

    fn names(part: &Features) -> BTreeSet<PathBuf> {
        part.dataset.photos.iter().cloned().collect()
    }

    fn check(part: &Features) {
        let data = &part.dataset;
        assert_eq!(data.rows.len(), 2 * data.photos.len());
        for (place, row) in data.rows.iter().enumerate() {
            assert_eq!(data.photos[data.photo[place]], PathBuf::from(format!("{}.jpg", row[0])));
            assert_eq!(data.plain[place], row[1] == 0.0);
        }
        assert!(data.cluster.iter().enumerate().all(|(photo, first)| *first <= photo));
    }

    #[test]
    fn each_label_gives_its_share_and_rows_stay_with_their_photos() {
        let photos: Vec<(usize, usize)> = (0..60).map(|photo| (usize::from(photo >= 20), photo)).collect();
        let (train, test) = features(&photos).split(0.2, 1);
        check(&train);
        check(&test);
        let bears = |part: &Features| part.dataset.class.iter().filter(|class| **class == 0).count() / 2;
        assert_eq!((bears(&train), bears(&test)), (16, 4));
        assert_eq!((train.dataset.photos.len(), test.dataset.photos.len()), (48, 12));
        assert!(names(&train).is_disjoint(&names(&test)));
        assert_eq!(names(&test), names(&features(&photos).split(0.2, 1).1), "deterministic");
        assert_ne!(names(&test), names(&features(&photos).split(0.2, 2).1), "by seed");
    }

    #[test]
    fn near_duplicates_stay_on_one_side() {
        let photos: Vec<(usize, usize)> = (0..40).map(|photo| (photo % 2, photo / 5 * 2 + photo % 2)).collect();
        for seed in 0..10 {
            let (train, test) = features(&photos).split(0.2, seed);
            let groups = |part: &Features| -> BTreeSet<usize> {
                part.dataset.rows.iter().map(|row| photos[row[0] as usize].1).collect()
            };
            assert!(groups(&train).is_disjoint(&groups(&test)), "seed {seed}");
            check(&train);
            check(&test);
        }
    }

    #[test]
    fn near_duplicates_alone_are_split_and_grouped_anew_in_each_part() {
        let photos: Vec<(usize, usize)> = (0..20).map(|photo| (photo / 10, photo / 10)).collect();
        let (train, test) = features(&photos).split(0.2, 3);
        check(&train);
        check(&test);
        assert_eq!(train.dataset.cluster, [[0; 8], [8; 8]].concat());
        assert_eq!(test.dataset.cluster, [0, 0, 2, 2]);
        assert_eq!(test.dataset.copies, [0, 1, 2, 3]);
    }

    #[test]
    fn a_label_of_copies_alone_stays_in_training_and_a_small_one_has_a_photo_in_both() {
        let mut features = features(&[(0, 0), (0, 0), (0, 0), (1, 1), (1, 2)]);
        features.dataset.copies[..3].fill(0);
        let (train, test) = features.split(0.2, 3);
        let classes = |part: &Features| part.dataset.class.clone();
        assert_eq!(classes(&train), [0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(classes(&test), [1, 1]);
    }

    #[test]
    fn any_share_and_no_photos_are_survived() {
        for share in [0.0, 1.0, -5.0, f64::NAN, f64::INFINITY] {
            let (train, _) = features(&[(0, 0), (0, 1), (1, 2)]).split(share, 0);
            assert!(!train.dataset.photos.is_empty());
        }
        let (train, test) = features(&[]).split(0.2, 0);
        assert!(train.dataset.photos.is_empty() && test.dataset.photos.is_empty());
    }
}
