//! What many messages have in common, as JSON Schema.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::frame::ContentHash;

/// Id of a message or of an event.
pub const ID: &str = "^[0-9a-f]{32}$";
/// Id of a journal.
pub const EPOCH: &str = "^[0-9a-f]{16}$";
/// Name of a trap or of a group.
pub const NAME: &str = "^[a-z0-9-]+$";
/// A label of a head.
pub const LABEL: &str = "^[a-z0-9_]+$";
/// Id of a key that signs, as minisign writes it.
pub const KEY: &str = "^[0-9A-F]{16}$";
/// Digest of a file.
pub const SHA256: &str = "^[0-9a-f]{64}$";
/// RFC 3339, as arcticd writes it.
pub const MOMENT: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?(Z|[+-][0-9]{2}:[0-9]{2})$";
/// What a camera's clock shows, without a zone.
pub const CAMERA_TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$";
/// What is published on `availability`.
pub const AVAILABILITY: &str =
    "^(online|stopped|offline|asleep until [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)$";

/// Probabilities by label.
pub fn scores(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "type": "string", "pattern": LABEL },
        "additionalProperties": { "type": "number", "minimum": 0, "maximum": 1 },
    })
}

/// The policies under which there is a position at all.
pub fn published_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["exact", "rounded"] })
}

impl JsonSchema for ContentHash {
    fn schema_name() -> Cow<'static, str> {
        "ContentHash".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": SHA256 })
    }
}
