//! The examples for Slurm and Kubernetes do what they say: their own scripts are run, with what a cluster would give them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod card;
mod parts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use card::{Card, scene, shot};
use parts::BIN;
use testkit::daemon::World;
use testkit::scenes::Scene;
use yaml_rust2::{Yaml, YamlLoader};

const SHARDS: u32 = 3;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// An archive with a bad file and a burst, a folder for results, and a `bin` whose `arcticd` is the one under test.
fn cluster() -> World {
    let world = World::new().unwrap();
    let card = Card::new(&world);
    for second in 0..6 {
        let time = format!("2026:11:20 04:00:0{second}");
        card.put(&format!("north/{second}.jpg"), &shot(Scene::Bear, second, &time, None));
    }
    card.put("south/walrus.jpg", &scene(Scene::Walrus, 9));
    card.put("south/broken.jpg", b"no picture");
    fs::create_dir_all(world.path("results")).unwrap();
    fs::create_dir_all(world.path("bin")).unwrap();
    std::os::unix::fs::symlink(BIN, world.path("bin/arcticd")).unwrap();
    world
}

/// A program that finds the world's `bin` first, and no configuration but this.
fn on_node(world: &World, program: impl AsRef<std::ffi::OsStr>, variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(program);
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    command.env_clear().env("PATH", path).envs(variables.iter().cloned()).current_dir(world.path("."));
    command.env("ARCTICD_ALERTS_LOCATION_POLICY", "omitted");
    command
}

fn good(output: Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    format!("{out}{err}")
}

/// Both left what one run says.
fn check_results(world: &World) {
    let told = fs::read_to_string(world.path("results/messages.jsonl")).unwrap();
    let names = |told: &str| -> BTreeSet<String> {
        told.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].to_string()).collect()
    };
    let one = on_node(world, BIN, &[("ARCTICD_TRAP", "archive".into())]).args(["replay", "card", "--json"]).output();
    let one = one.unwrap();
    assert_eq!(one.status.code(), Some(3), "{}", String::from_utf8_lossy(&one.stderr));
    assert_eq!(names(&told), names(&String::from_utf8(one.stdout).unwrap()));
    let found: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("results/arcticd.json")).unwrap()).unwrap();
    assert_eq!(found["images"].as_array().unwrap().len(), 8);
}

#[test]
fn the_slurm_array_and_its_merge_say_what_one_run_says() {
    let world = cluster();
    let script = example("slurm/replay.sh");
    good(Command::new("bash").arg("-n").arg(&script).output().unwrap());
    // Takes what it is told as Slurm does, and says it.
    let sbatch = world.path("bin/sbatch");
    fs::write(&sbatch, "#!/bin/sh\nprintf '%s\\n' \"$*\" >>submitted\necho 7\n").unwrap();
    fs::set_permissions(&sbatch, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |variables: &[(&str, String)]| {
        let mut command = on_node(&world, &script, variables);
        good(command.args(["card", "results", &SHARDS.to_string()]).output().unwrap())
    };
    run(&[]);
    let submitted = fs::read_to_string(world.path("submitted")).unwrap();
    let submitted: Vec<&str> = submitted.lines().collect();
    assert_eq!(submitted.len(), 2, "{submitted:?}");
    assert!(submitted[0].starts_with("--parsable --array=1-3 "), "{submitted:?}");
    assert!(submitted[1].starts_with("--dependency=afterok:7 "), "{submitted:?}");
    assert!(submitted.iter().all(|line| line.ends_with("card results 3")), "{submitted:?}");

    let task = |number: u32| [("SLURM_JOB_ID", "7".to_owned()), ("SLURM_ARRAY_TASK_ID", number.to_string())];
    for number in 1..=SHARDS {
        run(&task(number));
    }
    assert_eq!(run(&task(2)), "", "a task that is run again has nothing to do");
    run(&[("SLURM_JOB_ID", "8".to_owned())]);
    check_results(&world);
}

/// Name, environment and script of each Job.
fn jobs() -> Vec<Job> {
    let text = fs::read_to_string(example("kubernetes/replay.yaml")).unwrap();
    let job = |document: &Yaml| {
        let field = |of: &Yaml, name: &str| of[name].as_str().unwrap_or_else(|| panic!("{name} in {of:?}")).to_owned();
        assert_eq!((field(document, "apiVersion"), field(document, "kind")), ("batch/v1".into(), "Job".into()));
        let spec = &document["spec"];
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"].as_str(), Some("Never"), "backoffLimitPerIndex demands it");
        let container = &pod["containers"][0];
        let mounted: BTreeSet<&str> =
            container["volumeMounts"].as_vec().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        let volumes: BTreeSet<&str> =
            pod["volumes"].as_vec().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(mounted, volumes);
        let words = |list: &Yaml| -> Vec<String> {
            list.as_vec().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
        };
        Job {
            name: field(&document["metadata"], "name"),
            completions: spec["completions"].as_i64(),
            variables: container["env"]
                .as_vec()
                .unwrap()
                .iter()
                .map(|it| (field(it, "name"), field(it, "value")))
                .collect(),
            command: [words(&container["command"]), words(&container["args"])].concat(),
        }
    };
    YamlLoader::load_from_str(&text).unwrap().iter().map(job).collect()
}

struct Job {
    name: String,
    completions: Option<i64>,
    variables: Vec<(String, String)>,
    command: Vec<String>,
}

#[test]
fn the_kubernetes_jobs_scripts_say_what_one_run_says() {
    let world = cluster();
    let jobs = jobs();
    assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["arcticd-replay", "arcticd-merge"]);
    for job in &jobs {
        let shards = job.variables.iter().find(|(name, _)| name == "SHARDS").unwrap();
        assert_eq!(shards.1, jobs[0].completions.unwrap().to_string(), "{}", job.name);
    }
    let run = |job: &Job, index: Option<u32>| {
        let here = |(name, value): &(String, String)| match name.as_str() {
            "SHARDS" => (name.clone(), SHARDS.to_string()),
            "ARCHIVE" => (name.clone(), "card".to_owned()),
            "RESULTS" => (name.clone(), "results".to_owned()),
            _ => (name.clone(), value.clone()),
        };
        let mut variables: Vec<(String, String)> = job.variables.iter().map(here).collect();
        variables.extend(index.map(|index| ("JOB_COMPLETION_INDEX".to_owned(), index.to_string())));
        let variables: Vec<(&str, String)> = variables.iter().map(|(name, value)| (&**name, value.clone())).collect();
        good(on_node(&world, &job.command[0], &variables).args(&job.command[1..]).output().unwrap())
    };
    for index in 0..SHARDS {
        run(&jobs[0], Some(index));
    }
    assert_eq!(run(&jobs[0], Some(0)), "", "a pod that is made again has nothing to do");
    run(&jobs[1], None);
    check_results(&world);
}
