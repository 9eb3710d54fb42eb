//! The animals: limbs and ellipses, in several poses, sizes and places.

use super::background::Ground;
use super::canvas::{Canvas, Colour, Point, lit};
use super::random::Random;

/// Where an animal stands: its own coordinates have the origin under its body on the ground, x forward, y up, in units of
/// its size.
struct Stand {
    feet: Point,
    size: f32,
    /// 1 to the right, -1 to the left.
    facing: f32,
    light: Colour,
    soft: f32,
}

impl Stand {
    /// A place within the picture for an animal of `size` (in heights) and `reach` (its half-length, in sizes).
    fn new(canvas: &Canvas, random: &mut Random, ground: &Ground, size: (f32, f32), reach: f32) -> Self {
        let size = random.between(size.0, size.1);
        let half = (size * reach).min(canvas.aspect() * 0.48);
        let nearest = 0.97_f32;
        let farthest = (ground.horizon + 0.12 + size * 0.25).min(nearest - 0.02);
        Self {
            feet: (random.between(half, canvas.aspect() - half), random.between(farthest, nearest)),
            size,
            facing: random.pick(&[1.0, -1.0]),
            light: ground.light,
            soft: size * 0.03,
        }
    }

    fn at(&self, (x, y): Point) -> Point {
        (self.feet.0 + self.facing * x * self.size, self.feet.1 - y * self.size)
    }

    fn shadow(&self, canvas: &mut Canvas, half_length: f32) {
        let middle = self.at((-0.05, -0.01));
        canvas.ellipse(
            middle,
            (half_length * self.size, 0.09 * self.size),
            lit([92.0, 108.0, 134.0], self.light),
            0.6,
            0.5,
        );
    }

    fn limb(&self, canvas: &mut Canvas, a: (Point, f32), b: (Point, f32), colour: Colour, shade: f32) {
        let (from, to) = ((self.at(a.0), a.1 * self.size), (self.at(b.0), b.1 * self.size));
        canvas.limb(from, to, lit(colour, self.light), shade, self.soft);
    }

    fn dot(&self, canvas: &mut Canvas, place: Point, radius: f32, colour: Colour) {
        let radius = radius * self.size;
        canvas.ellipse(self.at(place), (radius, radius), lit(colour, self.light), 1.0, 0.4);
    }
}

const BLACK: Colour = [26.0, 24.0, 26.0];

/// Large, cream against the snow, long neck, thick legs.
pub fn bear(canvas: &mut Canvas, random: &mut Random, ground: &Ground) {
    let stand = Stand::new(canvas, random, ground, (0.52, 0.7), 0.95);
    let tone = random.between(0.0, 1.0);
    let fur = [246.0 - 10.0 * tone, 228.0 - 16.0 * tone, 184.0 - 34.0 * tone];
    let far = fur.map(|value| value * 0.78);
    let stride = random.between(-0.14, 0.14);
    let nose = random.pick(&[0.24_f32, 0.52, 0.74]);
    stand.shadow(canvas, 0.72);
    let leg = |canvas: &mut Canvas, hip: f32, foot: f32, colour: Colour| {
        stand.limb(canvas, ((hip, 0.38), 0.14), ((foot, 0.09), 0.085), colour, 0.25);
        stand.limb(canvas, ((foot, 0.055), 0.06), ((foot + 0.07, 0.05), 0.05), colour, 0.3);
    };
    leg(canvas, -0.36, -0.38 - stride, far);
    leg(canvas, 0.33, 0.34 + stride, far);
    stand.limb(canvas, ((-0.36, 0.5), 0.25), ((0.28, 0.48), 0.215), fur, 0.36);
    leg(canvas, -0.42, -0.44 + stride, fur);
    leg(canvas, 0.3, 0.3 - stride, fur);
    stand.limb(canvas, ((-0.57, 0.48), 0.07), ((-0.63, 0.42), 0.04), fur, 0.3);
    let skull = (0.74, nose + 0.06);
    let muzzle = (0.92, nose - 0.02);
    stand.limb(canvas, ((0.34, 0.54), 0.17), (skull, 0.115), fur, 0.3);
    stand.limb(canvas, (skull, 0.105), (muzzle, 0.055), fur, 0.3);
    stand.dot(canvas, (skull.0 - 0.07, skull.1 + 0.1), 0.038, far);
    stand.dot(canvas, (skull.0 + 0.0, skull.1 + 0.105), 0.036, fur);
    stand.dot(canvas, (muzzle.0 + 0.045, muzzle.1 + 0.015), 0.03, BLACK);
    stand.dot(canvas, (skull.0 + 0.07, skull.1 + 0.04), 0.016, BLACK);
}

