//! What makes alerts something to look at, as configured.

use std::sync::Arc;

use crate::accept::Seat;
use crate::config::Config;
use crate::health::Status;
use crate::home::Home;
use crate::mqtt::{Extras, Topics};
use crate::pictures::{Allowance, Bounds, Pictures};

/// What the pipeline makes of alerts.
pub(super) fn pictures(config: &Config, status: &Arc<Status>) -> Pictures {
    let wanted = &config.pictures;
    Pictures {
        bounds: Bounds { side: wanted.max_side, bytes: wanted.max_bytes as usize },
        inline: wanted.inline,
        pending: config.snapshots().then(Arc::default),
        allowance: Arc::new(Allowance::new(wanted.daily_bytes, status.clone())),
    }
}

/// What the link publishes beside the outbox. Also where all is turned off: something may lie at the broker from before.
pub(super) fn extras(config: &Config, trap: &str, seat: &Seat, pictures: &Pictures) -> Extras {
    let told = &config.homeassistant;
    let home = told.enabled.then(|| Home {
        prefix: told.prefix.clone(),
        mqtt_prefix: config.mqtt.prefix.clone(),
        trap: trap.to_owned(),
        seat: seat.clone(),
        off_delay_s: told.off_delay_s,
        pictures: pictures.pending.is_some(),
        windows: config.power.uplink == crate::config::Uplink::Windows,
    });
    let pending = pictures.pending.clone().map(|pending| (pending, pictures.allowance.clone()));
    Extras::new(&config.state.directory, Topics::new(&config.mqtt.prefix, trap), home, pending).of_labels(seat.clone())
}
