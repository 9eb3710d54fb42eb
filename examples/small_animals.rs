//! exploration
use anyhow::Result;
use arcticd::frame::{self, Limits, Pixels, Scale};
use arcticd::model::Model;
use arcticd::regions::{Region, Regions, cut, tiles};
use std::path::Path;
use testkit::wide::{Album, Cutout, Light, Place, Wide};

const MARGINS: [f32; 3] = [1.0, 1.15, 1.4];

#[derive(Default)]
struct Kind {
    name: &'static str,
    whole: Vec<f32>,
    best: Vec<[f32; 5]>,
    parts: usize,
    hit: usize,
    iou: f32,
    unknown: usize,
    ms: f32,
}

fn iou(a: (f32, f32, f32, f32), b: &Place) -> f32 {
    let (bx, by, bw, bh) = (b.x as f32, b.y as f32, b.width as f32, b.height as f32);
    let w = (a.0 + a.2).min(bx + bw) - a.0.max(bx);
    let h = (a.1 + a.3).min(by + bh) - a.1.max(by);
    if w <= 0.0 || h <= 0.0 { 0.0 } else { w * h / (a.2 * a.3 + bw * bh - w * h) }
}

fn main() -> Result<()> {
    let root = std::env::var("ARCTICD_TEST_DATA")?;
    let split = std::env::args().nth(1).unwrap_or("test".into());
    let album = Album::load(Path::new(&root), &split)?;
    let model = Model::builtin()?;
    let score = |p: &Pixels| -> Result<f32> { Ok(model.classify(p)?.labels.iter().find(|l| l.0 == "polar_bear").unwrap().1) };
    let names = ["bear 1/8", "bear 1/16", "steady", "jump", "other 1/8"];
    let mut kinds: Vec<Kind> = names.map(|name| Kind { name, ..Kind::default() }).into();
    let bears: Vec<&Cutout> = album.of("polar_bear").collect();
    let others: Vec<&Cutout> = album.animals.iter().filter(|(l, _)| l != "polar_bear").map(|(_, c)| c).collect();
    for (n, ground) in album.landscapes.iter().enumerate() {
        let mut wide = Wide::of(ground, 1920, n as u64)?;
        let mut views = Regions::default();
        for step in 0..31 {
            let pick = |from: &[&Cutout], k: usize| from[(n * 5 + step / 5 + k) % from.len()].clone();
            let (kind, light, animal) = if step < 6 { (2, Light::Steady, None) } else {
                match step % 5 {
                    0 => (0, Light::Steady, Some((pick(&bears, 0), 1.0 / 8.0))),
                    1 => (3, Light::Jump, None),
                    2 => (1, Light::Steady, Some((pick(&bears, 0), 1.0 / 16.0))),
                    3 => (2, Light::Steady, None),
                    _ => (4, Light::Steady, Some((pick(&others, 0), 1.0 / 8.0))),
                }
            };
            let t0 = std::time::Instant::now();
            let (jpeg, place) = wide.frame(light, animal.as_ref().map(|(c, s)| (c, *s)))?;
            let t1 = std::time::Instant::now();
            let small = frame::decode(&jpeg, Scale::AtLeast { width: 384, height: 384 }, &Limits::default())?;
            let t2 = std::time::Instant::now();
            let clock = std::time::Instant::now();
            let found = views.look(None, &small.pixels, 3);
            kinds[kind].ms += clock.elapsed().as_secs_f32() * 1000.0;
            if step < 3 { continue; }
            let k = &mut kinds[kind];
            let t3 = std::time::Instant::now();
            k.whole.push(score(&small.pixels)?);
            if n == 0 { eprintln!("compose {:?} decode {:?} look {:?} net {:?}", t1 - t0, t2 - t1, t3 - t2, t3.elapsed()); }
            let Some(parts) = found else { k.unknown += 1; k.best.push([0.0; 5]); continue };
            k.parts += parts.len();
            let full = if parts.is_empty() { small.pixels.clone() } else { frame::decode(&jpeg, Scale::Full, &Limits::default())?.pixels };
            let mut best = [0.0_f32; 5];
            let mut best_iou = 0.0_f32;
            for part in &parts {
                let (w, h) = (full.width as f32, full.height as f32);
                let abox = (part.x * w, part.y * h, part.width * w, part.height * h);
                if let Some(place) = &place { best_iou = best_iou.max(iou(abox, place)); }
                let mut scores = Vec::new();
                for around in MARGINS {
                    let side = (abox.2.max(abox.3) * around).min(h).min(w);
                    let x = (abox.0 + abox.2 / 2.0 - side / 2.0).clamp(0.0, w - side);
                    let y = (abox.1 + abox.3 / 2.0 - side / 2.0).clamp(0.0, h - side);
                    let region = Region { x: x as u32, y: y as u32, width: side as u32, height: side as u32 };
                    scores.push(score(&cut(&full, region, (full.width, full.height)).unwrap())?);
                }
                let logit = |p: f32| (p.clamp(1e-6, 1.0 - 1e-6) / (1.0 - p.clamp(1e-6, 1.0 - 1e-6))).ln();
                let back = |l: f32| 1.0 / (1.0 + (-l).exp());
                scores.push(back((logit(scores[0]) + logit(scores[1]) + logit(scores[2])) / 3.0));
                scores.push(back((logit(scores[0]) + logit(scores[1])) / 2.0));
                for (b, s) in best.iter_mut().zip(&scores) { *b = b.max(*s); }
            }
            if best_iou > 0.3 { k.hit += 1; k.iou += best_iou; } else if place.is_some() && n % 5 == 0 { std::fs::write(format!("/tmp/rg-miss-{}-{n}-{step}.jpg", names[kind].replace('/', "_").replace(' ', "_")), &jpeg)?; eprintln!("miss n={n} step={step} {} place {place:?} parts {parts:?}", names[kind]); }
            if place.is_none() && !parts.is_empty() && n % 5 == 0 { eprintln!("false part n={n} step={step} {} {parts:?}", names[kind]); }
            k.best.push(best);
        }
    }
    let _ = tiles(1, 1);
    for k in &kinds {
        let n = k.whole.len().max(1) as f32;
        println!("{}: n={n} parts a frame {:.2} unknown {} hit {:.3} mean iou {:.2} look {:.1} ms", k.name, k.parts as f32 / n, k.unknown, k.hit as f32 / n, k.iou / k.hit.max(1) as f32, k.ms / n);
        for variant in 0..6 {
            let name = ["whole", "1.0", "1.15", "1.4", "mean3", "mean2"][variant];
            let values: Vec<f32> = if variant == 0 { k.whole.clone() } else { k.best.iter().map(|b| b[variant - 1]).collect() };
            print!("   {name:>6}");
            for t in [0.1, 0.2, 0.29, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] { print!(" {t}: {:5.1}", 100.0 * values.iter().filter(|s| **s >= t).count() as f32 / n); }
            println!();
        }
    }
    Ok(())
}
