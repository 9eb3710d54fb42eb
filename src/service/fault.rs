//! Places where a test lets a thread stand still for ever, as a bug or a hanging disk would. Compiled out of a release.

/// On the pipeline's thread, before a frame is looked at.
pub const FRAME: &str = "frame wedged";

/// On the watch's thread, when it has scanned the capture directory for the first time.
pub const WATCH: &str = "watch wedged";

/// Stands still if the environment variable `ARCTICD_FAULT` names this place.
pub(crate) fn wedge(place: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("ARCTICD_FAULT").is_ok_and(|fault| fault == place) {
        tracing::error!("stands still here, as asked: {place}");
        loop {
            std::thread::park();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = place;
}
