//! What anybody may publish on `head/offer`.
#![no_main]

use arcticd::accept::Offer;
use arcticd::heads::TrustedKeys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(offer) = Offer::decode(data) else { return };
    assert_eq!(Offer::decode(&offer.encode()).as_ref(), Ok(&offer));
    if let Ok(sealed) = offer.seal() {
        assert!(sealed.verify(&TrustedKeys::default()).is_err(), "no key is trusted");
    }
    let _ = offer.seal().and_then(|sealed| sealed.open_unverified());
});
