//! `arcticd check`: everything between the configuration and the broker, in stages, each with its verdict. It must never
//! disturb a running daemon: a client id, session and topic of its own, and no last will.

mod heads;

use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rumqttc::{AsyncClient, Event, Packet, QoS, Transport};
use rustix::fs::Access;
use schemars::JsonSchema;
use serde::Serialize;

use crate::account::{self, Account};
use crate::classifier::guarded;
use crate::config::{self, Broker, Capture, Config, DEFAULT_PATH, Retention, Source};
use crate::detect::Rules;
use crate::exit_code::ExitCode;
use crate::init::unit;
use crate::model::source::{self, Origin};
use crate::mqtt::{NO_TLS, Topics, connect_options, explain, speaks_no_tls};
use crate::page::Door;
use crate::retention::Room;
use crate::terminal;

/// One stage.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Verdict {
    /// What was tried.
    stage: &'static str,
    /// Whether it is well.
    ok: bool,
    /// What was found, or what is wrong and what to do.
    detail: String,
}

/// Runs all stages that the configuration asks for and prints their verdicts; a stage that rests on a failed one is left
/// out.
///
/// # Errors
/// The disk behind standard output is full.
pub fn run(path: Option<&Path>, json: bool) -> Result<ExitCode> {
    let mut report = Report::new(json);
    let loaded = match config::load(path, config::environment()) {
        Ok(loaded) => loaded,
        Err(error) => {
            report.say("config", Err(anyhow!(error.to_string())))?;
            return Ok(ExitCode::BadConfig);
        }
    };
    let warnings = loaded.warnings.iter().map(|warning| format!("; warning: {warning}")).collect::<String>();
    report.say("config", Ok(format!("{}{warnings}", loaded.source)))?;
    let config = &loaded.config;
    if report.say("capture", capture(config))? {
        report.say("retention", retention(&config.capture))?;
    }
    report.say("state", state(config))?;
    let (model, least) = model(config).map_or_else(|error| (Err(error), None), |(text, least)| (Ok(text), Some(least)));
    report.say("model", model)?;
    report.say("heads", heads::heads(config, least))?;
    if loaded.source == Source::File(DEFAULT_PATH.into())
        && let Some(verdict) = user(config)
    {
        report.say("user", verdict)?;
    }
    if let Some(verdict) = page(config).transpose() {
        report.say("page", verdict)?;
    }
    broker(config, &mut report)?;
    Ok(if report.failed { ExitCode::Failure } else { ExitCode::Ok })
}

/// Prints verdicts as they come.
pub(crate) struct Report {
    json: bool,
    failed: bool,
}

impl Report {
    /// Nothing failed yet.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, failed: false }
    }

    /// Whether a stage failed so far.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// Prints a verdict; whether it was good.
    ///
    /// # Errors
    /// The disk behind standard output is full.
    pub(crate) fn say(&mut self, stage: &'static str, result: Result<String>) -> Result<bool> {
        let ok = result.is_ok();
        self.failed |= !ok;
        let detail = result.unwrap_or_else(|error| format!("{error:#}"));
        let mut out = terminal::out();
        let written = if self.json {
            let line = serde_json::to_string(&Verdict { stage, ok, detail })?;
            writeln!(out, "{line}")
        } else {
            writeln!(
                out,
                "{} {stage:<8} {}",
                if ok { "ok  " } else { "FAIL" },
                terminal::plain(&detail).replace('\n', "\n            ")
            )
        };
        written.context("standard output")?;
        Ok(ok)
    }
}

/// Whether the directory can be listed.
///
/// # Errors
/// Says what to do about it.
pub(crate) fn capture(config: &Config) -> Result<String> {
    let directory = &config.capture.directory;
    let entries = std::fs::read_dir(directory).with_context(|| {
        format!("{}: the daemon would wait for it; create it or change capture.directory", directory.display())
    })?;
    Ok(format!("{} holds {} entries", directory.display(), entries.count()))
}

