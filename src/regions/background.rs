//! How a scene usually looks, and what of a frame does not fit to it in whatever light it was taken.
//!
//! Clouds, dusk and haze change a scene's contrast and brightness, smoothly from place to place. So the frame is explained as
//! `gain * background + offset` with a gain and an offset of each cell's surroundings; what remains is something new. Cells
//! that don't fit count little in that explanation: fitted twice, an animal does not bend the light around it.

use super::plane::{Plane, smoothed};

/// Frames until it may say something.
const READY: u32 = 3;
/// Share of a new frame in the background, once it is settled; a cell that does not fit takes up an eighth of it, so a bear
/// that sleeps is still seen after a dozen frames and a fallen tree is scenery after a hundred.
const RATE: f32 = 0.1;
const STRANGE: f32 = 0.125;
/// Difference in levels that is noise everywhere; the sensor's is less, after the mean of a cell.
const FLOOR: f32 = 4.0;
/// Of a cell's usual difference: grass that waves, water.
const USUAL: f32 = 3.0;
/// Of the step to the next cell: a camera that trembles.
const TREMBLE: f32 = 0.2;
/// From this level on, highlights begin to be clipped, each level beyond by as many more that are noise.
const BRIGHT: f32 = 225.0;
/// Levels squared below which the surroundings have no contrast to tell the gain from.
const FLAT: f32 = 100.0;

/// The scene of one camera.
#[derive(Debug, Clone)]
pub(super) struct Background {
    scene: Plane,
    usual: Vec<f32>,
    frames: u32,
}

/// What a frame has that the background has not.
#[derive(Debug, Clone)]
pub(super) struct Difference {
    /// Cell by cell, 1.0 is what is still expected.
    pub strangeness: Vec<f32>,
    explained: Vec<f32>,
    rest: Vec<f32>,
}

impl Background {
    pub fn new(plane: Plane) -> Self {
        Self { usual: vec![2.0; plane.luma.len()], scene: plane, frames: 1 }
    }

    /// Whether `plane` is of the same size.
    pub fn fits(&self, plane: &Plane) -> bool {
        (self.scene.columns, self.scene.rows) == (plane.columns, plane.rows)
    }

    pub fn is_ready(&self) -> bool {
        self.frames >= READY
    }

    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Structure of the scene: mean step between neighbours.
    pub fn detail(&self) -> f32 {
        mean(&self.scene.edges())
    }

    /// How well the fine structure of `plane`, of the same size, is the scene's: 1 in whatever light, about 0 for another scene
    /// (sky above ground is no fine structure); none where one of them has none.
    pub fn likeness(&self, plane: &Plane) -> Option<f32> {
        let fine = |plane: &Plane| -> Vec<f32> {
            let coarse = smoothed(&plane.luma, plane.columns, plane.rows, (plane.columns.max(plane.rows) / 24).max(1));
            plane.luma.iter().zip(coarse).map(|(luma, coarse)| luma - coarse).collect()
        };
        let (scene, frame) = (fine(&self.scene), fine(plane));
        let sums = scene.iter().zip(&frame).fold([0.0_f32; 3], |[both, of_scene, of_frame], (scene, frame)| {
            [both + scene * frame, of_scene + scene * scene, of_frame + frame * frame]
        });
        let [both, of_scene, of_frame] = sums;
        // Less than a level on average is noise.
        let structured = |sum: f32| sum > scene.len() as f32;
        (structured(of_scene) && structured(of_frame)).then(|| both / (of_scene * of_frame).sqrt())
    }

