//! The vectors that a head is proven on.

use std::cell::OnceCell;

use arcticd::heads::canaries::Canaries;
use arcticd::model::Head;

use super::{contained, plain};

/// `canaries.bin`, and a plain head that it should be of.
pub fn canaries(data: &[u8]) {
    thread_local!(static HEAD: OnceCell<Head> = const { OnceCell::new() });
    let Ok(canaries) = Canaries::parse(data) else { return };
    assert_eq!(canaries.encode(), data, "there is one way to write canaries");
    HEAD.with(|head| contained(|| canaries.check(head.get_or_init(plain::head)).is_ok()));
}
