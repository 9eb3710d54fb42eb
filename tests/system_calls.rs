//! The unit's sandbox beside what the daemon really asks of the kernel: strace lists it, systemd says what the filter lets
//! through. A call outside would fail with EPERM on the mast, and nowhere before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

mod page;
mod parts;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use arcticd::accept::Step;
use parts::heads::{good, set, trusting, wait_step};
use parts::{BIN, PATIENCE, bear, listen, wait_detections};
use testkit::broker::Broker;
use testkit::head::signed::Maker;
use testkit::wait_until;

const UNIT: &str = include_str!("../systemd/arcticd.service");

/// What glibc and Rust use on aarch64 and on 32-bit ARM where x86-64 has another call, or 64-bit times another name.
const ON_ARM: &[&str] = &[
    "_llseek",
    "clock_gettime64",
    "clock_nanosleep_time64",
    "epoll_pwait",
    "fadvise64_64",
    "fcntl64",
    "fstat64",
    "fstatat64",
    "fstatfs64",
    "ftruncate64",
    "futex_time64",
    "getdents64",
    "mkdirat",
    "mmap2",
    "newfstatat",
    "openat",
    "pipe2",
    "ppoll",
    "ppoll_time64",
    "pselect6_time64",
    "recvmmsg_time64",
    "renameat",
    "renameat2",
    "rt_sigreturn",
    "rt_sigtimedwait_time64",
    "send",
    "recv",
    "sigreturn",
    "stat64",
    "statfs64",
    "statx",
    "ugetrlimit",
    "unlinkat",
    "utimensat_time64",
];

/// Values of a key in the unit, in order.
fn values(key: &str) -> impl Iterator<Item = &str> {
    UNIT.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
}

/// Calls of a filter set, sets within it followed.
fn expand(set: &str, into: &mut BTreeSet<String>) {
    let output = Command::new("systemd-analyze").args(["syscall-filter", set]).output().unwrap();
    assert!(output.status.success(), "{set}: {}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::trim) {
        match line {
            "" => {}
            _ if line.starts_with('#') => {}
            _ if line.starts_with('@') => expand(line, into),
            _ => drop(into.insert(line.to_owned())),
        }
    }
}

/// What the unit's filter lets through.
fn allowed() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    // It is always let through.
    expand("@default", &mut allowed);
    for value in values("SystemCallFilter") {
        let (takes_away, sets) = match value.strip_prefix('~') {
            Some(sets) => (true, sets),
            None => (false, value),
        };
        for set in sets.split_whitespace() {
            let mut calls = BTreeSet::new();
            expand(set, &mut calls);
            match takes_away {
                true => allowed.retain(|call| !calls.contains(call)),
                false => allowed.extend(calls),
            }
        }
    }
    allowed
}

