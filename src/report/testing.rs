//! Reports made up for the tests of this room: figures follow from judged photos, as in a real one.
#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};

use super::*;
use crate::evaluate::{AlertFigures, ClassFigures, Judged};
use crate::frame::Pixels;

const NAMES: [&str; 4] = ["polar_bear", "arctic_fox", "walrus", "other"];

/// A share with its interval.
pub fn share(hits: u64, of: u64) -> Share {
    Share::of(hits, of)
}

/// Labels, sorted as a head has them; beyond four with names long enough to hurt.
fn labels(count: usize) -> Vec<String> {
    let long = |n: usize| format!("species_{n}_with_quite_a_long_descriptive_name");
    let mut labels: Vec<String> = (0..count).map(|n| NAMES.get(n).map_or_else(|| long(n), |n| (*n).into())).collect();
    labels.sort();
    labels
}

/// Photos judged by a head that is right about 19 times in 20.
fn judge(labels: &[String], photos: &[u64], seed: u64) -> Vec<Judged> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut judged = Vec::new();
    for (truth, count) in photos.iter().enumerate() {
        for _ in 0..*count {
            let hard = random.f32() < 0.09;
            let (lift, spread) = if hard { (3.0 * random.f32(), 5.0) } else { (3.0 + 4.0 * random.f32(), 2.5) };
            let mut scores: Vec<f32> = labels.iter().map(|_| (random.f32() * spread).exp()).collect();
            scores[truth] *= f32::exp(lift);
            let sum: f32 = scores.iter().sum();
            judged.push(Judged { truth, probabilities: scores.iter().map(|score| score / sum).collect() });
        }
    }
    judged
}

fn named(judged: &Judged) -> usize {
    let best = judged.probabilities.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(place, _)| place)
}

fn alert(labels: &[String], bear: usize, judged: &[Judged], threshold: f64) -> AlertFigures {
    let rings = |photo: &&Judged| f64::from(photo.probabilities[bear]) >= threshold;
    let of = |truth: usize| {
        let photos: Vec<&Judged> = judged.iter().filter(|photo| photo.truth == truth).collect();
        share(photos.iter().filter(|photo| rings(photo)).count() as u64, photos.len() as u64)
    };
    let others: Vec<(String, Share)> =
        (0..labels.len()).filter(|truth| *truth != bear).map(|truth| (labels[truth].clone(), of(truth))).collect();
    let sum = |of: fn(&Share) -> u64| others.iter().map(|(_, share)| of(share)).sum();
    let false_alert_rate = share(sum(|share| share.hits), sum(|share| share.of));
    AlertFigures {
        label: labels[bear].clone(),
        threshold,
        recall: of(bear),
        false_alert_rate,
        false_alerts_by_label: others,
    }
}

fn evaluation(labels: &[String], judged: &[Judged], threshold: f64) -> Evaluation {
    let mut confusion = vec![vec![0; labels.len()]; labels.len()];
    judged.iter().for_each(|photo| confusion[photo.truth][named(photo)] += 1);
    let per_class: Vec<ClassFigures> = (0..labels.len())
        .map(|n| {
            let hits = confusion[n][n];
            let recall = share(hits, confusion[n].iter().sum());
            let precision = share(hits, confusion.iter().map(|row| row[n]).sum());
            let f1 = 2.0 * recall.share * precision.share / (recall.share + precision.share).max(1e-9);
            ClassFigures { label: labels[n].clone(), recall, precision, f1 }
        })
        .collect();
    let right: u64 = (0..labels.len()).map(|n| confusion[n][n]).sum();
    let alerts: Vec<AlertFigures> = labels
        .iter()
        .position(|l| l == "polar_bear")
        .map(|n| alert(labels, n, judged, threshold))
        .into_iter()
        .collect();
    Evaluation {
        images: judged.len() as u64,
        accuracy: right as f64 / judged.len().max(1) as f64,
        balanced_accuracy: per_class.iter().map(|class| class.recall.share).sum::<f64>() / labels.len() as f64,
        labels: labels.to_vec(),
        confusion,
        per_class,
        recall: alerts.first().map(|alert| alert.recall.share),
        false_alert_rate: alerts.first().map(|alert| alert.false_alert_rate.share),
        alerts,
    }
}

fn curve(bear: usize, judged: &[Judged]) -> Vec<CurvePoint> {
    let mut ranked: Vec<(f32, bool)> = judged.iter().map(|p| (p.probabilities[bear], p.truth == bear)).collect();
    ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let bears = ranked.iter().filter(|(_, is_bear)| *is_bear).count();
    let mut hits = 0;
    let points = ranked.iter().enumerate().map(|(n, (threshold, is_bear))| {
        hits += usize::from(*is_bear);
        CurvePoint {
            threshold: f64::from(*threshold),
            recall: hits as f64 / bears as f64,
            precision: hits as f64 / (n + 1) as f64,
            false_alert_rate: (n + 1 - hits) as f64 / (judged.len() - bears) as f64,
        }
    });
    points.collect()
}

