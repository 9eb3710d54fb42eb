//! Files that are no good, or not what they seem: none stops the daemon, none is changed, and each is told apart from
//! "nothing found".
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::io::Cursor;

use image::{ImageBuffer, ImageFormat, Rgb, RgbImage, imageops};
use libjpeg_turbo_rs::{Encoder, PixelFormat};
use parts::{BIN, PATIENCE, bear, every_frame, listen, start_online, wait_detections, wait_frames, wait_health, world};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use testkit::broker::Broker;
use testkit::scenes::{Scene, png};

const SIDES: (u32, u32) = (320, 240);

fn picture(seed: u64) -> RgbImage {
    let pixels = Scene::Bear.render(seed, SIDES.0, SIDES.1);
    RgbImage::from_raw(SIDES.0, SIDES.1, pixels.rgb).unwrap()
}

fn jpeg(seed: u64) -> Vec<u8> {
    encode(&picture(seed), &[])
}

fn encode(picture: &RgbImage, exif: &[u8]) -> Vec<u8> {
    let encoder =
        Encoder::new(picture, picture.width() as usize, picture.height() as usize, PixelFormat::Rgb).quality(95);
    if exif.is_empty() { encoder.encode().unwrap() } else { encoder.exif_data(exif).encode().unwrap() }
}

/// Where a JPEG's marker `code` begins.
fn marker(jpeg: &[u8], code: u8) -> usize {
    jpeg.windows(2).position(|pair| pair == [0xFF, code]).unwrap()
}

/// A JPEG whose header claims other sides.
fn with_sides(mut jpeg: Vec<u8>, width: u16, height: u16) -> Vec<u8> {
    let at = marker(&jpeg, 0xC0) + 5;
    jpeg[at..at + 2].copy_from_slice(&height.to_be_bytes());
    jpeg[at + 2..at + 4].copy_from_slice(&width.to_be_bytes());
    jpeg
}

fn cmyk(seed: u64) -> Vec<u8> {
    // Inverted, as every program writes CMYK into JPEG; without black it is RGB.
    let inks: Vec<u8> = picture(seed).pixels().flat_map(|Rgb([r, g, b])| [*r, *g, *b, 255]).collect();
    Encoder::new(&inks, SIDES.0 as usize, SIDES.1 as usize, PixelFormat::Cmyk).quality(95).encode().unwrap()
}

