//! `cargo xtask reliability`: everything that is to show that nothing is lost, in a given time, and what it counted.
//!
//! Each part prints what there is so far, so that a run that is cut off has said something.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::tally::Tally;
use crate::{as_from_a_shell, number, root};

/// A kind of fault, and the test that makes it.
struct Fault {
    kind: &'static str,
    program: &'static str,
    test: &'static str,
}

const fn fault(kind: &'static str, program: &'static str, test: &'static str) -> Fault {
    Fault { kind, program, test }
}

/// Tests are named by how their names begin.
const FAULTS: [Fault; 42] = [
    fault("state disk full", "state_trouble", "frames_wait_while_the_state_disk_is_full"),
    fault("full while acknowledged", "state_trouble", "acknowledgements_that_could_not_be_noted"),
    fault("capture and state disk full", "state_trouble", "captures_and_state_on_one_full_card"),
    fault("full without a broker", "state_trouble", "without_a_broker_a_full_disk"),
    fault("read only remount", "state_trouble", "a_state_disk_that_becomes_read_only"),
    fault("journal damaged", "state_trouble", "a_damaged_journal_costs_no_alert"),
    fault("journal damaged unseen", "state_trouble", "damage_that_the_check_cannot_see"),
    fault("descriptors and memory", "state_trouble", "few_descriptors_and_little_memory"),
    fault("broker stands still", "broker_trouble", "a_broker_that_stands_still"),
    fault("half open line", "broker_trouble", "a_line_on_which_nothing_comes_back"),
    fault("slow line", "broker_trouble", "a_slow_line_carries"),
    fault("pushed out by its twin", "broker_trouble", "a_trap_that_is_pushed_out"),
    fault("expired certificate", "broker_trouble", "a_certificate_that_ran_out"),
    fault("name does not resolve", "broker_trouble", "a_broker_whose_name_does_not_resolve"),
    fault("clock jumps", "broker_trouble", "a_clock_that_jumps_by_decades"),
    fault("wrong authority", "broker_security", "a_broker_with_a_certificate_of_another"),
    fault("wrong host", "broker_security", "a_broker_whose_certificate_names_another"),
    fault("broker refuses", "broker_security", "a_wrong_password_is_named"),
    fault("broker killed", "no_alert_is_lost", "every_alert_arrives_though_a_persistent"),
    fault("broker forgets", "no_alert_is_lost", "every_alert_is_acknowledged_though_a_forgetful"),
    fault("broker away", "no_alert_is_lost", "a_whole_backlog_taken_in_while"),
    fault("acknowledgements lost", "lost_acknowledgements", "a_connection_that_breaks_before"),
    fault("killed before acknowledged", "lost_acknowledgements", "a_daemon_killed_before"),
    fault("killed in a backlog", "restarts", "power_cuts_in_the_middle_of_a_backlog"),
    fault("stopped while broker stalls", "restarts", "sigterm_sends_what_is_queued"),
    fault("card pulled and changed", "capture_trouble", "a_card_that_is_pulled"),
    fault("odd names, links, loops", "capture_trouble", "odd_names_links_and_loops"),
    fault("flood", "capture_trouble", "a_flood_beyond_the_kernels_queue"),
    fault("backlog", "capture_trouble", "a_frame_that_has_just_arrived_overtakes"),
    fault("card full, old frames go", "retention", "a_full_card_loses_its_oldest"),
    fault("card full, old frames stay", "retention", "without_retention_a_full_card"),
    fault("broker away, old frames", "retention", "no_frame_goes_whose_alert"),
    fault("card pulled, old frames", "retention", "the_empty_place_of_a_pulled_card"),
    fault("clock jumps, old frames", "retention", "a_clock_that_jumps_by_decades_deletes"),
    fault("killed while moving", "retention", "a_move_that_is_killed"),
    fault("archive missing or full", "retention", "a_frame_that_moves_takes_no_other"),
    fault("old frame replaced", "retention", "a_file_that_is_another_one"),
    fault("read only card", "retention", "a_card_that_is_read_only"),
    fault("frame still growing", "arriving_frames", "a_frame_copied_in_slowly"),
    fault("capture directory replaced", "arriving_frames", "a_capture_directory_that_appears_late"),
    fault("card with shifted times", "arriving_frames", "a_card_put_in_again_with_shifted"),
    fault("damaged frames", "bad_frames", "each_bad_file_is_recorded"),
];

