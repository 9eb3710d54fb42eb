//! What anybody may publish on a topic of requests, and what a trusted key may have signed.
#![no_main]

use arcticd::accept::Ask;
use arcticd::heads::TrustedKeys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(Ask::open(data, &TrustedKeys::default()).is_err(), "no key is trusted");
    if let Ok(ask) = Ask::parse(data) {
        assert_eq!(Ask::parse(&ask.encode()).ok(), Some(ask));
    }
});
