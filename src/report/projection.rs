//! Photos in two dimensions, so that one sees which labels lie together.

mod linear;

use crate::train::Rows;
use linear::{Basis, dot, fisher, principal};

/// Rows that directions are found on; the others are only projected.
const SAMPLE: usize = 384;
/// Principal components that Fisher's directions are looked for in.
const COMPONENTS: usize = 20;

/// Places rows of features (`class` holds one label each) in two dimensions; one point a row.
///
/// Up to [`COMPONENTS`] principal components of a sample with equally many rows a label; with three labels or more then
/// the two directions in them that hold the labels' means apart against the scatter within labels (R. A. Fisher, Annals
/// of Eugenics 7, 1936), each label with equal weight. Fewer components are used where there are few rows, since many
/// would part anything. Deterministic, and finite for any input: numbers that are none count as 0.
pub fn project(rows: &Rows, class: &[usize]) -> Vec<[f32; 2]> {
    let class_of = |row: usize| class.get(row).copied().unwrap_or(0);
    let mut classes: Vec<usize> = (0..rows.len()).map(class_of).collect();
    classes.sort_unstable();
    classes.dedup();
    let sample = sample(rows.len(), &classes, class_of);
    let mean = mean(rows, &sample);
    let centred = |row: &[f32]| -> Vec<f32> {
        row.iter().zip(&mean).map(|(value, mean)| if value.is_finite() { value - mean } else { 0.0 }).collect()
    };
    let seen: Vec<Vec<f32>> = sample.iter().map(|&row| centred(rows.row(row))).collect();
    let basis = principal(&seen, COMPONENTS.min(seen.len() / 5).max(2));
    let places: Vec<Vec<f64>> = rows.iter().map(|row| basis.coordinates(&centred(row))).collect();

    let of_sample: Vec<(usize, &[f64])> = sample
        .iter()
        .filter_map(|&row| Some((classes.binary_search(&class_of(row)).ok()?, places.get(row)?.as_slice())))
        .collect();
    let directions = if classes.len() >= 3 { fisher(&of_sample, classes.len()) } else { None };
    let directions = directions.unwrap_or_else(|| Basis::axes(2));
    let points = places.iter().map(|place| {
        let at = |axis: usize| directions.get(axis).map_or(0.0, |direction| dot(place, direction)) as f32;
        [at(0), at(1)].map(|value| if value.is_finite() { value } else { 0.0 })
    });
    points.collect()
}

/// Up to [`SAMPLE`] rows, equally many a class as far as there are, evenly over each.
fn sample(rows: usize, classes: &[usize], class_of: impl Fn(usize) -> usize) -> Vec<usize> {
    let room = (SAMPLE / classes.len().max(1)).max(2);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes.len()];
    for row in 0..rows {
        if let Some(members) = classes.binary_search(&class_of(row)).ok().and_then(|place| members.get_mut(place)) {
            members.push(row);
        }
    }
    let evenly = members.iter().flat_map(|members| {
        let taken = members.len().min(room);
        (0..taken).filter_map(move |n| members.get(n * members.len() / taken).copied())
    });
    evenly.take(SAMPLE).collect()
}

fn mean(rows: &Rows, sample: &[usize]) -> Vec<f32> {
    let mut mean = vec![0.0; rows.width()];
    for &row in sample {
        for (sum, value) in mean.iter_mut().zip(rows.row(row)) {
            *sum += if value.is_finite() { f64::from(*value) } else { 0.0 };
        }
    }
    mean.iter().map(|sum| (sum / sample.len().max(1) as f64) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows around a mean for each class, in a space of `width`, with noise.
    fn clouds(width: usize, classes: usize, each: usize) -> (Rows, Vec<usize>) {
        let mut random = fastrand::Rng::with_seed(7);
        let means: Vec<Vec<f32>> = (0..classes).map(|_| (0..width).map(|_| random.f32() * 2.0).collect()).collect();
        let mut rows = Rows::new(width);
        let class: Vec<usize> = (0..classes * each).map(|row| row % classes).collect();
        for class in &class {
            let row: Vec<f32> = means[*class].iter().map(|mean| mean + random.f32() * 3.0).collect();
            rows.push(&row);
        }
        (rows, class)
    }

    fn finite(rows: &Rows, class: &[usize]) -> Vec<[f32; 2]> {
        let points = project(rows, class);
        assert_eq!(points.len(), rows.len());
        assert!(points.iter().flatten().all(|value| value.is_finite()), "{points:?}");
        points
    }

    #[test]
    fn labels_that_differ_lie_apart_on_the_map() {
        for classes in [2, 3, 5] {
            let (rows, class) = clouds(24, classes, 40);
            let points = finite(&rows, &class);
            let mut centres = vec![[0.0_f32; 2]; classes];
            for (point, class) in points.iter().zip(&class) {
                centres[*class][0] += point[0] / 40.0;
                centres[*class][1] += point[1] / 40.0;
            }
            let near = |point: &[f32; 2]| {
                let distance = |centre: &[f32; 2]| (centre[0] - point[0]).powi(2) + (centre[1] - point[1]).powi(2);
                (0..classes).min_by(|a, b| distance(&centres[*a]).total_cmp(&distance(&centres[*b])))
            };
            let right = points.iter().zip(&class).filter(|(point, class)| near(point) == Some(**class)).count();
            assert!(right * 10 >= points.len() * 7, "{right} of {} with {classes} classes", points.len());
        }
    }

    #[test]
    fn the_same_rows_give_the_same_map() {
        let (rows, class) = clouds(16, 4, 12);
        assert_eq!(project(&rows, &class), project(&rows, &class));
    }

    #[test]
    fn the_first_axis_of_two_labels_is_the_direction_of_most_scatter() {
        let mut rows = Rows::new(3);
        (0..40).for_each(|n| rows.push(&[(n % 3) as f32 * 0.1, n as f32, 0.0]));
        let points = finite(&rows, &vec![0; 40]);
        let rises = points.windows(2).map(|pair| pair[1][0] - pair[0][0]).collect::<Vec<_>>();
        assert!(rises.iter().all(|rise| (rise.abs() - 1.0).abs() < 0.1), "{rises:?}");
    }

    #[test]
    fn rows_that_say_nothing_are_placed_all_the_same() {
        finite(&Rows::default(), &[]);
        for (count, classes) in [(1, 1), (2, 2), (3, 3), (50, 5), (90, 80)] {
            let class: Vec<usize> = (0..count).map(|row| row % classes).collect();
            let mut same = Rows::new(8);
            (0..count).for_each(|_| same.push(&[0.5; 8]));
            finite(&same, &class);
            let mut wild = Rows::new(4);
            (0..count).for_each(|row| wild.push(&[f32::NAN, f32::INFINITY, row as f32, f32::MAX]));
            finite(&wild, &class);
        }
        let mut narrow = Rows::new(1);
        (0..9).for_each(|row| narrow.push(&[row as f32]));
        finite(&narrow, &[0, 1, 2]);
    }
}
