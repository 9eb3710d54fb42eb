//! The arguments of `arcticd head`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::ask::AskCall;
use super::push::{Clear, Push};

/// What follows `arcticd head`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Head {
    /// At a desk.
    #[command(flatten)]
    Desk(Box<HeadCommand>),
    /// Push a head to traps over MQTT, and wait for what they make of it
    Push(Box<Push>),
    /// Take a head that was pushed off the broker again
    Clear(Box<Clear>),
    /// Ask traps, signed: take labels, fit a head, give features, forget a head
    Ask(Box<AskCall>),
    /// Ask the running daemon which heads serve and what became of those that were pushed
    #[command(after_help = "Examples:\n  arcticd head list\n  arcticd head list --config ./arcticd.toml --json")]
    List {
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// End a new head's trial, or return to the head before; the one left is refused for ever
    #[command(after_help = "Example:\n  arcticd head rollback")]
    Rollback,
}

/// What is done with a head at a desk.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum HeadCommand {
    /// Make a key pair: NAME.key to sign with, NAME.pub for the traps
    NewKey(NewKey),
    /// Sign a head, so that traps that trust the key accept it
    Sign(Sign),
    /// Show everything in a head and check it; any doubt is an error
    Inspect(Inspect),
    /// Make a head of an ONNX network trained elsewhere (Keras, PyTorch, scikit-learn)
    Pack(Pack),
}

/// Make a key pair.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "Example:\n  arcticd head new-key field        field.key and field.pub")]
pub struct NewKey {
    /// Where to write: NAME.key and NAME.pub
    #[arg(value_name = "NAME", value_hint = ValueHint::FilePath)]
    pub name: PathBuf,
    /// Do not ask for a password that protects the secret key
    #[arg(long, conflicts_with = "password_file")]
    pub no_password: bool,
    /// Read the password from the first line of a file instead of asking
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
}

/// Sign a head.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "Example:\n  arcticd head sign svalbard.head --key field.key")]
pub struct Sign {
    /// The head, changed in place
    #[arg(value_name = "NAME.head", value_hint = ValueHint::FilePath)]
    pub head: PathBuf,
    /// The secret key
    #[arg(long, value_name = "FILE", required_unless_present = "signature", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
    /// Read the key's password from the first line of a file instead of asking
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// Put in a signature that minisign made of the unpacked manifest.json, where the key lives on another machine
    #[arg(long, value_name = "FILE.minisig", conflicts_with = "key", requires = "public_key", value_hint = ValueHint::FilePath)]
    pub signature: Option<PathBuf>,
    /// The public key that --signature is checked with
    #[arg(long, value_name = "FILE.pub", requires = "signature", value_hint = ValueHint::FilePath)]
    pub public_key: Option<PathBuf>,
}

/// Show and check a head.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "Examples:\n  arcticd head inspect                              the built-in one\n  arcticd head inspect svalbard.head --trust field.pub"
)]
pub struct Inspect {
    /// A .head file or a head's directory; the built-in head without
    #[arg(value_name = "HEAD", value_hint = ValueHint::AnyPath)]
    pub head: Option<PathBuf>,
    /// Public keys that count as trusted: files, or folders of .pub files
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub trust: Vec<PathBuf>,
    /// Manifest of the backbone that it is checked against (a .toml file); the built-in backbone without
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub backbone: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// Make a head of an ONNX network.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    after_help = "Example:\n  arcticd head pack --onnx layers.onnx --labels polar_bear,other --alert polar_bear --backbone builtin -o my.head"
)]
pub struct Pack {
    /// The trained layers: one input of features, one output a label
    #[arg(long, value_name = "FILE.onnx", value_hint = ValueHint::FilePath)]
    pub onnx: PathBuf,
    /// Labels in the order of the network's output, separated by commas
    #[arg(long, value_name = "LABELS", value_delimiter = ',', required = true)]
    pub labels: Vec<String>,
    /// Manifest of the backbone that it was trained on (a .toml file), or builtin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub backbone: PathBuf,
    /// Labels that alert
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub alert: Vec<String>,
    /// Labels that are background and never alert [default: other, background, empty, ... among them]
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub background: Vec<String>,
    /// Smallest probability that alerts, for all labels (0 to 1)
    #[arg(long, value_name = "P", default_value = "0.5")]
    pub threshold: String,
    /// Head to write
    #[arg(short, long, value_name = "NAME.head", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// Name of the head, [a-z0-9.-]+ [default: from NAME.head]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Version for people [default: today's date]
    #[arg(long, value_name = "TEXT")]
    pub head_version: Option<String>,
    /// Counts the releases of this head: traps take none below the one they have [default: one above that of the head
    /// that is replaced, else 1]
    #[arg(long, value_name = "N")]
    pub sequence: Option<u64>,
}
