//! The status page of the real daemon, as scripts see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod page;
mod parts;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};

use arcticd::service::fault;
use page::{Viewer, answer, ask, connect, get, port, shown};
use parts::{BIN, PATIENCE, bear, every_frame, frame, wait_frames, world};
use serde_json::Value;
use testkit::scenes::Scene;
use testkit::wait_until;

#[test]
fn a_frame_that_lands_is_told_to_viewers_with_its_picture_and_is_among_the_detections() {
    let world = shown();
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    let mut viewer = Viewer::of(port);
    let status = viewer.until("status", |_| true);
    assert_eq!((&status["works"], &status["health"]["trap"]), (&true.into(), &"test".into()), "{status}");
    assert!(status["head"]["title"].as_str().unwrap().starts_with("demo-scenes"), "{status}");
    assert_eq!(viewer.until("timeline", |_| true), Value::Array(Vec::new()));
    assert_eq!(viewer.until("frames", |_| true), Value::Array(Vec::new()));

    world.drop_frame("north/1.jpg", &bear(1)).unwrap();
    let told = viewer.until("frame", |_| true);
    assert_eq!((&told["label"], &told["frame"]["name"]), (&"polar_bear".into(), &"north/1.jpg".into()), "{told}");
    assert_eq!((&told["picture"], &told["decision"]["alert"]), (&true.into(), &true.into()), "{told}");
    let picture = get(port, &format!("/frames/{}.jpg", told["number"]), &[]);
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/jpeg"));
    let picture = image::load_from_memory_with_format(&picture.body, image::ImageFormat::Jpeg).unwrap();
    assert_eq!((picture.width(), picture.height()), (160, 120), "never enlarged");
    let timeline = viewer.until("timeline", |_| true);
    assert_eq!((&timeline[0]["label"], &timeline[0]["camera"]), (&"polar_bear".into(), &"north".into()), "{timeline}");
    assert_eq!((&timeline[0]["open"], &timeline[0]["frames"]), (&true.into(), &1.into()), "{timeline}");
    viewer.until("status", |status| status["health"]["counters"]["alerts"] == 1);

    world.drop_frame("2.jpg", &frame(Scene::Empty, 2)).unwrap();
    viewer.until("frame", |told| told["frame"]["name"] == "2.jpg" && told["decision"]["alert"] == false);
    world.drop_frame("3.png", b"no picture").unwrap();
    let failed = viewer.until("frame", |told| told["name"] == "3.png");
    assert!(failed["failed"].as_str().is_some_and(|why| !why.is_empty()) && failed["picture"] == false, "{failed}");

    let detections = get(port, "/api/detections", &[]).json();
    let names: Vec<&str> =
        detections.as_array().unwrap().iter().filter_map(|it| it["frame"]["name"].as_str()).collect();
    assert_eq!(names, ["2.jpg", "north/1.jpg"], "the latest first, and nothing that is no frame");
    let schema: Value = serde_json::from_str(include_str!("../schema/detection.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<String> =
        detections.as_array().unwrap().iter().flat_map(|it| validator.iter_errors(it).map(|e| e.to_string())).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(get(port, "/api/detections?limit=1", &[]).json().as_array().unwrap().len(), 1);
    assert_eq!(get(port, "/api/events", &[]).json()[0]["best_frame"], "north/1.jpg");
    let health = get(port, "/api/health", &[]).json();
    assert_eq!((&health["counters"]["classified"], &health["counters"]["failed"]), (&2.into(), &1.into()), "{health}");
}

#[test]
fn where_a_decision_came_from_is_shown_for_the_head_that_took_it() {
    let world = shown();
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    let mut viewer = Viewer::of(port);
    viewer.until("frames", |_| true);
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    let told = viewer.until("frame", |_| true);
    let why = format!("/frames/{}/why.png", told["number"]);
    let answer = get(port, &why, &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/png"), "{}", answer.text());
    let painted = image::load_from_memory_with_format(&answer.body, image::ImageFormat::Png).unwrap().into_rgb8();
    // Two pictures side by side, and only the right one is painted.
    let (width, height) = painted.dimensions();
    let side = (width - 12) / 2;
    assert_eq!((width, side), (side * 2 + 12, height));
    let differ = (0..height).flat_map(|y| (0..side).map(move |x| (x, y)));
    assert!(differ.filter(|(x, y)| painted.get_pixel(*x, *y) != painted.get_pixel(x + side + 12, *y)).count() > 1000);
    for nothing in ["/frames/999/why.png", "/frames/-1/why.png", "/frames//why.png", "/frames/1/why.jpg"] {
        assert_eq!(get(port, nothing, &[]).status, 404, "{nothing}");
    }
    // One at a time: whoever asks for many at once makes the trap no slower than one does.
    let many: Vec<u16> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| get(port, &why, &[]).status)).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert!(many.iter().all(|status| [200, 409].contains(status)) && many.contains(&200), "{many:?}");
}

#[test]
fn pictures_are_made_for_those_who_watch_and_for_nobody_else() {
    let world = shown();
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    let noted = || get(port, "/api/detections", &[]).json().as_array().unwrap().len() == 1;
    wait_until(PATIENCE, || noted().then_some(())).expect("the frame is among the detections");
    let mut viewer = Viewer::of(port);
    let frames = viewer.until("frames", |_| true);
    assert_eq!((&frames[0]["picture"], &frames[0]["number"]), (&false.into(), &1.into()), "{frames}");
    assert_eq!(get(port, "/frames/1.jpg", &[]).status, 404);
    // Who left does not watch any more.
    drop(viewer);
    let watched = || get(port, "/metrics", &[]).text().contains("arcticd_page_viewers 1\n");
    wait_until(PATIENCE, || (!watched()).then_some(())).expect("the viewer is not counted any more");
}

/// Samples of the text format by name and labels, each held against the description of its family.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut helped, mut types, mut found) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped.push(help.split_once(' ').expect("a help text").0);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind) && helped.contains(&name), "{line}");
            assert!(types.insert(name, kind).is_none(), "{name} is described twice");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let kind = types.get(name).or_else(|| of_histogram.and_then(|name| types.get(name)));
            let kind = kind.unwrap_or_else(|| panic!("{line} was not described"));
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
            assert!(found.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{sample} twice");
        }
    }
    found
}