/// How much of everything.
struct Plan {
    /// Files in the flood and in the backlog.
    flood: u64,
    until: Until,
    seed: u64,
}

/// What a run consists of, in this order.
const PARTS: [&str; 4] = ["faults", "cuts", "kills", "fuzz"];

enum Until {
    Time(Instant),
    Counts { cuts: u64, kills: u64 },
}

/// Cuts of each kind between two looks at the clock.
const CUTS: u64 = 2_500;
/// What cuts have of the time that the tests of single faults leave; kills have the rest.
const CUTS_SHARE: f64 = 0.6;

/// `reliability [--minutes N] [--seed N]`, `nightly [PART...] [--seed N]`.
pub fn run(nightly: bool, arguments: &[&str]) -> Result<()> {
    let (mut minutes, mut seed, mut parts) = (30, 1, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match *word {
            "--minutes" if !nightly => minutes = number(word, words.next())?,
            "--seed" => seed = number(word, words.next())?,
            part if nightly && PARTS.contains(&part) => parts.push(part),
            other if nightly => bail!("nightly does not know {other}; there are {} and --seed N", PARTS.join(", ")),
            other => bail!("reliability does not know {other}; there are --minutes N and --seed N"),
        }
    }
    // Before the clock counts.
    let programs = build()?;
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let plan = match nightly {
        true => Plan { flood: 1_000_000, until: Until::Counts { cuts: 100_000, kills: 10_000 }, seed },
        false => {
            let flood = (minutes * 100_000 / 30).clamp(12_000, 100_000);
            Plan { flood, until: Until::Time(end), seed }
        }
    };
    let is_wanted = |part: &str| if parts.is_empty() { nightly || part != "fuzz" } else { parts.contains(&part) };
    let mut all = Run { programs, tally: Tally::default(), failed: Vec::new(), skipped: Vec::new() };
    for part in PARTS.into_iter().filter(|part| is_wanted(part)) {
        match part {
            "faults" => all.faults(&plan)?,
            "cuts" => all.cuts(&plan)?,
            "kills" => all.kills(&plan)?,
            _ => all.fuzz(),
        }
    }
    all.end(is_wanted("faults"))
}

