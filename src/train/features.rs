//! Photos to feature rows: each read and decoded once, on all processors, and never again while it is in the cache.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::cache::{Cache, Entry, Keys};
use super::duplicates::{self, Thumb};
use super::folders::Labelled;
use super::{Dataset, Rows, exported, parallel, views};
use crate::classifier::guarded;
use crate::frame::{self, ContentHash, Frame, Limits, Scale};
use crate::memory;
use crate::model::{Backbone, TrainedOn};
use crate::pipeline::read;
use crate::quantize::Progress;

/// How photos become features.
#[derive(Clone, Copy)]
pub struct Extractor<'a> {
    /// One thread a frame: photos, not frames, are shared out among the processors.
    pub backbone: &'a Backbone,
    /// Where features are kept.
    pub cache: &'a Cache,
    /// Changed views of each photo, beside itself.
    pub views: u32,
    /// What the views follow from, besides the photos' content.
    pub seed: u64,
}

/// Features of photos.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// One row a photo, followed by one for each of its views. Photos that could not be used are not in it.
    pub dataset: Dataset,
    /// Of each photo in the dataset.
    pub hashes: Vec<ContentHash>,
    /// Photos that could not be used, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// Photos in the dataset of which only a part could be decoded.
    pub partial: Vec<PathBuf>,
    /// Files in the dataset that are a trap's features of a frame, not its photo.
    pub exported: Vec<PathBuf>,
    /// Photos that needed no decoding because all their features were kept.
    pub kept: usize,
    /// Time taken.
    pub took: Duration,
    pub(super) thumbs: Vec<Thumb>,
}

/// Bytes of memory that the rows of so many photos and views take, at `width` features a row.
pub fn bytes_needed(photos: usize, views: u32, width: usize) -> u64 {
    (photos as u64).saturating_mul(u64::from(views) + 1).saturating_mul(width as u64).saturating_mul(4)
}

/// One photo.
struct Seen {
    hash: ContentHash,
    thumb: Thumb,
    partial: bool,
    kept: bool,
    rows: Vec<Vec<f32>>,
}

/// What all photos of a run have in common.
struct Run<'a> {
    extractor: &'a Extractor<'a>,
    keys: Keys,
    limits: Limits,
}

impl Extractor<'_> {
    /// Features of `photos`, in their order: those of a photo itself are the very numbers that the daemon's head gets.
    /// A photo that can't be used is left out and named in [`Features::skipped`], with those that `photos` has left out.
    pub fn extract(&self, photos: &Labelled, progress: &Progress) -> Features {
        let start = Instant::now();
        let run = Run { extractor: self, keys: Keys::of(self.backbone), limits: memory::limits() };
        let count = photos.photos.len();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let done = AtomicUsize::new(0);
        let seen = parallel::map(threads, count, |place| {
            // A bug in a library must cost this photo only, wherever it shows.
            let look = || photos.photos.get(place).map_or(Err("no such photo".to_owned()), |photo| run.look(photo));
            let seen = guarded("features", look).map_err(|error| error.to_string()).flatten();
            progress.show("photos", done.fetch_add(1, Ordering::Relaxed) + 1, count);
            seen
        });
        // The last photo to be counted need not be the last to be shown.
        progress.show("photos", count, count);
        self.cache.prune();
        let mut features = self.collect(photos, seen);
        features.took = start.elapsed();
        features
    }

    fn collect(&self, photos: &Labelled, seen: Vec<Result<Seen, String>>) -> Features {
        let mut features = Features { skipped: photos.left_out.clone(), ..Features::default() };
        let usable = seen.iter().filter(|seen| seen.is_ok()).count();
        let mut rows = Rows::new(self.backbone.features());
        rows.reserve(usable * (self.views as usize + 1));
        let data = &mut features.dataset;
        let mut class_of = Vec::new();
        data.labels = photos.labels.clone();
        for ((path, class), seen) in photos.photos.iter().zip(&photos.class).zip(seen) {
            let seen = match seen {
                Ok(seen) => seen,
                Err(reason) => {
                    features.skipped.push((path.clone(), reason));
                    continue;
                }
            };
            for (view, row) in seen.rows.iter().enumerate() {
                rows.push(row);
                data.class.push(*class);
                data.photo.push(data.photos.len());
                data.plain.push(view == 0);
            }
            data.photos.push(path.clone());
            class_of.push(*class);
            features.hashes.push(seen.hash);
            features.thumbs.push(seen.thumb);
            features.kept += usize::from(seen.kept);
            if exported::is_export(path) {
                features.exported.push(path.clone());
            }
            if seen.partial {
                features.partial.push(path.clone());
            }
        }
        data.rows = rows;
        let (hashes, thumbs) = (&features.hashes, &features.thumbs);
        data.cluster =
            duplicates::groups(thumbs.len(), |a, b| class_of.get(a) == class_of.get(b) && same(hashes, thumbs, a, b));
        let mut first = HashMap::new();
        let content = class_of.iter().zip(hashes).enumerate();
        data.copies = content.map(|(photo, content)| *first.entry(content).or_insert(photo)).collect();
        features
    }
}

fn same(hashes: &[ContentHash], thumbs: &[Thumb], a: usize, b: usize) -> bool {
    let alike = || thumbs.get(a).zip(thumbs.get(b)).is_some_and(|(a, b)| a.is_like(b));
    alike() || hashes.get(a) == hashes.get(b)
}

