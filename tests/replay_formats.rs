//! What `arcticd replay` writes for other tools is what their formats demand: the checks of MegaDetector's own validator
//! (`validate_batch_results`, format 1.6), and the rules of Camtrap DP 1.0.2's tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod card;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use card::{Card, replay, scene, shot, table};
use parts::world;
use serde_json::{Value, json};
use testkit::daemon::World;
use testkit::scenes::Scene;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A card with everything that may be on one.
fn full_card(world: &World) -> Card<'_> {
    let card = Card::new(world);
    card.put("north/1.jpg", &shot(Scene::Bear, 1, "2026:11:20 04:00:00", Some("+01:00")));
    card.put("north/2.jpg", &shot(Scene::Bear, 2, "2026:11:20 04:00:09", Some("+01:00")));
    card.put("north/copy.jpg", &shot(Scene::Bear, 2, "2026:11:20 04:00:09", Some("+01:00")));
    card.put("north/fox.jpg", &shot(Scene::Fox, 3, "2026:11:20 06:00:00", Some("+01:00")));
    card.put("south/empty.jpg", &shot(Scene::Empty, 4, "2026:11:21 04:00:00", None));
    card.put("south/walrus.jpg", &scene(Scene::Walrus, 5));
    card.put("south/broken.jpg", b"no picture");
    card.put("south/broken too.jpg", b"no picture");
    card.put("phone.heic", b"....");
    let whole = scene(Scene::Bear, 6);
    card.put("cut.jpg", &whole[..whole.len() * 9 / 10]);
    card
}

/// The checks of MegaDetector's validator, in its order.
fn check_megadetector(found: &Value) {
    let info = found["info"].as_object().unwrap();
    assert_eq!(info["format_version"], json!("1.6"), "a string");
    let categories = |key: &str| -> BTreeSet<String> {
        let all = found[key].as_object().unwrap();
        for (id, name) in all {
            id.parse::<u32>().unwrap();
            assert!(!name.as_str().unwrap().trim().is_empty(), "{key} {id}");
        }
        all.keys().cloned().collect()
    };
    let detections = categories("detection_categories");
    let classes = categories("classification_categories");
    assert_eq!(categories("classification_category_descriptions"), classes);
    for image in found["images"].as_array().unwrap() {
        let file = image["file"].as_str().unwrap();
        if let Some(failure) = image.get("failure") {
            assert!(failure.is_string() && image["detections"].is_null(), "{image}");
            continue;
        }
        for detection in image["detections"].as_array().unwrap_or_else(|| panic!("{file} has no detections")) {
            assert!(detections.contains(detection["category"].as_str().unwrap()), "{image}");
            assert!(detection["conf"].is_f64(), "a float, not an integer: {image}");
            assert!((0.0..=1.0).contains(&detection["conf"].as_f64().unwrap()), "{image}");
            assert_eq!(detection["bbox"], json!([0.0, 0.0, 1.0, 1.0]), "{image}");
            let scores = detection["classifications"].as_array().unwrap();
            assert!(!scores.is_empty(), "{image}");
            assert!(scores.iter().all(|score| classes.contains(score[0].as_str().unwrap())), "{image}");
            let scores: Vec<f64> = scores.iter().map(|score| score[1].as_f64().unwrap()).collect();
            assert!(scores.is_sorted_by(|a, b| a >= b), "descending: {image}");
        }
    }
    let keys: BTreeSet<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
    let known =
        ["info", "images", "detection_categories", "classification_categories", "classification_category_descriptions"];
    assert_eq!(keys, BTreeSet::from(known));
}

#[test]
fn a_file_whose_name_other_tools_can_not_find_is_told_of() {
    use std::os::unix::ffi::OsStrExt;
    let world = world();
    let card = Card::new(&world);
    card.put("north/1.jpg", &scene(Scene::Bear, 1));
    let plain = replay(&world, &["card", "--megadetector", "md.json"]);
    assert!(!plain.stderr.contains("UTF-8"), "{}", plain.stderr);
    let odd = Path::new(std::ffi::OsStr::from_bytes(b"card/north/b\xe4r.jpg"));
    fs::write(world.path(".").join(odd), scene(Scene::Bear, 2)).unwrap();
    let told = replay(&world, &["card", "--megadetector", "md.json"]);
    assert!(told.stderr.contains("1 file with a name that is not UTF-8, as north/b\u{fffd}r.jpg"), "{}", told.stderr);
}