/// Where the status page would be, if anywhere. The address is not tried: a running daemon has it.
fn page(config: &Config) -> Result<Option<String>> {
    let told = |door: Door| {
        let token = if door.has_token() { "whoever has the token" } else { "whoever is on this machine" };
        format!("status page for {token} at {}", door.listen())
    };
    Ok(Door::of(config)?.map(told))
}

/// What becomes of frames that were looked at, and whether this user may do it.
fn retention(capture: &Capture) -> Result<String> {
    let directory = &capture.directory;
    let room = Room::of(directory, capture.min_free_mib << 20).with_context(|| directory.display().to_string())?;
    let low = if room.is_low() { ", so the oldest go now" } else { "" };
    let days = format!(
        "{} days after they were looked at, those that alerted after {}; sooner when the card is full: {room}{low}",
        capture.retention_days, capture.retention_alert_days
    );
    let may_write = |path: &Path| {
        rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).with_context(|| {
            format!("{}: frames can't be taken away; the daemon's user must be able to write there", path.display())
        })
    };
    match (capture.retention, &capture.retention_directory) {
        (Retention::Keep, _) => Ok(match room.is_low() {
            true => format!("frames stay, and the card is nearly full: {room}; make room, or set capture.retention"),
            false => format!("frames stay; {room}"),
        }),
        (Retention::Move, Some(target)) => {
            may_write(directory)?;
            let there = Room::of(target, capture.min_free_mib << 20).with_context(|| {
                format!("capture.retention_directory {}: mount its disk, or make it", target.display())
            })?;
            may_write(target)?;
            let disk = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev());
            let same = match disk(directory)? == disk(target)? {
                true => "; it is on the same file system, so that moving makes no room",
                false => "",
            };
            Ok(format!("frames move to {} {days}; there {there}{same}", target.display()))
        }
        _ => {
            may_write(directory)?;
            Ok(format!("frames are deleted {days}"))
        }
    }
}

fn state(config: &Config) -> Result<String> {
    let directory = &config.state.directory;
    writable(directory).with_context(|| {
        format!("{}: make it writable for this user or change state.directory", directory.display())
    })?;
    let made = if directory.exists() { "" } else { "; the daemon makes it when it starts" };
    Ok(format!("{} is writable{made}", directory.display()))
}

/// Whether the user that systemd runs the daemon as reaches what root has reached; none where this is not root, or there is
/// no such user.
fn user(config: &Config) -> Option<Result<String>> {
    Account::of_daemon()?;
    let remarks = account::remarks(config, unit::binds(&config.capture.directory));
    Some(match remarks.is_empty() {
        true => Ok("what root can read, the daemon's user can".into()),
        false => Err(anyhow!(remarks.join("\n"))),
    })
}

/// Whether the daemon, run by the same user, could keep its journal there. A check leaves nothing behind: of a directory
/// that is not there yet, the nearest one above it is tried, in which it would be made.
fn writable(directory: &Path) -> io::Result<()> {
    let there = directory.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let directory = there.into_iter().find(|path| path.symlink_metadata().is_ok()).unwrap_or(directory);
    let probe = directory.join(format!(".arcticd-check-{}", std::process::id()));
    std::fs::write(&probe, b"check")?;
    std::fs::remove_file(&probe)
}

/// What judges frames, and the bytes that the weights of the smallest head on this backbone take.
fn model(config: &Config) -> Result<(String, u64)> {
    let backbone = Origin::from_setting(&config.model.backbone);
    let head = Origin::from_setting(&config.model.head);
    let model = guarded("load", || source::model(&backbone, &head, config.model.threads))??;
    let rules = Rules::new(&config.alerts, model.head().manifest())?;
    let warnings = rules.warnings().iter().map(|warning| format!("; warning: {warning}")).collect::<String>();
    let id = &model.backbone().manifest().id;
    // A label and something else, as one layer.
    let least = 2 * size_of::<f32>() as u64 * model.backbone().features() as u64;
    let title = model.head().title();
    Ok((format!("head {title} on backbone {id}, self-test passed; alerting {}{warnings}", rules.in_words()), least))
}

