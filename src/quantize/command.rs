//! `arcticd backbone quantize`: files in, files out.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::{Method, Options, Photos, Progress, quantize};
use crate::cli::{Quantize, RangeMethod};
use crate::exit_code::ExitCode;
use crate::frame::{Filter, Fit};
use crate::model::source::{self, Origin};
use crate::model::{Backbone, BackboneManifest, Channels, Input, Layout, Output, Pooling, Preprocessing};
use crate::onnx::Graph;
use crate::terminal;
use crate::whole_file;

/// Runs the command and prints its report.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(call: &Quantize) -> Result<ExitCode> {
    let network = call.network.display();
    let onnx = std::fs::read(&call.network).with_context(|| format!("network {network}"))?;
    let manifest = manifest(call, &onnx)?;
    let head = call.head.as_ref().map(|head| source::head(&Origin::Path(head.clone()))).transpose()?;
    if let Some(head) = &head
        && head.manifest().backbone.features != manifest.output.features
    {
        bail!(
            "head {} takes {} features, the backbone gives {}",
            head.title(),
            head.manifest().backbone.features,
            manifest.output.features
        );
    }
    if let Some(head) = &head
        && !head.manifest().backbone.sha256.eq_ignore_ascii_case(&manifest.sha256)
    {
        terminal::complain(format_args!(
            "head {} was trained on {}, another file than {network}: its verdicts here say little",
            head.title(),
            head.manifest().backbone.id
        ));
    }
    let out = Out::at(&call.output)?;
    out.spares(&call.network)?;
    out.spares(call.manifest.as_deref().unwrap_or(&call.network.with_extension("toml")))?;
    let progress = Progress::on_terminal();
    let photos = Photos::load(&call.calibrate, &manifest.input, call.photos as usize, &progress)?;
    for (file, reason) in &photos.skipped {
        terminal::complain(format_args!("{}: {reason}; skipped", terminal::line(file.display())));
    }
    let options = Options {
        methods: methods(call.method),
        equalize: !call.no_equalize,
        correct_bias: !call.no_bias_correction,
        weights_only: call.weights_only,
    };
    let mut quantized =
        quantize(&onnx, &manifest, &photos, head.as_ref(), &options, &progress).with_context(|| network.to_string())?;
    quantized.manifest.file = out.file_name;
    let text = toml::to_string(&quantized.manifest).context("the manifest can't be written as TOML")?;
    whole_file::write_bytes(&call.output, &quantized.onnx)?;
    whole_file::write_bytes(&out.manifest, text.as_bytes())?;
    if call.json {
        terminal::print(&serde_json::to_string(&quantized.report)?)?;
    } else {
        let files = [&call.output, &out.manifest].map(|path| terminal::line(path.display()));
        terminal::print(&format!("{}\n{} written", quantized.report, files.join(" and ")))?;
    }
    Ok(if photos.skipped.is_empty() { ExitCode::Ok } else { ExitCode::SomeFailed })
}

fn methods(method: RangeMethod) -> Vec<Method> {
    match method {
        RangeMethod::Auto => Method::ALL.to_vec(),
        RangeMethod::Minmax => vec![Method::MinMax],
        RangeMethod::Percentile => vec![Method::Percentile99999, Method::Percentile9999, Method::Percentile999],
        RangeMethod::Mse => vec![Method::Mse],
    }
}

/// Where the result goes.
struct Out {
    file_name: String,
    network: PathBuf,
    manifest: PathBuf,
}

impl Out {
    fn at(output: &Path) -> Result<Self> {
        let file_name = output.file_name().and_then(|name| name.to_str());
        let file_name = file_name.with_context(|| format!("{}: not a file name", output.display()))?.to_owned();
        let manifest = output.with_extension("toml");
        if manifest == output {
            bail!("{}: ends in .toml, where the manifest is to go; choose another ending", output.display());
        }
        // A long calculation must not end at a folder that was never there.
        whole_file::check_writable(output)?;
        Ok(Self { file_name, manifest, network: output.to_owned() })
    }

