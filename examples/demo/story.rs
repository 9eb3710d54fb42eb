//! A few minutes at two cameras, in a few seconds.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arcticd::config::{AlertPolicy, Alerts};
use arcticd::detection::{EventState, Kind};
use arcticd::model::source::{self, Origin};
use testkit::head::{DemoHead, FIRST_SHOWN_SEED, SCENES};
use testkit::scenes::Scene;

use crate::print::{self, Row};
use crate::rig::Rig;

/// Frames of one camera closer than this are one event.
const GAP: Duration = Duration::from_secs(2);
/// The demo succeeds from so many alerts on.
const ALERTS: usize = 3;

/// A frame of the story.
struct Frame {
    name: &'static str,
    scene: Scene,
    seed: u64,
}

const fn frame(name: &'static str, scene: Scene, number: u64) -> Frame {
    Frame { name, scene, seed: FIRST_SHOWN_SEED + number }
}

/// Frames that land together, in the order of the story.
const BEFORE_THE_GAP: &[(&str, &[Frame])] = &[
    ("nobody there", &[frame("ridge/IMG_0001.jpg", Scene::Empty, 1)]),
    (
        "a bear, in a burst of two",
        &[frame("ridge/IMG_0002.jpg", Scene::Bear, 2), frame("ridge/IMG_0003.jpg", Scene::Bear, 3)],
    ),
    ("a fox", &[frame("ridge/IMG_0004.jpg", Scene::Fox, 4)]),
    ("a walrus at the other camera", &[frame("shore/IMG_0001.jpg", Scene::Walrus, 5)]),
    ("nobody there", &[frame("shore/IMG_0002.jpg", Scene::Empty, 6)]),
    (
        "a bear at the other camera",
        &[frame("shore/IMG_0003.jpg", Scene::Bear, 7), frame("shore/IMG_0004.jpg", Scene::Bear, 10)],
    ),
];

const AFTER_THE_GAP: &[(&str, &[Frame])] = &[
    ("nobody there", &[frame("ridge/IMG_0005.jpg", Scene::Empty, 8)]),
    ("another bear", &[frame("ridge/IMG_0006.jpg", Scene::Bear, 9), frame("ridge/IMG_0007.jpg", Scene::Bear, 11)]),
];

/// Tells it, and says whether it went as it should.
pub fn tell() -> Result<ExitCode> {
    print::title("arcticd demo: frames land, are classified here, and the alerts arrive over MQTT");
    println!("  These scenes are rendered. The head is fitted now, on other rendered scenes, through the");
    println!("  real backbone; every score below comes from inference. For your own photos and the");
    println!("  built-in head: cargo run --release --example demo -- --frames DIR\n");
    let backbone = source::backbone(&Origin::Builtin, 1)?;
    print::fact("backbone", format!("{}, {} features", backbone.manifest().id, backbone.features()));
    print::begin("head", format!("being fitted on {SCENES} rendered scenes ... "));
    let head = DemoHead::fit(&backbone)?;
    let report = head.report();
    println!("{:.1} s", report.took.as_secs_f32());
    let kept = format!("{} of {} scenes labelled right by fits that did not see them", report.right, report.scenes);
    print::fact("", format!("{kept}; alerts: polar_bear from {}", report.threshold));
    drop(backbone);

    let alerts = Alerts { policy: AlertPolicy::Event, gap_s: GAP.as_secs(), ..Alerts::default() };
    let mut rig = Rig::start(alerts, |directory| {
        let place = directory.join("head");
        head.write_to(&place)?;
        place.into_os_string().into_string().ok().context("the temporary directory's path is not UTF-8")
    })?;
    print::fact("broker", format!("{}, embedded, loopback only", rig.broker_url()));
    print::fact("times", "UTC; an alert ends with the time from its frame's write to its arrival\n");

    let mut burst_over = Instant::now();
    for part in BEFORE_THE_GAP {
        drop_together(&mut rig, part)?;
        burst_over = Instant::now();
    }
    print::step("...", format!("quiet for {} seconds, so that the events end", GAP.as_secs() + 1));
    // Capture times count in whole seconds, so a second more than the gap.
    let quiet = GAP + Duration::from_secs(1);
    rig.wait("the quiet time", quiet * 10, |_| Ok(burst_over.elapsed() > quiet))?;
    for part in AFTER_THE_GAP {
        drop_together(&mut rig, part)?;
    }
    rig.finish()?;
    conclude(rig)
}

fn drop_together(rig: &mut Rig, (what, frames): &(&str, &[Frame])) -> Result<()> {
    let files: Vec<Vec<u8>> =
        frames.iter().map(|frame| frame.scene.jpeg(frame.seed, 1280, 960)).collect::<Result<_>>()?;
    for (frame, file) in frames.iter().zip(&files) {
        print::step("frame", format!("{}  ({what})", frame.name));
        rig.drop_frame(frame.name, file)?;
    }
    rig.wait_classified(&frames.iter().map(|frame| frame.name).collect::<Vec<_>>())
}

/// Compares what arrived with what was to be seen.
fn conclude(rig: Rig) -> Result<ExitCode> {
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for frame in BEFORE_THE_GAP.iter().chain(AFTER_THE_GAP).flat_map(|(_, frames)| frames.iter()) {
        let entry = rig.ledger().frame(frame.name)?.with_context(|| format!("{} is not in the journal", frame.name))?;
        let told = match rig.alert_of(frame.name).and_then(|alert| alert.event.as_ref()).map(|event| event.state) {
            Some(EventState::Opened) => "alert, event opened",
            Some(_) => "alert, event updated: clearly better",
            None if entry.alert => "- (same event, not clearly better)",
            None if frame.scene == Scene::Bear => "- (missed)",
            None => "-",
        };
        if entry.alert && frame.scene != Scene::Bear {
            problems.push(format!("{} shows no bear, and alerted", frame.name));
        }
        rows.push(Row {
            name: frame.name.into(),
            truth: Some(format!("{:?}", frame.scene).to_lowercase()),
            scored: print::score(entry.label.as_deref().unwrap_or("-"), entry.confidence.unwrap_or_default()),
            told: told.into(),
        });
    }
    print::table(&rows);
    let alerts = rig.detections().iter().filter(|detection| detection.kind == Kind::Detection).count();
    if alerts < ALERTS {
        problems.push(format!("{alerts} alerts arrived over MQTT, at least {ALERTS} should have"));
    }
    drop(rig);
    if problems.is_empty() {
        println!("  {alerts} alerts arrived over MQTT; the scenes without a bear raised none.");
        println!("  Everything is stopped, and no file is left behind.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("  This did not go as it should:");
    for problem in &problems {
        println!("  - {problem}");
    }
    println!("  The backbone in models/default can't tell these scenes apart well enough, or a part is broken.");
    Ok(ExitCode::FAILURE)
}