#[test]
fn megadetectors_own_validator_finds_nothing_wrong_and_finds_what_is() {
    let Some(python) = parts::python("megadetector, jsonpickle, tqdm") else {
        return parts::skip("MegaDetector's validator", "ARCTICD_TEST_PYTHON names no Python that has it");
    };
    let world = world();
    full_card(&world);
    assert_eq!(replay(&world, &["card", "--megadetector", "card/md.json"]).code, 3);
    let validated = |file: &Path| -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/validate_megadetector.py");
        let output = Command::new(&python).arg(script).arg(file).arg(world.path("card")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let file = world.path("card/md.json");
    assert_eq!(validated(&file), json!({ "errors": [], "warnings": [] }));
    let mut broken: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    broken["images"][0].as_object_mut().unwrap().remove("file").unwrap();
    fs::write(&file, broken.to_string()).unwrap();
    assert_ne!(validated(&file)["errors"], json!([]), "it looks at nothing");
}

#[test]
fn the_megadetector_file_passes_its_validators_checks_and_tells_empty_from_failed() {
    let world = world();
    full_card(&world);
    let output = replay(&world, &["card", "--megadetector", "card/md.json"]);
    assert_eq!(output.code, 3, "{}", output.stderr);
    let found: Value = serde_json::from_slice(&fs::read(world.path("card/md.json")).unwrap()).unwrap();
    check_megadetector(&found);
    let images: BTreeMap<&str, &Value> =
        found["images"].as_array().unwrap().iter().map(|it| (it["file"].as_str().unwrap(), it)).collect();
    // Timelapse looks each file up by its path: copies and failures have their entries too.
    let files = [
        "cut.jpg",
        "north/1.jpg",
        "north/2.jpg",
        "north/copy.jpg",
        "north/fox.jpg",
        "phone.heic",
        "south/broken too.jpg",
        "south/broken.jpg",
        "south/empty.jpg",
        "south/walrus.jpg",
    ];
    assert_eq!(images.keys().copied().collect::<Vec<_>>(), files);
    let typical = found["info"]["detector_metadata"]["typical_detection_threshold"].as_f64().unwrap();
    let conf = |file: &str| images[file]["detections"][0]["conf"].as_f64().unwrap_or(0.0);
    assert!(conf("north/1.jpg") >= typical && conf("north/fox.jpg") >= typical && conf("south/walrus.jpg") >= typical);
    assert!(conf("south/empty.jpg") < typical, "{}", images["south/empty.jpg"]);
    assert_eq!(images["north/copy.jpg"]["detections"], images["north/2.jpg"]["detections"]);
    assert_eq!(images["north/1.jpg"]["datetime"], "2026:11:20 04:00:00");
    assert_eq!((&images["north/1.jpg"]["width"], &images["north/1.jpg"]["height"]), (&json!(480), &json!(360)));
    assert!(images["south/walrus.jpg"].get("datetime").is_none(), "the file's time is no capture time");
    assert!(images["south/broken too.jpg"]["failure"].as_str().unwrap().contains("not a picture"));
    assert!(images["phone.heic"]["failure"].as_str().unwrap().contains("HEIC"));
    let top = images["north/1.jpg"]["detections"][0]["classifications"][0][0].as_str().unwrap();
    assert_eq!(found["classification_categories"][top], "polar bear");
    let described = found["classification_category_descriptions"][top].as_str().unwrap();
    assert!(described.ends_with("ursidae;ursus maritimus"), "{described}");
}

/// What a column of Camtrap DP may hold, as its table schemas say.
enum Rule {
    Text,
    Moment,
    Number(f64, f64),
    Bool,
    OneOf(&'static [&'static str]),
    Beginning(&'static str),
    /// Relative, without `..`.
    Path,
}
use Rule::{Beginning, Bool, Moment, Number, OneOf, Path as FilePath, Text};

type Schema = &'static [(&'static str, bool, Rule)];

