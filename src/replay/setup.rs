//! Who looked, and by which rules: what all shards of an archive have in common, and the merge takes over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::classifier::Classifier;
use crate::config::{Alerts, Position};
use crate::frame::ContentHash;

/// Networks and rules of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The program.
    pub program: String,
    /// Name of the trap, from which ids are made.
    pub trap: String,
    /// Name and version of the head.
    pub head: String,
    /// Id of the backbone.
    pub backbone: String,
    /// Digest of both networks and of all that their manifests say.
    networks: String,
    /// Labels that never alert and are no animal of the head's.
    pub background: Vec<String>,
    /// Labels that alert, each with its threshold.
    pub alerting: Vec<(String, f32)>,
    /// Without its position.
    rules: Alerts,
    position: Option<Exact>,
}

/// Degrees as decimals that read back as the very same numbers, which JSON numbers might not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exact {
    latitude: String,
    longitude: String,
}

impl Exact {
    /// Writes a position down.
    pub fn of(latitude: f64, longitude: f64) -> Self {
        Self { latitude: latitude.to_string(), longitude: longitude.to_string() }
    }

    /// Latitude and longitude; none if somebody wrote something else there.
    pub fn degrees(&self) -> Option<(f64, f64)> {
        Some((self.latitude.parse().ok()?, self.longitude.parse().ok()?))
    }
}

impl Setup {
    /// What `classifier` looks with; `alerts` are its rules.
    ///
    /// # Errors
    /// The head's manifest can't be written as JSON.
    pub fn of(classifier: &Classifier, trap: String, alerts: &Alerts) -> Result<Self, serde_json::Error> {
        let (judge, backbone) = (classifier.proven(), classifier.backbone().manifest());
        let (head, manifest) = (judge.head(), judge.head().manifest());
        let networks = serde_json::to_vec(&(manifest, head.sha256(), &backbone.sha256))?;
        Ok(Self {
            program: format!("arcticd {}", env!("CARGO_PKG_VERSION")),
            trap,
            head: head.title(),
            backbone: backbone.id.clone(),
            networks: ContentHash::of(&networks).to_string(),
            background: manifest.labels.iter().filter(|it| it.background).map(|it| it.name.clone()).collect(),
            alerting: judge.rules().alerting().map(|(label, threshold)| (label.to_owned(), threshold)).collect(),
            rules: Alerts { location: None, ..alerts.clone() },
            position: alerts.location.map(|it| Exact::of(it.latitude, it.longitude)),
        })
    }

    /// The rules, with the position.
    pub fn alerts(&self) -> Alerts {
        let position = self.position.as_ref().and_then(Exact::degrees);
        let location = position.map(|(latitude, longitude)| Position { latitude, longitude });
        Alerts { location, ..self.rules.clone() }
    }

    /// Program and networks in one line.
    pub fn classified_by(&self) -> String {
        format!("{}, head {} on backbone {}", self.program, self.head, self.backbone)
    }

    /// In what `other` differs: the name of the first field, and what it is here and there. Both are written for a person.
    pub fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        let fields = |setup| serde_json::to_value(setup).ok().and_then(|it| serde_json::from_value(it).ok());
        let (mine, theirs): (BTreeMap<String, Value>, BTreeMap<String, Value>) = (fields(self)?, fields(other)?);
        let (name, value) = mine.into_iter().find(|(name, value)| theirs.get(name) != Some(value))?;
        let theirs = theirs.get(&name).map(ToString::to_string).unwrap_or_default();
        Some((name, value.to_string(), theirs))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_the_very_same_numbers() {
        for _ in 0..1_000 {
            let (north, east) = (fastrand::f64() * 180.0 - 90.0, fastrand::f64() * 360.0 - 180.0);
            let text = serde_json::to_string(&Exact::of(north, east)).unwrap();
            assert_eq!(serde_json::from_str::<Exact>(&text).unwrap().degrees(), Some((north, east)));
        }
    }
}
