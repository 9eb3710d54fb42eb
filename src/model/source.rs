//! Reads networks from where the configuration says they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use kernels::Isa;
use sha2::{Digest, Sha256};

use super::{Backbone, BackboneManifest, Engine, Head, HeadManifest, Model, ModelError, builtin};

/// Where a network comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Inside the binary.
    Builtin,
    /// A backbone's manifest or a head's directory.
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
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => anyhow!("is no text; give the .toml manifest, not the network"),
        _ => error.into(),
    });
    let text = text.with_context(|| format!("backbone manifest {}", path.display()))?;
    let manifest = BackboneManifest::parse(&text).with_context(|| path.display().to_string())?;
    let network = path.parent().unwrap_or(Path::new(".")).join(&manifest.file);
    let onnx = std::fs::read(&network).with_context(|| format!("backbone {}", network.display()))?;
    Backbone::load_with(manifest, &onnx, engine).with_context(|| network.display().to_string())
}

/// Loads a head.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn head(origin: &Origin) -> Result<Head> {
    let Origin::Path(directory) = origin else { return Ok(builtin::head()?) };
    let manifest = directory.join("manifest.json");
    let network = directory.join("head.onnx");
    let text = std::fs::read(&manifest).with_context(|| format!("head manifest {}", manifest.display()))?;
    let parsed = HeadManifest::parse(&text).with_context(|| manifest.display().to_string())?;
    let onnx = std::fs::read(&network).with_context(|| format!("head {}", network.display()))?;
    Head::load(parsed, &onnx).with_context(|| network.display().to_string())
}

/// Loads both and checks that they fit.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn model(backbone_origin: &Origin, head_origin: &Origin, threads: usize) -> Result<Model> {
    Ok(Model::new(backbone(backbone_origin, threads)?, head(head_origin)?)?)
}

/// Compares `bytes` with a declared digest.
pub(super) fn check_digest(what: &str, bytes: &[u8], expected: &str) -> Result<(), ModelError> {
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(ModelError::Digest { what: what.to_owned(), found, expected: expected.to_owned() })
}
