//! The status page as a script asks for it, and in a browser.
#![allow(dead_code)] // Each test program uses its own part of it.

pub mod browser;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::Value;
use testkit::daemon::{Daemon, World};

use crate::parts::{PATIENCE, world};

/// A world whose page is served at a port of the system's choice.
pub fn shown() -> World {
    world().set("http.listen", "127.0.0.1:0")
}

/// The page's port, once it is served.
pub fn port(daemon: &Daemon) -> u16 {
    let line = daemon.wait_for_log("status page at http://", PATIENCE).unwrap();
    line.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap()
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Asks for a path, with further header lines.
pub fn get(port: u16, path: &str, headers: &[&str]) -> Answer {
    let mut stream = connect(port);
    ask(&mut stream, "GET", path, headers);
    answer(stream)
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request. HTTP/1.0: the answer ends with the connection.
pub fn ask(stream: &mut impl Write, method: &str, path: &str, headers: &[&str]) {
    let host =
        if headers.iter().any(|line| line.to_lowercase().starts_with("host:")) { "" } else { "Host: localhost\r\n" };
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    stream.write_all(format!("{method} {path} HTTP/1.0\r\n{host}{more}\r\n").as_bytes()).unwrap();
}

/// Reads an answer to its end.
pub fn answer(stream: impl Read) -> Answer {
    let mut stream = BufReader::new(stream);
    let (status, headers) = head(&mut stream);
    let mut body = Vec::new();
    stream.read_to_end(&mut body).unwrap();
    Answer { status, headers, body }
}

fn head(stream: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {line:?}")).parse().unwrap();
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { return (status, headers) };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
}

/// Somebody who watches.
pub struct Viewer {
    stream: BufReader<TcpStream>,
    /// Everything that was told, as name and data.
    pub told: Vec<(String, Value)>,
}

impl Viewer {
    pub fn of(port: u16) -> Self {
        let mut stream = connect(port);
        ask(&mut stream, "GET", "/events", &[]);
        let mut stream = BufReader::new(stream);
        let (status, headers) = head(&mut stream);
        assert_eq!(status, 200, "{headers:?}");
        assert!(headers.contains(&("content-type".into(), "text/event-stream".into())), "{headers:?}");
        Self { stream, told: Vec::new() }
    }

    /// Reads until an event of that name is as wanted.
    pub fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let (told, data) = self.next();
            self.told.push((told.clone(), data.clone()));
            if told == name && wanted(&data) {
                return data;
            }
        }
        panic!("no {name} as wanted; but {:?}", self.told);
    }

    fn next(&mut self) -> (String, Value) {
        let mut field = |name: &str| {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            line.trim_end().strip_prefix(name).unwrap_or_else(|| panic!("{name} expected, not {line:?}")).to_owned()
        };
        let (name, data) = (field("event: "), field("data: "));
        assert_eq!(field(""), "");
        (name, serde_json::from_str(&data).unwrap())
    }
}
