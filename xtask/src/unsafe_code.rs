//! `unsafe` counted in sources, as cargo-geiger does, without compiling: the word, outside comments and texts, and what
//! follows it. All files below `src` (or the crate's folder, if it has none) count, those for other systems and those that
//! are tests too: more than is linked, never less, but for what macros make.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// How much of it a crate has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Lines of Rust.
    pub lines: usize,
    /// `unsafe { ... }`.
    pub blocks: usize,
    /// `unsafe fn`, `unsafe extern`, and attributes.
    pub functions: usize,
    /// `unsafe impl` and `unsafe trait`.
    pub impls: usize,
}

impl Count {
    /// Blocks and functions.
    pub fn weight(&self) -> usize {
        self.blocks + self.functions
    }
}

/// Counts in a crate's folder.
pub fn count(folder: &Path) -> Result<Count> {
    let sources = folder.join("src");
    let mut found = Count::default();
    add(if sources.is_dir() { &sources } else { folder }, &mut found)?;
    Ok(found)
}

fn add(folder: &Path, found: &mut Count) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            add(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            found.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
            in_text(&code(&bytes), found);
        }
    }
    Ok(())
}

fn in_text(code: &[u8], found: &mut Count) {
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut at = 0;
    while let Some(offset) = code.get(at..).and_then(|rest| rest.windows(6).position(|part| part == b"unsafe")) {
        let (start, end) = (at + offset, at + offset + 6);
        at = end;
        let before = start.checked_sub(1).and_then(|before| code.get(before));
        if before.is_some_and(word) || code.get(end).is_some_and(word) {
            continue;
        }
        let rest = code.get(end..).unwrap_or_default().trim_ascii_start();
        match rest {
            [b'{', ..] => found.blocks += 1,
            _ if rest.starts_with(b"impl") || rest.starts_with(b"trait") || rest.starts_with(b"auto") => {
                found.impls += 1
            }
            _ => found.functions += 1,
        }
    }
}

/// The source without comments, texts and characters.
fn code(source: &[u8]) -> Vec<u8> {
    let mut code = Vec::with_capacity(source.len());
    let mut rest = source;
    let mut word = false;
    while let Some(first) = rest.first() {
        let skipped = match rest {
            [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => comment(rest),
            [b'r', after @ ..] if !word && raw(after).is_some() => 1 + raw(after).unwrap_or_default(),
            [b'"', ..] => quoted(rest),
            [b'\'', b'\\', _, after @ ..] => 3 + after.iter().position(|byte| *byte == b'\'').map_or(0, |end| end + 1),
            // A lifetime has no end.
            [b'\'', _, b'\'', ..] => 3,
            _ => 0,
        };
        if skipped > 0 {
            code.push(b' ');
            word = false;
        } else {
            code.push(*first);
            // `br"..."` and `cr"..."` are texts, too; `for"` is none.
            let letter = first.is_ascii_alphanumeric() || *first == b'_';
            word = letter && (word || !matches!(first, b'b' | b'c'));
        }
        rest = rest.get(skipped.max(1)..).unwrap_or_default();
    }
    code
}

/// Comments stand within comments.
fn comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match text.get(at..) {
            Some([b'/', b'*', ..]) => (depth, at) = (depth + 1, at + 2),
            Some([b'*', b'/', ..]) if depth == 1 => return at + 2,
            Some([b'*', b'/', ..]) => (depth, at) = (depth - 1, at + 2),
            Some([_, ..]) => at += 1,
            _ => return at,
        }
    }
}

fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match text.get(at) {
            Some(b'\\') => at += 2,
            Some(b'"') => return at + 1,
            Some(_) => at += 1,
            None => return text.len(),
        }
    }
}

/// Length of `#"..."#` with any number of `#`.
fn raw(text: &[u8]) -> Option<usize> {
    let marks = text.iter().take_while(|byte| **byte == b'#').count();
    (text.get(marks) == Some(&b'"')).then_some(())?;
    let end = [b"\"".as_slice(), &b"#".repeat(marks)].concat();
    let inside = text.get(marks + 1..)?;
    let length = inside.windows(end.len()).position(|part| part == end).unwrap_or(inside.len());
    Some((marks + 1 + length + end.len()).min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_counts_in_code_and_nowhere_else() {
        let source = r##"
            // unsafe { }
            /* unsafe /* unsafe fn */ unsafe impl */
            const A: &str = "unsafe { \" unsafe fn";
            const B: &str = r#"unsafe { " unsafe"#;
            const C: [char; 2] = ['"', '\''];
            #![forbid(unsafe_code)]
            unsafe impl<'a> Send for X<'a> {}
            pub unsafe fn f() { unsafe { g() } }
            unsafe extern "C" { fn g(); }
            #[unsafe(no_mangle)]
            fn not_unsafe_at_all() { let r = unsafe
                { h() }; }
        "##;
        let mut found = Count::default();
        in_text(&code(source.as_bytes()), &mut found);
        assert_eq!(found, Count { lines: 0, blocks: 2, functions: 3, impls: 1 });
    }
}
