#![allow(clippy::unwrap_used)]
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::model::HeadBackbone;

fn world(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !file.ends_with('/') {
            std::fs::write(path, "").unwrap();
        } else {
            std::fs::create_dir_all(path).unwrap();
        }
    }
    root
}

fn head(labels: &[(&str, bool)]) -> HeadManifest {
    let labels = labels.iter().map(|(name, background)| Label {
        name: (*name).into(),
        alert: false,
        threshold: 0.5,
        background: *background,
    });
    let backbone = HeadBackbone { id: "b".into(), sha256: String::new(), features: 1 };
    HeadManifest::new("test".into(), "1".into(), backbone, labels.collect())
}

const ARCTIC: &[(&str, bool)] = &[("polar_bear", false), ("walrus", false), ("other", true)];

fn read(files: &[&str]) -> Result<Folders, FoldersError> {
    Folders::read(world(files).path())
}

fn refused(files: &[&str]) -> String {
    read(files).unwrap_err().to_string()
}

#[test]
fn the_tutorials_layout_is_read_with_its_test_part() {
    let folders =
        read(&["train/walrus/a.jpg", "train/Polar Bear/sub/b.jpg", "train/Polar Bear/c.PNG", "test/polar-bear/d.jpg"]);
    let folders = folders.unwrap();
    assert!(!folders.one_level);
    assert_eq!(folders.train.labels, ["polar_bear", "walrus"]);
    assert_eq!(folders.train.class, [0, 0, 1]);
    assert_eq!(folders.train.counts(), [2, 1]);
    let test = folders.test.unwrap();
    assert_eq!((test.labels, test.class), (folders.train.labels, vec![0]));
}

#[test]
fn a_background_to_test_on_needs_none_to_train_on() {
    let folders =
        read(&["train/fox/a.jpg", "train/walrus/b.jpg", "test/Empty/c.jpg", "test/other/d.jpg", "test/walrus/e.jpg"]);
    let folders = folders.unwrap();
    assert_eq!(folders.train.labels, ["fox", "walrus"]);
    let test = folders.test.unwrap();
    assert_eq!((test.labels, test.class), (["fox", "walrus", "other"].map(str::to_owned).to_vec(), vec![1, 2, 2]));
    assert!(folders.untrained_background.unwrap().ends_with("test/Empty"));
    // An empty folder of it asks for nothing, and one to train on is the label of the test's.
    for files in [
        &["train/fox/a.jpg", "train/walrus/b.jpg", "test/fox/c.jpg", "test/other/"],
        &["train/fox/a.jpg", "train/other/b.jpg", "test/fox/c.jpg", "test/other/d.jpg"],
    ] {
        let folders = read(files).unwrap();
        assert_eq!((folders.test.unwrap().labels, folders.untrained_background), (folders.train.labels, None));
    }
    let error = refused(&["train/fox/a.jpg", "train/empty/b.jpg", "test/other/c.jpg"]);
    assert!(error.contains("/test/other: no such label") && error.contains("empty, fox"), "{error}");
}

#[test]
fn one_level_of_labels_is_to_be_split_later() {
    let folders =
        read(&["walrus/a.jpg", "other/b.jpg", "other/deep/c.jpg", "stray.jpg", "unused/", "notes.txt"]).unwrap();
    assert!(folders.one_level && folders.test.is_none());
    assert_eq!(folders.train.labels, ["other", "walrus"]);
    assert_eq!(folders.train.counts(), [2, 1]);
    let ignored = folders.train.ignored.iter().map(|(path, _)| path.file_name().unwrap());
    assert_eq!(ignored.collect::<Vec<_>>(), ["stray.jpg", "unused"]);
}

#[test]
fn a_label_may_be_called_train() {
    let folders = read(&["train/a.jpg", "other/b.jpg"]).unwrap();
    assert!(folders.one_level);
    assert_eq!(folders.train.labels, ["other", "train"]);
}

