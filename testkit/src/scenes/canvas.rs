//! Paint: coordinates are in picture heights, so that a scene looks the same at any size.

use arcticd::frame::Pixels;

use super::random::{Random, hash};

/// Red, green, blue, 0 to 255.
pub type Colour = [f32; 3];

/// A point; y grows downwards, from 0 at the top to 1 at the bottom, x from 0 to [`Canvas::aspect`].
pub type Point = (f32, f32);

/// A picture in work.
pub struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl Canvas {
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, rgb: vec![0; width as usize * height as usize * 3] }
    }

    /// Width in heights.
    pub fn aspect(&self) -> f32 {
        self.width as f32 / self.height as f32
    }

    /// Sets every pixel.
    pub fn fill(&mut self, colour_at: impl Fn(Point) -> Colour) {
        let scale = 1.0 / self.height as f32;
        for (index, pixel) in self.rgb.chunks_exact_mut(3).enumerate() {
            let (column, row) = (index % self.width as usize, index / self.width as usize);
            let colour = colour_at(((column as f32 + 0.5) * scale, (row as f32 + 0.5) * scale));
            for (channel, value) in pixel.iter_mut().zip(colour) {
                *channel = value.clamp(0.0, 255.0) as u8;
            }
        }
    }

    /// Lays a limb over the picture: everything within `r` of the line from `a` to `b`, where the radius goes evenly from
    /// `a.1` to `b.1`. Lit from above: `shade` is how much darker its underside is; `soft` the width of its edge.
    pub fn limb(&mut self, a: (Point, f32), b: (Point, f32), colour: Colour, shade: f32, soft: f32) {
        let ((ax, ay), ar) = a;
        let ((bx, by), br) = b;
        let reach = ar.max(br) + soft;
        let (dx, dy) = (bx - ax, by - ay);
        let length = (dx * dx + dy * dy).max(1e-9);
        self.blend((ax.min(bx) - reach, ay.min(by) - reach), (ax.max(bx) + reach, ay.max(by) + reach), |(x, y)| {
            let along = (((x - ax) * dx + (y - ay) * dy) / length).clamp(0.0, 1.0);
            let (nx, ny, radius) = (ax + dx * along, ay + dy * along, ar + (br - ar) * along);
            let distance = ((x - nx).powi(2) + (y - ny).powi(2)).sqrt();
            let opacity = ((radius - distance) / soft + 0.5).clamp(0.0, 1.0);
            // -1 on top of the limb, 1 underneath.
            let height = ((y - ny) / radius.max(1e-6)).clamp(-1.0, 1.0);
            (colour.map(|value| value * (1.0 - shade * (height * 0.5 + 0.5))), opacity)
        });
    }

    /// Lays an ellipse over the picture, `opacity` at its middle.
    pub fn ellipse(&mut self, (cx, cy): Point, (rx, ry): Point, colour: Colour, opacity: f32, soft: f32) {
        let (outer_x, outer_y) = (rx * (1.0 + soft), ry * (1.0 + soft));
        self.blend((cx - outer_x, cy - outer_y), (cx + outer_x, cy + outer_y), |(x, y)| {
            let distance = (((x - cx) / rx).powi(2) + ((y - cy) / ry).powi(2)).sqrt();
            (colour, ((1.0 - distance) / soft + 0.5).clamp(0.0, 1.0) * opacity)
        });
    }

    /// Mixes in colours within a box, each with an opacity from 0 to 1.
    fn blend(&mut self, from: Point, to: Point, colour_at: impl Fn(Point) -> (Colour, f32)) {
        let scale = self.height as f32;
        let column = |x: f32| ((x * scale).max(0.0) as u32).min(self.width);
        let row = |y: f32| ((y * scale).max(0.0) as u32).min(self.height);
        let columns = column(from.0)..column(to.0).saturating_add(1).min(self.width);
        for y in row(from.1)..row(to.1).saturating_add(1).min(self.height) {
            for x in columns.clone() {
                let (colour, opacity) = colour_at(((x as f32 + 0.5) / scale, (y as f32 + 0.5) / scale));
                if opacity <= 0.0 {
                    continue;
                }
                let start = (y as usize * self.width as usize + x as usize) * 3;
                for (channel, value) in self.rgb[start..start + 3].iter_mut().zip(colour) {
                    *channel = (f32::from(*channel) * (1.0 - opacity) + value * opacity).clamp(0.0, 255.0) as u8;
                }
            }
        }
    }

    /// Puts the sensor's noise and the lens' dark corners on it.
    pub fn finish(mut self, random: &mut Random) -> Pixels {
        let strength = random.between(2.0, 7.0);
        let corners = random.between(0.0, 0.25);
        let seed = random.next();
        let (middle_x, middle_y) = (self.width as f32 / 2.0, self.height as f32 / 2.0);
        for (index, pixel) in self.rgb.chunks_exact_mut(3).enumerate() {
            let (column, row) = (index % self.width as usize, index / self.width as usize);
            let off = ((column as f32 / middle_x - 1.0).powi(2) + (row as f32 / middle_y - 1.0).powi(2)) / 2.0;
            let gain = 1.0 - corners * off;
            let bits = hash(seed ^ index as u64);
            for (channel, value) in pixel.iter_mut().enumerate() {
                let grain = ((bits >> (channel * 16)) & 0xffff) as f32 / 65_535.0 - 0.5;
                *value = (f32::from(*value) * gain + grain * strength).clamp(0.0, 255.0) as u8;
            }
        }
        Pixels { width: self.width, height: self.height, rgb: self.rgb }
    }
}

/// Between two colours.
pub fn mix(a: Colour, b: Colour, share_of_b: f32) -> Colour {
    let t = share_of_b.clamp(0.0, 1.0);
    [0, 1, 2].map(|channel| a[channel] * (1.0 - t) + b[channel] * t)
}

/// A colour in this light.
pub fn lit(colour: Colour, light: Colour) -> Colour {
    [0, 1, 2].map(|channel| colour[channel] * light[channel])
}