    /// Refuses to write over what is read.
    fn spares(&self, input: &Path) -> Result<()> {
        let Ok(input) = input.canonicalize() else { return Ok(()) };
        for output in [&self.network, &self.manifest] {
            if output.canonicalize().is_ok_and(|output| output == input) {
                bail!("{} would be written over by the result; choose another name for -o", input.display());
            }
        }
        Ok(())
    }
}

/// The manifest given, the one beside the network, or one made of the flags.
fn manifest(call: &Quantize, onnx: &[u8]) -> Result<BackboneManifest> {
    let beside = call.network.with_extension("toml");
    let flags = call.size.is_some() || call.preprocessing.is_some() || call.cut.is_some();
    let path = match &call.manifest {
        Some(path) => path,
        None if !flags && beside.is_file() => &beside,
        None => {
            let manifest = from_flags(call, onnx)?;
            if beside.is_file() {
                let beside = terminal::line(beside.display());
                terminal::complain(format_args!("{beside} is not read: the flags say what the network wants"));
            }
            return Ok(manifest);
        }
    };
    let text = std::fs::read_to_string(path).with_context(|| format!("manifest {}", path.display()))?;
    let manifest = BackboneManifest::parse(&text).with_context(|| path.display().to_string())?;
    let found = super::measure::digest(onnx);
    if !manifest.sha256.eq_ignore_ascii_case(&found) {
        bail!(
            "{} describes another file: it says sha256 {}, {} has {found}",
            path.display(),
            manifest.sha256,
            call.network.display()
        );
    }
    if manifest.self_test.is_some() {
        // What the manifest says wrongly would be quantized wrongly.
        Backbone::load(manifest.clone(), onnx, 1).with_context(|| path.display().to_string())?;
    }
    Ok(manifest)
}

fn ends_in_softmax(graph: &Graph) -> bool {
    let last = graph.outputs().next().and_then(|output| graph.producer(output)).and_then(|place| graph.node(place));
    last.is_some_and(|node| node.op_type == "Softmax")
}

fn from_flags(call: &Quantize, onnx: &[u8]) -> Result<BackboneManifest> {
    let network = call.network.display();
    let (Some(size), Some(recipe)) = (call.size, &call.preprocessing) else {
        let beside = call.network.with_extension("toml");
        if beside.is_file() {
            bail!(
                "--size and --preprocessing go together (and with --cut); without all of them {} is read",
                beside.display()
            );
        }
        bail!("there is no manifest {}; give --manifest, or --size and --preprocessing (and --cut)", beside.display());
    };
    let named = serde_json::from_value(serde_json::Value::String(recipe.clone()));
    let named = named.map_err(|_| {
        anyhow!("--preprocessing {recipe}: not one of symmetric, zero_to_one, torch, caffe, caffe_over255")
    })?;
    let graph = Graph::parse(onnx).with_context(|| network.to_string())?;
    if call.cut.is_none() && ends_in_softmax(&graph) {
        bail!(
            "{network} ends in a Softmax: these are class scores, no features; name with --cut the node before its classifier"
        );
    }
    let shape = graph.inputs().next().and_then(|input| graph.shape(input));
    let layout = match shape.as_deref() {
        Some([_, _, _, 3]) => Layout::Nhwc,
        _ => Layout::Nchw,
    };
    let id = call.network.file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let id = id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let mut manifest = BackboneManifest {
        format: 1,
        id,
        description: String::new(),
        file: String::new(),
        sha256: super::measure::digest(onnx),
        licence: "unknown".into(),
        input: Input {
            width: size,
            height: size,
            layout,
            channels: if recipe.starts_with("caffe") { Channels::Bgr } else { Channels::Rgb },
            filter: Filter::Triangle,
            fit: Fit::Stretch,
            preprocessing: Preprocessing::Named(named),
        },
        output: Output { cut: call.cut.clone(), pooling: Pooling::None, layout, features: 1 },
        self_test: None,
    };
    super::measure::complete_output(&mut manifest, &graph).with_context(|| network.to_string())?;
    // The same rules as for a file.
    Ok(BackboneManifest::parse(&toml::to_string(&manifest)?)?)
}
