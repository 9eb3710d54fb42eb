//! Where the decision on a frame of the board came from, as a picture: made when somebody asks, of what the page shows.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use hyper::body::Bytes;
use tokio::task::spawn_blocking;

use super::{Room, lock};
use crate::classifier::guarded;
use crate::detection::Detection;
use crate::explain::{Explainer, paint};
use crate::frame::{Scale, decode};
use crate::memory::limits;
use crate::model::source;
use crate::regions::cut;

/// Largest network that is loaded a second time for it: the unit's memory is for the first.
const LARGEST: u64 = 16 << 20;

/// The explanation of the frame of that number, as PNG; none if its picture is not there any more.
///
/// Takes as long as to load the networks and look at a frame, on a thread that is not the page's own. Whoever comes meanwhile
/// is sent away before one is asked for: each thread keeps memory.
///
/// # Errors
/// The head is not linear, another one came, the backbone is too large, or somebody else's is being made.
pub(super) async fn explanation(room: &Arc<Room>, number: u64) -> Result<Option<Bytes>> {
    let Some((jpeg, detection)) = lock(&room.board).seen(number) else { return Ok(None) };
    let Ok(turn) = room.explaining.clone().try_acquire_owned() else {
        bail!("another explanation is being made; ask again in a moment");
    };
    let room = room.clone();
    let work = move || {
        let _turn = turn;
        guarded("explain", || painted(&room, &jpeg, &detection))?
    };
    Ok(Some(spawn_blocking(work).await??.into()))
}

fn painted(room: &Room, jpeg: &[u8], detection: &Detection) -> Result<Vec<u8>> {
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
    let explainer = Explainer::of(&room.backbone, head, 1)?;
    let mut pixels = decode(jpeg, Scale::Full, &limits())?.pixels;
    if let Some(region) = detection.region {
        let sides = (detection.frame.width, detection.frame.height);
        pixels = cut(&pixels, region, sides).context("the part of the frame that decided is too small on the page")?;
    }
    paint(&explainer.explain(&pixels, &detection.label)?)
}