/// A picture that differs by seed: a horizon, an animal, some light.
fn picture(seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let (width, height) = if seed.is_multiple_of(5) { (120_u32, 200_u32) } else { (320, 214) };
    let (horizon, at, size) = (0.3 + 0.3 * random.f32(), random.f32(), 0.1 + 0.2 * random.f32());
    let tint = [random.f32() * 40.0, random.f32() * 40.0, random.f32() * 60.0];
    let mut rgb = Vec::new();
    for n in 0..width * height {
        let (x, y) = ((n % width) as f32 / width as f32, (n / width) as f32 / height as f32);
        let animal = ((x - at) * 1.5).powi(2) + ((y - horizon - 0.2) * 2.2).powi(2) < size * size;
        let light = if animal {
            235.0 - 90.0 * y
        } else if y < horizon {
            110.0 + 120.0 * y
        } else {
            205.0 - 50.0 * y
        };
        rgb.extend(tint.map(|tint| (light + tint - 20.0 + random.f32() * 10.0) as u8));
    }
    thumbnail(&Pixels { width, height, rgb }).expect("a thumbnail")
}

/// A report of a training on 2 to 30 labels; about 400 photos with the first four.
pub fn sample(count: usize) -> Report {
    let labels = labels(count);
    let photos: Vec<u64> =
        labels.iter().enumerate().map(|(n, l)| if l == "other" { 220 } else { 52 + 9 * (n as u64 % 5) }).collect();
    let tested: Vec<u64> = photos.iter().map(|count| count / 4).collect();
    let (held_out, test) = (judge(&labels, &photos, 3), judge(&labels, &tested, 5));
    let bear = labels.iter().position(|label| label == "polar_bear").expect("a bear");
    let threshold = 0.41;
    let cross_validation = evaluation(&labels, &held_out, threshold);
    let path = |part: &str, n: usize, truth: usize| {
        PathBuf::from(format!("/home/ada/svalbard 2026/{part}/{}/IMG_{n:04}.JPG", labels[truth]))
    };
    let paths: Vec<PathBuf> = held_out.iter().enumerate().map(|(n, photo)| path("train", n, photo.truth)).collect();
    let seen = held_out.iter().zip(&paths).map(|(judged, photo)| Seen { photo, part: "held out", judged });
    let mut mistakes = mistakes(&labels, &[("polar_bear".to_owned(), threshold as f32)], seen, 12);
    for (seed, mistake) in mistakes.iter_mut().enumerate() {
        mistake.thumbnail = picture(seed as u64);
    }
    if let Some(mistake) = mistakes.get_mut(1) {
        mistake.part = "test";
    }
    let alerts = cross_validation.alerts.first().expect("a bear").clone();
    let mut random = fastrand::Rng::with_seed(9);
    let map = held_out.iter().zip(&paths).map(|(photo, path)| {
        let angle = photo.truth as f32 / labels.len() as f32 * std::f32::consts::TAU;
        let mut off = || (0..6).map(|_| random.f32() - 0.5).sum::<f32>();
        let right = named(photo) == photo.truth;
        let reach = if right { 2.2 } else { 0.7 };
        MapPoint {
            class: photo.truth,
            at: [reach * angle.cos() + off(), reach * angle.sin() + off()],
            right,
            photo: path.clone(),
        }
    });
    Report {
        head: "svalbard-animals 2026-11-24".to_owned(),
        layers: "linear, L2 0.01".to_owned(),
        backbone: "arctic-s-224 int8, 512 features".to_owned(),
        created_at: "2026-11-24T12:00:00Z".to_owned(),
        photos: labels
            .iter()
            .zip(photos.iter().zip(&tested))
            .map(|(label, (train, test))| Counts {
                label: label.clone(),
                background: label == "other",
                train: *train,
                packaged: 0,
                test: *test,
            })
            .collect(),
        epochs: (1..=10)
            .map(|epoch| {
                let left = f64::exp(-0.45 * f64::from(epoch));
                Epoch {
                    epoch,
                    training_accuracy: 0.995 - 0.5 * left,
                    validation_accuracy: 0.953 - 0.5 * left + 0.006 * f64::from(epoch % 3),
                    training_loss: 0.02 + 1.3 * left,
                    validation_loss: 0.14 + 1.2 * left + 0.004 * f64::from(epoch),
                }
            })
            .collect(),
        test: Some(evaluation(&labels, &test, threshold)),
        operating_points: vec![OperatingPoint {
            label: "polar_bear".to_owned(),
            threshold,
            wanted: "recall of at least 0.95".to_owned(),
            recall: alerts.recall,
            false_alert_rate: alerts.false_alert_rate,
            curve: curve(bear, &held_out),
        }],
        calibration: calibration(&held_out, 1.37),
        novelty: Some(NoveltyFigures {
            method: "mahalanobis".to_owned(),
            threshold: 412.5,
            false_novel: share(4, cross_validation.images),
            auroc: labels
                .iter()
                .enumerate()
                .map(|(n, label)| (label.clone(), 0.97 - 0.03 * n as f64))
                .take(5)
                .collect(),
        }),
        map: map.collect(),
        cross_validation,
        held_out_packaged: 0,
        trained_on: Vec::new(),
        mistakes,
        notes: vec![
            "2 files could not be read and were left out: train/walrus/._IMG_0001.JPG, train/other/notes.jpg"
                .to_owned(),
            "walrus has few photos: its recall is known to within 13 points".to_owned(),
        ],
        seconds: Seconds { features: 14.2, fit: 1.31 },
    }
}