#[test]
fn metrics_are_well_formed_and_count_right() {
    let world = shown();
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    world.drop_frame("2.jpg", &frame(Scene::Walrus, 2)).unwrap();
    world.drop_frame("3.png", b"no picture").unwrap();
    wait_frames(&world, &["1.jpg", "2.jpg", "3.png"]);
    world.drop_frame("4.jpg", &bear(1)).unwrap();
    let all = || {
        let answer = get(port, "/metrics", &[]);
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        samples(answer.text())
    };
    let counted =
        |all: &BTreeMap<String, f64>| all["arcticd_frames_copied_total"] + all["arcticd_frames_failed_total"] == 2.0;
    let all = wait_until(PATIENCE, || Some(all()).filter(counted)).expect("four files are counted");
    assert_eq!(all["arcticd_frames_classified_total"], 2.0);
    assert_eq!(all["arcticd_files_read_total"], 4.0);
    assert_eq!(all["arcticd_frames_labelled_total{label=\"polar_bear\"}"], 1.0);
    assert_eq!(all["arcticd_frames_labelled_total{label=\"walrus\"}"], 1.0);
    assert_eq!(all["arcticd_works"], 1.0);
    assert_eq!(all["arcticd_frame_latency_seconds_count"], 2.0);
    assert_eq!(all["arcticd_frame_latency_seconds_bucket{le=\"+Inf\"}"], 2.0);
    assert!(all["arcticd_frame_latency_seconds_bucket{le=\"30\"}"] <= 2.0);
    assert!(all["arcticd_last_classified_timestamp_seconds"] > 1.7e9);
    assert!(all.keys().any(|name| name.starts_with("arcticd_info{trap=\"test\",version=")), "{:?}", all.keys());
}