const DEPLOYMENTS: Schema = &[
    ("deploymentID", true, Text),
    ("locationID", false, Text),
    ("locationName", false, Text),
    ("latitude", true, Number(-90.0, 90.0)),
    ("longitude", true, Number(-180.0, 180.0)),
    ("coordinateUncertainty", false, Number(1.0, f64::MAX)),
    ("deploymentStart", true, Moment),
    ("deploymentEnd", true, Moment),
    ("setupBy", false, Text),
    ("cameraID", false, Text),
    ("cameraModel", false, Text),
    ("cameraDelay", false, Number(0.0, f64::MAX)),
    ("cameraHeight", false, Number(0.0, f64::MAX)),
    ("cameraDepth", false, Number(0.0, f64::MAX)),
    ("cameraTilt", false, Number(-90.0, 90.0)),
    ("cameraHeading", false, Number(0.0, 360.0)),
    ("detectionDistance", false, Number(0.0, f64::MAX)),
    ("timestampIssues", false, Bool),
    ("baitUse", false, Bool),
    ("featureType", false, Text),
    ("habitat", false, Text),
    ("deploymentGroups", false, Text),
    ("deploymentTags", false, Text),
    ("deploymentComments", false, Text),
];

const MEDIA: Schema = &[
    ("mediaID", true, Text),
    ("deploymentID", true, Text),
    ("captureMethod", false, OneOf(&["activityDetection", "timeLapse"])),
    ("timestamp", true, Moment),
    ("filePath", true, FilePath),
    ("filePublic", true, Bool),
    ("fileName", false, Text),
    ("fileMediatype", true, Beginning("image/")),
    ("exifData", false, Text),
    ("favorite", false, Bool),
    ("mediaComments", false, Text),
];

const OBSERVATIONS: Schema = &[
    ("observationID", true, Text),
    ("deploymentID", true, Text),
    ("mediaID", false, Text),
    ("eventID", false, Text),
    ("eventStart", true, Moment),
    ("eventEnd", true, Moment),
    ("observationLevel", true, OneOf(&["media", "event"])),
    ("observationType", true, OneOf(&["animal", "human", "vehicle", "blank", "unknown", "unclassified"])),
    ("cameraSetupType", false, OneOf(&["setup", "calibration"])),
    ("scientificName", false, Text),
    ("count", false, Number(1.0, f64::MAX)),
    ("lifeStage", false, OneOf(&["adult", "subadult", "juvenile"])),
    ("sex", false, OneOf(&["female", "male"])),
    ("behavior", false, Text),
    ("individualID", false, Text),
    ("individualPositionRadius", false, Number(0.0, f64::MAX)),
    ("individualPositionAngle", false, Number(-90.0, 90.0)),
    ("individualSpeed", false, Number(0.0, f64::MAX)),
    ("bboxX", false, Number(0.0, 1.0)),
    ("bboxY", false, Number(0.0, 1.0)),
    ("bboxWidth", false, Number(1e-15, 1.0)),
    ("bboxHeight", false, Number(1e-15, 1.0)),
    ("classificationMethod", false, OneOf(&["human", "machine"])),
    ("classifiedBy", false, Text),
    ("classificationTimestamp", false, Moment),
    ("classificationProbability", false, Number(0.0, 1.0)),
    ("observationTags", false, Text),
    ("observationComments", false, Text),
];

type Row = BTreeMap<String, String>;

/// Reads a table and holds it against its schema: all columns in order, the first one unique, each value by its rule.
fn check_table(path: &Path, schema: Schema) -> Vec<Row> {
    let header = card::lines(path).remove(0);
    let columns: Vec<&str> = schema.iter().map(|(name, ..)| *name).collect();
    assert_eq!(header, columns, "{}", path.display());
    let rows = table(path);
    let keys: BTreeSet<&String> = rows.iter().map(|row| &row[columns[0]]).collect();
    assert_eq!(keys.len(), rows.len(), "{} is not unique in {}", columns[0], path.display());
    for row in &rows {
        for (name, required, rule) in schema {
            let value = row[*name].as_str();
            if value.is_empty() {
                assert!(!required, "{name} is required: {row:?}");
                continue;
            }
            let good = match rule {
                Text => true,
                // `%Y-%m-%dT%H:%M:%S%z`: no fraction of a second.
                Moment => OffsetDateTime::parse(value, &Rfc3339).is_ok() && !value.contains('.'),
                Number(least, most) => value.parse::<f64>().is_ok_and(|it| (*least..=*most).contains(&it)),
                Bool => value == "true" || value == "false",
                OneOf(all) => all.contains(&value),
                Beginning(start) => value.starts_with(start),
                FilePath => !value.starts_with(['.', '/', '~']) && !value.contains("..") && !value.contains('\n'),
            };
            assert!(good, "{name} is {value:?}: {row:?}");
        }
    }
    rows
}

