//! Features that traps exported: rows without photos. A file is the message that a trap published on `features/<sha256>`,
//! as it came, and has the last level of its topic for a name: `<sha256>.json`.

use std::path::Path;

use crate::accept::Exported;
use crate::frame::ContentHash;
use crate::model::Backbone;
use crate::pipeline::read;

/// Largest file that is read, in bytes; of the built-in backbone one has 2 KB.
const MAX_FILE: u64 = 1 << 20;
/// Version of the message.
const SCHEMA: u32 = 1;

/// Whether a file has the name of an export. Other JSON files beside photos are left alone: many tools write some.
pub(super) fn is_export(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "json") && frame_of(path).is_some()
}

fn frame_of(path: &Path) -> Option<ContentHash> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The frame's hash and features.
///
/// # Errors
/// Says why they can't be trained on, and what to do.
pub(super) fn load(path: &Path, backbone: &Backbone) -> Result<(ContentHash, Vec<f32>), String> {
    let file = read(path, MAX_FILE).map_err(|error| error.to_string())?;
    let exported: Exported = serde_json::from_slice(&file.bytes)
        .map_err(|error| format!("no message of `features/<sha256>`: {error}; save it as it came, one a file"))?;
    let own = backbone.manifest();
    if exported.schema != SCHEMA {
        return Err(format!("features of schema {}, and {SCHEMA} is read; update arcticd", exported.schema));
    }
    if frame_of(path) != Some(exported.frame) {
        return Err(format!("features of another frame, {}; its name is changed", exported.frame));
    }
    if exported.backbone != own.id || !exported.backbone_sha256.eq_ignore_ascii_case(&own.sha256) {
        return Err(format!(
            "features of backbone {} ({:.8}), and the training is on {} ({:.8}); give that one with --backbone, or ask a trap \
             that runs this one",
            exported.backbone, exported.backbone_sha256, own.id, own.sha256
        ));
    }
    let features = exported.features().ok_or("its features are damaged; ask the trap again")?;
    if features.len() != backbone.features() {
        return Err(format!(
            "{} features, and the training is on {}; traps export pooled ones, so train without --flatten",
            features.len(),
            backbone.features()
        ));
    }
    match features.iter().all(|value| value.is_finite()) {
        true => Ok((exported.frame, features)),
        false => Err("its features are no numbers; ask the trap again".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{HeadBackbone, Levels, source};

    #[test]
    fn only_what_is_named_as_an_export_is_taken_for_one() {
        let hash = ContentHash::of(b"frame");
        assert!(is_export(format!("a/{hash}.json").as_ref()));
        for other in [format!("{hash}.jpg"), hash.to_string(), "detections.json".into(), format!("{hash}x.json")] {
            assert!(!is_export(other.as_ref()), "{other}");
        }
    }

    #[test]
    fn features_are_taken_as_they_were_and_those_that_do_not_fit_say_why() {
        let backbone = source::backbone(&source::Origin::Builtin, 1).unwrap();
        let of = HeadBackbone {
            id: backbone.manifest().id.clone(),
            sha256: backbone.manifest().sha256.clone(),
            features: backbone.features(),
        };
        let features: Vec<f32> = (0..of.features).map(|place| (place % 256) as f32 * 0.5 - 3.0).collect();
        let levels = Levels::of(&features).unwrap();
        let frame = ContentHash::of(b"frame");
        let good = Exported::new("id".into(), "north", frame, &of, &levels);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{frame}.json"));
        let load = |exported: &Exported| {
            std::fs::write(&path, serde_json::to_vec(exported).unwrap()).unwrap();
            load(&path, &backbone)
        };
        let (hash, row) = load(&good).unwrap();
        assert_eq!((hash, &row), (frame, &levels.features()));
        let wrong = |change: &dyn Fn(&mut Exported)| {
            let mut exported = good.clone();
            change(&mut exported);
            load(&exported).unwrap_err()
        };
        assert!(wrong(&|it| it.schema = 2).contains("update arcticd"));
        assert!(wrong(&|it| it.frame = ContentHash::of(b"other")).contains("another frame"));
        assert!(wrong(&|it| it.backbone = "resnet".into()).contains("backbone resnet"));
        assert!(wrong(&|it| it.backbone_sha256 = "00".repeat(32)).contains("(00000000)"));
        assert!(wrong(&|it| it.levels = "!".into()).contains("damaged"));
        assert!(wrong(&|it| it.levels = "AAAA".into()).contains("3 features"));
        assert!(wrong(&|it| (it.low, it.step) = (f32::MAX, f32::MAX)).contains("no numbers"));
        std::fs::write(&path, "{}\n{}\n").unwrap();
        assert!(super::load(&path, &backbone).unwrap_err().contains("one a file"));
    }
}
