//! A head's manifest, as it is parsed once its signature holds.
#![no_main]

use arcticd::model::HeadManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = HeadManifest::parse(data) {
        let _ = arcticd::heads::bundle::seal(&[], data.to_vec()).and_then(|sealed| sealed.open_unverified());
        assert!(!manifest.labels.is_empty());
    }
});
