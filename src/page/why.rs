//! Where the decision on a frame of the board came from, as a picture: made when somebody asks, of what the page shows.

use std::sync::{Arc, TryLockError};

use anyhow::{Result, bail};
use hyper::body::Bytes;

use super::{Room, lock};
use crate::classifier::guarded;
use crate::explain::{Explainer, paint};
use crate::frame::{Scale, decode};
use crate::memory::limits;
use crate::model::source;

/// Largest network that is loaded a second time for it: the unit's memory is for the first.
const LARGEST: u64 = 16 << 20;

/// The explanation of the frame of that number, as PNG; none if its picture is not there any more.
///
/// Takes as long as to load the networks and look at a frame, and is not for the page's own thread.
///
/// # Errors
/// The head is not linear, another one came, the backbone is too large, or somebody else's is being made.
pub(super) fn explanation(room: &Arc<Room>, number: u64) -> Result<Option<Bytes>> {
    let Some((jpeg, detection)) = lock(&room.board).seen(number) else { return Ok(None) };
    let _one = match room.explaining.try_lock() {
        Ok(one) => one,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => bail!("another explanation is being made; ask again in a moment"),
    };
    let judges = room.seat.judges();
    let head = judges.proven.head();
    if detection.model.head != head.title() || detection.model.sequence != head.manifest().sequence {
        bail!("head {} judged this frame, and {} is in service now", detection.model.head, head.title());
    }
    let bytes = source::network_bytes(&room.backbone)?;
    if bytes > LARGEST {
        bail!(
            "the backbone is too large to be loaded twice here ({} MiB, at most {}); on a desk `arcticd --once IMAGE \
             --explain out.png` shows it",
            bytes >> 20,
            LARGEST >> 20
        );
    }
    let painted = guarded("explain", || -> Result<Vec<u8>> {
        let explainer = Explainer::of(&room.backbone, head, 1)?;
        let pixels = decode(&jpeg, Scale::Full, &limits())?.pixels;
        paint(&explainer.explain(&pixels, &detection.label)?)
    })??;
    Ok(Some(painted.into()))
}
