//! What anybody may publish, each kind for itself: first opened, then parsed, and written in one way only.

use arcticd::accept::{Ask, Doors, Offer};
use arcticd::heads::TrustedKeys;

/// A payload on a topic of requests, and the message that a trusted key may have signed.
pub fn ask(data: &[u8]) {
    assert!(Ask::open(data, &TrustedKeys::default()).is_err(), "no key is trusted");
    if let Ok(ask) = Ask::parse(data) {
        assert_eq!(Ask::parse(&ask.encode()).ok(), Some(ask));
    }
}

/// A payload on `head/offer`.
pub fn offer(data: &[u8]) {
    let Ok(offer) = Offer::decode(data) else { return };
    assert_eq!(Offer::decode(&offer.encode()).as_ref(), Ok(&offer));
    if let Ok(sealed) = offer.seal() {
        assert!(sealed.verify(&TrustedKeys::default()).is_err(), "no key is trusted");
    }
    let _ = offer.seal().and_then(|sealed| sealed.open_unverified());
}

/// Topics below a trap's and a group's.
pub fn topic(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let doors = Doors::new("arcticd", "north", &["coast".to_owned()]);
    for topic in [text.to_owned(), format!("arcticd/north/{text}"), format!("arcticd/group/coast/{text}")] {
        if let Some(address) = doors.parse(&topic) {
            assert_eq!(address.scope.topic("arcticd", address.content), topic);
        }
    }
}
