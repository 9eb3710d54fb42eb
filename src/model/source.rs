//! Reads networks from where the configuration says they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use kernels::Isa;
use sha2::{Digest, Sha256};

use super::{Backbone, BackboneManifest, Engine, Head, HeadManifest, Model, ModelError, Pooling, builtin};
use crate::heads::{LocalHead, TrustedKeys};

/// Where a network comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Inside the binary.
    Builtin,
    /// A backbone's manifest, or a `.head` file or a head's directory.
    Path(PathBuf),
}

impl Origin {
    /// Reads a configuration value: `builtin` or a path.
    pub fn from_setting(setting: &str) -> Self {
        match setting {
            "builtin" => Self::Builtin,
            path => Self::Path(path.into()),
        }
    }
}

/// Loads a backbone; `threads` for one frame.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn backbone(origin: &Origin, threads: usize) -> Result<Backbone> {
    backbone_with(origin, engine(threads)?)
}

/// The engine for `threads`, on the kernels that the environment variable `ARCTICD_KERNELS` names if it is set.
///
/// # Errors
/// The variable names kernels that this processor can't run.
pub fn engine(threads: usize) -> Result<Engine> {
    let mut engine = Engine::threads(threads);
    if let Ok(name) = std::env::var("ARCTICD_KERNELS")
        && !name.is_empty()
    {
        let known = Isa::available();
        let names: Vec<&str> = known.iter().map(|isa| isa.name()).collect();
        engine.isa = Isa::named(&name).filter(|isa| known.contains(isa)).with_context(|| {
            format!(
                "ARCTICD_KERNELS is `{name}`; this processor has {}; unset it, or set it to one of these",
                names.join(", ")
            )
        })?;
    }
    Ok(engine)
}

/// Loads a backbone, computed by `engine`.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn backbone_with(origin: &Origin, engine: Engine) -> Result<Backbone> {
    let Origin::Path(path) = origin else { return Ok(builtin::backbone(engine)?) };
    let (manifest, network, onnx) = backbone_files(path)?;
    Backbone::load_with(manifest, &onnx, engine).with_context(|| network.display().to_string())
}

/// As [`backbone_with`], with the whole feature map for features: see [`Backbone::load_flattened`].
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn flattened_backbone(origin: &Origin, engine: Engine) -> Result<Backbone> {
    let Origin::Path(path) = origin else { return Ok(builtin::flattened(engine)?) };
    let (manifest, network, onnx) = backbone_files(path)?;
    Backbone::load_flattened(manifest, &onnx, engine).with_context(|| network.display().to_string())
}

fn backbone_files(path: &Path) -> Result<(BackboneManifest, PathBuf, Vec<u8>)> {
    let manifest = backbone_manifest(&Origin::Path(path.to_owned()))?;
    let network = beside(path, &manifest);
    let onnx = std::fs::read(&network).with_context(|| format!("backbone {}", network.display()))?;
    Ok((manifest, network, onnx))
}

fn beside(path: &Path, manifest: &BackboneManifest) -> PathBuf {
    path.parent().unwrap_or(Path::new(".")).join(&manifest.file)
}

/// Bytes of a backbone's network; 0 for the built-in one.
///
/// # Errors
/// Names the file that can't be read.
pub fn network_bytes(origin: &Origin) -> Result<u64> {
    let Origin::Path(path) = origin else { return Ok(0) };
    let network = beside(path, &backbone_manifest(origin)?);
    let metadata = network.metadata();
    Ok(metadata.with_context(|| format!("backbone {}", network.display()))?.len())
}

/// Reads what a backbone says of itself, without loading it.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn backbone_manifest(origin: &Origin) -> Result<BackboneManifest> {
    let Origin::Path(path) = origin else { return Ok(builtin::backbone_manifest()?) };
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => anyhow!("is no text; give the .toml manifest, not the network"),
        _ => error.into(),
    });
    let text = text.with_context(|| format!("backbone manifest {}", path.display()))?;
    BackboneManifest::parse(&text).with_context(|| path.display().to_string())
}

/// Loads a head: a `.head` file or a directory, of whatever size, since it was put onto this machine by somebody who may.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn head(origin: &Origin) -> Result<Head> {
    head_trusting(origin, &TrustedKeys::default())
}

/// As [`head`], where the signature of a key in `keys` must hold. A head that lies where the configuration says is trusted
/// for that: it may be unsigned, or signed by a key that is not known here.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn head_trusting(origin: &Origin, keys: &TrustedKeys) -> Result<Head> {
    let Origin::Path(path) = origin else { return Ok(builtin::head()?) };
    let of = || format!("head {}", path.display());
    LocalHead::read(path, keys).and_then(|head| head.load()).with_context(of)
}

/// Loads both and checks that they fit.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn model(backbone_origin: &Origin, head_origin: &Origin, threads: usize) -> Result<Model> {
    let head = head(head_origin)?;
    Ok(Model::new(backbone_for(backbone_origin, head.manifest(), engine(threads)?)?, head)?)
}

/// Loads a backbone as `head` wants it: with the whole feature map where its features are more than the mean's.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn backbone_for(origin: &Origin, head: &HeadManifest, engine: Engine) -> Result<Backbone> {
    match wants_flattened(head, &backbone_manifest(origin)?) {
        true => flattened_backbone(origin, engine),
        false => backbone_with(origin, engine),
    }
}

/// Whether `head` is one for this backbone's whole feature map instead of its mean.
pub fn wants_flattened(head: &HeadManifest, backbone: &BackboneManifest) -> bool {
    let (wanted, output) = (&head.backbone, &backbone.output);
    let same = wanted.sha256.eq_ignore_ascii_case(&backbone.sha256);
    same && wanted.features > output.features && output.pooling == Pooling::Average
}

/// Compares `bytes` with a declared digest.
pub(super) fn check_digest(what: &str, bytes: &[u8], expected: &str) -> Result<(), ModelError> {
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ModelError::Digest { what: what.to_owned(), found, expected: expected.to_owned() })
}
