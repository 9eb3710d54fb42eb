//! Families of backbones: what they want of a picture. Preprocessing can't be read out of a network.

use crate::frame::{Filter, Fit};
use crate::model::{Channels, Named, Normalisation, Preprocessing};

/// What the networks of one origin want.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// As `--like` names it.
    pub name: &'static str,
    /// Networks that belong to it.
    pub of: &'static str,
    /// Side of the input in pixels, where the file leaves it open.
    pub side: u32,
    /// What a pixel becomes.
    pub recipe: Recipe,
    /// How a picture is scaled.
    pub filter: Filter,
    /// How its shape is fitted.
    pub fit: Fit,
    /// What is chosen differently from the original, and why.
    pub note: &'static str,
}

/// What a pixel becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recipe {
    /// A known one.
    Named(Named),
    /// 0 to 255 as it is: the network scales it itself.
    Raw,
}

const KERAS: &str = "Keras itself leaves the filter to the user: `load_img` takes the nearest pixel, image_dataset_from_directory a \
    bilinear one. The averaging triangle keeps more of a small animal; set filter = \"nearest\" for a head trained on load_img.";
const TUTORIAL: &str = "This is what the tutorial does, a recipe for another network included (caffe, then / 255, where ResNet50V2 was \
    trained on -1 to 1): only for heads that were trained with it. It flattens the map: --pooling flatten.";
const TORCHVISION: &str = "torchvision resizes the shorter side to 256 and cuts the middle 224 out; `crop` takes the largest middle \
    square instead, which shows an eighth more of the picture on each side.";
const TIMM: &str = "timm cuts the middle 87.5 % out; `crop` takes the largest middle square.";
const RAW: &str = "Its Rescaling layer is in the network, if it was exported whole: pixels go in as they are.";

const fn keras(name: &'static str, of: &'static str, side: u32, named: Named) -> Family {
    let recipe = Recipe::Named(named);
    Family { name, of, side, recipe, filter: Filter::Triangle, fit: Fit::Stretch, note: KERAS }
}

const fn raw(name: &'static str, of: &'static str, side: u32) -> Family {
    Family { name, of, side, recipe: Recipe::Raw, filter: Filter::Triangle, fit: Fit::Stretch, note: RAW }
}

/// All families, in the order in which they are listed.
pub const FAMILIES: &[Family] = &[
    keras("keras-resnet50v2", "Keras ResNet50V2, 101V2, 152V2", 224, Named::Symmetric),
    keras(
        "keras-mobilenetv2",
        "Keras MobileNetV2, TensorFlow's, LiteRT files converted to ONNX",
        224,
        Named::Symmetric,
    ),
    keras("keras-mobilenet", "Keras MobileNet (v1)", 224, Named::Symmetric),
    keras("keras-xception", "Keras Xception, InceptionV3, InceptionResNetV2", 299, Named::Symmetric),
    keras("keras-nasnet-mobile", "Keras NASNetMobile", 224, Named::Symmetric),
    keras("keras-resnet50", "Keras ResNet50, 101, 152 (v1)", 224, Named::Caffe),
    keras("keras-vgg16", "Keras VGG16, VGG19", 224, Named::Caffe),
    keras("keras-densenet121", "Keras DenseNet121, 169, 201", 224, Named::Torch),
    raw("keras-efficientnet-b0", "Keras EfficientNetB0 to B7 (the file's size goes before 224), EfficientNetV2", 224),
    raw("keras-mobilenetv3", "Keras MobileNetV3Small, MobileNetV3Large", 224),
    raw("keras-convnext", "Keras ConvNeXt", 224),
    Family {
        name: "torchvision",
        of: "torchvision's resnet, mobilenet, efficientnet, regnet, densenet, vgg, ...",
        side: 224,
        recipe: Recipe::Named(Named::Torch),
        filter: Filter::Triangle,
        fit: Fit::Crop,
        note: TORCHVISION,
    },
    Family {
        name: "timm",
        of: "timm's models with ImageNet statistics (see its pretrained_cfg)",
        side: 224,
        recipe: Recipe::Named(Named::Torch),
        filter: Filter::CatmullRom,
        fit: Fit::Crop,
        note: TIMM,
    },
    Family {
        name: "efficientnet-lite0",
        of: "timm's tf_efficientnet_lite0, TensorFlow's EfficientNet-Lite0",
        side: 224,
        recipe: Recipe::Named(Named::Symmetric),
        filter: Filter::CatmullRom,
        fit: Fit::Crop,
        note: TIMM,
    },
    Family {
        name: "tutorial-resnet50v2",
        of: "ResNet50V2 as the transfer-learning tutorial on arctic animals feeds it",
        side: 224,
        recipe: Recipe::Named(Named::CaffeOver255),
        filter: Filter::Nearest,
        fit: Fit::Stretch,
        note: TUTORIAL,
    },
];

