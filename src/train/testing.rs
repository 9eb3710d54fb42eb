//! Made-up datasets for tests.

use super::rows::{Dataset, Rows};

/// `classes` clouds of `photos` photos each around points 3 apart, in `width` features of spread 1 times a few scales,
/// with `views` rows a photo of which the first is plain.
pub(super) fn blobs(classes: usize, photos: usize, width: usize, views: usize, seed: u64) -> Dataset {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut normal = move || (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0;
    let centres: Vec<Vec<f32>> = (0..classes).map(|_| (0..width).map(|_| normal() * 3.0).collect()).collect();
    let mut dataset = Dataset {
        labels: (0..classes).map(|class| format!("class_{class}")).collect(),
        rows: Rows::new(width),
        ..Dataset::default()
    };
    for (class, centre) in centres.iter().enumerate() {
        for _ in 0..photos {
            let photo = dataset.photos.len();
            dataset.photos.push(format!("{class}/{photo}.jpg").into());
            dataset.cluster.push(photo);
            dataset.copies.push(photo);
            let own: Vec<f32> = centre.iter().map(|at| at + normal()).collect();
            for view in 0..views {
                let shift = if view == 0 { 0.0 } else { 0.3 };
                let scaled =
                    own.iter().enumerate().map(|(j, at)| 10.0 + (at + shift * normal()) * (1.0 + (j % 3) as f32));
                dataset.rows.push(&scaled.collect::<Vec<_>>());
                dataset.class.push(class);
                dataset.photo.push(photo);
                dataset.plain.push(view == 0);
            }
        }
    }
    dataset
}