/// Reports that lack parts or are full of nonsense; the first is empty.
pub fn degenerate() -> Vec<Report> {
    let none = Evaluation { balanced_accuracy: f64::NAN, ..evaluation(&labels(2), &[], 0.5) };
    let empty = Report {
        head: String::new(),
        layers: String::new(),
        backbone: String::new(),
        created_at: String::new(),
        photos: Vec::new(),
        epochs: Vec::new(),
        cross_validation: none.clone(),
        held_out_packaged: 0,
        trained_on: Vec::new(),
        test: None,
        operating_points: Vec::new(),
        calibration: calibration(&[], 1.0),
        novelty: None,
        mistakes: Vec::new(),
        map: Vec::new(),
        notes: Vec::new(),
        seconds: Seconds { features: 0.0, fit: 0.0 },
    };
    let mut no_labels = empty.clone();
    no_labels.cross_validation =
        Evaluation { labels: Vec::new(), confusion: Vec::new(), per_class: Vec::new(), ..none.clone() };

    let mut nonsense = sample(3);
    nonsense.epochs = vec![
        Epoch {
            epoch: 1,
            training_accuracy: f64::NAN,
            validation_accuracy: f64::INFINITY,
            training_loss: f64::NAN,
            validation_loss: f64::NEG_INFINITY
        };
        2
    ];
    nonsense.calibration.temperature = f64::NAN;
    nonsense.calibration.bins = vec![CalibrationBin { confidence: f64::NAN, accuracy: f64::NAN, photos: 0 }; 2];
    nonsense.map = vec![MapPoint { class: 99, at: [f32::NAN, f32::INFINITY], right: false, photo: PathBuf::new() }; 9];
    nonsense.seconds = Seconds { features: f64::NAN, fit: f64::INFINITY };
    nonsense.cross_validation.balanced_accuracy = f64::NAN;
    nonsense.cross_validation.confusion.pop();
    for point in &mut nonsense.operating_points {
        let curve =
            CurvePoint { threshold: f64::NAN, recall: f64::NAN, precision: f64::NAN, false_alert_rate: f64::NAN };
        point.curve = vec![curve; 3];
        point.threshold = f64::INFINITY;
        point.recall = Share { hits: 0, of: 0, share: f64::NAN, wilson_95: [f64::NAN; 2] };
        point.false_alert_rate = Share { hits: 0, of: 0, share: f64::NAN, wilson_95: [f64::NAN; 2] };
    }
    if let Some(novelty) = &mut nonsense.novelty {
        novelty.threshold = f64::NAN;
        novelty.auroc = vec![("nothing".to_owned(), f64::NAN)];
    }

    let mut single = sample(2);
    single.map.truncate(1);
    single.epochs.truncate(1);
    single.mistakes.iter_mut().for_each(|mistake| mistake.thumbnail.clear());
    for point in &mut single.operating_points {
        point.curve.truncate(1);
    }

    let mut identical = sample(2);
    identical.map.iter_mut().for_each(|point| point.at = [1e30, -1e30]);
    vec![empty, no_labels, nonsense, single, identical]
}

/// A report whose every text tries to break out of the page.
pub fn hostile() -> Report {
    let evil = "</title></style></svg><script>alert(1)</script>\"' onload='x' <b>&";
    let mut report = sample(4);
    report.head = evil.to_owned();
    report.layers = evil.to_owned();
    report.backbone = evil.to_owned();
    report.created_at = evil.to_owned();
    report.notes = vec![evil.to_owned()];
    report.photos.iter_mut().for_each(|counts| counts.label = evil.to_owned());
    for evaluation in [Some(&mut report.cross_validation), report.test.as_mut()].into_iter().flatten() {
        evaluation.labels.iter_mut().for_each(|label| *label = evil.to_owned());
        evaluation.per_class.iter_mut().for_each(|class| class.label = evil.to_owned());
        evaluation.alerts.iter_mut().for_each(|alert| alert.label = evil.to_owned());
    }
    for point in &mut report.operating_points {
        point.label = evil.to_owned();
        point.wanted = evil.to_owned();
    }
    if let Some(novelty) = &mut report.novelty {
        novelty.method = evil.to_owned();
        novelty.auroc.iter_mut().for_each(|(label, _)| *label = evil.to_owned());
    }
    for mistake in &mut report.mistakes {
        mistake.photo = Path::new(evil).to_owned();
        mistake.part = "<script>";
        mistake.truth = evil.to_owned();
        mistake.scores.iter_mut().for_each(|(label, _)| *label = evil.to_owned());
        mistake.thumbnail = "https://example.org/\" onerror=\"alert(1)".to_owned();
    }
    report.map.iter_mut().for_each(|point| point.photo = Path::new(evil).to_owned());
    report
}
