//! The status page in a real browser, on a phone's screen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod page;
mod parts;

use std::time::Duration;

use page::browser::Browser;
use page::{port, shown};
use parts::{BIN, PATIENCE};
use serde_json::Value;
use testkit::scenes::Scene;

/// A frame as large as a camera's is at the scale at which it is decoded.
fn scene(scene: Scene, seed: u64) -> Vec<u8> {
    scene.jpeg(testkit::head::FIRST_SHOWN_SEED + seed, 640, 480).unwrap()
}

/// `ARCTICD_TEST_SCREENSHOTS` names a folder for pictures of the page.
fn keep(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("ARCTICD_TEST_SCREENSHOTS") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), browser.picture(false)).unwrap();
        std::fs::write(folder.join(format!("{name}-whole.png")), browser.picture(true)).unwrap();
    }
}

#[test]
fn a_frame_appears_with_its_label_within_two_seconds_on_a_phone_and_nothing_is_fetched_from_elsewhere() {
    const NAME: &str =
        "a_frame_appears_with_its_label_within_two_seconds_on_a_phone_and_nothing_is_fetched_from_elsewhere";
    let Some(mut phone) = Browser::open(360, 740) else {
        return parts::skip(NAME, "it needs chromium and chromedriver");
    };
    let world = shown();
    let daemon = world.start(BIN).unwrap();
    let origin = format!("http://127.0.0.1:{}/", port(&daemon));
    phone.go(&origin);
    assert!(phone.wait("return document.getElementById('state').textContent === 'working'", PATIENCE));
    // The first frame also makes networks and caches warm.
    world.drop_frame("0.jpg", &scene(Scene::Walrus, 9)).unwrap();
    assert!(phone.wait("return document.querySelectorAll('#frames li').length === 1", PATIENCE));

    world.drop_frame("north/IMG_0001.JPG", &scene(Scene::Bear, 1)).unwrap();
    let shows = "return document.getElementById('label').textContent === 'polar bear' \
                 && document.getElementById('where').textContent.includes('north/IMG_0001.JPG') \
                 && document.getElementById('picture').naturalWidth === 640";
    assert!(phone.wait(shows, Duration::from_secs(2)), "{}", phone.run("return document.body.innerText"));

    world.drop_frame("north/<img src=x onerror=alert(1)>.jpg", &scene(Scene::Fox, 2)).unwrap();
    world.drop_frame("broken.jpg", b"\xff\xd8\xff no picture").unwrap();
    world.drop_frame(&format!("{}.jpg", "long-name-without-a-gap-".repeat(6)), &scene(Scene::Empty, 3)).unwrap();
    world.drop_frame("north/IMG_0002.JPG", &scene(Scene::Bear, 4)).unwrap();
    assert!(phone.wait("return document.querySelectorAll('#frames li').length === 6", PATIENCE));
    assert!(phone.wait("return document.querySelectorAll('#timeline li').length >= 1", PATIENCE));
    assert!(phone.wait("return [...document.images].every(it => it.hidden || it.naturalWidth > 0)", PATIENCE));
    let wide = phone.run("return document.documentElement.scrollWidth");
    assert_eq!(wide, 360, "nothing is cut off at the side");
    let small = "return [...document.querySelectorAll('button')].filter(it => it.offsetHeight < 48).length";
    assert_eq!(phone.run(small), 0, "for fingers in gloves");
    keep(&mut phone, "phone");

    // Hold keeps the frame, whatever comes.
    phone.run("document.getElementById('hold').click()");
    let before = phone.run("return document.getElementById('where').textContent");
    world.drop_frame("held.jpg", &scene(Scene::Walrus, 5)).unwrap();
    assert!(phone.wait("return document.querySelectorAll('#frames li').length === 7", PATIENCE));
    assert_eq!(phone.run("return document.getElementById('where').textContent"), before);

    // Why: what the network saw beside what each place of it said.
    phone.run("document.getElementById('why').click()");
    assert!(phone.wait("return document.getElementById('picture').naturalWidth > 1000", PATIENCE));
    keep(&mut phone, "why");
    phone.run("document.getElementById('hold').click()");
    assert!(phone.wait("return document.getElementById('picture').naturalWidth === 640", PATIENCE));

    let asked = phone.requests();
    assert!(asked.iter().any(|url| url.contains("/frames/")), "{asked:?}");
    let elsewhere: Vec<&String> = asked.iter().filter(|url| !url.starts_with(&origin)).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    let complaints: Vec<Value> = phone.log("browser");
    assert!(complaints.is_empty(), "{complaints:?}");
    drop(phone);

    let mut desk = Browser::open(1100, 900).unwrap();
    desk.go(&origin);
    assert!(desk.wait("return document.querySelectorAll('#frames li').length === 7", PATIENCE));
    for (number, kind) in [Scene::Walrus, Scene::Fox, Scene::Empty, Scene::Bear].into_iter().enumerate() {
        world.drop_frame(&format!("north/IMG_041{number}.JPG"), &scene(kind, 20 + number as u64)).unwrap();
        let landed = format!("return document.querySelectorAll('#frames li').length === {}", 8 + number);
        assert!(desk.wait(&landed, PATIENCE));
    }
    assert!(desk.wait("return [...document.images].every(it => it.hidden || it.naturalWidth > 0)", PATIENCE));
    assert_eq!(desk.run("return document.documentElement.scrollWidth"), 1100);
    keep(&mut desk, "desk");
}