impl Family {
    /// The family of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.name == name)
    }

    /// The family whose name resembles `name` most, if one does.
    pub fn nearest(name: &str) -> Option<&'static str> {
        /// Below it a guess misleads more than it helps.
        const ALIKE: f64 = 0.8;
        let near = FAMILIES.iter().map(|family| (strsim::jaro_winkler(name, family.name), family.name));
        let alike = near.filter(|(likeness, _)| *likeness >= ALIKE);
        alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
    }

    /// What a pixel becomes, for a manifest.
    pub fn preprocessing(&self) -> Preprocessing {
        match self.recipe {
            Recipe::Named(named) => Preprocessing::Named(named),
            Recipe::Raw => Preprocessing::Custom(Normalisation { mean: [0.0; 3], scale: [1.0; 3] }),
        }
    }

    /// Order of the colours: Caffe's recipes want blue first.
    pub fn channels(&self) -> Channels {
        match self.recipe {
            Recipe::Named(Named::Caffe | Named::CaffeOver255) => Channels::Bgr,
            _ => Channels::Rgb,
        }
    }

    /// The recipe in words.
    pub fn in_words(&self) -> &'static str {
        match self.recipe {
            Recipe::Raw => "pixels 0 to 255 as they are",
            Recipe::Named(Named::Symmetric) => "-1 to 1",
            Recipe::Named(Named::ZeroToOne) => "0 to 1",
            Recipe::Named(Named::Torch) => "ImageNet's mean and deviation",
            Recipe::Named(Named::Caffe) => "BGR less Caffe's mean",
            Recipe::Named(Named::CaffeOver255) => "BGR less Caffe's mean, / 255",
        }
    }
}

/// A line a family, for `--like help`.
pub fn list() -> String {
    let width = FAMILIES.iter().map(|family| family.name.len()).max().unwrap_or(0);
    let line = |family: &Family| {
        let filter = serde_json::to_value(family.filter).ok();
        let filter = filter.as_ref().and_then(|filter| filter.as_str()).unwrap_or_default();
        format!("{:width$}  {}: {}, {filter}, {}", family.name, family.of, family.in_words(), family.side)
    };
    FAMILIES.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_tutorials_family_is_what_the_tutorial_does() {
        let family = Family::named("tutorial-resnet50v2").unwrap();
        assert_eq!((family.filter, family.fit, family.side), (Filter::Nearest, Fit::Stretch, 224));
        assert_eq!(family.preprocessing(), Preprocessing::Named(Named::CaffeOver255));
        assert_eq!(family.channels(), Channels::Bgr);
    }

    #[test]
    fn names_are_unique_and_a_slip_finds_its_family() {
        for family in FAMILIES {
            assert_eq!(FAMILIES.iter().filter(|other| other.name == family.name).count(), 1);
            assert!(list().contains(family.name));
        }
        assert_eq!(Family::nearest("keras-resnet50-v2"), Some("keras-resnet50v2"));
        assert_eq!(Family::nearest("torch-vision"), Some("torchvision"));
        for far in ["nope", "", "x"] {
            assert_eq!(Family::nearest(far), None, "{far}");
        }
    }
}