struct Run {
    /// Test programs by their names.
    programs: BTreeMap<String, PathBuf>,
    tally: Tally,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Run {
    fn faults(&mut self, plan: &Plan) -> Result<()> {
        let flood = plan.flood.to_string();
        for Fault { kind, program, test } in &FAULTS {
            let outcome = self.start(kind, program, test, &[("ARCTICD_FLOOD", &flood)])?;
            self.took(kind, outcome.passed, outcome.tally);
            match outcome.skipped {
                Some(reason) => self.skipped.push(format!("{kind}: {reason}")),
                None => self.tally.made(kind),
            }
        }
        self.so_far("single faults");
        Ok(())
    }

    fn cuts(&mut self, plan: &Plan) -> Result<()> {
        let (most, end) = match plan.until {
            Until::Counts { cuts, .. } => (cuts / 2, None),
            Until::Time(end) => {
                let left = end.saturating_duration_since(Instant::now());
                (u64::MAX, Some(Instant::now() + left.mul_f64(CUTS_SHARE)))
            }
        };
        let mut done = 0;
        while done < most && (done == 0 || end.is_none_or(|end| Instant::now() < end)) {
            let count = CUTS.min(most - done);
            let (seed, cuts) = ((plan.seed + done).to_string(), count.to_string());
            for (kind, program) in [("power cut, heads", "power_cuts"), ("power cut, journal", "journal_cuts")] {
                let outcome =
                    self.start(kind, program, "a_power_cut", &[("ARCTICD_CUTS", &cuts), ("ARCTICD_CUT_SEED", &seed)])?;
                self.skipped.extend(outcome.skipped.filter(|_| done == 0).map(|reason| format!("{program}: {reason}")));
                self.took(kind, outcome.passed, outcome.tally);
            }
            done += count;
        }
        self.so_far("power cuts");
        Ok(())
    }

    fn kills(&mut self, plan: &Plan) -> Result<()> {
        let (count, seconds) = match plan.until {
            Until::Counts { kills, .. } => (kills, u64::from(u32::MAX)),
            Until::Time(end) => (u64::from(u32::MAX), end.saturating_duration_since(Instant::now()).as_secs().max(60)),
        };
        let (count, seconds, seed) = (count.to_string(), seconds.to_string(), plan.seed.to_string());
        let settings = [("ARCTICD_KILLS", &*count), ("ARCTICD_KILL_SECONDS", &*seconds), ("ARCTICD_KILL_SEED", &*seed)];
        let outcome = self.start("kill", "kill_loops", "a_daemon_that_is_killed", &settings)?;
        self.skipped.extend(outcome.skipped.map(|reason| format!("kills: {reason}")));
        self.took("kills", outcome.passed, outcome.tally);
        self.so_far("kills");
        Ok(())
    }

    /// Each target for ten minutes; see fuzz/README.md.
    fn fuzz(&mut self) {
        if let Err(error) = crate::fuzz::run(&["--minutes", "10"]) {
            self.failed.push(format!("fuzz: {error:#}"));
        }
    }

    /// Makes a kind of fault: runs the tests of `program` whose names begin so; what a failed one said is printed.
    fn start(&self, kind: &str, program: &str, test: &str, settings: &[(&str, &str)]) -> Result<Outcome> {
        const TOLD: usize = 60;
        let begun = Instant::now();
        let built = self.programs.get(program).with_context(|| format!("cargo built no test program {program}"))?;
        let mut child = Command::new(built)
            .args([test, "--nocapture", "--test-threads", "1"])
            .envs(settings.iter().copied())
            .env("RUST_BACKTRACE", "0")
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", built.display()))?;
        let (mut tally, mut skipped, mut last, mut ran) = (Tally::default(), None, VecDeque::new(), false);
        for line in BufReader::new(child.stdout.take().context("no output")?).lines() {
            let line = line?;
            if line.contains("tally: cycles=") {
                // It tells all that it counted, again and again.
                println!("{line}");
                tally = Tally::default();
            }
            tally.take(&line, kind);
            skipped = skipped.or_else(|| Some(line.split_once("skipped: ")?.1.to_owned()));
            ran |= line.contains("1 passed") || line.contains("1 failed");
            last.push_back(line);
            last.drain(..last.len().saturating_sub(TOLD));
        }
        let passed = child.wait()?.success() && ran;
        let word = if !passed {
            "FAILED"
        } else if skipped.is_some() {
            "skipped"
        } else {
            "ok"
        };
        println!("{word:<8}{program} {test}: {:.0} s", begun.elapsed().as_secs_f64());
        if !passed {
            println!("{}", last.into_iter().collect::<Vec<_>>().join("\n"));
        }
        Ok(Outcome { passed, skipped, tally })
    }

    fn took(&mut self, what: &str, passed: bool, tally: Tally) {
        self.tally.add(tally);
        if !passed {
            self.failed.push(what.to_owned());
        }
    }

    fn so_far(&self, part: &str) {
        println!("\nafter {part}: {}\n", self.tally.line());
    }

    fn end(self, faults: bool) -> Result<()> {
        println!("\n{}", self.tally);
        let wanted = FAULTS.iter().filter(|_| faults);
        let never = wanted.filter(|fault| self.tally.faults(fault.kind) == 0).map(|fault| fault.kind);
        let never: Vec<&str> = never.collect();
        for skipped in &self.skipped {
            println!("not shown on this machine: {skipped}");
        }
        if !never.is_empty() {
            println!("faults that were not made: {}", never.join(", "));
        }
        for failed in &self.failed {
            println!("FAILED: {failed}");
        }
        println!("{}", self.tally.line());
        ensure!(self.failed.is_empty(), "{} parts failed", self.failed.len());
        ensure!(self.tally.is_clean(), "something was lost");
        Ok(())
    }
}

/// Builds all test programs; each is run as it was built, though somebody changes the sources meanwhile.
fn build() -> Result<BTreeMap<String, PathBuf>> {
    let mut names: Vec<&str> = FAULTS.iter().map(|fault| fault.program).collect();
    names.extend(["power_cuts", "journal_cuts", "kill_loops"]);
    names.sort_unstable();
    names.dedup();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    as_from_a_shell(&mut cargo);
    cargo.args(["test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]).current_dir(root());
    cargo.args(names.iter().flat_map(|name| ["--test", name]));
    let output = cargo.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the tests do not build");
    let mut programs = BTreeMap::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line).context("what cargo built")?;
        if let (Some(name), Some(program)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
            programs.insert(name.to_owned(), program.into());
        }
    }
    Ok(programs)
}

/// What became of one test.
struct Outcome {
    passed: bool,
    skipped: Option<String>,
    tally: Tally,
}
