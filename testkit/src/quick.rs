//! A backbone that starts and looks in a few milliseconds, and a head on it that tells two rendered pictures apart: for
//! tests of the way of a frame, by the ten thousand, not of what is seen.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use arcticd::frame::{self, ContentHash, Limits, Scale};
use arcticd::model::source::{self, Origin};
use arcticd::model::{Backbone, BackboneManifest, FileDigest, HeadBackbone, HeadManifest, Label, ScoresOutput};
use arcticd::onnx::{Constant, Graph, attribute};

use crate::head::signed::Mind;
use crate::networks::{self, FEATURES, SIDE};
use crate::scenes::Scene;

/// Files of the quick backbone and its head.
pub struct Quick {
    /// As `model.backbone` wants it.
    pub backbone: PathBuf,
    /// As `model.head` wants it.
    pub head: PathBuf,
    /// A picture that alerts, as a JPEG file.
    pub bear: Vec<u8>,
    /// One that does not.
    pub other: Vec<u8>,
    wanted: HeadBackbone,
}

impl Quick {
    /// Makes them in `folder`, which is there.
    ///
    /// # Errors
    /// Those of the file system; the pictures look the same to the network.
    pub fn make(folder: &Path) -> Result<Self> {
        let network = networks::small(7)?;
        let text = format!(
            "format = 1\nid = \"quick\"\nfile = \"quick.onnx\"\nsha256 = \"{}\"\nlicence = \"MIT\"\n[input]\nwidth = {SIDE}\n\
             height = {SIDE}\nlayout = \"nchw\"\nchannels = \"rgb\"\nfilter = \"triangle\"\nfit = \"stretch\"\n\
             preprocessing = \"symmetric\"\n[output]\npooling = \"none\"\nfeatures = {FEATURES}\n",
            ContentHash::of(&network)
        );
        let place = folder.join("quick.toml");
        write(&folder.join("quick.onnx"), &network)?;
        write(&place, text.as_bytes())?;
        let backbone = Backbone::load(BackboneManifest::parse(&text)?, &network, 1)?;
        let (bear, other) = (Scene::Bear.jpeg(1, 64, 48)?, Scene::Empty.jpeg(1, 64, 48)?);
        let wanted = HeadBackbone {
            id: backbone.manifest().id.clone(),
            sha256: backbone.manifest().sha256.clone(),
            features: FEATURES,
        };
        let quick = Self { backbone: place, head: folder.join("quick-head"), bear, other, wanted };
        let onnx = between(&features(&backbone, &quick.bear)?, &features(&backbone, &quick.other)?)?;
        std::fs::create_dir_all(&quick.head)?;
        write(&quick.head.join("head.onnx"), &onnx)?;
        write(&quick.head.join("manifest.json"), &serde_json::to_vec(&quick.manifest(&onnx))?)?;
        source::model(&Origin::Path(quick.backbone.clone()), &Origin::Path(quick.head.clone()), 1)?;
        Ok(quick)
    }

    /// A head that judges as the one in [`Quick::head`]; with `ballast`, some kilobytes larger.
    pub fn same(&self, ballast: bool) -> Mind {
        if ballast { Mind::Large(self.head.clone(), 9_000) } else { Mind::Of(self.head.clone()) }
    }

    /// A head that sees nothing anywhere.
    ///
    /// # Errors
    /// None.
    pub fn blind(&self) -> Result<Mind> {
        let onnx = linear(vec![0.0; 2 * FEATURES], -4.0)?;
        Ok(Mind::Made(Box::new(self.manifest(&onnx)), onnx))
    }

    fn manifest(&self, onnx: &[u8]) -> HeadManifest {
        let label = |name: &str| Label {
            name: name.into(),
            alert: name == "polar_bear",
            threshold: 0.5,
            background: name == "other",
        };
        let labels = vec![label("polar_bear"), label("other")];
        let digest = FileDigest { size: onnx.len() as u64, sha256: ContentHash::of(onnx).to_string() };
        HeadManifest {
            created_at: "2026-01-01T00:00:00Z".into(),
            files: [("head.onnx".to_owned(), digest)].into(),
            output: Some(ScoresOutput::Probabilities),
            ..HeadManifest::new("quick".into(), "1".into(), self.wanted.clone(), labels)
        }
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).with_context(|| file.display().to_string())
}

fn features(backbone: &Backbone, jpeg: &[u8]) -> Result<Vec<f32>> {
    let input = &backbone.manifest().input;
    let scale = Scale::for_resize(input.filter, input.width, input.height);
    Ok(backbone.features_of(&frame::decode(jpeg, scale, &Limits::default())?.pixels)?)
}

/// A head that is as sure of the one as of the other, half way between them: their logits are 4 and -4.
fn between(bear: &[f32], other: &[f32]) -> Result<Vec<u8>> {
    let along: Vec<f32> = bear.iter().zip(other).map(|(a, b)| a - b).collect();
    let square: f32 = along.iter().map(|value| value * value).sum();
    ensure!(square > 1e-9, "the network does not tell the pictures apart");
    let middle: f32 = bear.iter().zip(other).zip(&along).map(|((a, b), d)| (a + b) / 2.0 * d).sum();
    linear(along.iter().flat_map(|value| [value * 8.0 / square, 0.0]).collect(), -middle * 8.0 / square)
}

/// A head of these weights, a pair a feature, and this bias of the first label.
fn linear(weights: Vec<f32>, bias: f32) -> Result<Vec<u8>> {
    let mut graph = Graph::empty("head", "features", &[1, FEATURES], 13);
    graph.set_constant("weights", &Constant::f32([FEATURES, 2], weights))?;
    graph.set_constant("bias", &Constant::f32([2], vec![bias, 0.0]))?;
    graph.add_node("Gemm", &["features", "weights", "bias"], "logits", vec![])?;
    graph.add_node("Softmax", &["logits"], "probabilities", vec![attribute::int("axis", 1)])?;
    graph.set_outputs(&["probabilities"])?;
    Ok(graph.encode()?)
}
