//! Signed heads to push: good ones, and some that pass every check and are bad all the same.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arcticd::accept::{Ask, Envelope, Offer};
use arcticd::frame::{self, Limits, Scale};
use arcticd::heads::Bundle;
use arcticd::heads::signature::Signature;
use arcticd::model::source::{self, Origin};
use arcticd::model::{Backbone, HeadBackbone, HeadManifest};
use arcticd::onnx::{Constant, Graph};
use minisign::KeyPair;

/// Somebody who makes and signs heads.
pub struct Maker {
    keys: KeyPair,
}

/// What a head makes of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Mind {
    /// As the head in this directory: see [`super::cached`].
    Of(PathBuf),
    /// The same, whatever is on the frame: each label's probability.
    Always(Vec<(String, f32)>),
    /// Not a number on frames like this one (a JPEG file); `other` on everything else.
    NotANumberOn(Vec<u8>),
    /// As [`Mind::Of`], with so many bytes of weights that change nothing.
    Large(PathBuf, usize),
    /// As a head of one's own making: its manifest and network.
    Made(Box<HeadManifest>, Vec<u8>),
}

impl Maker {
    /// With a key of its own.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self> {
        Ok(Self { keys: KeyPair::generate_unencrypted_keypair()? })
    }

    /// Writes the public key into `folder`, which is made if need be.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn trust_in(&self, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.pub", self.id()));
        let text = format!("untrusted comment: minisign public key\n{}\n", self.keys.pk.to_base64());
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    }

    /// The key's id.
    pub fn id(&self) -> String {
        let bytes = self.keys.pk.to_bytes();
        bytes.iter().skip(2).take(8).rev().map(|byte| format!("{byte:02X}")).collect()
    }

    /// Signs `message` as minisign does.
    ///
    /// # Errors
    /// The library's.
    pub fn sign(&self, message: &[u8]) -> Result<Signature> {
        let signed = minisign::sign(None, &self.keys.sk, message, Some("made by a test"), None)?;
        Ok(Signature::parse(signed.to_string().as_bytes())?)
    }

    /// A signed request, as it is published.
    ///
    /// # Errors
    /// The library's.
    pub fn ask(&self, ask: &Ask) -> Result<Vec<u8>> {
        let message = ask.encode();
        let signature = self.sign(&message)?.encode().into_bytes();
        Ok(Envelope { message, signature }.encode())
    }

    /// A signed head for the built-in backbone; `change` has the last word on its manifest.
    ///
    /// # Errors
    /// The head is not what its manifest says.
    pub fn head(&self, mind: &Mind, sequence: u64, change: impl FnOnce(&mut HeadManifest)) -> Result<Bundle> {
        let (mut manifest, network) = mind.network()?;
        manifest.sequence = sequence;
        manifest.version = format!("1.{sequence}");
        change(&mut manifest);
        let mut bundle = Bundle::make(manifest, network, &[])?;
        bundle.set_signature(self.sign(bundle.manifest_bytes())?);
        Ok(bundle)
    }
}

/// The bytes of the `.head` file.
///
/// # Errors
/// None; writing to memory does not fail.
pub fn file(bundle: &Bundle) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bundle.write(&mut bytes)?;
    Ok(bytes)
}

/// The payload of `head/offer`.
///
/// # Errors
/// The head is unsigned.
pub fn offer(bundle: &Bundle) -> Result<Offer> {
    Offer::of(bundle).context("the head is unsigned")
}

/// The pieces of a head, in order.
pub fn pieces(bundle: &Bundle) -> Vec<Vec<u8>> {
    let size = bundle.manifest().chunks.as_ref().map_or(1, |chunks| chunks.size.max(1));
    bundle.row().chunks(size as usize).map(<[u8]>::to_vec).collect()
}

