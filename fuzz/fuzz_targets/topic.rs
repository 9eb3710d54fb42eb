//! Topics below a trap's and a group's: what is understood is written in one way only.
#![no_main]

use arcticd::accept::Doors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let doors = Doors::new("arcticd", "north", &["coast".to_owned()]);
    for topic in [text.to_owned(), format!("arcticd/north/{text}"), format!("arcticd/group/coast/{text}")] {
        if let Some(address) = doors.parse(&topic) {
            assert_eq!(address.scope.topic("arcticd", address.content), topic);
        }
    }
});
