//! arcticd: a frame lands, is classified on the device, and its alert reaches a subscriber.
//!
//! The rooms, in the order a frame walks through them:
//!
//! * [`watch`] finds settled files in the capture directory; events are hints, the scan is the truth.
//! * [`frame`] decodes a file into pixels, within limits, and reads when and where it was taken.
//! * [`model`] turns pixels into features (backbone) and features into scores (head).
//! * [`regions`] says where in a wide frame a closer look is worth it, and what is wrong with a camera.
//! * [`detect`] decides what alerts and which frames are one event.
//! * [`journal`] marks the frame done and queues its alert, in one transaction.
//! * [`mqtt`] drains the queue to the broker, an entry gone only on its own acknowledgement; without a broker
//!   [`console`] prints it.
//!
//! Beside the walk: [`accept`] takes pushed heads, tries them beside the one in service and rolls bad ones back; [`heads`] is a head as it travels, signed and checked; [`onnx`] is a network file as a graph. At a desk,
//! never in the daemon: [`train`] fits a head and [`report`] shows how it went, [`evaluate`] measures one, [`explain`] shows where in a frame a decision came from, [`replay`] looks
//! at a card full of frames, [`push`] brings a head to traps, [`fleet`] says how they stand, [`quantize`] and [`workshop`] work on backbones; [`photos`]
//! finds what they look at.
//!
//! What joins them: [`classifier`] is one frame from bytes to a [`detection`], pure, and shared with [`once`];
//! [`pipeline`] is the daemon's worker around it; [`daemon`] starts and stops everything; [`health`] is what it knows of
//! itself, [`service`] what systemd hears of it, [`power`] what the board says of its supply, [`memory`] how much a file may ask for;
//! [`page`] shows it to a browser, if that is wanted, with [`thumbnail`]s. At the door stand [`cli`], [`config`], [`init`],
//! [`check`] (and, for both, `account`: what the daemon's user may read), [`log`] and [`exit_code`].

// They panic where nobody reads; `terminal` does not.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod accept;
mod account;
pub mod check;
pub mod classifier;
pub mod cli;
pub mod config;
pub mod console;
pub mod contract;
pub mod daemon;
pub mod detect;
pub mod detection;
pub mod evaluate;
pub mod exit_code;
pub mod explain;
pub mod fleet;
pub mod frame;
pub mod heads;
pub mod health;
pub mod home;
pub mod init;
pub mod journal;
pub mod log;
pub mod memory;
pub mod model;
pub mod mqtt;
pub mod once;
pub mod onnx;
pub mod page;
pub mod photos;
pub mod pictures;
pub mod pipeline;
pub mod power;
pub mod push;
pub mod quantize;
pub mod regions;
pub mod replay;
pub mod report;
pub mod retention;
pub mod service;
pub mod terminal;
pub mod thumbnail;
pub mod train;
pub mod watch;
pub mod whole_file;
pub mod workshop;