impl Run<'_> {
    /// What a trap saw, as often as a photo and its views, so that it weighs as much.
    fn exported(&self, path: &Path) -> Result<Seen, String> {
        let (hash, row) = exported::load(path, self.extractor.backbone)?;
        let rows = vec![row; self.extractor.views as usize + 1];
        // A thumbnail that shows nothing is like no other.
        let thumb = Thumb::from_gray([0; duplicates::VALUES]);
        Ok(Seen { hash, thumb, partial: false, kept: false, rows })
    }

    fn look(&self, path: &Path) -> Result<Seen, String> {
        if exported::is_export(path) {
            return self.exported(path);
        }
        let Extractor { backbone, cache, views, seed } = *self.extractor;
        let file = read(path, self.limits.max_bytes).map_err(|error| error.to_string())?;
        let (hash, width) = (file.hash, backbone.features());
        let (plain_key, views_key) = (self.keys.plain(&hash), self.keys.views(&hash, seed));
        let plain = cache.load(&plain_key, 1, width);
        let more = if views == 0 { None } else { cache.load(&views_key, views as usize, width) };
        let kept = plain.is_some() && (views == 0 || more.is_some());
        // Decoded for whatever is missing.
        let frame = if kept { None } else { Some(self.decode(&file.bytes)?) };
        let plain = match (plain, &frame) {
            (Some(entry), _) => entry,
            (None, Some(frame)) => {
                let entry = self.plain(frame)?;
                cache.store(&plain_key, &entry);
                entry
            }
            (None, None) => return Err("no features".to_owned()),
        };
        let Entry { thumb, partial, mut rows } = plain;
        rows.truncate(1);
        match (more, &frame) {
            (Some(mut more), _) => {
                more.rows.truncate(views as usize);
                rows.append(&mut more.rows);
            }
            (None, Some(frame)) if views > 0 => {
                let mut entry = Entry { thumb, partial, rows: self.views(frame, &hash)? };
                cache.store(&views_key, &entry);
                rows.append(&mut entry.rows);
            }
            (None, _) => {}
        }
        Ok(Seen { hash, thumb, partial, kept, rows })
    }

    /// As the daemon does it.
    fn decode(&self, bytes: &[u8]) -> Result<Frame, String> {
        let input = &self.extractor.backbone.manifest().input;
        let scale = Scale::for_resize(input.filter, input.width, input.height);
        frame::decode(bytes, scale, &self.limits).map_err(|error| error.at_desk())
    }

    fn plain(&self, frame: &Frame) -> Result<Entry, String> {
        let backbone = self.extractor.backbone;
        let input = &backbone.manifest().input;
        let small = frame::resize(&frame.pixels, input.width, input.height, input.filter, input.fit);
        let small = small.map_err(|error| error.to_string())?;
        let thumb = Thumb::of(&small).map_err(|error| error.to_string())?;
        Ok(Entry { thumb, partial: frame.partial.is_some(), rows: vec![self.features_of(&small)?] })
    }

    fn views(&self, frame: &Frame, hash: &ContentHash) -> Result<Vec<Vec<f32>>, String> {
        let Extractor { backbone, views, seed, .. } = *self.extractor;
        let view = |number| views::view(&frame.pixels, &backbone.manifest().input, seed, hash, number);
        (0..views).map(|number| self.features_of(&view(number).map_err(|error| error.to_string())?)).collect()
    }

    fn features_of(&self, small: &frame::Pixels) -> Result<Vec<f32>, String> {
        self.extractor.backbone.features_of_input(small).map_err(|error| error.to_string())
    }
}

impl Features {
    /// Labels of which no photo could be used.
    pub fn empty_labels(&self) -> Vec<&str> {
        let used = |class: usize| self.dataset.class.contains(&class);
        let labels = self.dataset.labels.iter().enumerate();
        labels.filter(|(class, _)| !used(*class)).map(|(_, label)| label.as_str()).collect()
    }

    /// Photos (places in the dataset's) that are in `other` too, or nearly are under the same label: a test on them says
    /// little.
    pub fn also_in(&self, other: &Self) -> Vec<usize> {
        let (labels, known_labels) = (self.label_of(), other.label_of());
        let known = |place: usize| {
            let (hash, thumb) = (self.hashes.get(place), self.thumbs.get(place));
            let mut alike = other.thumbs.iter().zip(&known_labels);
            hash.is_some_and(|hash| other.hashes.contains(hash))
                || thumb.is_some_and(|thumb| {
                    alike.any(|(other, label)| labels.get(place) == Some(label) && thumb.is_like(other))
                })
        };
        (0..self.dataset.photos.len()).filter(|place| known(*place)).collect()
    }

    /// Of each photo.
    fn label_of(&self) -> Vec<&str> {
        let data = &self.dataset;
        let plain = data.class.iter().zip(&data.plain).filter(|(_, plain)| **plain);
        plain.map(|(class, _)| data.labels.get(*class).map_or("", String::as_str)).collect()
    }

    /// A short digest of each photo's content, in the photos' order: 16 hex digits.
    pub fn short_digests(&self) -> Vec<String> {
        self.hashes.iter().map(|hash| hash.to_string().chars().take(16).collect()).collect()
    }

    /// What a head's manifest says of the photos: how many, and sha256 over their sorted content hashes, in hex, a line
    /// each.
    pub fn trained_on(&self) -> TrainedOn {
        let mut hashes: Vec<String> = self.hashes.iter().map(ContentHash::to_string).collect();
        hashes.sort_unstable();
        TrainedOn { photos: hashes.len() as u64, digest: ContentHash::of(hashes.join("\n").as_bytes()).to_string() }
    }
}

#[cfg(test)]
#[path = "features_tests.rs"]
mod tests;
