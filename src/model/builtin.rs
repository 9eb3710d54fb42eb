//! The model inside the binary: it works before anything is configured and when everything else is broken.

use super::{Backbone, BackboneManifest, Engine, Head, HeadManifest, ManifestError, ModelError};

const BACKBONE_MANIFEST: &str = include_str!("../../models/default/backbone.toml");
const BACKBONE: &[u8] = include_bytes!("../../models/default/backbone.onnx");
pub(crate) const HEAD_MANIFEST: &[u8] = include_bytes!("../../models/default/head/manifest.json");
pub(crate) const HEAD: &[u8] = include_bytes!("../../models/default/head/head.onnx");

pub(super) fn backbone(engine: Engine) -> Result<Backbone, ModelError> {
    Backbone::load_with(backbone_manifest()?, BACKBONE, engine)
}

pub(super) fn backbone_manifest() -> Result<BackboneManifest, ManifestError> {
    BackboneManifest::parse(BACKBONE_MANIFEST)
}

pub(super) fn head() -> Result<Head, ModelError> {
    Head::load(HeadManifest::parse(HEAD_MANIFEST)?, HEAD)
}