/// Holds a package against the standard; its tables.
fn check_package(folder: &Path) -> (Value, [Vec<Row>; 3]) {
    let package: Value = serde_json::from_slice(&fs::read(folder.join("datapackage.json")).unwrap()).unwrap();
    for key in ["profile", "created", "contributors", "project", "spatial", "temporal", "taxonomic"] {
        assert!(!package[key].is_null(), "{key} is required: {package}");
    }
    let standard = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/";
    assert_eq!(package["profile"], format!("{standard}camtrap-dp-profile.json"));
    let name = package["name"].as_str().unwrap();
    assert!(name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"-_./".contains(&it)), "{name}");
    for (resource, name) in
        package["resources"].as_array().unwrap().iter().zip(["deployments", "media", "observations"])
    {
        assert_eq!((&resource["name"], &resource["profile"]), (&json!(name), &json!("tabular-data-resource")));
        assert_eq!(resource["path"], format!("{name}.csv"));
        assert_eq!(resource["schema"], format!("{standard}{name}-table-schema.json"));
    }
    let project = &package["project"];
    let designs = ["simpleRandom", "systematicRandom", "clusteredRandom", "experimental", "targeted", "opportunistic"];
    assert!(designs.contains(&project["samplingDesign"].as_str().unwrap()), "{project}");
    assert!(project["title"].is_string() && project["individualAnimals"].is_boolean(), "{project}");
    assert_eq!(project["captureMethod"], json!(["activityDetection"]));
    assert_eq!(project["observationLevel"], json!(["media", "event"]));
    let deployments = check_table(&folder.join("deployments.csv"), DEPLOYMENTS);
    let media = check_table(&folder.join("media.csv"), MEDIA);
    let observations = check_table(&folder.join("observations.csv"), OBSERVATIONS);
    let ids = |rows: &[Row], name: &str| rows.iter().map(|row| row[name].clone()).collect::<BTreeSet<String>>();
    let (known_deployments, known_media) = (ids(&deployments, "deploymentID"), ids(&media, "mediaID"));
    assert!(media.iter().chain(&observations).all(|row| known_deployments.contains(&row["deploymentID"])));
    assert!(observations.iter().all(|row| row["mediaID"].is_empty() || known_media.contains(&row["mediaID"])));
    for row in &observations {
        assert_eq!(row["mediaID"].is_empty(), row["observationLevel"] == "event", "{row:?}");
    }
    let taxa: BTreeSet<&str> =
        package["taxonomic"].as_array().unwrap().iter().map(|it| it["scientificName"].as_str().unwrap()).collect();
    assert!(observations.iter().all(|row| row["scientificName"].is_empty() || taxa.contains(&*row["scientificName"])));
    (package, [deployments, media, observations])
}

const PACKAGE: [&str; 7] =
    ["card", "--camtrap-dp", "package", "--location", "78.9235,11.9099", "--location-policy", "rounded"];

