//! `arcticd backbone add`: the manifest of a backbone that a user brings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::ending::{self, Ending};
use super::family::{self, Family, Recipe};
use crate::classifier::guarded;
use crate::cli::{Add, MapPooling};
use crate::exit_code::ExitCode;
use crate::model::{Backbone, BackboneManifest, Input, Layout, Output, Pooling, SelfTest};
use crate::onnx::{Attributes, Graph, is_float, sides, title};
use crate::quantize::{digest, shape_of};
use crate::terminal;
use crate::whole_file;

/// Features that a self-test compares one by one.
const FIRST: usize = 16;

/// Runs the command.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn run(call: &Add) -> Result<ExitCode> {
    if call.like == "help" {
        terminal::print(&family::list())?;
        return Ok(ExitCode::Ok);
    }
    let Some(family) = Family::named(&call.like) else {
        let near = Family::nearest(&call.like).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        bail!("--like {}: no such family{near} (`arcticd backbone add --like help` lists them)", call.like);
    };
    let Some(network) = &call.network else {
        terminal::complain(format_args!(
            "backbone add wants the network, a file: arcticd backbone add FILE.onnx --like {}",
            call.like
        ));
        return Ok(ExitCode::Usage);
    };
    let out = Out::at(network, call.output.as_deref())?;
    let onnx = std::fs::read(network).with_context(|| format!("network {}", network.display()))?;
    let at = || network.display().to_string();
    // A network that makes a library panic is an error like any other.
    let described = guarded("load", || describe(&onnx, family, call, &out));
    let described = described.map_err(anyhow::Error::from).and_then(|described| described).with_context(at)?;
    whole_file::write_bytes(&out.manifest, described.text.as_bytes())?;
    // Names of nodes are those of whoever made the network.
    let mut words: Vec<String> = described.words.iter().map(|sentence| terminal::plain(sentence)).collect();
    words.push(format!(
        "{} written; set [model] backbone to it, and train a head on it",
        terminal::line(out.manifest.display())
    ));
    terminal::print(&words.join("\n"))?;
    Ok(ExitCode::Ok)
}

/// Where the manifest goes and what it calls the network.
struct Out {
    manifest: PathBuf,
    file: String,
}

impl Out {
    fn at(network: &Path, output: Option<&Path>) -> Result<Self> {
        let file = network.file_name().and_then(|name| name.to_str());
        let file = file.with_context(|| format!("{}: not a file name that a manifest can hold", network.display()))?;
        let manifest = output.map_or_else(|| network.with_extension("toml"), Path::to_owned);
        ensure!(manifest != network, "{}: the manifest would replace the network", manifest.display());
        // It may hold what somebody has written into it: a licence, a self-test of another machine.
        ensure!(
            std::fs::symlink_metadata(&manifest).is_err(),
            "{} exists already and is not overwritten; remove it, or choose another file with -o",
            manifest.display()
        );
        let folder = |path: &Path| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            std::fs::canonicalize(folder).with_context(|| folder.display().to_string())
        };
        ensure!(
            folder(&manifest)? == folder(network)?,
            "{}: a manifest lies in the folder of its network, {}; move one of them",
            manifest.display(),
            network.display()
        );
        Ok(Self { manifest, file: file.to_owned() })
    }
}

/// A manifest that loads, and what it rests on in words.
struct Described {
    text: String,
    words: Vec<String>,
}

fn describe(onnx: &[u8], family: &Family, call: &Add, out: &Out) -> Result<Described> {
    let graph = Graph::parse(onnx)?;
    let (input, mut words) = input(&graph, family)?;
    let output = output(&graph, &input, call, &mut words)?;
    let stem = Path::new(&out.file).file_stem().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let id = stem.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let mut manifest = BackboneManifest {
        format: 1,
        id,
        description: format!("{} ({})", family.of, family.name),
        file: out.file.clone(),
        sha256: digest(onnx),
        licence: "unknown".into(),
        input,
        output,
        self_test: None,
    };
    words.push("its licence is not known: write that of its weights into the manifest".into());
    // By the same rules as a reader's.
    BackboneManifest::parse(&toml::to_string(&manifest)?)?;
    let test = self_test(Backbone::load(manifest.clone(), onnx, 1)?)?;
    words.push(format!("self-test: the first {} of {} features", test.first.len(), manifest.output.features));
    manifest.self_test = Some(test);
    let text = toml::to_string(&manifest).context("the manifest can't be written as TOML")?;
    Backbone::load(BackboneManifest::parse(&text)?, onnx, 1).context("the manifest that was made does not load")?;
    Ok(Described { text, words })
}