#[test]
fn the_daemons_walk_asks_for_nothing_that_the_unit_forbids() {
    const NAME: &str = "the_daemons_walk_asks_for_nothing_that_the_unit_forbids";
    let runs = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|it| it.status.success());
    if !runs("strace") || !runs("systemd-analyze") {
        return parts::skip(NAME, "it needs strace and systemd-analyze");
    }
    if !Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|it| it.success()) {
        return parts::skip(NAME, "no process may be traced here");
    }
    let broker = Broker::any().unwrap();
    let subscriber = listen(broker.port());
    // By name, so that it is looked up.
    let maker = Maker::new().unwrap();
    let world = trusting(&maker, &broker, 1)
        .set_raw("alerts.thresholds", "{ polar_bear = 0.0 }")
        .set("mqtt.url", format!("mqtt://localhost:{}", broker.port()))
        .set_raw("heads.keep_features", "10")
        .set("http.listen", "127.0.0.1:0")
        .env("WATCHDOG_USEC", "1000000");
    let socket = world.path("notify.sock");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    // Read, or the daemon would wait for room some time.
    std::thread::spawn(move || while systemd.recv(&mut [0; 4096]).is_ok() {});
    let world = world.env("NOTIFY_SOCKET", socket.to_str().unwrap());
    let trace = world.path("trace");
    let trace_text = || fs::read_to_string(&trace).unwrap_or_default();

    // -D: the daemon itself is the child, and hears the signals.
    let wrapper = ["strace", "-D", "-f", "-s", "0", "-e", "signal=none", "-o", trace.to_str().unwrap()];
    let mut daemon = world.start_under(&wrapper, BIN).unwrap();
    daemon.wait_for_log("connected to", PATIENCE).unwrap();
    // Somebody watches the page, and pictures are made.
    let port = page::port(&daemon);
    let mut viewer = page::Viewer::of(port);
    world.drop_frame("north/1.jpg", &bear(1)).unwrap();
    let told = viewer.until("frame", |told| told["picture"] == true);
    assert_eq!(page::get(port, &format!("/frames/{}.jpg", told["number"]), &[]).status, 200);
    assert_eq!(page::get(port, "/metrics", &[]).status, 200);
    drop(viewer);
    world.drop_frame("2.png", b"no picture").unwrap();
    wait_detections(&subscriber, 1);
    // Another head comes, is tried and serves.
    set(&subscriber, &maker.head(&good(), 7, |_| {}).unwrap());
    wait_step(&subscriber, 7, Step::Trial);
    world.drop_frame("3.jpg", &bear(3)).unwrap();
    wait_step(&subscriber, 7, Step::Active);
    // The control socket.
    let config = world.path("arcticd.toml");
    let list = world.command(BIN).args(["head", "list", "--config"]).arg(&config).output().unwrap();
    assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    daemon.ask_to_reload().unwrap();
    daemon.wait_for_log("configuration reloaded", PATIENCE).unwrap();
    assert_eq!(daemon.terminate().unwrap(), 0);
    let of_daemon = format!("{} ", daemon.id());
    let ended = |line: &str| line.starts_with(&of_daemon) && line.contains("+++ exited with 0");
    wait_until(PATIENCE, || trace_text().lines().any(ended).then_some(())).expect("strace writes to the end");

    let text = trace_text();
    let calls: Vec<&str> = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim()).collect();
    let name = |call: &str| call.split_once('(').map(|(name, _)| name.to_owned());
    let used: BTreeSet<String> = calls.iter().filter_map(|call| name(call)).filter(|it| !it.starts_with('<')).collect();
    assert!(used.contains("execve") && used.len() > 30, "{used:?}");
    let allowed = allowed();
    // SQLite gives its files the owner of the first one, and only where it runs as root, which the unit does not.
    let as_root = |call: &str| call == "fchown" && rustix::process::geteuid().is_root();
    let forbidden: Vec<&String> = used.iter().filter(|call| !allowed.contains(*call) && !as_root(call)).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}; of {used:?}");
    let missing: Vec<&&str> = ON_ARM.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(missing.is_empty(), "the unit forbids {missing:?}, which are used on ARM");
    println!("{} system calls, all within the filter: {used:?}", used.len());

    let families: Vec<&str> = values("RestrictAddressFamilies").flat_map(str::split_whitespace).collect();
    let sockets = calls.iter().filter_map(|call| call.strip_prefix("socket(")?.split(',').next());
    let others: BTreeSet<&str> = sockets.filter(|family| !families.contains(family)).collect();
    // A look-up of names asks for the machine's addresses that way, and goes on without.
    assert!(others.iter().all(|family| *family == "AF_NETLINK"), "{others:?}");
    // What may not be written and run.
    let executable = |call: &&&str| {
        (call.starts_with("mmap(") || call.starts_with("mprotect(")) && call.contains("PROT_WRITE|PROT_EXEC")
    };
    assert_eq!(calls.iter().find(executable), None, "MemoryDenyWriteExecute");
}
