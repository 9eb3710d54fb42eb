//! `cargo xtask thinlink`: a head over a link of 2 kbit/s that loses every tenth packet.
//!
//! Two network namespaces joined by a virtual cable; the kernel's own token bucket (`tc ... tbf`) at both ends makes it
//! slow, and a packet filter (`iptables -m statistic`) drops packets behind it,
//! when they have cost their time. TCP, TLS and MQTT above it are the real ones. `tests/thin_link.rs` runs inside.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo;

/// Where the broker listens, inside.
const BROKER: &str = "10.77.0.1";
const TRAP: &str = "10.77.0.2";
/// A full packet and the smallest bucket that lets it through.
const MTU: u32 = 576;

/// What the link is like.
#[derive(Debug, Clone, PartialEq)]
struct Link {
    rate: String,
    loss: f64,
    labels: String,
    keep_alive: String,
}

/// Runs `tests/thin_link.rs` over such a link; says why not where the machine does not allow it.
pub fn run(arguments: &[&str]) -> Result<()> {
    let link = parse(arguments)?;
    cargo(&["test", "--locked", "--no-run", "--test", "thin_link"])?;
    let names = [format!("arcticd-broker-{}", std::process::id()), format!("arcticd-trap-{}", std::process::id())];
    let _namespaces = Namespaces(&names);
    if let Err(error) = lay(&names, &link) {
        println!("skipped: no thin link can be laid on this machine: {error:#}");
        return Ok(());
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let test = ["test", "--locked", "--test", "thin_link", "--", "--nocapture"];
    let mut command = Command::new("ip");
    crate::as_from_a_shell(&mut command);
    let status = command
        .args(["netns", "exec", &names[0], &cargo])
        .args(test)
        .current_dir(crate::root())
        .env("ARCTICD_THIN_LINK", &names[1])
        .env("ARCTICD_THIN_LINK_BROKER", BROKER)
        .env("ARCTICD_THIN_LINK_LABELS", &link.labels)
        .env("ARCTICD_THIN_LINK_KEEP_ALIVE", &link.keep_alive)
        .status()
        .context("`ip` can't be started")?;
    ensure!(status.success(), "the head did not arrive");
    Ok(())
}

fn parse(arguments: &[&str]) -> Result<Link> {
    let mut link = Link { rate: "2kbit".into(), loss: 0.1, labels: "2".into(), keep_alive: "60".into() };
    for pair in arguments.chunks(2) {
        match pair {
            ["--rate", rate] => link.rate = (*rate).to_owned(),
            ["--loss", loss] => link.loss = loss.parse().context("--loss takes a share, as 0.1")?,
            ["--labels", count] => link.labels = (*count).to_owned(),
            ["--keep-alive", seconds] => link.keep_alive = (*seconds).to_owned(),
            other => bail!("thinlink does not know {}", other.join(" ")),
        }
    }
    Ok(link)
}

/// Makes both namespaces and the cable between them.
fn lay(names: &[String; 2], link: &Link) -> Result<()> {
    let [broker, trap] = names;
    for name in names {
        ip(&["netns", "add", name])?;
        inside(name, &["ip", "link", "set", "lo", "up"])?;
    }
    inside(broker, &["ip", "link", "add", "thin0", "type", "veth", "peer", "name", "thin0", "netns", trap])?;
    let mtu = MTU.to_string();
    for (name, address) in [(broker, BROKER), (trap, TRAP)] {
        inside(name, &["ip", "address", "add", &format!("{address}/24"), "dev", "thin0"])?;
        inside(name, &["ip", "link", "set", "thin0", "mtu", &mtu, "up"])?;
        // A queue of ten packets, as a modem has: longer ones make TCP believe in losses that are none.
        let (burst, limit) = ((MTU + 100).to_string(), (10 * MTU).to_string());
        let shape = ["tc", "qdisc", "add", "dev", "thin0", "root", "tbf", "rate", &link.rate];
        inside(name, &[&shape[..], &["burst", &burst, "limit", &limit]].concat())?;
        let loss = link.loss.to_string();
        let drop =
            ["iptables", "-A", "INPUT", "-i", "thin0", "-m", "statistic", "--mode", "random", "--probability", &loss];
        inside(name, &[&drop[..], &["-j", "DROP"]].concat())?;
    }
    Ok(())
}

fn inside(namespace: &str, command: &[&str]) -> Result<()> {
    ip(&[&["netns", "exec", namespace], command].concat())
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("`ip` can't be started (package iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}

/// Takes both namespaces away, and the cable with them.
struct Namespaces<'a>(&'a [String; 2]);

impl Drop for Namespaces<'_> {
    fn drop(&mut self) {
        for name in self.0 {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}
