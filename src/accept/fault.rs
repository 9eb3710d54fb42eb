//! Places where a test lets the process die as a power cut would. Compiled out of a release.

/// Where the process can be made to die: before and after each step is on disk, and around the files.
pub fn points() -> Vec<String> {
    use super::report::Step;
    let steps = [
        Step::Offered,
        Step::Receiving,
        Step::Verified,
        Step::Staged,
        Step::CanariesPassed,
        Step::Shadow,
        Step::Trial,
        Step::Active,
        Step::RolledBack,
    ];
    let files = ["piece written", "bundle written", "head loaded", "pieces removed"];
    let around = steps.into_iter().flat_map(|step| [format!("before {step}"), format!("after {step}")]);
    around.chain(files.map(str::to_owned)).collect()
}

/// The same on the way of a request.
pub const OF_REQUESTS: [&str; 2] = ["request noted", "heads forgotten"];

/// Whether the environment variable `ARCTICD_FAULT` names this trouble.
pub(super) fn is(trouble: &str) -> bool {
    #[cfg(debug_assertions)]
    return std::env::var("ARCTICD_FAULT").is_ok_and(|fault| fault == trouble);
    #[cfg(not(debug_assertions))]
    {
        let _ = trouble;
        false
    }
}

/// Panics if the environment variable `ARCTICD_FAULT` is `panic in`, a blank and the head's title.
pub(super) fn panic_in(head: impl FnOnce() -> String) {
    #[cfg(debug_assertions)]
    #[allow(clippy::panic)]
    if is(&format!("panic in {}", head())) {
        panic!("as asked");
    }
    #[cfg(not(debug_assertions))]
    let _ = head;
}

/// Ends the process if the environment variable `ARCTICD_FAULT` names this place.
pub(super) fn point(place: &str) {
    if is(place) {
        tracing::error!("dies here, as asked: {place}");
        std::process::abort();
    }
}