/// Size and axes of the picture as the file has them, the rest as the family wants it.
fn input(graph: &Graph, family: &Family) -> Result<(Input, Vec<String>)> {
    let [info] = graph.input_infos() else {
        bail!("it has {} inputs; a backbone has one, the picture", graph.input_infos().len());
    };
    ensure!(is_float(info), "its input `{}` is not of 32-bit floats; export it with a float input", info.name);
    let declared = sides(info).unwrap_or_else(|| vec![None; 4]);
    let &[_, a, b, c] = declared.as_slice() else {
        bail!("its input `{}` has {} axes; a picture has 4: batch, channels, rows, columns", info.name, declared.len());
    };
    let turned = || {
        let mut first = graph.consumers(&info.name).iter().filter_map(|place| graph.node(*place));
        first.any(|node| node.op_type == "Transpose" && matches!(node.ints("perm"), Ok(Some([0, 3, 1, 2]))))
    };
    let layout = match (a, c) {
        (Some(3), _) => Layout::Nchw,
        (_, Some(3)) => Layout::Nhwc,
        (None, None) if turned() => Layout::Nhwc,
        (None, None) => Layout::Nchw,
        _ => bail!("its input `{}` has the shape {declared:?}: none of the axes has the 3 colours", info.name),
    };
    let (rows, columns) = if layout == Layout::Nchw { (b, c) } else { (a, b) };
    let side = |found: Option<usize>| found.map_or(Ok(family.side), u32::try_from);
    let (height, width) = (side(rows)?, side(columns)?);
    let whose =
        if rows.is_some() && columns.is_some() { "as the file says" } else { "the family's, the file leaves it open" };
    let axes = if layout == Layout::Nchw { "channels first" } else { "channels last" };
    let mut words = vec![
        format!("input: {width} x {height} pixels, {whose}, {axes}"),
        format!("preprocessing as {} has it: {}. {}", family.name, family.in_words(), family.note),
    ];
    if let Some(node) = scales_itself(graph, &info.name)
        && family.recipe != Recipe::Raw
    {
        words.push(format!(
            "warning: the network begins with a {} (`{}`), as one that scales pixels itself; is {} right?",
            node.op_type,
            title(node),
            family.name
        ));
    }
    let input = Input {
        width,
        height,
        layout,
        channels: family.channels(),
        filter: family.filter,
        fit: family.fit,
        preprocessing: family.preprocessing(),
    };
    Ok((input, words))
}

/// The node that does arithmetic on pixels before the first convolution.
fn scales_itself<'a>(graph: &'a Graph, input: &str) -> Option<&'a tract_onnx::pb::NodeProto> {
    let mut tensor = input.to_owned();
    for _ in graph.nodes() {
        let node = graph.consumers(&tensor).first().and_then(|place| graph.node(*place))?;
        match node.op_type.as_str() {
            "Sub" | "Mul" | "Div" | "Add" => return Some(node),
            "Transpose" | "Cast" | "Identity" => node.result().clone_into(&mut tensor),
            _ => return None,
        }
    }
    None
}

/// Where the features are, and how many.
fn output(graph: &Graph, input: &Input, call: &Add, words: &mut Vec<String>) -> Result<Output> {
    let ending = match &call.cut {
        Some(cut) => {
            let why = "as --cut says".into();
            Ending { cut: Some(cut.clone()), map: Some(graph.tensor_named(cut)?), flattens: false, why }
        }
        None => ending::find(graph).map_err(anyhow::Error::msg)?,
    };
    let flatten = match call.pooling {
        Some(pooling) => pooling == MapPooling::Flatten,
        None => ending.flattens,
    };
    // All values of the map are there only before it is pooled.
    let cut = match &ending.map {
        Some(map) if flatten && call.cut.is_none() => Some(map.clone()),
        _ => ending.cut,
    };
    let tensor = match &cut {
        Some(cut) => graph.tensor_named(cut)?,
        None => graph.outputs().next().context("the network has no output")?.to_owned(),
    };
    let shape = shape_of(input, graph, &tensor)?;
    let layout = ending::layout(graph, &tensor, input.layout);
    let (pooling, features) = match (shape.as_slice(), layout) {
        (&[_, _, _, _], _) if flatten => (Pooling::Flatten, shape.iter().product()),
        (&[_, channels, _, _], Layout::Nchw) | (&[_, _, _, channels], Layout::Nhwc) => (Pooling::Average, channels),
        _ if flatten && call.pooling.is_some() => {
            bail!(
                "--pooling flatten: at {tensor} there is no map left, only a vector of shape {shape:?}; cut earlier with --cut"
            )
        }
        _ => (Pooling::None, shape.iter().product()),
    };
    let place = cut.as_ref().map_or_else(|| format!("its own output `{tensor}`"), |cut| format!("`{cut}`"));
    let how = match pooling {
        Pooling::Flatten => "all values of the map",
        Pooling::Average => "the mean over rows and columns",
        Pooling::None => "the vector as it is",
    };
    words.push(format!("features: {features}, taken at {place}: {}; {how} (shape there {shape:?})", ending.why));
    Ok(Output { cut, pooling, layout, features })
}

/// What the network itself gives for the self-test's picture.
fn self_test(backbone: Backbone) -> Result<SelfTest> {
    let features = backbone.features_of_input(&backbone.probe())?;
    let largest = features.iter().fold(0_f32, |largest, value| largest.max(value.abs()));
    ensure!(
        largest > 0.0,
        "all features of the self-test's picture are 0; is this the right place to cut, and was it trained?"
    );
    let mean = features.iter().sum::<f32>() / features.len() as f32;
    // Float arithmetic in another order differs by some 1e-5 of the largest value.
    let tolerance = 0.001 * largest;
    Ok(SelfTest { first: features.into_iter().take(FIRST).collect(), mean, tolerance })
}
