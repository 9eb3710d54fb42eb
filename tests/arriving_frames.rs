//! However a frame arrives, it is classified once, when it is complete, and before the backlog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::time::{Duration, SystemTime};

use arcticd::detection::Detection;
use arcticd::frame::ContentHash;
use parts::{
    BIN, PATIENCE, bear, detections, every_frame, frames, listen, start_online, wait_detections, wait_frames,
    wait_health,
};
use testkit::broker::Broker;
use testkit::scenes::Scene;
use testkit::wait_until;

#[test]
fn a_frame_copied_in_slowly_is_classified_once_and_only_when_complete() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    // Far longer than the pauses of the copy, far shorter than the whole of it.
    let world = every_frame().set("mqtt.url", broker.url()).set_raw("capture.settle_ms", "2000");
    let _daemon = start_online(&world, &subscriber);
    let bytes = Scene::Bear.jpeg(7, 320, 240).unwrap();
    let mut file = File::create(world.captures().join("slow.jpg")).unwrap();
    for part in bytes.chunks(bytes.len() / 12) {
        file.write_all(part).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(world.ledger().files().unwrap(), Vec::<String>::new(), "looked at before it was complete");
    drop(file);
    let entry = &wait_frames(&world, &["slow.jpg"])[0];
    assert_eq!(entry.hash, ContentHash::of(&bytes).to_string());
    assert_eq!(entry.failed, None);
    let found = wait_detections(&subscriber, 1);
    assert!(!found[0].frame.partial);
    // A second look at the first would be counted by the time that another frame has gone the whole way.
    world.drop_frame("next.jpg", &bear(8)).unwrap();
    let health = wait_health(&subscriber, |health| health["counters"]["classified"].as_u64() >= Some(2));
    assert_eq!(health["counters"]["frames"], 2, "{health}");
}

#[test]
fn a_file_whose_writer_never_closes_it_is_classified_once_it_stands_still() {
    let world = every_frame();
    let daemon = world.start(BIN).unwrap();
    let mut file = File::create(world.captures().join("open.jpg")).unwrap();
    file.write_all(&bear(1)).unwrap();
    assert_eq!(wait_frames(&world, &["open.jpg"])[0].failed, None, "{:?}", daemon.log());
    drop(file);
}

#[test]
fn a_frame_renamed_in_is_classified_under_its_final_name_alone() {
    let world = every_frame();
    let _daemon = world.start(BIN).unwrap();
    let part = world.drop_frame("card/a.jpg.part", &bear(1)).unwrap();
    fs::rename(part, world.captures().join("card/a.jpg")).unwrap();
    fs::write(world.path("outside.jpg"), bear(2)).unwrap();
    fs::rename(world.path("outside.jpg"), world.captures().join("b.jpg")).unwrap();
    wait_frames(&world, &["card/a.jpg", "b.jpg"]);
    assert_eq!(world.ledger().files().unwrap(), ["b.jpg", "card/a.jpg"]);
    assert_eq!(world.ledger().messages().unwrap().len(), 2);
}

