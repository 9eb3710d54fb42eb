//! What the flash has to bear: bytes written for a frame, for an alert, and while nothing happens.
//!
//! Counted by the kernel (`write_bytes` of `/proc/PID/io`: pages of files that became dirty, so a page written twice before it
//! goes to the disk counts once). Run it with `--nocapture` for the figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod parts;

use std::fs::{self, File};

use parts::{PATIENCE, every_frame, listen, skip, start_online, wait_health};
use rusqlite::Connection;
use rustix::fs::{fstatfs, syncfs};
use testkit::broker::Broker;
use testkit::daemon::{Daemon, World};
use testkit::scenes::Scene;
use testkit::subscriber::Subscriber;
use testkit::wait_until;

/// Bytes of a frame that says nothing, in a burst.
const MOST_SILENT: u64 = 2 << 10;
/// One of sixty that are written together, half a minute after those before: as they come a minute apart.
const MOST_OF_SIXTY: u64 = 4 << 10;
/// One that is written on its own.
const MOST_APART: u64 = 48 << 10;
/// Bytes of an alert until it is acknowledged, on its own: whole pages of 4 KiB of log, tables and indexes.
const MOST_ALERT: u64 = 96 << 10;

/// Frames go into the index of contents in so many.
const INDEXED: u64 = 8192;
/// So many are to come until then, where many are known: one burst and a half.
const BEFORE_INDEX: u64 = 1536;

/// Bytes that a process caused to be written.
fn written_by(process: &str) -> u64 {
    let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    let number = |key: &str| -> u64 {
        io.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim_start_matches(':').trim().parse().unwrap()
    };
    number("write_bytes") - number("cancelled_write_bytes").min(number("write_bytes"))
}

fn written(daemon: &Daemon) -> u64 {
    written_by(&daemon.id().to_string())
}

fn picture(seed: u64) -> Vec<u8> {
    [&Scene::Bear.jpeg(seed % 8, 96, 72).unwrap()[..], &seed.to_le_bytes()].concat()
}

/// A daemon whose frames say nothing or alert, on ext4; none, with the reason, where that is not to be had.
struct Trap {
    world: World,
    daemon: Daemon,
    subscriber: Subscriber,
    disk: File,
    // Frames dropped so far.
    next: u64,
    _broker: Broker,
}