/// Small, grey-brown to white, pointed ears, a brush of a tail.
pub fn fox(canvas: &mut Canvas, random: &mut Random, ground: &Ground) {
    let stand = Stand::new(canvas, random, ground, (0.34, 0.46), 1.1);
    let tone = random.between(0.0, 1.0);
    let fur = [112.0 - 24.0 * tone, 100.0 - 24.0 * tone, 98.0 - 22.0 * tone];
    let far = fur.map(|value| value * 0.72);
    let stride = random.between(-0.1, 0.1);
    let head = random.pick(&[0.45_f32, 0.7, 0.86]);
    stand.shadow(canvas, 0.55);
    for (hip, foot, colour) in [
        (-0.3, -0.34 - stride, far),
        (0.26, 0.28 + stride, far),
        (-0.26, -0.24 + stride, fur),
        (0.3, 0.32 - stride, fur),
    ] {
        stand.limb(canvas, ((hip, 0.4), 0.08), ((foot, 0.05), 0.04), colour, 0.2);
    }
    stand.limb(canvas, ((-0.36, 0.5), 0.09), ((-0.98, random.between(0.2, 0.62)), 0.14), fur, 0.35);
    stand.limb(canvas, ((-0.28, 0.5), 0.17), ((0.26, 0.52), 0.16), fur, 0.35);
    stand.limb(canvas, ((0.3, 0.56), 0.12), ((0.52, head), 0.12), fur, 0.3);
    stand.limb(canvas, ((0.54, head - 0.01), 0.1), ((0.76, head - 0.08), 0.03), fur, 0.3);
    stand.limb(canvas, ((0.44, head + 0.09), 0.055), ((0.4, head + 0.24), 0.012), far, 0.2);
    stand.limb(canvas, ((0.56, head + 0.09), 0.055), ((0.57, head + 0.25), 0.012), fur, 0.2);
    stand.dot(canvas, (0.79, head - 0.08), 0.03, BLACK);
    stand.dot(canvas, (0.6, head + 0.03), 0.022, BLACK);
}

/// A heavy brown body on the ice, small head, white tusks.
pub fn walrus(canvas: &mut Canvas, random: &mut Random, ground: &Ground) {
    let stand = Stand::new(canvas, random, ground, (0.54, 0.72), 0.9);
    let tone = random.between(0.0, 1.0);
    let skin = [128.0 - 34.0 * tone, 84.0 - 26.0 * tone, 66.0 - 18.0 * tone];
    let dark = skin.map(|value| value * 0.7);
    let raised = random.between(0.42, 0.68);
    stand.shadow(canvas, 0.85);
    stand.limb(canvas, ((-0.6, 0.1), 0.1), ((-0.84, 0.06), 0.04), dark, 0.3);
    stand.limb(canvas, ((-0.5, 0.18), 0.18), ((0.1, 0.27), 0.27), skin, 0.5);
    stand.limb(canvas, ((0.1, 0.28), 0.26), ((0.42, raised), 0.17), skin, 0.45);
    stand.limb(canvas, ((0.42, raised + 0.02), 0.15), ((0.52, raised + 0.04), 0.135), skin, 0.35);
    stand.limb(
        canvas,
        ((0.56, raised - 0.04), 0.085),
        ((0.6, raised - 0.05), 0.075),
        skin.map(|value| value * 1.25),
        0.3,
    );
    for x in [0.55, 0.64] {
        stand.limb(canvas, ((x, raised - 0.1), 0.022), ((x - 0.03, raised - 0.36), 0.012), [240.0, 234.0, 214.0], 0.1);
    }
    stand.limb(canvas, ((0.2, 0.14), 0.1), ((0.4, 0.04), 0.045), dark, 0.3);
    stand.dot(canvas, (0.53, raised + 0.09), 0.018, BLACK);
}