/// From the name look-up to an acknowledged message, a verdict a stage.
///
/// # Errors
/// The disk behind standard output is full, or no runtime can be started.
pub(crate) fn broker(config: &Config, report: &mut Report) -> Result<()> {
    let Some(broker) = config.mqtt.broker()? else {
        report.say("broker", Ok("none configured: alerts go to standard output".into()))?;
        return Ok(());
    };
    let files = connect_options(&config.mqtt, &config.client_id());
    let files = files.map(|_| "password and certificates can be used, as far as there are any".into());
    if !report.say("files", files.map_err(Into::into))? {
        return Ok(());
    }
    let wait = Duration::from_secs(config.mqtt.connect_timeout_s);
    let addresses = (broker.host.as_str(), broker.port).to_socket_addrs();
    let addresses: Vec<_> = match addresses {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            report.say(
                "dns",
                Err(anyhow!("{}: {error}; check the spelling of mqtt.url, the network and its DNS", broker.host)),
            )?;
            return Ok(());
        }
    };
    let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.say("dns", Ok(format!("{} is {}", broker.host, list.join(", "))))?;
    let connected =
        addresses.iter().map(|address| std::net::TcpStream::connect_timeout(address, wait)).find_map(Result::ok);
    let tcp = connected.as_ref().map(|_| format!("port {} is open", broker.port)).ok_or_else(|| {
        anyhow!("nothing answers on {}:{}; is the broker running and the port let through?", broker.host, broker.port)
    });
    if !report.say("tcp", tcp)? {
        return Ok(());
    }
    if let Some(stream) = connected
        && broker.tls
        && !report.say("tls", tls(config, &broker, stream, wait))?
    {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let published = runtime.block_on(publish(config, report));
    if let Err(error) = published {
        report.say("puback", Err(error))?;
    }
    Ok(())
}

fn tls(config: &Config, broker: &Broker, mut stream: std::net::TcpStream, wait: Duration) -> Result<String> {
    let client = crate::mqtt::tls(&config.mqtt)?;
    let name = rustls::pki_types::ServerName::try_from(broker.host.clone())?;
    stream.set_read_timeout(Some(wait))?;
    stream.set_write_timeout(Some(wait))?;
    let mut connection = rustls::ClientConnection::new(client.into(), name)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| match speaks_no_tls(&error) {
            true => anyhow!("the handshake failed ({error}); {NO_TLS}"),
            false => anyhow!(error)
                .context("the handshake failed; check mqtt.ca_file and that the certificate names this host"),
        })?;
    }
    let version = connection.protocol_version().map_or("TLS".into(), |version| format!("{version:?}"));
    Ok(format!("{version}, the certificate is good for {}", broker.host))
}

async fn publish(config: &Config, report: &mut Report) -> Result<()> {
    let id = format!("{}-check", config.client_id());
    let Some((mut options, network)) = connect_options(&config.mqtt, &id)? else { return Ok(()) };
    options.set_clean_session(true);
    let over = if matches!(options.transport(), Transport::Tcp) { "without TLS" } else { "over TLS" };
    let topic = Topics::new(&config.mqtt.prefix, &config.trap_name()).check();
    let (client, mut events) = AsyncClient::new(options, 4);
    events.set_network_options(network);
    let limit = Duration::from_secs(config.mqtt.connect_timeout_s);
    let connected = tokio::time::timeout(limit, events.poll()).await;
    let connack = match connected {
        Ok(Ok(_)) => Ok(format!("the broker accepts {id} {over}")),
        Ok(Err(error)) => Err(anyhow!(explain(&error))),
        Err(_) => Err(anyhow!("no answer within mqtt.connect_timeout_s")),
    };
    if !report.say("connack", connack)? {
        return Ok(());
    }
    client.try_publish(&topic, QoS::AtLeastOnce, false, "check")?;
    let acknowledged = async {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => bail!("{}; may this user publish to {topic}?", explain(&error)),
            }
        }
    };
    let acknowledged = tokio::time::timeout(limit, acknowledged).await.context("no acknowledgement in time")?;
    report.say("puback", acknowledged.map(|()| format!("a message to {topic} was acknowledged")))?;
    let _ = client.try_disconnect();
    let _ = tokio::time::timeout(Duration::from_secs(1), events.poll()).await;
    Ok(())
}
