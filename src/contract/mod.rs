//! What others may rely on, in files that their tools read: a JSON Schema for each message and for what commands print, and the
//! topics as an AsyncAPI document. All of it is made from the types and names that the program itself uses; `schema/` is the
//! committed copy, `cargo xtask schema` writes it, and tests hold both to each other and to what a daemon says.

mod asyncapi;
mod channels;
pub mod words;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::accept::ask::Written;
use crate::accept::command::Listing;
use crate::accept::envelope::{Asking, Offering};
use crate::accept::{Exported, Report};
use crate::check::Verdict;
use crate::detection::Detection;
use crate::fleet::Row;
use crate::health::Health;
use crate::push::Outcome;

/// What one kind of JSON is: a message, or an object that a command prints.
pub struct Kind {
    /// In the file's name, and as a component of the AsyncAPI document.
    pub name: &'static str,
    title: &'static str,
    about: &'static str,
    make: fn(SchemaSettings) -> Value,
}

impl Kind {
    /// Its JSON Schema, draft 2020-12.
    pub fn schema(&self) -> Value {
        self.titled((self.make)(SchemaSettings::draft2020_12()))
    }

    /// The same in draft 07, which AsyncAPI's tools read.
    fn draft_07(&self) -> Value {
        let mut schema = self.titled((self.make)(SchemaSettings::draft07()));
        if let Value::Object(fields) = &mut schema {
            fields.remove("$schema");
        }
        schema
    }

    fn titled(&self, mut schema: Value) -> Value {
        schema["title"] = self.title.into();
        schema["description"] = self.about.into();
        schema
    }
}

/// As it is written: what is always there is required, null or not.
fn written<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let mut settings = settings.for_serialize();
    settings.inline_subschemas = true;
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// All kinds of JSON that are published or printed.
pub const KINDS: [Kind; 11] = [
    Kind {
        name: "detection",
        title: "arcticd detection",
        about: "One message on <prefix>/<trap>/detection, and what `arcticd --once --json` and `arcticd replay --json` print. Field names are an API.",
        make: written::<Detection>,
    },
    Kind {
        name: "health",
        title: "arcticd health",
        about: "The heartbeat on <prefix>/<trap>/health, retained: work done, not merely life.",
        make: written::<Health>,
    },
    Kind {
        name: "head-state",
        title: "arcticd head state",
        about: "<prefix>/<trap>/head/state, retained: which heads the trap has, and what became of those that were pushed.",
        make: written::<Report>,
    },
    Kind {
        name: "features",
        title: "arcticd features",
        about: "<prefix>/<trap>/features/<sha256>: what the backbone saw in a frame.",
        make: written::<Exported>,
    },
    Kind {
        name: "head-offer",
        title: "arcticd head offer",
        about: "head/offer, to a trap or a group, retained: a head's manifest and its signature. `arcticd head push` publishes it.",
        make: written::<Offering<'static>>,
    },
    Kind {
        name: "request",
        title: "arcticd request",
        about: "label/set, features/get, head/refit and head/forget, to a trap or a group: a signed request. `arcticd head ask` publishes it.",
        make: written::<Asking<'static>>,
    },
    Kind {
        name: "request-message",
        title: "arcticd request message",
        about: "What is signed, and stands in the `message` of a request in base64.",
        make: written::<Written>,
    },
    Kind {
        name: "check",
        title: "arcticd check",
        about: "A line of `arcticd check --json`: one stage.",
        make: written::<Verdict>,
    },
    Kind {
        name: "head-list",
        title: "arcticd head list",
        about: "What `arcticd head list --json` prints.",
        make: written::<Listing>,
    },
    Kind {
        name: "head-push",
        title: "arcticd head push",
        about: "What `arcticd head push --json` prints when it ends.",
        make: written::<Outcome<'static>>,
    },
    Kind {
        name: "fleet",
        title: "arcticd fleet",
        about: "A line of `arcticd fleet --json`: a trap, as the broker knows it.",
        make: written::<Row<'static>>,
    },
];

/// The files of `schema/`: name and text.
pub fn files() -> Vec<(String, String)> {
    let text = |value: &Value| format!("{value:#}\n");
    let mut files = vec![
        ("config.schema.json".to_owned(), crate::config::schema_text()),
        ("asyncapi.json".to_owned(), text(&asyncapi::document())),
    ];
    files.extend(KINDS.iter().map(|kind| (format!("{}.schema.json", kind.name), text(&kind.schema()))));
    files
}

#[cfg(test)]
mod tests;
