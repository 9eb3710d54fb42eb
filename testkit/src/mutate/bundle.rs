//! Whole heads, as on `head/set`: damaged, cut, put together otherwise, signed by nobody or somebody else.

use anyhow::Result;
use arcticd::accept::Content;
use arcticd::heads::bundle::ENTRIES;

use super::archive::{Entry, archive, entries};
use super::bytes::{below, change_bytes, cut_and_paste, extend, flip_bits, noise, truncate};
use super::{Attack, Make, Material};
use crate::scenes::random::Random;

/// Names that lead somewhere else.
const NAMES: [&str; 12] = [
    "/etc/passwd",
    "../../record.json",
    "../record.json",
    "./manifest.json",
    "manifest.json/",
    "head.onnx/../record.json",
    "..",
    "",
    "HEAD.ONNX",
    "head.onnx\nmore",
    "incoming/0",
    "\u{202e}nosj.tsefinam",
];

/// What can be done to a whole head.
pub(super) const KINDS: &[(&str, Make)] = &[
    ("bundle: flipped bits", |it, random| set(flip_bits(it.file.clone(), random))),
    ("bundle: changed bytes", |it, random| set(change_bytes(it.file.clone(), random))),
    ("bundle: truncated", |it, random| set(truncate(it.file.clone(), random))),
    ("bundle: extended", |it, random| set(extend(it.file.clone(), random))),
    ("bundle: cut and pasted", |it, random| set(cut_and_paste(it.file.clone(), random))),
    ("bundle: noise", |_, random| {
        let count = random.pick(&[0, 1, 511, 512, 1024, 10_000]);
        set(noise(random, count))
    }),
    ("bundle: too large", |_, random| {
        let bytes = (16 << 20) + below(random, 1 << 30);
        Ok(Some(Attack::TooLarge(Content::Set, bytes)))
    }),
    ("bundle: entries in another order", |it, random| {
        let mut entries = entries(&it.file);
        for _ in 0..3 {
            let (a, b) = (below(random, entries.len()), below(random, entries.len()));
            entries.swap(a, b);
        }
        set(archive(&entries))
    }),
    ("bundle: an entry twice", |it, random| {
        let mut entries = entries(&it.file);
        let (from, to) = (below(random, entries.len()), below(random, entries.len() + 1));
        if let Some(entry) = entries.get(from).cloned() {
            entries.insert(to, entry);
        }
        set(archive(&entries))
    }),
    ("bundle: an entry missing", |it, random| {
        let mut entries = entries(&it.file);
        entries.remove(below(random, entries.len()));
        set(archive(&entries))
    }),
    ("tar: a name that leads elsewhere", |it, random| {
        let name = random.pick(&NAMES);
        one_entry(it, random, |entry, _| entry.named(name).sealed())
    }),
    ("tar: a prefix before the name", |it, random| {
        let prefix = random.pick(&["/", "..", "../..", "/etc", "a"]);
        one_entry(it, random, |mut entry, _| {
            entry.put(345, prefix.as_bytes());
            entry.sealed()
        })
    }),
    ("tar: hard and soft links", |it, random| {
        let to = random.pick(&["/etc/passwd", "../record.json", "manifest.json", ""]);
        one_entry(it, random, |entry, random| {
            let entry = entry.kind(random.pick(b"12")).link(to);
            if below(random, 2) == 0 { entry } else { Entry { content: Vec::new(), ..entry }.sized() }
        })
    }),
    ("tar: devices, folders, pipes, old types", |it, random| {
        one_entry(it, random, |entry, random| entry.kind(random.pick(b"34567\0ASMVDZ")))
    }),
    ("tar: pax and GNU headers", |it, random| {
        let mut entries = entries(&it.file);
        let text = random.pick(&["30 path=../../record.json\n", "22 size=99999999999\n", "../../../etc/passwd", ""]);
        let kind = random.pick(b"xgLKSN");
        let name = random.pick(&["././@LongLink", "PaxHeaders/head.onnx", "head.onnx"]);
        let entry = Entry::new(name, text.as_bytes().to_vec()).kind(kind);
        entries.insert(below(random, entries.len() + 1), entry);
        set(archive(&entries))
    }),
    ("tar: other owner, mode, time, magic", |it, random| {
        one_entry(it, random, |mut entry, random| {
            let (at, bytes) = random.pick(&[
                (100, b"0004755\0".as_slice()),
                (108, b"0001750\0"),
                (116, b"0001750\0"),
                (136, b"00000000000\0"),
                (257, b"ustar  \0"),
                (257, b"\0\0\0\0\0\0\0\0"),
                (265, b"root"),
                (297, b"root"),
                (329, b"0000001\0"),
                (500, b"\x01"),
            ]);
            entry.put(at, bytes);
            entry.sealed()
        })
    }),
    ("tar: giant and odd sizes", |it, random| {
        one_entry(it, random, |mut entry, random| {
            let odd: [&[u8]; 8] = [
                b"77777777777\0",
                b"777777777777",
                b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                b"-0000000001\0",
                b"0x00000ffff\0",
                b"            ",
                b"00000000000\0",
            ];
            let size = odd.get(below(random, odd.len())).copied().unwrap_or_default();
            entry.put(124, size);
            entry.sealed()
        })
    }),
    ("tar: a size that is off by a little", |it, random| {
        one_entry(it, random, |mut entry, random| {
            let off = random.pick(&[-512, -1, 1, 511, 512, 1024]);
            let size = (entry.content.len() as i64 + off).max(0);
            entry.put(124, format!("{size:011o}\0").as_bytes());
            entry.sealed()
        })
    }),
    ("tar: bytes in the padding or after the end", |it, random| {
        let mut bytes = it.file.clone();
        let zeros: Vec<usize> = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at).collect();
        if let Some(byte) = zeros.get(below(random, zeros.len())).and_then(|at| bytes.get_mut(*at)) {
            *byte = 1 + (random.next() % 255) as u8;
        }
        set(bytes)
    }),
    ("signature: none", |it, _| signed_with(it, Vec::new())),
    ("signature: by a key of a stranger", |it, _| {
        let signature = it.stranger.sign(it.good.manifest_bytes())?;
        signed_with(it, signature.encode().into_bytes())
    }),
    ("signature: by a stranger's key under the id of ours", |it, _| {
        let (theirs, ours) = (it.stranger.sign(it.good.manifest_bytes())?, it.good.signature());
        let id = |signature: &[u8]| -> Option<Vec<u8>> {
            let line = signature.split(|byte| *byte == b'\n').nth(1)?;
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, line).ok()
        };
        let theirs = theirs.encode();
        let (Some(mut forged), Some(real)) =
            (id(theirs.as_bytes()), ours.and_then(|ours| id(ours.encode().as_bytes())))
        else {
            return Ok(None);
        };
        if let (Some(to), Some(from)) = (forged.get_mut(2..10), real.get(2..10)) {
            to.copy_from_slice(from);
        }
        let forged = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, forged);
        let line = theirs.lines().nth(1).unwrap_or_default();
        signed_with(it, theirs.replace(line, &forged).into_bytes())
    }),
    ("signature: of another head", |it, _| {
        let other = it.older.signature().map(|signature| signature.encode().into_bytes());
        signed_with(it, other.unwrap_or_default())
    }),
    ("signature: written otherwise, or with another comment", |it, random| {
        let text = it.good.signature().map(arcticd::heads::signature::Signature::encode).unwrap_or_default();
        let other = match below(random, 8) {
            0 => text.replace('\n', "\r\n"),
            1 => text.replacen("untrusted comment: ", "untrusted comment: by Ada, ", 1),
            2 => text.replace("made by a test", "sequence:999999"),
            3 => text.trim_end().to_owned(),
            4 => format!("{text}\n"),
            5 => text.replace('=', ""),
            6 => text.replace("RUQ", "RWQ"),
            _ => text.to_lowercase(),
        };
        signed_with(it, other.into_bytes())
    }),
    ("mix and match: files of another head", |it, random| {
        let (ours, theirs) = (entries(&it.file), entries(&crate::head::signed::file(&it.older)?));
        let choice = 1 + below(random, 14);
        let mixed: Vec<Entry> = ours
            .into_iter()
            .zip(theirs)
            .enumerate()
            .map(|(at, (ours, theirs))| if choice >> at & 1 == 0 { ours } else { theirs })
            .collect();
        set(archive(&mixed))
    }),
];

fn set(bytes: Vec<u8>) -> Result<Option<Attack>> {
    Ok(Some(Attack::Message(Content::Set, bytes)))
}

/// Changes one entry of the good head, whichever.
fn one_entry(
    it: &Material,
    random: &mut Random,
    change: impl FnOnce(Entry, &mut Random) -> Entry,
) -> Result<Option<Attack>> {
    let mut entries = entries(&it.file);
    let at = below(random, entries.len());
    let changed = change(entries.remove(at), random);
    entries.insert(at, changed);
    set(archive(&entries))
}

/// The good head with another signature.
fn signed_with(it: &Material, signature: Vec<u8>) -> Result<Option<Attack>> {
    let mut entries = entries(&it.file);
    if let Some(first) = entries.first_mut() {
        *first = Entry::new(ENTRIES[0], signature);
    }
    set(archive(&entries))
}