#[test]
fn nobody_comes_in_without_the_token_and_it_is_seen_nowhere() {
    const TOKEN: &str = "a-token-nobody-guesses";
    let refused = world().set("http.listen", "0.0.0.0:0");
    let mut daemon = refused.start(BIN).unwrap();
    assert_eq!(daemon.wait_exit(PATIENCE).unwrap(), 78);
    assert!(daemon.log().join("\n").contains("set `http.token_file`"), "{:?}", daemon.log());

    let file = refused.path("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let unread = refused.set("http.token_file", file.to_str().unwrap());
    let mut daemon = unread.start(BIN).unwrap();
    daemon.wait_for_log("there is no status page: the token file", PATIENCE).unwrap();
    unread.drop_frame("1.jpg", &bear(1)).unwrap();
    wait_frames(&unread, &["1.jpg"]);
    assert_eq!(daemon.terminate().unwrap(), 0);

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let world = unread.set("log.level", "trace");
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    let places =
        ["/", "/events", "/healthz", "/metrics", "/api/health", "/api/detections", "/frames/1.jpg", "/nothing"];
    for place in places {
        for wrong in [&[][..], &["Authorization: Bearer a-token-somebody-guesses"], &["Authorization: Basic !"]] {
            let answer = get(port, place, wrong);
            assert_eq!((answer.status, answer.text()), (401, "the token is missing or wrong\n"), "{place}");
            assert!(answer.header("www-authenticate").starts_with("Basic realm="));
        }
    }
    let open = format!("Authorization: Bearer {TOKEN}");
    for place in ["/", "/healthz", "/metrics", "/api/health", "/api/detections"] {
        let answer = get(port, place, &[&open]);
        assert_eq!(answer.status, 200, "{place}");
        assert!(!answer.text().contains(TOKEN), "{place}");
    }
    assert!(!daemon.log().join("\n").contains(TOKEN));
}

#[test]
fn other_names_other_methods_and_other_sites_get_nothing() {
    let world = shown();
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    assert_eq!(get(port, "/api/health", &["Host: evil.example"]).status, 421);
    assert_eq!(get(port, "/api/health", &["Host: test.local:80"]).status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let mut stream = connect(port);
        ask(&mut stream, method, "/api/detections", &["Content-Length: 0"]);
        let refused = answer(stream);
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    let page = get(port, "/", &[]);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(page.header("cache-control"), "no-store");
    let elsewhere = ["http://", "https://", "//cdn", "url(", "@import"];
    for text in elsewhere {
        assert!(!page.text().contains(text), "the page names {text}");
    }
}

#[test]
fn those_who_are_silent_slow_or_too_many_hold_up_no_frame_and_are_sent_away() {
    let world = shown();
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    // They watch and never read, ask half a question, or nothing at all.
    let watching: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = connect(port);
            ask(&mut stream, "GET", "/events", &[]);
            stream
        })
        .collect();
    let watched = || get(port, "/metrics", &[]).text().contains("arcticd_page_viewers 8\n");
    wait_until(PATIENCE, || watched().then_some(())).expect("eight watch");
    let ninth = get(port, "/events", &[]);
    assert_eq!((ninth.status, ninth.text()), (503, "8 others are watching already\n"));
    let half = |_| {
        let mut stream = connect(port);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
        stream
    };
    let silent: Vec<TcpStream> = (0..40).map(half).collect();

    let names: Vec<String> = (0..60).map(|seed| format!("{seed}.jpg")).collect();
    for (seed, name) in names.iter().enumerate() {
        world.drop_frame(name, &frame(Scene::ALL[seed % 4], seed as u64)).unwrap();
    }
    wait_frames(&world, &names.iter().map(String::as_str).collect::<Vec<_>>());

    // Who found no seat was told so, the others had their time.
    for mut stream in silent {
        let mut said = Vec::new();
        // Ours may have come after theirs, which ends the connection the hard way.
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 503") || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    assert_eq!(get(port, "/healthz", &[]).status, 200, "afterwards there is room again");
    drop(watching);
}

#[test]
fn healthz_says_what_the_watchdog_knows() {
    if !cfg!(debug_assertions) {
        return parts::skip("healthz_says_what_the_watchdog_knows", "a release has no fault points");
    }
    let world = shown().env("ARCTICD_FAULT", fault::FRAME).env("WATCHDOG_USEC", "3000000");
    let socket = world.path("notify.sock");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    // Read, or the daemon would wait for room some time.
    std::thread::spawn(move || while systemd.recv(&mut [0; 4096]).is_ok() {});
    let world = world.env("NOTIFY_SOCKET", socket.to_str().unwrap());
    let daemon = world.start(BIN).unwrap();
    let port = port(&daemon);
    let works = || get(port, "/healthz", &[]);
    let well = wait_until(PATIENCE, || Some(works()).filter(|answer| answer.status == 200)).expect("it works");
    assert_eq!((&well.json()["works"], &well.json()["within_s"]), (&true.into(), &3.into()));
    // The pipeline stands still with this one, and everything else goes on.
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    let stuck = wait_until(PATIENCE, || Some(works()).filter(|answer| answer.status == 503)).expect("it does not work");
    assert!(stuck.json()["works"] == false && stuck.json()["idle_s"].as_u64() >= Some(3), "{}", stuck.text());
    assert_eq!(samples(get(port, "/metrics", &[]).text())["arcticd_works"], 0.0);
}

#[test]
fn a_socket_in_the_file_system_is_for_owner_and_group_and_is_made_anew() {
    let world = every_frame();
    let path = world.path("page.sock");
    let world = world.set("http.listen", path.to_str().unwrap());
    for _ in 0..2 {
        let mut daemon = world.start(BIN).unwrap();
        daemon.wait_for_log("status page at unix:", PATIENCE).unwrap();
        let there = fs::metadata(&path).unwrap();
        assert!(there.file_type().is_socket());
        assert_eq!(there.permissions().mode() & 0o777, 0o660);
        let mut stream = UnixStream::connect(&path).unwrap();
        ask(&mut stream, "GET", "/healthz", &["Host: whatever.stands.in.front"]);
        assert_eq!(answer(stream).status, 200);
        // Nothing cleans up after it.
        daemon.kill().unwrap();
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("there is a file that is no socket", PATIENCE).unwrap();
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    wait_frames(&world, &["1.jpg"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_port_that_is_taken_costs_the_page_and_no_frame() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let world = every_frame().set("http.listen", taken.local_addr().unwrap().to_string());
    let daemon = world.start(BIN).unwrap();
    daemon.wait_for_log("the status page can't be served at http://127.0.0.1", PATIENCE).unwrap();
    world.drop_frame("1.jpg", &bear(1)).unwrap();
    wait_frames(&world, &["1.jpg"]);
}

#[test]
fn where_it_is_off_there_is_no_thread_and_no_port() {
    let threads = |id: u32| -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
        tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok()).collect()
    };
    // Nothing but a page would listen on TCP.
    let listens = |id: u32| {
        let tables =
            ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap_or_default());
        let sockets: Vec<String> = fs::read_dir(format!("/proc/{id}/fd"))
            .unwrap()
            .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok()?.to_str().map(str::to_owned))
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let mut rows =
            tables.iter().flat_map(|table| table.lines()).map(|row| row.split_whitespace().collect::<Vec<_>>());
        rows.any(|row| {
            row.get(3) == Some(&"0A") && row.get(9).is_some_and(|inode| sockets.iter().any(|it| it == inode))
        })
    };
    for (world, on) in [(every_frame(), false), (shown(), true)] {
        let daemon = world.start(BIN).unwrap();
        if on {
            port(&daemon);
        }
        world.drop_frame("1.jpg", &bear(1)).unwrap();
        wait_frames(&world, &["1.jpg"]);
        assert_eq!(threads(daemon.id()).iter().any(|name| name.starts_with("arcticd-page")), on);
        assert_eq!(listens(daemon.id()), on);
    }
}
