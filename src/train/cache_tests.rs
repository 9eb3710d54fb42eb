#![allow(clippy::unwrap_used)]
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::model::source::{self, Origin};

fn entry(rows: usize) -> Entry {
    let mut gray = [0; VALUES];
    gray.iter_mut().enumerate().for_each(|(place, value)| *value = place as u8);
    let rows = (0..rows).map(|row| vec![row as f32, -1.5, f32::MIN_POSITIVE]).collect();
    Entry { thumb: Thumb::from_gray(gray), partial: true, rows }
}

const KEY: Key = Key([7; 32]);

fn file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder.join("features")).unwrap();
    files.next().unwrap().unwrap().path()
}

#[test]
fn what_was_kept_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    assert_eq!(cache.load(&KEY, 1, 3), None);
    cache.store(&KEY, &entry(3));
    assert_eq!(cache.load(&KEY, 3, 3), Some(entry(3)));
    assert_eq!(cache.load(&KEY, 1, 3), Some(entry(3)));
    assert_eq!(cache.load(&KEY, 4, 3), None, "too few rows");
    assert_eq!(cache.load(&KEY, 1, 2), None, "another width");
    assert_eq!(cache.load(&Key([8; 32]), 1, 3), None);
}

#[test]
fn a_damaged_cut_or_foreign_entry_is_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    cache.store(&KEY, &entry(2));
    let file = file(folder.path());
    let good = std::fs::read(&file).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        assert_eq!(Entry::parse(&bad, &KEY, 1, 3), None, "byte {place}");
        assert_eq!(Entry::parse(&good[..place], &KEY, 1, 3), None, "cut at {place}");
    }
    for foreign in [b"".to_vec(), b"hello".to_vec(), vec![0; 1 << 20], entry(2).to_bytes(&Key([1; 32]))] {
        std::fs::write(&file, foreign).unwrap();
        assert_eq!(cache.load(&KEY, 1, 3), None);
    }
    cache.store(&KEY, &entry(2));
    assert_eq!(cache.load(&KEY, 2, 3), Some(entry(2)), "written anew");
}

#[test]
fn values_that_are_no_numbers_are_not_believed() {
    let mut broken = entry(1);
    broken.rows[0][1] = f32::NAN;
    assert_eq!(Entry::parse(&broken.to_bytes(&KEY), &KEY, 1, 3), None);
}

#[test]
fn a_folder_that_cannot_be_written_is_no_failure() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let locked = root.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    // A file where the folder should be fails for everybody, a locked one for all but root.
    for folder in [file, locked] {
        let cache = Cache::at(&folder);
        cache.store(&KEY, &entry(1));
        cache.store(&KEY, &entry(1));
        cache.prune();
    }
    Cache::none().store(&KEY, &entry(1));
    assert_eq!(Cache::none().load(&KEY, 1, 3), None);
}

#[test]
fn the_oldest_entries_go_first_and_other_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let keys: Vec<Key> = (0..4).map(|number| Key([number; 32])).collect();
    for (age, key) in keys.iter().enumerate() {
        cache.store(key, &entry(1));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + age as u64);
        let file = std::fs::File::options().append(true).open(cache.path(key).unwrap()).unwrap();
        file.set_modified(time).unwrap();
    }
    let own = folder.path().join("features/notes.txt");
    std::fs::write(&own, "mine").unwrap();
    let length = entry(1).to_bytes(&KEY).len() as u64;
    cache.prune_to(2 * length);
    let left: Vec<bool> = keys.iter().map(|key| cache.load(key, 1, 3).is_some()).collect();
    assert_eq!(left, [false, false, true, true]);
    assert!(own.exists());
}

#[test]
fn keys_differ_by_file_seed_and_preprocessing() {
    let backbone = source::backbone(&Origin::Builtin, 1).unwrap();
    let keys = Keys::of(&backbone);
    let (a, b) = (ContentHash::of(b"a"), ContentHash::of(b"b"));
    let all = [keys.plain(&a), keys.plain(&b), keys.views(&a, 0), keys.views(&a, 1), keys.views(&b, 0)];
    for (place, key) in all.iter().enumerate() {
        assert!(!all[..place].contains(key), "{place}");
    }
    assert_eq!(Keys::of(&backbone).plain(&a), keys.plain(&a));
}
