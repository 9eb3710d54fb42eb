//! The little linear algebra that a map needs: principal components of a few hundred rows, and Fisher's directions in a
//! space of about twenty.

/// Rounds of subspace iteration: directions for the eye need no more.
const ROUNDS: usize = 30;
/// Sweeps of Jacobi's method; about seven are enough for twenty dimensions.
const SWEEPS: usize = 20;
/// What is added to the scatter within labels, relative to its mean: keeps directions of no scatter out of the division.
const SHRINKAGE: f64 = 0.05;

/// Directions, one a row.
pub struct Basis {
    directions: Vec<Vec<f32>>,
}

impl Basis {
    /// The place of a centred row.
    pub fn coordinates(&self, row: &[f32]) -> Vec<f64> {
        self.directions.iter().map(|direction| f64::from(product(direction, row))).collect()
    }

    /// The first `count` axes.
    pub fn axes(count: usize) -> Vec<Vec<f64>> {
        (0..count).map(|axis| (0..=axis).map(|n| f64::from(u8::from(n == axis))).collect()).collect()
    }
}

/// Up to `count` principal directions of centred rows, by subspace iteration on their Gram matrix: with fewer rows than
/// features it is the smaller one.
pub fn principal(rows: &[Vec<f32>], count: usize) -> Basis {
    let gram: Vec<Vec<f32>> = rows.iter().map(|a| rows.iter().map(|b| product(a, b)).collect()).collect();
    let mut random = fastrand::Rng::with_seed(1);
    let mut vectors: Vec<Vec<f32>> =
        (0..count.min(rows.len())).map(|_| rows.iter().map(|_| random.f32() - 0.5).collect()).collect();
    for _ in 0..ROUNDS {
        for vector in &mut vectors {
            *vector = gram.iter().map(|row| product(row, vector)).collect();
        }
        orthonormalize(&mut vectors);
    }
    let mut found: Vec<(f32, Vec<f32>)> = vectors.iter().map(|vector| direction(rows, vector)).collect();
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    Basis { directions: found.into_iter().map(|(_, direction)| direction).collect() }
}

/// The rows' sum weighted by an eigenvector of their Gram matrix, at length 1, and the scatter along it.
fn direction(rows: &[Vec<f32>], weights: &[f32]) -> (f32, Vec<f32>) {
    let mut sum = vec![0.0; rows.first().map_or(0, Vec::len)];
    for (row, weight) in rows.iter().zip(weights) {
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
    }
    let length = product(&sum, &sum).sqrt();
    if !length.is_normal() {
        return (0.0, vec![0.0; sum.len()]);
    }
    sum.iter_mut().for_each(|value| *value /= length);
    (length, sum)
}

/// Gram and Schmidt; a vector that depends on the earlier ones, or is no number, becomes zeros.
fn orthonormalize(vectors: &mut [Vec<f32>]) {
    for place in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(place);
        let Some(vector) = rest.first_mut() else { return };
        let before = product(vector, vector).sqrt();
        for other in done {
            let along = product(vector, other);
            vector.iter_mut().zip(other.iter()).for_each(|(value, other)| *value -= along * other);
        }
        let length = product(vector, vector).sqrt();
        let usable = length.is_normal() && before.is_normal() && length > before * 1e-6;
        vector.iter_mut().for_each(|value| *value = if usable { *value / length } else { 0.0 });
    }
}

