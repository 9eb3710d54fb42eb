//! What is wrong with a configuration, and where it was written.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A configuration that cannot be used. Its text names each place, what is wrong there and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file named on the command line does not exist.
    #[error(
        "there is no configuration file {}: correct the path after --config, or leave --config out to use {} or the \
         built-in defaults", path.display(), super::DEFAULT_PATH
    )]
    Missing {
        /// The file as it was named.
        path: PathBuf,
    },
    /// The file exists and cannot be read.
    #[error("cannot read the configuration file {}: {reason}; check its owner and permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        reason: io::Error,
    },
    /// The file is larger than any configuration.
    #[error("{} is larger than {limit} bytes: this is not a configuration file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        limit: u64,
    },
    /// The file is not UTF-8.
    #[error("{}:{line}: not UTF-8 text from here on; save the file as UTF-8", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// First line with a wrong byte, counted from 1.
        line: usize,
    },
    /// Keys or values are wrong: all of them, in the order of the file.
    #[error("{}", list(problems))]
    Wrong {
        /// At least one.
        problems: Vec<Problem>,
    },
}

impl ConfigError {
    /// The wrong keys, empty when the file as a whole could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Wrong { problems } => problems,
            _ => &[],
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub place: Place,
    /// The key's dotted path, `mqtt.url`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong and what is allowed, as the rest of a sentence that starts with the key.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.place, self.message),
            key => write!(f, "{}: `{key}` {}", self.place, self.message),
        }
    }
}

/// Where a value was written. Ordered as a reader meets them: the file from top to bottom, then the environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file; line and column count from 1, in characters.
    File {
        /// The file.
        path: PathBuf,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// In an environment variable.
    Variable(String),
    /// Nowhere: a built-in default.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("built-in default"),
        }
    }
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    match lines.len() {
        1 => lines.concat(),
        count => format!("the configuration has {count} problems\n{}", lines.join("\n")),
    }
}
