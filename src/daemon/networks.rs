//! The networks that a trap starts with: the configured ones, or those in the binary.

use anyhow::Result;

use super::DaemonError;
use crate::classifier::{Classifier, guarded};
use crate::config::{Alerts, Config};
use crate::detect::RulesError;
use crate::memory::limits;
use crate::model::source::{self, Origin};

/// Loads the configured networks. If they can't be used, the built-in pair takes their place with its own alert labels,
/// and the reason is returned: a trap must not go blind for a damaged file or a disk that is not mounted yet.
pub(super) fn classifier(config: &Config, trap: &str) -> Result<(Classifier, Option<String>), DaemonError> {
    let backbone = Origin::from_setting(&config.model.backbone);
    let head = Origin::from_setting(&config.model.head);
    let load = |backbone: &Origin, head: &Origin, alerts: &Alerts| -> Result<Classifier> {
        // A damaged network may make its loader panic.
        let model = guarded("load", || source::model(backbone, head, config.model.threads))??;
        Ok(Classifier::new(model, trap.to_owned(), alerts, limits())?)
    };
    let (classifier, fallback) = match load(&backbone, &head, &config.alerts) {
        Ok(classifier) => (classifier, None),
        Err(error) if backbone == Origin::Builtin && head == Origin::Builtin => return Err(DaemonError::Config(error)),
        Err(error) => {
            let reason = format!(
                "backbone {}, head {}: {error:#}; using the built-in model",
                config.model.backbone, config.model.head
            );
            tracing::error!("{reason}");
            // Labels that only a broken head knows are no mistake in the configuration; labels that no head knows are.
            let mistaken = error.is::<RulesError>();
            let own_labels = Alerts { labels: Vec::new(), ..config.alerts.clone() };
            let builtin = match load(&Origin::Builtin, &Origin::Builtin, &config.alerts) {
                Err(unknown) if unknown.is::<RulesError>() && !mistaken => {
                    load(&Origin::Builtin, &Origin::Builtin, &own_labels)
                }
                loaded => loaded,
            }
            .map_err(DaemonError::Config)?;
            (builtin, Some(reason))
        }
    };
    for warning in classifier.proven().rules().warnings() {
        tracing::warn!("{warning}");
    }
    Ok((classifier, fallback))
}