#[test]
fn the_camtrap_dp_package_is_what_the_standards_tables_demand() {
    let world = world();
    full_card(&world);
    let output = replay(&world, &PACKAGE);
    assert_eq!(output.code, 3, "{}", output.stderr);
    let (package, [deployments, media, observations]) = check_package(&world.path("package"));

    assert_eq!(deployments.len(), 3, "the card's top and two cameras");
    let north = deployments.iter().find(|row| row["cameraID"] == "north").unwrap();
    assert_eq!((&*north["latitude"], &*north["longitude"]), ("78.9", "11.9"), "rounded");
    assert!(north["coordinateUncertainty"].parse::<u32>().unwrap() > 5_000);
    assert_eq!(package["coordinatePrecision"], 0.1);
    assert_eq!(&*north["deploymentStart"], "2026-11-20T04:00:00+01:00");
    assert_eq!(&*north["deploymentEnd"], "2026-11-20T06:00:00+01:00");
    let doubtful =
        |camera: &str| deployments.iter().find(|row| row["cameraID"] == camera).unwrap()["timestampIssues"] == "true";
    assert!(!doubtful("north") && doubtful("south"), "a clock without a zone");

    // Nine files: one is a copy, two hold the same rubbish.
    assert_eq!(media.len(), 8);
    let named = |name: &str| media.iter().find(|row| row["fileName"] == name).unwrap();
    assert!(named("2.jpg")["mediaComments"].contains("north/copy.jpg"));
    assert!(named("cut.jpg")["mediaComments"].contains("decoded in part"));
    let of = |name: &str| {
        let id = &named(name)["mediaID"];
        observations.iter().find(|row| &row["mediaID"] == id).unwrap()
    };
    let bear = of("1.jpg");
    assert_eq!((&*bear["observationType"], &*bear["scientificName"]), ("animal", "Ursus maritimus"));
    assert_eq!((&*bear["classificationMethod"], &*bear["observationLevel"]), ("machine", "media"));
    assert!(bear["classifiedBy"].contains("demo-scenes"), "{bear:?}");
    assert_eq!(&*of("fox.jpg")["scientificName"], "Vulpes lagopus");
    assert_eq!(&*of("empty.jpg")["observationType"], "unknown", "`other` says only what it is not");
    assert_eq!(&*of("broken too.jpg")["observationType"], "unclassified");
    assert!(of("phone.heic")["observationComments"].contains("HEIC"));

    let events: Vec<&Row> = observations.iter().filter(|row| row["observationLevel"] == "event").collect();
    let bears = events.iter().find(|row| row["eventID"] == bear["eventID"]).unwrap();
    assert_eq!(
        (&*bears["eventStart"], &*bears["eventEnd"]),
        ("2026-11-20T04:00:00+01:00", "2026-11-20T04:00:09+01:00")
    );
    assert!(bears["observationTags"].contains("frames:2"), "{bears:?}");
    let json = replay(&world, &["card", "--json"]).stdout;
    assert!(json.contains(&format!("\"event\":{{\"id\":\"{}\"", bear["eventID"])), "the messages' own event");
}

#[test]
fn a_package_of_ours_is_replaced_but_for_what_a_person_wrote() {
    let world = world();
    let card = full_card(&world);
    assert_eq!(replay(&world, &PACKAGE).code, 3);
    let file = world.path("package/datapackage.json");
    let mut package: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let people = json!([{ "title": "Ane Larsen", "role": "principalInvestigator" }]);
    package["contributors"] = people.clone();
    package["temporal"] = json!({ "start": "1999-01-01", "end": "1999-01-02" });
    fs::write(&file, package.to_string()).unwrap();
    card.put("north/later.jpg", &shot(Scene::Bear, 9, "2026:12:01 04:00:00", Some("+01:00")));
    let output = replay(&world, &PACKAGE);
    assert_eq!(output.code, 3, "{}", output.stderr);
    let (package, [deployments, ..]) = check_package(&world.path("package"));
    assert_eq!(package["contributors"], people);
    assert_eq!(package["temporal"]["end"], "2026-12-01");
    assert!(deployments.iter().any(|row| row["deploymentEnd"] == "2026-12-01T04:00:00+01:00"));
    assert_eq!(fs::read_dir(world.path("package")).unwrap().count(), 4, "no half-written file is left");
}

#[test]
fn the_camera_clocks_zone_can_be_told() {
    let world = world();
    let card = Card::new(&world);
    card.put("a.jpg", &shot(Scene::Bear, 1, "2026:11:20 04:00:00", None));
    let output = replay(&world, &[&PACKAGE[..], &["--utc-offset", "-03:30"]].concat());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let (_, [deployments, media, _]) = check_package(&world.path("package"));
    assert_eq!(&*media[0]["timestamp"], "2026-11-20T04:00:00-03:30");
    assert_eq!(&*deployments[0]["timestampIssues"], "false");
}
