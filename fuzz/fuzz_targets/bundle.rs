//! A `.head` file by whoever: read, opened without asking for a signature, joined with its files, loaded, tried on its
//! canaries. What comes out must go in again byte by byte.
#![no_main]

use arcticd::heads::TrustedKeys;
use arcticd::heads::bundle::{self, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(sealed) = bundle::read_head_of(data) {
        assert!(sealed.verify(&TrustedKeys::default()).is_err(), "no key is trusted");
    }
    let opened = bundle::read_head_of(data).and_then(|sealed| sealed.open_unverified());
    let Ok(bundle) = opened.and_then(|opened| opened.read(Limits { network: 1 << 20 })) else { return };
    let mut again = Vec::new();
    let _ = bundle.write(&mut again);
    assert_eq!(again, data, "there is one way to write a bundle");
    let _ = bundle.head();
});
