//! Cards full of rendered frames, and `replay` on them.
#![allow(dead_code)] // Each test program uses its own part of it.

use std::collections::BTreeMap;
use std::path::Path;

use testkit::daemon::World;
use testkit::scenes::Scene;

use crate::parts::BIN;

/// A folder `card` in a world.
pub struct Card<'a>(&'a World);

impl<'a> Card<'a> {
    pub fn new(world: &'a World) -> Self {
        std::fs::create_dir_all(world.path("card")).unwrap();
        Self(world)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.0.path("card").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

/// What a run said.
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `arcticd replay` with these arguments in the world's folder, on its configuration.
pub fn replay(world: &World, arguments: &[&str]) -> Output {
    let config = world.write_config().unwrap();
    let mut command = world.command(BIN);
    command.arg("replay").args(arguments);
    if !arguments.contains(&"--config") {
        command.arg("--config").arg(config);
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A rendered frame as large as those that the head was fitted on.
pub fn scene(scene: Scene, seed: u64) -> Vec<u8> {
    scene.jpeg(testkit::head::FIRST_SHOWN_SEED + seed, 480, 360).unwrap()
}

/// A frame whose camera says when it was taken, `2026:11:20 04:00:00`, and perhaps how far its clock is from UTC.
pub fn shot(kind: Scene, seed: u64, time: &str, offset: Option<&str>) -> Vec<u8> {
    let picture = scene(kind, seed);
    let exif = exif(time, offset);
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&picture[..2], &[0xFF, 0xE1], &length, &exif, &picture[2..]].concat()
}

/// DateTimeOriginal, and OffsetTimeOriginal if there is one.
fn exif(time: &str, offset: Option<&str>) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let texts: Vec<(u16, String)> = [(0x9003, Some(time)), (0x9011, offset)]
        .into_iter()
        .filter_map(|(tag, text)| Some((tag, format!("{}\0", text?))))
        .collect();
    // The header, a directory of one entry, and behind it the directory of the texts.
    let directory = 8 + 2 + 12 + 4;
    let mut at = u32::try_from(directory + 2 + 12 * texts.len() + 4).unwrap();
    let mut bytes = b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec();
    bytes.extend(entry(0x8769, 4, 1, u32::try_from(directory).unwrap()));
    bytes.extend([0; 4]);
    bytes.extend(u16::try_from(texts.len()).unwrap().to_le_bytes());
    for (tag, text) in &texts {
        let length = u32::try_from(text.len()).unwrap();
        bytes.extend(entry(*tag, 2, length, at));
        at += length;
    }
    bytes.extend([0; 4]);
    texts.iter().for_each(|(_, text)| bytes.extend(text.as_bytes()));
    bytes
}

/// The lines of a CSV file, cell by cell: commas, quoted where need be, a quote doubled (RFC 4180).
pub fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut lines, mut line, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut cell));
                lines.push(std::mem::take(&mut line));
            }
            _ => cell.push(letter),
        }
    }
    assert!(!quoted && cell.is_empty() && line.is_empty(), "{} ends in the middle", path.display());
    lines
}

/// A CSV table, a map a row.
pub fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let lines = lines(path);
    let (header, rows) = lines.split_first().unwrap();
    let row = |cells: &Vec<String>| {
        assert_eq!(cells.len(), header.len(), "{}: {cells:?}", path.display());
        header.iter().cloned().zip(cells.iter().cloned()).collect()
    };
    rows.iter().map(row).collect()
}