fn png_of_16_bits(seed: u64) -> Vec<u8> {
    let deep = ImageBuffer::from_fn(SIDES.0, SIDES.1, {
        let shallow = picture(seed);
        move |x, y| Rgb(shallow.get_pixel(x, y).0.map(|value| u16::from(value) * 257))
    });
    let mut file = Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb16(deep).write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// An EXIF block with nothing but an orientation.
fn orientation(number: u8) -> Vec<u8> {
    [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[number, 0, 0, 0], &[0; 4]].concat()
}

#[test]
fn each_bad_file_is_recorded_with_its_reason_and_the_good_ones_go_on() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let bad = [
        ("empty.jpg", Vec::new(), "empty"),
        ("text.jpg", b"Polar bears ahead.\n".to_vec(), "not a picture"),
        ("huge.jpg", with_sides(jpeg(2), 65_535, 65_535), "16384 allowed"),
        ("header.jpg", jpeg(3)[..marker(&jpeg(3), 0xDA) + 14].to_vec(), "damaged"),
        ("stub.jpg", jpeg(4)[..jpeg(4).len() / 10].to_vec(), "damaged"),
        ("cut.png", png(&Scene::Bear.render(5, 64, 48)).unwrap()[..900].to_vec(), "damaged"),
        ("phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), "HEIC is not supported"),
    ];
    let good =
        [("good.jpg", bear(1)), ("zcmyk.jpg", cmyk(6)), ("zdeep.png", png_of_16_bits(7)), ("zlying.png", jpeg(8))];
    let daemon = start_online(&world, &subscriber);
    mknodat(CWD, world.captures().join("pipe.jpg"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::create_dir(world.captures().join("folder.jpg")).unwrap();
    std::os::unix::fs::symlink("good.jpg", world.captures().join("link.jpg")).unwrap();
    let files =
        bad.iter().map(|(name, bytes, _)| (*name, bytes)).chain(good.iter().map(|(name, bytes)| (*name, bytes)));
    for (name, bytes) in files.clone() {
        world.drop_frame(name, bytes).unwrap();
    }

    for (name, _, reason) in &bad {
        let entry = &wait_frames(&world, &[name])[0];
        let failed = entry.failed.as_deref().unwrap_or_else(|| panic!("{name} was taken for a picture of {entry:?}"));
        assert!(failed.contains(reason), "{name}: {failed}");
        assert_eq!((entry.label.as_deref(), entry.alert), (None, false), "{name}");
        daemon.wait_for_log(name, PATIENCE).unwrap();
    }
    for (name, _) in &good {
        let entry = &wait_frames(&world, &[name])[0];
        assert_eq!((entry.failed.as_deref(), entry.label.is_some()), (None, true), "{name}");
    }
    let found = wait_detections(&subscriber, good.len());
    assert!(found.iter().all(|detection| !detection.frame.partial), "{found:?}");
    let all = (bad.len() + good.len()) as u64;
    let health = wait_health(&subscriber, |health| health["counters"]["frames"].as_u64() >= Some(all));
    assert_eq!(health["counters"]["failed"], bad.len(), "{health}");
    assert_eq!(world.ledger().files().unwrap().len() as u64, all, "pipe, folder and link are no frames");
    for (name, bytes) in files {
        assert_eq!(&std::fs::read(world.captures().join(name)).unwrap(), bytes, "{name} was changed");
    }
}

#[test]
fn what_is_left_of_a_truncated_frame_is_classified_and_alerts_as_partial() {
    let world = every_frame();
    let whole = jpeg(9);
    for (name, share) in [("north/most.jpg", 85), ("south/two-thirds.jpg", 67)] {
        world.drop_frame(name, &whole[..whole.len() * share / 100]).unwrap();
    }
    // Written to the end but for the two bytes that say so.
    world.drop_frame("no-end.jpg", &jpeg(10)[..jpeg(10).len() - 2]).unwrap();
    let daemon = world.start(BIN).unwrap();
    for name in ["north/most.jpg", "south/two-thirds.jpg", "no-end.jpg"] {
        let line = daemon.wait_for_stdout(name, PATIENCE).unwrap();
        let detection: arcticd::detection::Detection = serde_json::from_str(&line).unwrap();
        assert!(detection.frame.partial && detection.decision.alert, "{line}");
        assert_eq!((detection.frame.width, detection.frame.height), SIDES);
        assert_eq!(wait_frames(&world, &[name])[0].failed, None);
        daemon.wait_for_log("decoded in part", PATIENCE).unwrap();
    }
}

#[test]
fn a_frame_that_the_camera_held_sideways_gets_the_verdict_of_the_upright_one() {
    let world = world().set("alerts.policy", "every_frame").set_raw("alerts.thresholds", "{ polar_bear = 0.0 }");
    let upright = picture(13);
    let sideways = imageops::rotate270(&upright);
    let upside_down = imageops::rotate180(&upright);
    world.drop_frame("1.jpg", &encode(&upright, &[])).unwrap();
    world.drop_frame("3.jpg", &encode(&upside_down, &orientation(3))).unwrap();
    world.drop_frame("6.jpg", &encode(&sideways, &orientation(6))).unwrap();
    // The same pixels without the note: what ignoring it would look like.
    world.drop_frame("lost.jpg", &encode(&sideways, &[])).unwrap();
    let daemon = world.start(BIN).unwrap();
    let read = |name: &str| -> arcticd::detection::Detection {
        serde_json::from_str(&daemon.wait_for_stdout(name, PATIENCE).unwrap()).unwrap()
    };
    let [one, three, six, lost] = ["1.jpg", "3.jpg", "6.jpg", "lost.jpg"].map(read);
    for turned in [&three, &six] {
        assert_eq!((turned.frame.width, turned.frame.height), SIDES, "{}", turned.frame.name);
        for (label, score) in &one.scores {
            // The JPEG blocks differ, the picture does not.
            assert!((turned.scores[label] - score).abs() < 0.05, "{label}: {score} and {}", turned.scores[label]);
        }
    }
    assert_eq!((lost.frame.width, lost.frame.height), (SIDES.1, SIDES.0));
    let differs = one.scores.iter().any(|(label, score)| (lost.scores[label] - score).abs() > 0.05);
    assert!(differs, "a picture that looks the same lying down proves nothing: {:?} {:?}", one.scores, lost.scores);
}

#[test]
fn once_reads_a_fifo_no_further_than_its_name() {
    let world = world();
    mknodat(CWD, world.path("pipe.jpg"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let output = world.command(BIN).args(["--once", "pipe.jpg"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"));
}
