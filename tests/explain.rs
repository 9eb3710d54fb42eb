//! Where a decision came from: the sum is the decision, and it comes from where the animal is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod parts;

use arcticd::explain::Explainer;
use arcticd::frame::Pixels;
use arcticd::model::source::{self, Origin};
use parts::{BIN, head};
use testkit::daemon::program;
use testkit::scenes::Scene;

const SEED: u64 = testkit::head::FIRST_SHOWN_SEED;

fn scenes_head() -> Origin {
    Origin::Path(head().to_owned())
}

#[test]
fn the_cells_sum_to_the_logit_of_each_label_less_its_bias() {
    for head in [Origin::Builtin, scenes_head()] {
        let explainer = Explainer::load(&Origin::Builtin, &head, 1).unwrap();
        let model = source::model(&Origin::Builtin, &head, 1).unwrap();
        let picture = Scene::Bear.render(SEED, 640, 480);
        // What the head says, on its own way: logarithms of probabilities are the logits but for one number that all share.
        let logs =
            |scores: Vec<(String, f32)>| scores.into_iter().map(|(label, p)| (label, p.ln())).collect::<Vec<_>>();
        let whole = logs(model.classify(&picture).unwrap().labels);
        let nothing = logs(model.head().score(&vec![0.0; model.backbone().features()]).unwrap());
        let explained: Vec<_> = whole.iter().map(|(label, _)| explainer.explain(&picture, label).unwrap()).collect();
        // A head that the daemon has loaded says the same.
        let of_loaded = Explainer::of(&Origin::Builtin, model.head(), 1).unwrap();
        for (explained, (label, _)) in explained.iter().zip(&whole) {
            assert_eq!(&of_loaded.explain(&picture, label).unwrap(), explained);
        }
        let apart = |values: &[f32], at: usize| values[at] - values[0];
        let (whole, nothing): (Vec<f32>, Vec<f32>) =
            whole.iter().zip(&nothing).map(|((_, whole), (_, nothing))| (*whole, *nothing)).unzip();
        let logits: Vec<f32> = explained.iter().map(|it| it.bias + it.cells.iter().sum::<f32>()).collect();
        let biases: Vec<f32> = explained.iter().map(|it| it.bias).collect();
        for at in 1..whole.len() {
            let (found, expected) = (apart(&logits, at), apart(&whole, at));
            assert!((found - expected).abs() < 0.02 * expected.abs().max(1.0), "label {at}: {found}, not {expected}");
            let (found, expected) = (apart(&biases, at), apart(&nothing, at));
            assert!((found - expected).abs() < 0.02 * expected.abs().max(1.0), "bias {at}: {found}, not {expected}");
        }
        assert_eq!(
            (explained[0].rows * explained[0].columns, explained[0].seen.width),
            (explained[0].cells.len(), 192)
        );
    }
}

/// An empty scene with a smaller picture in the middle of its left or right half.
fn with_inset(ground: &Pixels, inset: &Pixels, left: bool) -> Pixels {
    let mut rgb = ground.rgb.clone();
    let (ground_width, width) = (ground.width as usize, inset.width as usize);
    let x = if left { (ground_width / 2 - width) / 2 } else { ground_width / 2 + (ground_width / 2 - width) / 2 };
    let y = (ground.height - inset.height) as usize / 2;
    for (row, line) in inset.rgb.chunks_exact(width * 3).enumerate() {
        let start = ((y + row) * ground_width + x) * 3;
        rgb[start..start + width * 3].copy_from_slice(line);
    }
    Pixels { rgb, ..ground.clone() }
}

#[test]
fn it_lights_up_on_the_side_where_the_bear_is() {
    let explainer = Explainer::load(&Origin::Builtin, &scenes_head(), 1).unwrap();
    for seed in 0..5 {
        let (ground, bear) = (Scene::Empty.render(SEED + seed, 640, 480), Scene::Bear.render(SEED + seed, 300, 300));
        // How far the left half is ahead of the right one.
        let lead = |left: bool| -> f32 {
            let explained = explainer.explain(&with_inset(&ground, &bear, left), "polar_bear").unwrap();
            let halves = explained
                .cells
                .iter()
                .enumerate()
                .map(|(place, cell)| if place % explained.columns < explained.columns / 2 { *cell } else { -cell });
            halves.sum()
        };
        let (on_the_left, on_the_right) = (lead(true), lead(false));
        assert!(on_the_left > 0.0 && on_the_right < 0.0, "seed {seed}: {on_the_left} and {on_the_right}");
    }
}

#[test]
fn once_paints_it_beside_what_the_network_saw_and_spares_the_photo() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, painted) = (folder.path().join("a.jpg"), folder.path().join("a.png"));
    let bytes = Scene::Bear.jpeg(SEED, 640, 480).unwrap();
    std::fs::write(&photo, &bytes).unwrap();
    let once = |explain: &std::path::Path| {
        program(BIN)
            .env_clear()
            .current_dir(&folder)
            .args(["--once"])
            .arg(&photo)
            .arg("--explain")
            .arg(explain)
            .output()
            .unwrap()
    };
    let output = once(&painted);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("a.png: 6 x 6 places add "), "{said}");
    let picture = image::open(&painted).unwrap();
    assert_eq!((picture.width(), picture.height()), (2 * 576 + 12, 576));

    let refused = once(&photo);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("would write over the image"));
    assert_eq!(std::fs::read(&photo).unwrap(), bytes);
    let other = folder.path().join("other.jpg");
    std::fs::write(&other, &bytes).unwrap();
    let refused = once(&other);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is there and no PNG"));
    assert_eq!(std::fs::read(&other).unwrap(), bytes);
    assert_eq!(once(&painted).status.code(), Some(0), "its own picture of before is written over");
    assert_eq!(once(&folder.path().join("missing/a.png")).status.code(), Some(1));
}