impl Trap {
    fn start(hold_s: u64, silent: bool, known: u64) -> Option<Self> {
        let broker = Broker::any().unwrap();
        let subscriber = listen(broker.port());
        let mut world = every_frame().set("mqtt.url", broker.url()).set_raw("state.hold_s", hold_s.to_string());
        if silent {
            world = world.set_raw("alerts.thresholds", "{ polar_bear = 1.0 }");
        }
        fs::create_dir(world.state()).unwrap();
        let disk = File::open(world.state()).unwrap();
        // In memory the kernel counts nothing, and other file systems write in other pieces.
        const EXT4: i64 = 0xEF53;
        if fstatfs(&disk).unwrap().f_type as i64 != EXT4 {
            skip("flash wear", "the temporary directory is not on ext4");
            return None;
        }
        if known > 0 {
            assert_eq!(start_online(&world, &subscriber).terminate().unwrap(), 0);
            // As long as those of the frames that come.
            let rows = format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {known})
                 INSERT INTO frames (hash, name, state, label, confidence, alert, head, processed_at)
                 SELECT randomblob(32), i || '.jpg', 'done', 'polar_bear', 0.5, 0, 'demo-scenes rendered', '2026-11-28T14:25:30.123Z'
                 FROM n; INSERT INTO files SELECT name, 4000, 1, 1, 1, id, 1 FROM frames;
                 INSERT INTO known SELECT substr(hash, 1, 4), id FROM frames WHERE id <= {indexed} ORDER BY 1;
                 INSERT INTO meta VALUES ('indexed', {indexed})",
                indexed = known + BEFORE_INDEX - INDEXED
            );
            Connection::open(world.state().join("journal.sqlite")).unwrap().execute_batch(&rows).unwrap();
        }
        let daemon = start_online(&world, &subscriber);
        Some(Self { world, daemon, subscriber, disk, next: 0, _broker: broker })
    }

    fn drop(&mut self, count: u64) {
        for _ in 0..count {
            self.world.drop_frame(&format!("new-{}.jpg", self.next), &picture(self.next)).unwrap();
            self.next += 1;
        }
    }

    fn on_disk(&self, sql: &str) -> i64 {
        let db = Connection::open(self.world.state().join("journal.sqlite")).unwrap();
        db.busy_timeout(PATIENCE).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn wait_written(&self, frames: u64) {
        let noted = || self.on_disk("SELECT count(*) FROM files WHERE name LIKE 'new-%'") as u64 >= frames;
        wait_until(PATIENCE, || noted().then_some(())).expect("frames are written");
        let waiting = || self.on_disk("SELECT count(*) FROM messages WHERE state <> 'acked'");
        wait_until(PATIENCE, || (waiting() == 0).then_some(())).expect("messages are acknowledged");
    }

    /// Bytes that each of `count` frames costs that come at once, with what it takes to bring the log into the file.
    fn burst(&mut self, count: u64) -> u64 {
        syncfs(&self.disk).unwrap();
        let before = written(&self.daemon);
        self.drop(count);
        let all = self.next;
        wait_health(&self.subscriber, |health| health["counters"]["classified"].as_u64() >= Some(all));
        // The last ones may wait for others.
        self.wait_written(self.next - 64);
        let (daemon, own) = (written(&self.daemon) - before, written_by("self"));
        self.on_disk("PRAGMA wal_checkpoint(TRUNCATE)");
        let file = written_by("self") - own;
        println!("{count} at once: {} bytes each to the log, {} from there to the file", daemon / count, file / count);
        (daemon + file) / count
    }

    /// The same, with a burst's share of the index: the second one has all of that.
    fn two_bursts(&mut self, count: u64) -> u64 {
        let (without, with) = (self.burst(count), self.burst(count));
        without + with.saturating_sub(without) * count / INDEXED
    }

    /// Bytes that each frame costs when `together` of them are written, and then everything goes to the disk, as it does in
    /// half a minute.
    fn apart(&mut self, times: u64, together: u64) -> u64 {
        syncfs(&self.disk).unwrap();
        let before = written(&self.daemon);
        for _ in 0..times {
            self.drop(together);
            self.wait_written(self.next);
            syncfs(&self.disk).unwrap();
        }
        (written(&self.daemon) - before) / (times * together)
    }

    /// Bytes in ten seconds in which nothing comes, with a scan and a health message each.
    fn idle(&mut self) -> u64 {
        let wait = |at: u64| wait_health(&self.subscriber, |health| health["uptime_s"].as_u64() >= Some(at));
        let now = wait(0)["uptime_s"].as_u64().unwrap();
        let last = self.subscriber.messages().iter().rev().find(|it| it.topic.ends_with("/health")).unwrap().json();
        // The first look after a change is noted in the log's index.
        let begin = last["uptime_s"].as_u64().unwrap().max(now) + 3;
        wait(begin);
        let before = written(&self.daemon);
        wait(begin + 10);
        written(&self.daemon) - before
    }

    fn stop(&mut self, messages: usize) {
        assert_eq!(self.daemon.terminate().unwrap(), 0);
        assert_eq!(self.world.ledger().messages().unwrap().len(), messages);
    }
}

#[test]
fn an_idle_daemon_writes_nothing_a_burst_of_frames_little_and_an_alert_a_few_pages() {
    // As it is configured unless somebody says otherwise.
    let Some(mut trap) = Trap::start(3600, true, 0) else { return };
    let burst = trap.burst(1024);
    let idle = trap.idle();
    trap.stop(0);
    let Some(mut trap) = Trap::start(3600, true, 100_000) else { return };
    let many = trap.two_bursts(1024);
    trap.stop(0);
    let Some(mut trap) = Trap::start(0, true, 100_000) else { return };
    let many_alone = trap.burst(512);
    trap.stop(0);
    let Some(mut trap) = Trap::start(3, true, 0) else { return };
    let (ten, sixty) = (trap.apart(6, 10), trap.apart(3, 60));
    trap.stop(0);
    let Some(mut trap) = Trap::start(0, true, 0) else { return };
    let apart = trap.apart(30, 1);
    trap.stop(0);
    let Some(mut trap) = Trap::start(3600, false, 0) else { return };
    let alerts = trap.burst(256);
    let alert = trap.apart(30, 1);
    trap.stop(286);
    println!(
        "bytes written of a silent frame: {burst} in a burst, {many} where 100,000 are known ({many_alone} if each is written at once), {ten} and {sixty} if"
    );
    println!(
        "ten and sixty are written together, {apart} on its own; {alerts} of an alert in a burst, {alert} on its own; {idle} in ten idle seconds"
    );
    assert!(burst <= MOST_SILENT, "{burst} bytes a frame");
    assert!(many <= MOST_SILENT, "{many} bytes a frame where many are known");
    assert!(sixty <= MOST_OF_SIXTY, "{sixty} bytes a frame of sixty");
    assert!(apart <= MOST_APART, "{apart} bytes a frame on its own");
    assert_eq!(idle, 0);
    assert!(alert <= MOST_ALERT, "{alert} bytes an alert");
}
