//! What the watch has to say.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Something worth a log line or a counter; its `Display` is that line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The capture directory is not there, or is no directory. Said once, then waited for.
    RootMissing {
        /// The capture directory.
        path: PathBuf,
        /// What the system said.
        error: String,
    },
    /// The capture directory came back after [`Report::RootMissing`].
    RootBack {
        /// The capture directory.
        path: PathBuf,
    },
    /// Another directory now has the capture directory's path: a card mounted or removed, a folder made anew.
    RootReplaced {
        /// The capture directory.
        path: PathBuf,
    },
    /// A picture in a format that is not decoded. Said once a name.
    UnsupportedFile {
        /// Relative to the capture directory.
        name: String,
        /// Name of the format.
        format: &'static str,
    },
    /// A file or directory that could not be looked at. Said once, and again only after it worked in between.
    FileError {
        /// Relative to the capture directory; empty for the capture directory itself.
        name: String,
        /// What the system said.
        error: String,
    },
    /// A full scan ended.
    ScanDone {
        /// Frames found, new or not.
        files: usize,
        /// Frames that were not known yet and now wait to settle.
        new: usize,
        /// How long it took.
        took: Duration,
        /// False when the queue had no room for all of them; the scan is repeated when it runs low.
        complete: bool,
    },
    /// More events than the kernel or this process holds; a full scan follows, nothing is lost.
    EventsLost,
    /// The kernel gives no file events; the directory is polled instead.
    WatchUnavailable {
        /// What the system said.
        reason: String,
    },
    /// File events work again after [`Report::WatchUnavailable`].
    WatchRestored,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootMissing { path, error } => {
                write!(f, "capture directory {path:?} cannot be used ({error}); waiting for it")
            }
            Self::RootBack { path } => write!(f, "capture directory {path:?} is back"),
            Self::RootReplaced { path } => write!(f, "capture directory {path:?} is another one now; scanning it"),
            Self::UnsupportedFile { name, format } => {
                write!(f, "{name:?} is {format}, which is not decoded; let the camera write JPEG")
            }
            Self::FileError { name, error } => {
                write!(f, "{name:?} in the capture directory cannot be looked at ({error}); check its permissions")
            }
            Self::ScanDone { files, new, took, complete } => {
                let rest = if *complete { "" } else { "; more when the queue runs low" };
                write!(f, "scanned {files} frames in {} ms, {new} new{rest}", took.as_millis())
            }
            Self::EventsLost => write!(f, "file events were lost in a flood; scanning instead"),
            Self::WatchUnavailable { reason } => write!(
                f,
                "no file events ({reason}); polling instead, frames are noticed a few seconds later; \
                 raise fs.inotify.max_user_watches or max_user_instances"
            ),
            Self::WatchRestored => write!(f, "file events work again"),
        }
    }
}
