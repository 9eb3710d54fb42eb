//! The control socket answers whoever asks, whatever others do with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Output;

use parts::heads::trusting;
use parts::{BIN, PATIENCE, listen, start_online};
use testkit::broker::Broker;
use testkit::daemon::World;
use testkit::head::signed::Maker;

fn list(world: &World) -> Output {
    let config = world.write_config().unwrap();
    world.command(BIN).args(["head", "list", "--config"]).arg(config).output().unwrap()
}

fn connect(world: &World) -> UnixStream {
    let stream = UnixStream::connect(world.state().join("control.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn told(mut stream: UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn one_who_asks_nothing_keeps_nobody_else_waiting_and_is_sent_away() {
    let (maker, broker) = (Maker::new().unwrap(), Broker::any().unwrap());
    let subscriber = listen(broker.port());
    let world = trusting(&maker, &broker, 1);
    let _daemon = start_online(&world, &subscriber);
    let (idle, mut half) = (connect(&world), connect(&world));
    half.write_all(b"{\"request\": ").unwrap();
    let asked = list(&world);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    assert!(String::from_utf8_lossy(&asked.stdout).contains("active    demo-scenes"));
    for stream in [idle, half] {
        let told = told(stream);
        assert!(told.contains("no question came within"), "{told}");
    }
    // There is room for a few at a time, and who finds none is told so.
    let crowd: Vec<UnixStream> = (0..9).map(|_| connect(&world)).collect();
    let told: Vec<String> = crowd.into_iter().map(told).collect();
    let sent_away = told.iter().filter(|told| told.contains("others are asking")).count();
    assert!((1..9).contains(&sent_away), "{told:?}");
    assert!(list(&world).status.success(), "afterwards there is room again");
}

#[test]
fn a_daemon_that_gives_no_answer_is_told_of_in_words() {
    let world = parts::world();
    std::fs::create_dir_all(world.state()).unwrap();
    let listener = UnixListener::bind(world.state().join("control.sock")).unwrap();
    let deaf = std::thread::spawn(move || {
        let mut question = [0; 64];
        listener.accept().unwrap().0.read(&mut question).unwrap()
    });
    let asked = list(&world);
    assert!(deaf.join().unwrap() > 0);
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.code() == Some(1) && said.contains("without an answer"), "{said}");
}
