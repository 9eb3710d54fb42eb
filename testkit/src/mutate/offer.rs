//! Offers: an envelope of JSON around base64 around a signature and a manifest, and each layer can lie.

use anyhow::Result;
use arcticd::accept::{Content, MAX_OFFER, Offer};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

use super::bytes::{below, change_bytes, cut_and_paste, extend, flip_bits, noise, truncate};
use super::{Attack, Make};

/// What can be done to an offer.
pub(super) const KINDS: &[(&str, Make)] = &[
    ("offer: flipped bits", |it, random| offer(flip_bits(it.offer.encode(), random))),
    ("offer: changed bytes", |it, random| offer(change_bytes(it.offer.encode(), random))),
    ("offer: truncated", |it, random| offer(truncate(it.offer.encode(), random))),
    ("offer: extended", |it, random| offer(extend(it.offer.encode(), random))),
    ("offer: cut and pasted", |it, random| offer(cut_and_paste(it.offer.encode(), random))),
    ("offer: manifest with flipped bits", |it, random| {
        let manifest = flip_bits(it.offer.manifest.clone(), random);
        offer(Offer { manifest, ..it.offer.clone() }.encode())
    }),
    ("offer: signature with flipped bits", |it, random| {
        let signature = flip_bits(it.offer.signature.clone(), random);
        offer(Offer { signature, ..it.offer.clone() }.encode())
    }),
    ("offer: signature of another head", |it, random| {
        let other = Offer::of(&it.older).unwrap_or_else(|| it.offer.clone());
        let mixed = if below(random, 2) == 0 {
            Offer { signature: other.signature, ..it.offer.clone() }
        } else {
            Offer { manifest: other.manifest, ..it.offer.clone() }
        };
        offer(mixed.encode())
    }),
    ("offer: by the key of a stranger", |it, _| {
        let signature = it.stranger.sign(&it.offer.manifest)?.encode().into_bytes();
        offer(Offer { signature, ..it.offer.clone() }.encode())
    }),
    ("offer: unsigned", |it, _| offer(Offer { signature: Vec::new(), ..it.offer.clone() }.encode())),
    ("offer: manifest and signature swapped", |it, _| {
        let Offer { manifest, signature } = it.offer.clone();
        offer(Offer { manifest: signature, signature: manifest }.encode())
    }),
    ("offer: base64 of other kinds", |it, random| {
        let Offer { manifest, signature } = &it.offer;
        let (text, sign) = (STANDARD.encode(manifest), STANDARD.encode(signature));
        let (text, sign) = match below(random, 7) {
            0 => (text.trim_end_matches('=').to_owned() + "====", sign),
            1 => (URL_SAFE.encode(noise(random, 900)), sign),
            2 => (text, STANDARD_NO_PAD.encode(&signature[..signature.len().saturating_sub(1)])),
            3 => (text.replacen('e', "e\\n", 1 + below(random, 20)), sign),
            4 => (format!(" {text}"), sign),
            5 => (format!("{text}{text}"), sign),
            // The unused bits of the last digit.
            _ => (text, loosen(&sign)),
        };
        offer(format!("{{\"manifest\":\"{text}\",\"signature\":\"{sign}\"}}").into_bytes())
    }),
    ("offer: deep JSON", |_, random| {
        let depth = random.pick(&[100, 127, 128, 129, 10_000, 200_000]);
        let open = random.pick(&["[", "{\"manifest\":", "[{\"a\":"]);
        let mut text = open.repeat(depth);
        if below(random, 2) == 0 {
            text.push('0');
            text.push_str(&open.chars().rev().filter_map(close).collect::<String>().repeat(depth));
        }
        offer(text.into_bytes())
    }),
    ("offer: keys twice, missing, unknown, of other types", |it, random| {
        let text = String::from_utf8(it.offer.encode())?;
        let other = match below(random, 9) {
            0 => text.replacen('{', "{\"manifest\":\"\",", 1),
            1 => text.replacen('{', "{\"more\":1,", 1),
            2 => text.replace("signature", "Signature"),
            3 => text.replace("signature", "manifest"),
            4 => text.replacen(":\"", ":[\"", 1).replacen("\",", "\"],", 1),
            5 => "null".into(),
            6 => "{}".into(),
            7 => text.replacen(':', ":null,\"x\":", 1),
            _ => format!("[{text}]"),
        };
        offer(other.into_bytes())
    }),
    ("offer: too large", |_, random| {
        let bytes = MAX_OFFER + 1 + below(random, 64 << 20);
        Ok(Some(Attack::TooLarge(Content::Offer, bytes)))
    }),
    ("offer: noise as large as may be", |_, random| {
        let count = random.pick(&[1, 100, 10_000]);
        offer(noise(random, count))
    }),
];

fn offer(bytes: Vec<u8>) -> Result<Option<Attack>> {
    Ok(Some(Attack::Message(Content::Offer, bytes)))
}

fn close(open: char) -> Option<char> {
    match open {
        '[' => Some(']'),
        '{' => Some('}'),
        _ => None,
    }
}

/// Another last digit, which a lax decoder takes for the same bytes.
fn loosen(base64: &str) -> String {
    let digits = base64.trim_end_matches('=');
    let padding = &base64[digits.len()..];
    let (rest, last) = digits.split_at(digits.len().saturating_sub(1));
    let last = last.chars().map(|digit| ((digit as u8) + 1) as char).collect::<String>();
    format!("{rest}{last}{padding}")
}