#[test]
fn each_of_500_frames_in_a_burst_into_new_nested_directories_is_classified_once() {
    const COUNT: u64 = 500;
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let _daemon = start_online(&world, &subscriber);
    // Rendered before, so that the burst is one.
    let files: Vec<_> = (0..COUNT)
        .map(|seed| (format!("cam{}/DCIM/{}MEDIA/IMG_{seed:04}.JPG", seed % 3, 100 + seed % 40), small_bear(seed)))
        .collect();
    for (name, bytes) in &files {
        world.drop_frame(name, bytes).unwrap();
    }
    let health = wait_health(&subscriber, |health| health["counters"]["acknowledged"].as_u64() >= Some(COUNT));
    assert_eq!(health["counters"]["classified"], COUNT, "{health}");
    assert_eq!(health["counters"]["failed"], 0, "{health}");
    let expected: BTreeSet<String> = files.into_iter().map(|(name, _)| name).collect();
    assert_eq!(world.ledger().files().unwrap().into_iter().collect::<BTreeSet<_>>(), expected);
    let found = frames(&subscriber.messages());
    assert_eq!(found.len() as u64, COUNT, "a message for each frame, none repeated");
    assert_eq!(found.into_iter().map(|detection| detection.frame.name).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_copy_or_a_moved_file_raises_no_second_alert_and_new_content_does() {
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let _daemon = start_online(&world, &subscriber);
    let first = world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_frames(&world, &["a.jpg"]);
    world.drop_frame("north/copy.jpg", &bear(1)).unwrap();
    wait_frames(&world, &["north/copy.jpg"]);
    fs::rename(&first, world.captures().join("moved.jpg")).unwrap();
    wait_frames(&world, &["moved.jpg"]);
    assert_eq!(world.ledger().frames().unwrap().len(), 1, "one content");
    assert_eq!(world.ledger().messages().unwrap().len(), 1, "one alert");

    // A camera that counts from 1 again after its card was emptied.
    world.drop_frame("moved.jpg", &bear(2)).unwrap();
    let found = wait_detections(&subscriber, 2);
    assert_eq!(found[1].frame.name, "moved.jpg");
    assert_ne!(found[1].id, found[0].id);
    let health = wait_health(&subscriber, |health| health["counters"]["frames"].as_u64() >= Some(4));
    assert_eq!((&health["counters"]["classified"], &health["counters"]["copies"]), (&2.into(), &2.into()), "{health}");
}

#[test]
fn a_card_put_in_again_with_shifted_file_times_is_not_new_after_a_restart() {
    let world = every_frame();
    for seed in 0..5 {
        world.drop_frame(&format!("DCIM/IMG_{seed}.JPG"), &bear(seed)).unwrap();
    }
    let names: Vec<String> = (0..5).map(|seed| format!("DCIM/IMG_{seed}.JPG")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut daemon = world.start(BIN).unwrap();
    wait_frames(&world, &names);
    assert_eq!(daemon.terminate().unwrap(), 0);
    for name in &names {
        let file = File::options().append(true).open(world.captures().join(name)).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.set_modified(before - Duration::from_secs(3600)).unwrap();
    }
    world.drop_frame("new.jpg", &bear(9)).unwrap();
    let daemon = world.start(BIN).unwrap();
    wait_frames(&world, &["new.jpg"]);
    daemon.wait_for_stdout("new.jpg", PATIENCE).unwrap();
    // The old ones were found by the same scan, in the order of their times: before the new one.
    assert_eq!(daemon.stdout().len(), 1, "{:?}", daemon.stdout());
    assert_eq!(world.ledger().messages().unwrap().len(), 6);
}

#[test]
fn a_frame_whose_clock_is_beyond_2038_keeps_its_time() {
    // A second that a 32-bit count from 1970 does not reach; trail cameras with an empty clock battery have such dates.
    let late = SystemTime::UNIX_EPOCH + Duration::from_secs((1 << 31) + 86_400);
    let world = every_frame();
    let file = world.drop_frame("late.jpg", &bear(1)).unwrap();
    File::options().append(true).open(file).unwrap().set_modified(late).unwrap();
    let daemon = world.start(BIN).unwrap();
    let line = daemon.wait_for_stdout("late.jpg", PATIENCE).unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(said["frame"]["captured_at"], "2038-01-20T03:14:08Z", "{line}");
}

#[test]
fn a_live_frame_goes_before_the_backlog() {
    const BACKLOG: u64 = 150;
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    let world = every_frame().set("mqtt.url", broker.url());
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    for seed in 0..BACKLOG {
        let file = world.drop_frame(&format!("old/{seed:03}.jpg"), &small_bear(seed)).unwrap();
        File::options().append(true).open(file).unwrap().set_modified(yesterday).unwrap();
    }
    let live = bear(5_000);
    let _daemon = world.start(BIN).unwrap();
    wait_until(PATIENCE, || (!world.ledger().files().unwrap().is_empty()).then_some(())).expect("the backlog begins");
    world.drop_frame("live.jpg", &live).unwrap();
    // All of the backlog is more than a board in an emulator can do within anybody's patience.
    let live = |found: &[Detection]| found.iter().position(|detection| detection.frame.name == "live.jpg");
    let overtaken = |found: &[Detection]| live(found).is_some_and(|at| at + 1 < found.len());
    let messages = subscriber.wait_for(PATIENCE, |messages| overtaken(&detections(messages)));
    let found = detections(&messages.expect("the live frame comes before the last of the backlog"));
    let at = live(&found).unwrap();
    for detection in &found {
        assert_eq!(detection.replayed, detection.frame.name != "live.jpg", "{}", detection.frame.name);
    }
    // Numbered when it was classified: the frame itself overtook, not only its message.
    let seq = |index: usize| found[index].seq.unwrap();
    assert!(seq(at) < BACKLOG + 1, "classified as number {} of {}", seq(at), found.len());
}

#[test]
fn hidden_temporary_and_other_files_are_left_alone_and_heic_is_reported() {
    let world = every_frame();
    let daemon = world.start(BIN).unwrap();
    for name in [".hidden.jpg", "notes.txt", "half.jpg.tmp", ".Trash-0/deleted.jpg", "lost+found/x.jpg", "phone.HEIC"] {
        world.drop_frame(name, &bear(1)).unwrap();
    }
    let line = daemon.wait_for_log("phone.HEIC", PATIENCE).unwrap();
    assert!(line.contains("HEIC, which is not decoded"), "{line}");
    // Dropped last, and found by the same events and scans.
    world.drop_frame("good.jpg", &bear(2)).unwrap();
    wait_frames(&world, &["good.jpg"]);
    assert_eq!(world.ledger().files().unwrap(), ["good.jpg"]);
}

#[test]
fn a_capture_directory_that_appears_late_or_is_replaced_is_watched() {
    let world = every_frame();
    fs::remove_dir(world.captures()).unwrap();
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("waiting for it", PATIENCE).unwrap();
    world.drop_frame("a.jpg", &bear(1)).unwrap();
    wait_frames(&world, &["a.jpg"]);
    fs::rename(world.captures(), world.path("old card")).unwrap();
    world.drop_frame("b.jpg", &bear(2)).unwrap();
    wait_frames(&world, &["b.jpg"]);
}

fn small_bear(seed: u64) -> Vec<u8> {
    Scene::Bear.jpeg(seed, 96, 72).unwrap()
}
