//! What a classifier sees in wide scenes, by whole frames and by regions.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arcticd::classifier::{Classifier, FileFacts};
use arcticd::config::Regions;
use arcticd::frame::{self, ContentHash, Limits, Scale};
use arcticd::regions::{Closer, Part, Region, cut};
use time::OffsetDateTime;

use super::{Album, Cutout, Light, Wide};

/// The animal that is looked for.
pub const BEAR: &str = "polar_bear";
/// Frames without anything, before anything is counted.
const LEARNING: usize = 4;

/// What a frame shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shows {
    /// The landscape.
    Nothing(Light),
    /// A bear so wide, as a share of the frame's width; which one.
    Bear(f32, usize),
    /// A fox or a walrus an eighth as wide as the frame.
    Other,
}

/// What became of a frame.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What it shows.
    pub shows: Shows,
    /// Probability of a bear by the whole frame.
    pub whole: f32,
    /// Whether the whole frame alerts.
    pub whole_alerts: bool,
    /// Whether the frame alerts with regions.
    pub alerts: bool,
    /// Whether the region that alerts is where the animal is.
    pub in_place: bool,
    /// Probability of a bear in the smallest square around the animal, as if it were known where it is.
    pub known_place: Option<f32>,
    /// Parts that were looked at.
    pub parts: usize,
    /// Time for the whole frame alone, and with regions.
    pub took: (Duration, Duration),
}

/// What one camera at each of `landscapes` sees in `rounds` rounds of a bear at each of `shares`, a fox or walrus, and two frames
/// without anything, the second in a light that has jumped.
///
/// # Errors
/// A frame can't be made or looked at.
pub fn watch(
    classifier: &Classifier,
    regions: &Regions,
    album: &Album,
    landscapes: std::ops::Range<usize>,
    rounds: usize,
    shares: &[f32],
    frame_width: u32,
) -> Result<Vec<Seen>> {
    let bears: Vec<&Cutout> = album.of(BEAR).collect();
    let others: Vec<&Cutout> =
        album.animals.iter().filter(|(label, _)| label != BEAR).map(|(_, cutout)| cutout).collect();
    let mut seen = Vec::new();
    for number in landscapes {
        let photo = album.landscapes.get(number).context("there are not so many landscapes")?;
        let mut wide = Wide::of(photo, frame_width, number as u64)?;
        let mut closer = Closer::new(regions);
        for _ in 0..LEARNING {
            let (jpeg, _) = wide.frame(Light::Steady, None)?;
            look(classifier, closer.as_mut(), &jpeg)?;
        }
        for round in 0..rounds {
            let turn = number * rounds + round;
            let mut shots: Vec<(Shows, Option<(&Cutout, f32)>)> =
                vec![(Shows::Nothing(Light::Steady), None), (Shows::Nothing(Light::Jump), None)];
            let bear = turn % bears.len();
            shots.extend(shares.iter().map(|share| (Shows::Bear(*share, bear), Some((bears[bear], *share)))));
            shots.push((Shows::Other, Some((others[turn % others.len()], 1.0 / 8.0))));
            for (shows, animal) in shots {
                let light = if let Shows::Nothing(light) = shows { light } else { Light::Steady };
                let (jpeg, place) = wide.frame(light, animal)?;
                let place =
                    place.map(|place| Region { x: place.x, y: place.y, width: place.width, height: place.height });
                let mut one = look(classifier, closer.as_mut(), &jpeg)?.of(shows, place);
                if let (Shows::Bear(..), Some(place)) = (shows, place) {
                    one.known_place = Some(score_at(classifier, &jpeg, place)?);
                }
                seen.push(one);
            }
        }
    }
    Ok(seen)
}

struct Looked {
    seen: Seen,
    region: Option<Region>,
}

impl Looked {
    fn of(self, shows: Shows, place: Option<Region>) -> Seen {
        let middle = |region: Region| (region.x + region.width / 2, region.y + region.height / 2);
        let holds = |place: Region, (x, y): (u32, u32)| {
            (place.x..place.x + place.width).contains(&x) && (place.y..place.y + place.height).contains(&y)
        };
        let in_place = self.region.zip(place).is_some_and(|(region, place)| holds(place, middle(region)));
        Seen { shows, in_place, ..self.seen }
    }
}

fn look(classifier: &Classifier, closer: Option<&mut Closer>, jpeg: &[u8]) -> Result<Looked> {
    let hash = ContentHash::of(jpeg);
    let facts = FileFacts { name: "wide.jpg", camera: None, modified: OffsetDateTime::UNIX_EPOCH };
    let now = OffsetDateTime::UNIX_EPOCH;
    let start = Instant::now();
    let whole = classifier.classify(jpeg, &hash, &facts, now).classified?;
    let half = Instant::now();
    let with_regions = classifier.classify_closely(jpeg, &hash, &facts, now, closer).classified?;
    let took = (half - start, half.elapsed());
    let seen = Seen {
        shows: Shows::Nothing(Light::Steady),
        whole: whole.detection.scores.get(BEAR).copied().unwrap_or(0.0),
        whole_alerts: whole.verdict.alert,
        alerts: with_regions.verdict.alert,
        in_place: false,
        known_place: None,
        parts: with_regions.closer.map_or(0, |closer| closer.parts),
        took,
    };
    Ok(Looked { seen, region: with_regions.detection.region })
}

fn score_at(classifier: &Classifier, jpeg: &[u8], place: Region) -> Result<f32> {
    let pixels = frame::decode(jpeg, Scale::Full, &Limits::default())?.pixels;
    let (width, height) = (pixels.width, pixels.height);
    let share = |length: u32, of: u32| length as f32 / of as f32;
    let part = Part {
        x: share(place.x, width),
        y: share(place.y, height),
        width: share(place.width, width),
        height: share(place.height, height),
    };
    let crop = cut(&pixels, part.square(width, height), (width, height)).context("the animal is beside the frame")?;
    let opinion = classifier.proven().look(&classifier.backbone().features_of(&crop)?)?;
    Ok(opinion.scores.labels.iter().find(|(label, _)| label == BEAR).map_or(0.0, |(_, score)| *score))
}
