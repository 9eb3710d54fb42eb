//! Where the animals stand: snow, a shore, or tundra, under a sky.

use super::canvas::{Canvas, Colour, lit, mix};
use super::random::{Random, noise};

/// What an animal needs to know of the place.
pub struct Ground {
    /// Where the sky ends, in heights from the top.
    pub horizon: f32,
    /// Colour of the light, around 1.
    pub light: Colour,
}

#[derive(Clone, Copy)]
enum Terrain {
    /// Snow all the way.
    Snow,
    /// Open water in the distance.
    Shore,
    /// Earth shows through in places.
    Tundra,
}

/// Paints sky, hills and ground.
pub fn paint(canvas: &mut Canvas, random: &mut Random) -> Ground {
    let horizon = random.between(0.2, 0.42);
    let brightness = random.between(0.84, 1.03);
    let warmth = random.between(-0.04, 0.04);
    let light = [brightness * (1.0 + warmth), brightness, brightness * (1.0 - warmth)];
    let terrain = random.pick(&[Terrain::Snow, Terrain::Snow, Terrain::Shore, Terrain::Tundra]);
    let overcast = random.between(0.0, 1.0);
    let sky_high = mix([96.0, 140.0, 196.0], [176.0, 184.0, 194.0], overcast);
    let sky_low = mix([190.0, 212.0, 232.0], [206.0, 210.0, 214.0], overcast);
    let hills = random.between(0.0, 0.11);
    let hill_colour = random.pick(&[[120.0, 132.0, 150.0], [176.0, 188.0, 204.0], [98.0, 98.0, 104.0]]);
    let seed = random.next();

    canvas.fill(|(x, y)| {
        let ridge = horizon - hills * noise(seed, x * 2.2, 0.5) - hills * 0.35 * noise(seed, x * 7.0, 1.5);
        let colour = if y < ridge {
            let clouds = noise(seed ^ 1, x * 2.0, y * 6.0) * 0.6 + noise(seed ^ 1, x * 5.0, y * 14.0) * 0.4;
            mix(mix(sky_high, sky_low, y / horizon), [226.0, 229.0, 232.0], (clouds - 0.5) * 1.2)
        } else if y < horizon {
            let rock = noise(seed ^ 2, x * 14.0, y * 30.0);
            mix(hill_colour, [214.0, 222.0, 232.0], (rock - 0.35) * 1.4)
        } else {
            // Near things are larger: the ground's pattern shrinks towards the horizon.
            let depth = (y - horizon + 0.03) / (1.0 - horizon);
            ground(terrain, seed, x / depth.sqrt(), 1.0 / depth.sqrt(), depth)
        };
        lit(colour, light)
    });
    Ground { horizon, light }
}

fn ground(terrain: Terrain, seed: u64, u: f32, v: f32, depth: f32) -> Colour {
    let broad = noise(seed ^ 3, u * 2.0, v * 9.0);
    let fine = noise(seed ^ 4, u * 9.0, v * 40.0);
    let snow = mix([204.0, 217.0, 234.0], [242.0, 246.0, 250.0], broad * 0.8 + fine * 0.2);
    match terrain {
        Terrain::Snow => snow,
        Terrain::Shore => {
            let water = mix([52.0, 84.0, 108.0], [84.0, 116.0, 136.0], fine);
            let edge = 0.14 + 0.05 * noise(seed ^ 5, u * 1.5, 0.5);
            mix(water, snow, (depth - edge) * 60.0)
        }
        Terrain::Tundra => {
            let earth = mix([150.0, 142.0, 126.0], [172.0, 164.0, 144.0], fine);
            let patches = noise(seed ^ 6, u * 2.6, v * 12.0);
            // Far away only: near the camera the snow is whole.
            mix(earth, snow, (patches - 0.3) * 6.0 + (depth - 0.25) * 6.0)
        }
    }
}
