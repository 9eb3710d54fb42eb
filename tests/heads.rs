//! Heads as files: keys, signatures and inspection, by the real binary and by stock minisign.
//!
//! Tests that need `minisign` are skipped where it is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use arcticd::heads::{Bundle, TrustedKeys};
use arcticd::model::HeadManifest;
use serde_json::Value;

const BUILTIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default/head");

/// A folder with a head, the built-in one as a file, and a key.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let manifest = HeadManifest::parse(&fs::read(format!("{BUILTIN}/manifest.json")).unwrap()).unwrap();
        let network = fs::read(format!("{BUILTIN}/head.onnx")).unwrap();
        Bundle::make(manifest, network, &[]).unwrap().save(&desk.path("a head.head")).unwrap();
        desk
    }

    /// With a key without password, and the head signed by it.
    fn signed() -> Self {
        let desk = Self::new();
        assert_eq!(desk.arcticd(&["head", "new-key", "field", "--no-password"]).code, Some(0));
        let signed = desk.arcticd(&["head", "sign", "a head.head", "--key", "field.key"]);
        assert_eq!(signed.code, Some(0), "{}", signed.err);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn arcticd(&self, arguments: &[&str]) -> Ended {
        self.run(env!("CARGO_BIN_EXE_arcticd"), arguments, "")
    }

    /// Runs a program in the folder, `input` on its standard input.
    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Ended {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn inspect(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let ended = self.arcticd(&[&["head", "inspect", "--json"], arguments].concat());
        (ended.code, serde_json::from_str(&ended.out).unwrap_or(Value::Null))
    }

    /// Unpacks the head with plain tar, as anybody would.
    fn unpack(&self) {
        let ended = self.run("tar", &["-xf", "a head.head"], "");
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    }
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap()
}

fn minisign() -> bool {
    let there = Command::new("minisign").arg("-v").output().is_ok();
    if !there {
        println!("skipped: minisign is not installed");
    }
    there
}

#[test]
fn a_signed_head_is_without_doubt_and_says_who_signed_it() {
    let desk = Desk::signed();
    let (code, report) = desk.inspect(&["a head.head", "--trust", "field.pub"]);
    assert_eq!((code, &report["ok"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let key = report["signature"]["key"].as_str().unwrap();
    assert!(fs::read_to_string(desk.path("field.pub")).unwrap().contains(key));
    assert_eq!(report["signature"]["trusted_by"], "field.pub");
    let comment = report["signature"]["trusted_comment"].as_str().unwrap();
    let manifest = &report["manifest"];
    for field in ["name", "version", "sequence"] {
        let value = manifest[field].as_str().map_or(manifest[field].to_string(), str::to_owned);
        assert!(comment.contains(&value), "{field} in {comment}");
    }
    let text = desk.arcticd(&["head", "inspect", "a head.head", "--trust", "field.pub"]).ok().out;
    for shown in
        [key, "polar_bear", "alerts from", "balanced accuracy", "head.onnx", "arcticnet", "trained on", "pieces"]
    {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    assert!(!text.contains("DOUBT"));
    // A folder of keys, with others and a broken one in it.
    fs::create_dir(desk.path("keys")).unwrap();
    fs::rename(desk.path("field.pub"), desk.path("keys/field.pub")).unwrap();
    assert_eq!(desk.inspect(&["a head.head", "--trust", "keys"]).0, Some(0));
    fs::write(desk.path("keys/broken.pub"), "no key").unwrap();
    let (code, report) = desk.inspect(&["a head.head", "--trust", "keys"]);
    assert_eq!((code, &check(&report, "signature")["ok"]), (Some(1), &Value::Bool(true)));
    assert!(check(&report, "trust")["found"].as_str().unwrap().contains("broken.pub"));
    let said = desk.arcticd(&["head", "inspect", "a head.head", "--trust", "keys"]);
    assert_eq!((said.out + &said.err).matches("broken.pub").count(), 1, "said once");
}

#[test]
fn the_built_in_head_is_without_doubt_and_its_directory_is_only_unsigned() {
    let desk = Desk::new();
    let (code, report) = desk.inspect(&[]);
    assert_eq!(code, Some(0), "{report:#}");
    let (code, report) = desk.inspect(&[BUILTIN]);
    assert_eq!(code, Some(1));
    let doubts: Vec<_> = report["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert!(doubts[0]["found"].as_str().unwrap().contains("not signed"));
}

#[test]
fn each_doubt_about_a_head_is_named_and_ends_with_1() {
    let desk = Desk::new();
    desk.arcticd(&["head", "new-key", "other", "--no-password"]).ok();
    let (code, report) = desk.inspect(&["a head.head"]);
    assert_eq!(code, Some(1));
    assert!(check(&report, "signature")["found"].as_str().unwrap().contains("not signed"));
    let desk = Desk::signed();
    let (code, report) = desk.inspect(&["a head.head"]);
    assert_eq!(code, Some(1));
    assert!(check(&report, "signature")["found"].as_str().unwrap().contains("--trust"));
    desk.arcticd(&["head", "new-key", "other", "--no-password"]).ok();
    let (code, report) = desk.inspect(&["a head.head", "--trust", "other.pub"]);
    assert_eq!(code, Some(1));
    assert!(check(&report, "signature")["found"].as_str().unwrap().contains("not trusted"));
    assert_eq!(desk.inspect(&["a head.head", "--trust", "none.pub"]).0, Some(1));
    let other = "format = 1\nid = \"other-net\"\nfile = \"x.onnx\"\nsha256 = \"00\"\nlicence = \"MIT\"\n[input]\nwidth = 32\n\
        height = 32\nlayout = \"nchw\"\nchannels = \"rgb\"\nfilter = \"triangle\"\nfit = \"stretch\"\n\
        preprocessing = \"symmetric\"\n[output]\npooling = \"none\"\nfeatures = 8\n";
    fs::write(desk.path("other.toml"), other).unwrap();
    let (code, report) = desk.inspect(&["a head.head", "--trust", "field.pub", "--backbone", "other.toml"]);
    assert_eq!(code, Some(1));
    assert!(check(&report, "backbone")["found"].as_str().unwrap().contains("other-net"));
    assert_eq!(check(&report, "signature")["ok"], true);
}

#[test]
fn a_head_whose_canaries_sing_differently_is_in_doubt() {
    let desk = Desk::new();
    let bundle = Bundle::load(&desk.path("a head.head"), &TrustedKeys::default()).unwrap();
    let mut canaries = bundle.canaries().to_vec();
    let last = canaries.len() - 4;
    let shifted = (f32::from_le_bytes(canaries[last..].try_into().unwrap()) - 0.5).abs();
    canaries[last..].copy_from_slice(&shifted.to_le_bytes());
    let canaries = arcticd::heads::canaries::Canaries::parse(&canaries).unwrap();
    let mixed = Bundle::pack(bundle.manifest().clone(), bundle.network().to_vec(), &canaries).unwrap();
    mixed.save(&desk.path("mixed.head")).unwrap();
    let (code, report) = desk.inspect(&["mixed.head"]);
    assert_eq!((code, &check(&report, "canaries")["ok"]), (Some(1), &Value::Bool(false)), "{report:#}");
    desk.arcticd(&["head", "new-key", "field", "--no-password"]).ok();
    let refused = desk.arcticd(&["head", "sign", "mixed.head", "--key", "field.key"]);
    assert!(refused.code == Some(1) && refused.err.contains("canary"), "{refused:?}");
}

#[test]
fn a_damaged_head_is_refused_by_every_command_that_reads_it() {
    let desk = Desk::signed();
    let bytes = fs::read(desk.path("a head.head")).unwrap();
    let config =
        "[capture]\ndirectory = \"captures\"\n[state]\ndirectory = \"state\"\n[model]\nhead = \"a head.head\"\n";
    fs::create_dir(desk.path("captures")).unwrap();
    fs::write(desk.path("arcticd.toml"), config).unwrap();
    let checked = || desk.arcticd(&["check", "--config", "arcticd.toml"]);
    assert!(checked().ok().out.contains("arctic-default"));
    for at in [10, 520, bytes.len() / 2, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        fs::write(desk.path("a head.head"), &flipped).unwrap();
        assert_eq!(desk.inspect(&["a head.head", "--trust", "field.pub"]).0, Some(1), "byte {at}");
        // What only a trusted key can tell, byte 520 of the signature, the daemon is not asked here.
        if at != 520 {
            assert_ne!(checked().code, Some(0), "byte {at}");
            assert_eq!(desk.arcticd(&["head", "sign", "a head.head", "--key", "field.key"]).code, Some(1), "byte {at}");
        }
        assert_eq!(fs::read(desk.path("a head.head")).unwrap(), flipped, "byte {at}");
    }
}

#[test]
fn a_check_names_each_trusted_key_and_fails_over_a_file_that_is_none() {
    let desk = Desk::signed();
    let config =
        "[capture]\ndirectory = \"captures\"\n[state]\ndirectory = \"state\"\n[heads]\ntrusted_keys = [\"keys\"]\n";
    for folder in ["captures", "keys"] {
        fs::create_dir(desk.path(folder)).unwrap();
    }
    let check = |more: &str| {
        fs::write(desk.path("arcticd.toml"), config.to_owned() + more).unwrap();
        desk.arcticd(&["check", "--config", "arcticd.toml"])
    };
    assert!(check("").ok().out.contains("no key is trusted"));
    fs::copy(desk.path("field.pub"), desk.path("keys/field.pub")).unwrap();
    let public = fs::read_to_string(desk.path("field.pub")).unwrap();
    let id = public.lines().next().unwrap().rsplit(' ').next().unwrap();
    assert!(check("").ok().out.contains(&format!("trusted {id} (")));
    // A secret key in the place of a public one, among others.
    fs::copy(desk.path("field.key"), desk.path("keys/field.key.pub")).unwrap();
    let bad = check("");
    assert!(bad.code == Some(1) && bad.out.contains("FAIL heads") && bad.out.contains("field.key.pub"), "{bad:?}");
    fs::remove_file(desk.path("keys/field.key.pub")).unwrap();
    let small = check("max_bytes = 4096\n");
    assert!(small.code == Some(1) && small.out.contains("heads.max_bytes is 4096"), "{small:?}");
    let file = check("directory = \"field.pub\"\n");
    assert!(file.code == Some(1) && file.out.contains("heads.directory"), "{file:?}");
}

#[test]
fn a_key_pair_is_private_and_never_overwritten() {
    let desk = Desk::new();
    desk.arcticd(&["head", "new-key", "site.2026", "--no-password"]).ok();
    let mode = |name: &str| fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("site.2026.key"), 0o600);
    let before = fs::read(desk.path("site.2026.key")).unwrap();
    let again = desk.arcticd(&["head", "new-key", "site.2026", "--no-password"]);
    assert!(again.code == Some(1) && again.err.contains("site.2026.key"), "{again:?}");
    assert_eq!(fs::read(desk.path("site.2026.key")).unwrap(), before);
    fs::write(desk.path("half.pub"), "something").unwrap();
    assert_eq!(desk.arcticd(&["head", "new-key", "half", "--no-password"]).code, Some(1));
    assert!(!desk.path("half.key").exists() && fs::read(desk.path("half.pub")).unwrap() == b"something");
    // Without a terminal nobody can be asked.
    let asked = desk.arcticd(&["head", "new-key", "silent"]);
    assert!(asked.code == Some(1) && asked.err.contains("--password-file"), "{asked:?}");
    assert_eq!(desk.arcticd(&["head", "new-key", "none/at/all", "--no-password"]).code, Some(1));
}

#[test]
fn signing_changes_nothing_but_the_signature() {
    let desk = Desk::new();
    let before = Bundle::load(&desk.path("a head.head"), &TrustedKeys::default()).unwrap();
    desk.arcticd(&["head", "new-key", "one", "--no-password"]).ok();
    desk.arcticd(&["head", "new-key", "two", "--no-password"]).ok();
    for key in ["one", "two"] {
        desk.arcticd(&["head", "sign", "a head.head", "--key", &format!("{key}.key")]).ok();
        let after = Bundle::load(&desk.path("a head.head"), &TrustedKeys::default()).unwrap();
        assert_eq!(after.manifest_bytes(), before.manifest_bytes());
        assert_eq!((after.network(), after.canaries()), (before.network(), before.canaries()));
        assert_eq!(desk.inspect(&["a head.head", "--trust", &format!("{key}.pub")]).0, Some(0));
    }
}

#[test]
fn stock_minisign_accepts_what_arcticd_signs() {
    if !minisign() {
        return;
    }
    let desk = Desk::signed();
    desk.unpack();
    let verified = desk.run("minisign", &["-Vm", "manifest.json", "-p", "field.pub"], "").ok();
    assert!(verified.out.contains("head:arctic-default"), "{verified:?}");
    // Hashed, as it is required where large files are signed.
    desk.run("minisign", &["-HVm", "manifest.json", "-p", "field.pub"], "").ok();
    // And with our secret key it signs.
    desk.run("minisign", &["-Sm", "manifest.json", "-s", "field.key", "-x", "again.minisig"], "").ok();
    desk.run("minisign", &["-Vm", "manifest.json", "-x", "again.minisig", "-p", "field.pub"], "").ok();
    fs::write(desk.path("manifest.json"), b"{}").unwrap();
    assert_ne!(desk.run("minisign", &["-Vm", "manifest.json", "-p", "field.pub"], "").code, Some(0));
}

#[test]
fn what_stock_minisign_signs_is_accepted_legacy_or_not() {
    if !minisign() {
        return;
    }
    let desk = Desk::new();
    desk.run("minisign", &["-G", "-W", "-p", "stock.pub", "-s", "stock.key"], "").ok();
    desk.unpack();
    for more in [&["-t", "for the mast"][..], &["-l"], &["-c", "my own words"]] {
        let sign = [&["-Sm", "manifest.json", "-s", "stock.key", "-x", "made.minisig"], more].concat();
        desk.run("minisign", &sign, "").ok();
        let put = ["head", "sign", "a head.head", "--signature", "made.minisig", "--public-key", "stock.pub"];
        desk.arcticd(&put).ok();
        assert_eq!(desk.inspect(&["a head.head", "--trust", "stock.pub"]).0, Some(0), "{more:?}");
    }
    // And its secret key signs here.
    desk.arcticd(&["head", "sign", "a head.head", "--key", "stock.key"]).ok();
    assert_eq!(desk.inspect(&["a head.head", "--trust", "stock.pub"]).0, Some(0));
    // A signature of something else is not put in.
    fs::write(desk.path("other.json"), "{}").unwrap();
    desk.run("minisign", &["-Sm", "other.json", "-s", "stock.key", "-x", "made.minisig"], "").ok();
    let before = fs::read(desk.path("a head.head")).unwrap();
    let put = ["head", "sign", "a head.head", "--signature", "made.minisig", "--public-key", "stock.pub"];
    assert_eq!(desk.arcticd(&put).code, Some(1));
    assert_eq!(fs::read(desk.path("a head.head")).unwrap(), before);
}

#[test]
fn keys_with_a_password_go_both_ways() {
    let desk = Desk::new();
    fs::write(desk.path("pass"), "seal pup\n").unwrap();
    fs::write(desk.path("wrong"), "sea lion\n").unwrap();
    let mode = |mode| {
        for name in ["pass", "wrong"] {
            fs::set_permissions(desk.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    mode(0o644);
    let open = desk.arcticd(&["head", "new-key", "ours", "--password-file", "pass"]);
    assert!(open.code == Some(1) && open.err.contains("chmod 600 pass"), "{open:?}");
    assert!(!desk.path("ours.key").exists());
    mode(0o600);
    desk.arcticd(&["head", "new-key", "ours", "--password-file", "pass"]).ok();
    let mut pairs = vec![("ours.key", "ours.pub")];
    if minisign() {
        desk.run("minisign", &["-G", "-p", "stock.pub", "-s", "stock.key"], "seal pup\nseal pup\n").ok();
        pairs.push(("stock.key", "stock.pub"));
        desk.unpack();
        desk.run("minisign", &["-Sm", "manifest.json", "-s", "ours.key"], "seal pup\n").ok();
        desk.run("minisign", &["-Vm", "manifest.json", "-p", "ours.pub"], "").ok();
    }
    for (key, public) in pairs {
        let sign =
            |password: &str| desk.arcticd(&["head", "sign", "a head.head", "--key", key, "--password-file", password]);
        // Stock minisign's keys take a gigabyte and seconds a try.
        if key == "ours.key" {
            let refused = sign("wrong");
            assert!(refused.code == Some(1) && refused.err.contains(key), "{refused:?}");
        }
        sign("pass").ok();
        assert_eq!(desk.inspect(&["a head.head", "--trust", public]).0, Some(0), "{key}");
    }
}

#[test]
fn a_head_by_hand_is_used_unsigned_or_by_an_unknown_key_but_not_if_a_known_key_did_not_sign_it() {
    use arcticd::model::source::{Origin, head, head_trusting};
    let desk = Desk::signed();
    let origin = Origin::Path(desk.path("a head.head"));
    let (keys, _) = TrustedKeys::load(&[desk.path("field.pub")]);
    head(&origin).unwrap();
    head_trusting(&origin, &keys).unwrap();
    // The manifest changes, in its archive that is otherwise in order, and the signature stays.
    let bundle = Bundle::load(&desk.path("a head.head"), &TrustedKeys::default()).unwrap();
    let canaries = arcticd::heads::canaries::Canaries::parse(bundle.canaries()).unwrap();
    let manifest = HeadManifest { sequence: 99, ..bundle.manifest().clone() };
    let mut changed = Bundle::pack(manifest, bundle.network().to_vec(), &canaries).unwrap();
    changed.set_signature(bundle.signature().unwrap().clone());
    changed.save(&desk.path("a head.head")).unwrap();
    let Err(error) = head_trusting(&origin, &keys) else { panic!("a head with a wrong signature was used") };
    assert!(format!("{error:#}").contains("did not sign"), "{error:#}");
    head(&origin).unwrap();
    // The same as a directory.
    desk.unpack();
    let origin = Origin::Path(Path::new(desk.0.path()).to_owned());
    assert!(head_trusting(&origin, &keys).is_err());
    head(&origin).unwrap();
}

#[test]
fn a_head_made_elsewhere_can_not_steer_the_terminal_that_refuses_it() {
    let desk = Desk::new();
    desk.unpack();
    let manifest = fs::read_to_string(desk.path("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["name"] = "bears\u{1b}]0;owned\u{7}\u{1b}[2J\narcticd: all is well".into();
    fs::write(desk.path("manifest.json"), manifest.to_string()).unwrap();
    let refused = desk.arcticd(&["head", "inspect", "."]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("bears\\u{1b}]0;owned\\u{7}"), "{refused:?}");
    assert!(refused.err.lines().skip(1).all(|line| line.starts_with("  ")), "{refused:?}");
    assert!(!refused.err.chars().any(|letter| letter.is_control() && letter != '\n'), "{refused:?}");
}
