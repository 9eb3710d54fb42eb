//! A real browser, driven through chromedriver as the WebDriver standard says: JSON over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use testkit::wait_until;

use crate::parts::PATIENCE;

/// A window of Chromium without a screen; closed when it is dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    // Of the driver: its browsers are in the same process group.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a window of that size; none where no browser is installed.
    pub fn open(width: u32, height: u32) -> Option<Self> {
        let installed = |program: &str| {
            Command::new(program).arg("--version").stderr(Stdio::null()).output().is_ok_and(|it| it.status.success())
        };
        if !installed("chromium") || !installed("chromedriver") {
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .env("HOME", profile.path())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "chromedriver ended");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim().trim_end_matches('.').parse().unwrap();
            }
        };
        // Or it would stand still once the pipe is full.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let window = format!("--window-size={width},{height}");
        let quiet = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--no-default-browser-check",
            // Whatever asks for a name would be told that there is none.
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            "--hide-scrollbars",
            &window,
        ];
        let made = browser.call(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": quiet, "binary": "/usr/bin/chromium" },
            "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        } } }),
        );
        browser.session = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}")).to_owned();
        // A window of a desktop does not get as narrow as a phone.
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        Some(browser)
    }

    pub fn go(&mut self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// What a script in the page returns.
    pub fn run(&mut self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script returns something true.
    pub fn wait(&mut self, script: &str, limit: Duration) -> bool {
        wait_until(limit, || (self.run(script) == json!(true)).then_some(())).is_some()
    }

    /// The window, or the whole page where that is wanted, as PNG.
    pub fn picture(&mut self, whole: bool) -> Vec<u8> {
        let told = self.devtools("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": whole }));
        BASE64_STANDARD.decode(told["data"].as_str().unwrap()).unwrap()
    }

    pub fn devtools(&mut self, name: &str, parameters: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    /// What was written to a log (`performance`: the network's events; `browser`: the console) since it was last read.
    pub fn log(&mut self, kind: &str) -> Vec<Value> {
        let entries = self.command("POST", "/se/log", &json!({ "type": kind }));
        entries.as_array().cloned().unwrap_or_default()
    }

    /// Addresses that were asked for since the log was last read.
    pub fn requests(&mut self) -> Vec<String> {
        let events = self.log("performance").into_iter();
        let events = events.map(|entry| serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap());
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    fn command(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.call(method, &path, body)
    }

    fn call(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        stream
            .write_all(format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").as_bytes())
            .unwrap();
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().unwrap()
                }
                _ if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {}", answer["value"]);
        answer["value"].clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver closes its window; a test that fails half way has none perhaps.
        if !self.session.is_empty() && !std::thread::panicking() {
            self.command("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
