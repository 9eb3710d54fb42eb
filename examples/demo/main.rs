//! arcticd in a few seconds: a broker, the daemon and a subscriber in one process, on loopback, in a temporary directory.
//!
//! `cargo run --release --example demo` shows rendered scenes to a head that is fitted on the spot;
//! `cargo run --release --example demo -- --frames DIR` shows your own photos to the built-in head.

mod photos;
mod print;
mod rig;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use rig::Interrupted;

/// Drops frames into a capture directory, and prints the alerts that arrive over MQTT.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Directory with your own photos: they are copied, never touched, and scored by the built-in head. Without it,
    /// rendered scenes are shown.
    #[arg(long, value_name = "DIR")]
    frames: Option<PathBuf>,
}

fn main() -> ExitCode {
    let shown = match Arguments::parse().frames {
        Some(directory) => photos::show(&directory),
        None => story::tell(),
    };
    match shown {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => {
            println!("\ninterrupted; everything is stopped and removed");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
