//! docs/security.md promises nothing that no test holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

/// Text of all Rust files below a folder.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_test_that_the_threat_model_names_exists_and_each_attack_names_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut code);
    }
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let names = |text: &str| -> Vec<String> {
        let quoted = text.split('`').skip(1).step_by(2);
        let is_test = |name: &&str| {
            name.matches('_').count() >= 3
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        quoted.filter(is_test).map(str::to_owned).collect()
    };
    let all = names(&text);
    assert!(all.len() > 30, "{all:?}");
    for name in &all {
        let test = format!("#[test]\n    fn {name}()");
        let found = code.contains(&test) || code.contains(&format!("#[test]\nfn {name}()"));
        assert!(found, "docs/security.md names the test `{name}`, which does not exist");
    }
    let section = text.split("## Attacks").nth(1).unwrap().split("\n## ").next().unwrap();
    let attacks: Vec<&str> = section.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(attacks.len() >= 15);
    for attack in attacks {
        assert!(!names(attack).is_empty(), "no test holds this: {attack}");
    }
}