    /// What in `plane`, of the same size, is new.
    pub fn difference(&self, plane: &Plane) -> Difference {
        let (columns, rows) = (plane.columns, plane.rows);
        let edges = self.scene.edges();
        let expected: Vec<f32> =
            self.usual.iter().zip(&edges).map(|(usual, edge)| FLOOR + USUAL * usual + TREMBLE * edge).collect();
        let gain = overall_gain(&self.scene.luma, &plane.luma);
        let radius = (columns.max(rows) / 8).max(1);
        let mut weights = vec![1.0; plane.luma.len()];
        let mut explained = Vec::new();
        for _ in 0..3 {
            explained = explain(&self.scene.luma, &plane.luma, &weights, gain, |values| {
                smoothed(values, columns, rows, radius)
            });
            let misfits = plane.luma.iter().zip(&explained).zip(&expected);
            weights = misfits
                .map(|((luma, explained), expected)| 1.0 / (1.0 + ((luma - explained) / expected).powi(2)))
                .collect();
        }
        let rest: Vec<f32> =
            plane.luma.iter().zip(&explained).map(|(luma, explained)| luma - explained.clamp(0.0, 255.0)).collect();
        let allowed = expected
            .iter()
            .zip(&explained)
            .map(|(expected, explained)| expected + (explained - BRIGHT).clamp(0.0, 40.0));
        let strangeness = rest.iter().zip(allowed).map(|(rest, allowed)| rest.abs() / allowed).collect();
        Difference { strangeness, explained, rest }
    }

    /// Takes the frame into account, without a look at what is new in it: enough to know the scene again.
    pub fn follow(&mut self, plane: &Plane) {
        self.frames = self.frames.saturating_add(1);
        let rate = RATE.max(1.0 / self.frames as f32);
        self.scene.luma.iter_mut().zip(&plane.luma).for_each(|(scene, luma)| *scene += rate * (luma - *scene));
    }

    /// Takes the frame into account.
    pub fn learn(&mut self, difference: &Difference) {
        self.frames = self.frames.saturating_add(1);
        let rate = RATE.max(1.0 / self.frames as f32);
        let cells = self.scene.luma.iter_mut().zip(&mut self.usual);
        let seen = difference.explained.iter().zip(&difference.rest).zip(&difference.strangeness);
        for ((scene, usual), ((explained, rest), strangeness)) in cells.zip(seen) {
            let share = if *strangeness > 1.0 && self.frames > READY { STRANGE } else { 1.0 };
            // The light is followed everywhere alike, or strange cells would be left in the old one.
            *scene += rate * (explained - *scene + share * rest);
            *usual += rate * share * (rest.abs() - *usual);
        }
    }
}

/// Gain from one plane to the other.
fn overall_gain(scene: &[f32], luma: &[f32]) -> f32 {
    let (scene_mean, luma_mean) = (mean(scene), mean(luma));
    let pairs = scene.iter().zip(luma).map(|(scene, luma)| (scene - scene_mean, luma - luma_mean));
    let (both, square) =
        pairs.fold((0.0_f32, 0.0_f32), |(both, square), (scene, luma)| (both + scene * luma, square + scene * scene));
    let flat = square < FLAT / 4.0 * scene.len() as f32;
    if flat { 1.0 } else { (both / square).clamp(0.2, 5.0) }
}

/// `gain * scene + offset` by weighted least squares in each cell's surroundings; where those are flat, `usual_gain`.
fn explain(
    scene: &[f32],
    luma: &[f32],
    weights: &[f32],
    usual_gain: f32,
    around: impl Fn(&[f32]) -> Vec<f32>,
) -> Vec<f32> {
    let product = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a * b).collect() };
    let weighted_scene = product(weights, scene);
    let weighted_luma = product(weights, luma);
    let weight = around(weights);
    let of_scene = around(&weighted_scene);
    let of_luma = around(&weighted_luma);
    let of_squares = around(&product(&weighted_scene, scene));
    let of_products = around(&product(&weighted_scene, luma));
    let fits = (0..scene.len()).map(|cell| {
        let weight = weight[cell].max(1e-6);
        let (scene, luma) = (of_scene[cell] / weight, of_luma[cell] / weight);
        let variance = (of_squares[cell] / weight - scene * scene).max(0.0);
        let together = of_products[cell] / weight - scene * luma;
        let gain = ((together + FLAT * usual_gain) / (variance + FLAT)).clamp(0.0, 6.0);
        (gain, luma - gain * scene)
    });
    let (gains, offsets): (Vec<f32>, Vec<f32>) = fits.unzip();
    scene.iter().zip(gains.iter().zip(&offsets)).map(|(scene, (gain, offset))| gain * scene + offset).collect()
}

pub(super) fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}
