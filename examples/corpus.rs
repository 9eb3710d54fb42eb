//! Writes the corpora that fuzzing begins with: a valid head, and some mutations of each kind. `cargo xtask corpus`.

use std::path::Path;

use anyhow::{Context, Result};
use arcticd::accept::ask::{FrameLabel, Wanted, What};
use arcticd::accept::{Ask, Content};
use arcticd::frame::ContentHash;
use arcticd::journal::Which;
use testkit::head::signed::{self, Maker};
use testkit::mutate::{Attack, Material, steady};

/// Mutations, a few of each kind.
const COUNT: u64 = 300;
/// Larger ones teach a fuzzer nothing.
const LARGEST: usize = 64 << 10;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("where to? give a folder")?;
    let folder = Path::new(&folder);
    for name in ["ask", "bundle", "manifest", "offer", "topic"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    let write = |target: &str, name: &str, bytes: &[u8]| -> Result<()> {
        if bytes.len() <= LARGEST {
            std::fs::write(folder.join(target).join(name), bytes)?;
        }
        Ok(())
    };
    let frame = ContentHash::of(b"a frame");
    for (name, what) in [
        ("labels", What::Labels(vec![FrameLabel { frame, label: "polar_bear".into() }])),
        ("refit", What::Refit),
        ("frames", What::Features(Wanted::Frames(vec![frame]))),
        ("some", What::Features(Wanted::Some(Which::Alert, 5))),
        ("forget", What::Forget(vec![frame])),
    ] {
        write("ask", name, &Ask { audience: vec!["north".into()], sequence: 1, what }.encode())?;
    }
    let maker = Maker::new()?;
    let (good, older) = (steady(&maker, 0.9, 6)?, steady(&maker, 0.8, 5)?);
    write("bundle", "good", &signed::file(&good)?)?;
    write("manifest", "good", good.manifest_bytes())?;
    let offer = signed::offer(&good)?;
    write("offer", "good", &offer.encode())?;
    write("topic", "good", format!("head/chunk/{}/0", offer.id()).as_bytes())?;
    let material = Material::new(maker, good, older)?;
    for number in 0..COUNT {
        let name = number.to_string();
        match material.mutation(1, number)?.attack {
            Attack::Message(Content::Set, bytes) => write("bundle", &name, &bytes)?,
            Attack::Message(Content::Offer, bytes) => {
                if let Ok(offer) = arcticd::accept::Offer::decode(&bytes) {
                    write("manifest", &name, &offer.manifest)?;
                }
                write("offer", &name, &bytes)?;
            }
            Attack::Topic(below, _) => write("topic", &name, format!("head/{below}").as_bytes())?,
            Attack::Message(..) | Attack::TooLarge(..) => {}
        }
    }
    Ok(())
}