/// The two directions that hold the labels' means apart against the scatter within labels; `None` if they say nothing.
///
/// `rows` are (label, place) with labels below `labels`.
pub fn fisher(rows: &[(usize, &[f64])], labels: usize) -> Option<Vec<Vec<f64>>> {
    let size = rows.first()?.1.len();
    let mut counts = vec![0.0; labels];
    let mut means = vec![vec![0.0; size]; labels];
    for (label, place) in rows {
        *counts.get_mut(*label)? += 1.0;
        means.get_mut(*label)?.iter_mut().zip(*place).for_each(|(sum, value)| *sum += value);
    }
    for (mean, count) in means.iter_mut().zip(&counts) {
        mean.iter_mut().for_each(|value| *value /= f64::max(*count, 1.0));
    }
    let middle: Vec<f64> =
        (0..size).map(|n| means.iter().filter_map(|mean| mean.get(n)).sum::<f64>() / labels as f64).collect();

    let mut within = Square::zeros(size);
    for (label, place) in rows {
        let off: Vec<f64> = place.iter().zip(means.get(*label)?).map(|(value, mean)| value - mean).collect();
        within.add_outer(&off, 1.0 / counts.get(*label)?.max(1.0));
    }
    let mut between = Square::zeros(size);
    for mean in &means {
        between.add_outer(&mean.iter().zip(&middle).map(|(a, b)| a - b).collect::<Vec<_>>(), 1.0);
    }
    let scatter = (0..size).map(|n| within.at(n, n) + between.at(n, n)).sum::<f64>() / size as f64;
    if !scatter.is_normal() {
        return None;
    }
    (0..size).for_each(|n| within.add(n, n, SHRINKAGE * scatter));

    // Whitened by the scatter within labels, the directions are the eigenvectors of the scatter between them.
    let (sizes, axes) = within.eigen();
    let whitening: Vec<Vec<f64>> = sizes
        .iter()
        .zip(&axes)
        .map(|(size, axis)| axis.iter().map(|value| value / size.max(scatter * 1e-9).sqrt()).collect())
        .collect();
    let mut whitened = Square::zeros(size);
    for (i, a) in whitening.iter().enumerate() {
        let image = between.times(a);
        whitening.iter().enumerate().for_each(|(j, b)| whitened.add(i, j, dot(&image, b)));
    }
    let (_, found) = whitened.eigen();
    let back = |weights: &Vec<f64>| -> Vec<f64> {
        (0..size).map(|n| weights.iter().zip(&whitening).filter_map(|(w, axis)| Some(w * axis.get(n)?)).sum()).collect()
    };
    let directions: Vec<Vec<f64>> = found.iter().take(2).map(back).collect();
    directions.iter().flatten().all(|value| value.is_finite()).then_some(directions)
}

/// A small symmetric matrix.
struct Square {
    size: usize,
    values: Vec<f64>,
}

impl Square {
    fn zeros(size: usize) -> Self {
        Self { size, values: vec![0.0; size * size] }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.values.get(row * self.size + column).copied().unwrap_or(0.0)
    }

    fn add(&mut self, row: usize, column: usize, value: f64) {
        if let Some(cell) = self.values.get_mut(row * self.size + column) {
            *cell += value;
        }
    }

    fn add_outer(&mut self, vector: &[f64], weight: f64) {
        for (row, a) in vector.iter().enumerate() {
            vector.iter().enumerate().for_each(|(column, b)| self.add(row, column, weight * a * b));
        }
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.size.max(1)).map(|row| dot(row, vector)).collect()
    }

    /// Eigenvalues, falling, and their eigenvectors, by Jacobi's rotations.
    fn eigen(mut self) -> (Vec<f64>, Vec<Vec<f64>>) {
        let size = self.size;
        let mut axes = Self::zeros(size);
        (0..size).for_each(|n| axes.add(n, n, 1.0));
        for _ in 0..SWEEPS {
            for p in 0..size {
                for q in p + 1..size {
                    let off = self.at(p, q);
                    if off.abs() <= f64::MIN_POSITIVE {
                        continue;
                    }
                    let theta = (self.at(q, q) - self.at(p, p)) / (2.0 * off);
                    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                    let cosine = 1.0 / tangent.hypot(1.0);
                    let turn = (cosine, tangent * cosine);
                    (0..size).for_each(|n| self.rotate([n * size + p, n * size + q], turn));
                    (0..size).for_each(|n| self.rotate([p * size + n, q * size + n], turn));
                    (0..size).for_each(|n| axes.rotate([p * size + n, q * size + n], turn));
                }
            }
        }
        let mut found: Vec<(f64, Vec<f64>)> =
            axes.values.chunks_exact(size.max(1)).enumerate().map(|(n, axis)| (self.at(n, n), axis.to_vec())).collect();
        found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        found.into_iter().unzip()
    }

    fn rotate(&mut self, [p, q]: [usize; 2], (cosine, sine): (f64, f64)) {
        if let (Some(&a), Some(&b)) = (self.values.get(p), self.values.get(q)) {
            self.values[p] = cosine * a - sine * b;
            self.values[q] = sine * a + cosine * b;
        }
    }
}

/// Sum of products over the shorter length.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Sum of products, in eight lanes that the compiler can keep in one register.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let (a_parts, b_parts) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(a, b)| a * b).sum();
    let mut lanes = [0.0_f32; 8];
    for (a, b) in a_parts.zip(b_parts) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    rest + lanes.iter().sum::<f32>()
}