impl Mind {
    fn network(&self) -> Result<(HeadManifest, Vec<u8>)> {
        match self {
            Self::Of(directory) => of_directory(directory),
            Self::Made(manifest, network) => Ok((*manifest.clone(), network.clone())),
            Self::Large(directory, bytes) => {
                let (manifest, network) = of_directory(directory)?;
                let mut graph = Graph::parse(&network)?;
                let count = bytes / 4;
                // Not compressible, so that it costs on any link what it says.
                let value = |index: usize| (index as u32).wrapping_mul(2_654_435_761) as f32;
                graph.set_constant("ballast", &Constant::f32([count], (0..count).map(value).collect()))?;
                Ok((manifest, graph.encode()?))
            }
            Self::Always(labels) => {
                let backbone = source::backbone(&Origin::Builtin, 1)?;
                let names: Vec<String> = labels.iter().map(|(name, _)| name.clone()).collect();
                let mut graph = Graph::empty("head", "features", &[1, backbone.features()], 13);
                let width = labels.len();
                graph.set_constant(
                    "weights",
                    &Constant::f32([backbone.features(), width], vec![0.0; backbone.features() * width]),
                )?;
                let bias = labels.iter().map(|(_, probability)| probability.ln()).collect();
                graph.set_constant("bias", &Constant::f32([width], bias))?;
                graph.add_node("Gemm", &["features", "weights", "bias"], "logits", vec![])?;
                Ok((manifest(&backbone, &names), finished(graph)?))
            }
            Self::NotANumberOn(jpeg) => {
                let backbone = source::backbone(&Origin::Builtin, 1)?;
                let input = &backbone.manifest().input;
                let scale = Scale::for_resize(input.filter, input.width, input.height);
                let features = backbone.features_of(&frame::decode(jpeg, scale, &Limits::default())?.pixels)?;
                // Along what this frame has more of than others; exponentiated, that is infinite on it and finite elsewhere.
                let mean = features.iter().sum::<f32>() / features.len() as f32;
                let along: Vec<f32> = features.iter().map(|value| value - mean).collect();
                let square: f32 = along.iter().zip(&features).map(|(a, b)| a * b).sum();
                let along: Vec<f32> = along.iter().map(|value| value * 95.0 / square).collect();
                let mut graph = Graph::empty("head", "features", &[1, along.len()], 13);
                graph.set_constant("along", &Constant::f32([along.len(), 1], along))?;
                graph.set_constant("none", &Constant::f32([1, 2], vec![0.0, 0.0]))?;
                graph.set_constant("bias", &Constant::f32([2], vec![-3.0, 3.0]))?;
                graph.add_node("MatMul", &["features", "along"], "length", vec![])?;
                graph.add_node("Exp", &["length"], "large", vec![])?;
                graph.add_node("Gemm", &["large", "none", "bias"], "logits", vec![])?;
                Ok((manifest(&backbone, &["polar_bear".into(), "other".into()]), finished(graph)?))
            }
        }
    }
}

fn of_directory(directory: &Path) -> Result<(HeadManifest, Vec<u8>)> {
    let read =
        |name: &str| std::fs::read(directory.join(name)).with_context(|| directory.join(name).display().to_string());
    Ok((HeadManifest::parse(&read("manifest.json")?)?, read("head.onnx")?))
}

fn manifest(backbone: &Backbone, labels: &[String]) -> HeadManifest {
    let of = backbone.manifest();
    let wanted = HeadBackbone { id: of.id.clone(), sha256: of.sha256.clone(), features: backbone.features() };
    let label = |name: &String| arcticd::model::Label {
        name: name.clone(),
        alert: name == "polar_bear",
        threshold: 0.5,
        background: name == "other",
    };
    HeadManifest::new("made".into(), "1".into(), wanted, labels.iter().map(label).collect())
}

fn finished(mut graph: Graph) -> Result<Vec<u8>> {
    let axis = arcticd::onnx::attribute::int("axis", 1);
    graph.add_node("Softmax", &["logits"], "probabilities", vec![axis])?;
    graph.set_outputs(&["probabilities"])?;
    Ok(graph.encode()?)
}