#[test]
fn what_can_not_be_trained_on_is_refused_with_what_to_do() {
    for (files, words) in [
        (&["notes.txt"] as &[&str], &["no photos", "one folder a label"] as &[&str]),
        (&["a.jpg", "b.jpg"], &["the folder of one label", "give the folder around it"]),
        (&["bear/", "other/"], &["no photos"]),
        (&["other/a.jpg"], &["only photos of other", "at least two labels"]),
        (&["bear/a.jpg", "fox/b.HEIC"], &["/fox: not one", "b.HEIC, HEIC is not supported", "convert"]),
        (&["Polar Bear/a.jpg", "polar-bear/b.jpg", "x/c.jpg"], &["Polar Bear and ", "/polar-bear", "label polar_bear"]),
        (&["b\u{e4}r/a.jpg", "other/b.jpg"], &["b\u{e4}r", "a to z", "rename"]),
        (&["train/a/1.jpg", "train/b/2.jpg", "test/c/3.jpg"], &["/test/c", "a, b"]),
        (&["train/a/1.jpg", "train/b/2.jpg", "test/"], &["/test", "no photos"]),
        (&["test/a/1.jpg", "test/b/2.jpg"], &["no train folder"]),
        (&["train/a/", "train/b/"], &["/train", "no photos"]),
    ] {
        let error = refused(files);
        assert!(words.iter().all(|word| error.contains(word)), "{files:?}: {error}");
    }
    assert!(Folders::read(Path::new("/no/such")).unwrap_err().to_string().contains("/no/such"));
}

#[test]
fn a_folder_name_that_is_no_text_is_refused_and_not_lost() {
    let root = world(&["other/a.jpg"]);
    let folder = root.path().join(OsStr::from_bytes(b"b\xffar"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.jpg"), "").unwrap();
    assert!(matches!(Folders::read(root.path()), Err(FoldersError::Name { .. })));
    assert!(matches!(Labelled::for_head(root.path(), &head(ARCTIC)), Err(FoldersError::Name { .. })));
}

#[test]
fn folders_beside_train_and_test_are_told_of() {
    let folders = read(&["train/a/1.jpg", "train/b/2.jpg", "validation/a/3.jpg", "4.jpg"]).unwrap();
    let ignored = folders.train.ignored.iter().map(|(path, _)| path.file_name().unwrap());
    assert_eq!(ignored.collect::<Vec<_>>(), ["validation", "4.jpg"]);
}

#[test]
fn photos_for_a_head_follow_its_order_of_labels_and_need_not_cover_them() {
    let root = world(&["Walrus/a.jpg", "polar bear/b.jpg"]);
    let labelled = Labelled::for_head(root.path(), &head(ARCTIC)).unwrap();
    assert_eq!(labelled.labels, ["polar_bear", "walrus", "other"]);
    assert_eq!(labelled.counts(), [1, 1, 0]);
}

#[test]
fn a_label_that_the_head_does_not_know_is_refused_with_those_it_knows() {
    let root = world(&["walrus/a.jpg", "reindeer/b.jpg"]);
    let error = Labelled::for_head(root.path(), &head(ARCTIC)).unwrap_err().to_string();
    assert!(error.contains("/reindeer: ") && error.contains("polar_bear, walrus, other"), "{error}");
    assert!(error.contains("move it into other/"), "{error}");
    let without = Labelled::for_head(root.path(), &head(&ARCTIC[..2])).unwrap_err().to_string();
    assert!(!without.contains("into"), "{without}");
}

#[test]
fn background_has_many_names_but_only_where_there_is_one_such_label() {
    let root = world(&["empty/a.jpg", "walrus/b.jpg"]);
    let labelled = Labelled::for_head(root.path(), &head(ARCTIC)).unwrap();
    assert_eq!(labelled.counts(), [0, 1, 1]);
    let two = [("walrus", false), ("snow", true), ("sea", true)];
    for labels in [&ARCTIC[..2], &two] {
        assert!(matches!(Labelled::for_head(root.path(), &head(labels)), Err(FoldersError::NotInHead { .. })));
    }
}

#[test]
fn two_spellings_of_a_label_are_refused_wherever_they_stand() {
    let root = world(&["Polar Bear/a.jpg", "polar-bear/b.jpg"]);
    for result in [Labelled::for_head(root.path(), &head(ARCTIC)).err(), Folders::read(root.path()).err()] {
        assert!(matches!(result, Some(FoldersError::SameLabel { .. })), "{result:?}");
    }
    let error = refused(&["train/a/1.jpg", "train/b/2.jpg", "test/A/3.jpg", "test/a/4.jpg"]);
    assert!(error.contains("test/A and ") && error.contains("label a"), "{error}");
}

#[test]
fn a_folder_of_parts_is_refused_with_the_one_to_give() {
    let both = world(&["train/walrus/a.jpg", "test/walrus/b.jpg"]);
    let error = Labelled::for_head(both.path(), &head(ARCTIC)).unwrap_err().to_string();
    assert!(error.contains("train/") && error.ends_with("/test"), "{error}");
    let train = world(&["train/walrus/a.jpg"]);
    let error = Labelled::for_head(train.path(), &head(ARCTIC)).unwrap_err().to_string();
    assert!(error.ends_with("/train"), "{error}");
}
