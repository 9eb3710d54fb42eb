//! Pixels to the numbers a network was trained on. A declared property of a backbone, never a guess.

use serde::{Deserialize, Serialize};

use super::manifest::{Channels, Input, Layout};
use crate::frame::Pixels;

/// How 0..255 becomes what the network was trained on: a known recipe by name, or numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "not one of symmetric, zero_to_one, torch, caffe, caffe_over_255, nor { mean = [..], scale = [..] }"
)]
pub enum Preprocessing {
    /// A known recipe.
    Named(Named),
    /// `(pixel - mean) * scale`.
    Custom(Normalisation),
}

/// Known recipes; their channel statistics stand in RGB order here and follow `input.channels`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// `p / 127.5 - 1`: -1 to 1, Keras' "tf" mode (MobileNet, ResNetV2).
    Symmetric,
    /// `p / 255`: 0 to 1.
    ZeroToOne,
    /// `(p / 255 - mean) / std` with ImageNet's statistics, torchvision's.
    Torch,
    /// `p - mean`, Keras' "caffe" mode (VGG, ResNet v1); goes with `channels = "bgr"`.
    Caffe,
    /// Caffe's, then divided by 255: what the arctic animals tutorial feeds its ResNet50V2.
    #[serde(alias = "caffe_over_255")]
    CaffeOver255,
}

/// Per channel `(pixel - mean) * scale`, pixel 0 to 255, in the order of `input.channels`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Subtracted first.
    pub mean: [f32; 3],
    /// Multiplied then.
    pub scale: [f32; 3],
}

impl Normalisation {
    /// Whether all six numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.mean.iter().chain(&self.scale).all(|value| value.is_finite())
    }
}

impl Preprocessing {
    /// The recipe as numbers, for the given channel order.
    pub fn normalisation(&self, channels: Channels) -> Normalisation {
        let named = match self {
            Self::Custom(numbers) => return *numbers,
            Self::Named(named) => *named,
        };
        // ImageNet statistics as in torchvision.transforms and keras.applications.imagenet_utils.
        const TORCH_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
        const TORCH_STD: [f32; 3] = [0.229, 0.224, 0.225];
        const CAFFE_MEAN: [f32; 3] = [123.68, 116.779, 103.939];
        let rgb = match named {
            Named::Symmetric => Normalisation { mean: [127.5; 3], scale: [1.0 / 127.5; 3] },
            Named::ZeroToOne => Normalisation { mean: [0.0; 3], scale: [1.0 / 255.0; 3] },
            Named::Torch => Normalisation {
                mean: TORCH_MEAN.map(|mean| mean * 255.0),
                scale: TORCH_STD.map(|std| 1.0 / (255.0 * std)),
            },
            Named::Caffe => Normalisation { mean: CAFFE_MEAN, scale: [1.0; 3] },
            Named::CaffeOver255 => Normalisation { mean: CAFFE_MEAN, scale: [1.0 / 255.0; 3] },
        };
        match channels {
            Channels::Rgb => rgb,
            Channels::Bgr => Normalisation { mean: reversed(rgb.mean), scale: reversed(rgb.scale) },
        }
    }
}

fn reversed([a, b, c]: [f32; 3]) -> [f32; 3] {
    [c, b, a]
}

/// Normalises `pixels`, which must have the input's size, into its layout; length `3 * width * height`.
pub(crate) fn normalise(pixels: &Pixels, input: &Input) -> Vec<f32> {
    let numbers = input.preprocessing.normalisation(input.channels);
    let source = match input.channels {
        Channels::Rgb => [0, 1, 2],
        Channels::Bgr => [2, 1, 0],
    };
    let value = |pixel: &[u8], channel: usize| {
        (f32::from(pixel[source[channel]]) - numbers.mean[channel]) * numbers.scale[channel]
    };
    match input.layout {
        Layout::Nhwc => {
            pixels.rgb.chunks_exact(3).flat_map(|pixel| [0, 1, 2].map(|channel| value(pixel, channel))).collect()
        }
        Layout::Nchw => {
            (0..3).flat_map(|channel| pixels.rgb.chunks_exact(3).map(move |pixel| value(pixel, channel))).collect()
        }
    }
}

/// For networks that take levels: what each pixel value becomes, a table a channel in the order of `input.channels`.
pub(super) struct Tables([[u8; 256]; 3]);

impl Tables {
    /// Normalises each pixel value and hands it to `level`.
    pub fn new(input: &Input, level: impl Fn(f32) -> u8) -> Self {
        let numbers = input.preprocessing.normalisation(input.channels);
        let value = |channel: usize, pixel: usize| (pixel as f32 - numbers.mean[channel]) * numbers.scale[channel];
        Self(std::array::from_fn(|channel| std::array::from_fn(|pixel| level(value(channel, pixel)))))
    }

    /// Levels of `pixels`, which must have the input's size, channels last; length `3 * width * height`.
    pub fn levels(&self, pixels: &Pixels, input: &Input) -> Vec<u8> {
        let [a, b, c] = &self.0;
        let (first, last) = match input.channels {
            Channels::Rgb => (0, 2),
            Channels::Bgr => (2, 0),
        };
        let (pixels, _) = pixels.rgb.as_chunks::<3>();
        let mut levels = Vec::with_capacity(3 * pixels.len());
        for pixel in pixels {
            let place = |at: usize| usize::from(pixel[at]);
            levels.extend([a[place(first)], b[place(1)], c[place(last)]]);
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::{Filter, Fit};

    fn normalised(named: Named, channels: Channels, layout: Layout) -> Vec<f32> {
        let input = Input {
            width: 2,
            height: 1,
            layout,
            channels,
            filter: Filter::Triangle,
            fit: Fit::Stretch,
            preprocessing: Preprocessing::Named(named),
        };
        normalise(&Pixels { width: 2, height: 1, rgb: vec![255, 0, 51, 0, 255, 102] }, &input)
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
        }
    }

    #[test]
    fn symmetric_maps_black_to_minus_one_and_white_to_one() {
        let found = normalised(Named::Symmetric, Channels::Rgb, Layout::Nhwc);
        assert_close(&found, &[1.0, -1.0, -0.6, -1.0, 1.0, -0.2]);
    }

    #[test]
    fn channel_first_layout_puts_all_of_one_channel_together() {
        let found = normalised(Named::ZeroToOne, Channels::Rgb, Layout::Nchw);
        assert_close(&found, &[1.0, 0.0, 0.0, 1.0, 0.2, 0.4]);
    }

    #[test]
    fn torch_statistics_are_those_of_imagenet() {
        let found = normalised(Named::Torch, Channels::Rgb, Layout::Nhwc);
        assert_close(&found[..3], &[(1.0 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]);
    }

    #[test]
    fn the_tutorials_recipe_is_known_under_both_spellings() {
        for name in ["caffe_over255", "caffe_over_255"] {
            let read: Named = serde_json::from_value(name.into()).unwrap();
            assert_eq!(read, Named::CaffeOver255);
        }
    }

    #[test]
    fn the_tutorials_recipe_is_caffe_in_bgr_then_over_255() {
        let caffe = normalised(Named::Caffe, Channels::Bgr, Layout::Nhwc);
        assert_close(&caffe[..3], &[51.0 - 103.939, -116.779, 255.0 - 123.68]);
        let tutorial = normalised(Named::CaffeOver255, Channels::Bgr, Layout::Nhwc);
        assert_close(&tutorial[..3], &[(51.0 - 103.939) / 255.0, -116.779 / 255.0, (255.0 - 123.68) / 255.0]);
    }
}
