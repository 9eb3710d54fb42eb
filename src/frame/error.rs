//! Why a file is no frame.

/// Why a file is no frame. The messages do not name the file: only the caller knows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// No bytes at all.
    #[error("the file is empty: the camera did not finish it; check its battery and its card")]
    Empty,
    /// Not the beginning of any picture known here.
    #[error(
        "this is not a picture (JPEG, PNG, TIFF, WebP, GIF or BMP): keep other files out of the capture directory, or \
         check the card if the camera wrote it"
    )]
    Unrecognised,
    /// A picture or film of a kind that is not decoded here.
    #[error("{format} is not supported: set the camera to plain JPEG pictures")]
    Unsupported {
        /// The kind, for people.
        format: String,
    },
    /// Over a limit; nothing was decoded.
    #[error("the {what} would be {actual}, more than the {limit} allowed: set the camera to smaller pictures")]
    TooLarge {
        /// What is too large, with its unit.
        what: &'static str,
        /// What the file asks for.
        actual: u64,
        /// What [`Limits`](super::Limits) allow.
        limit: u64,
    },
    /// The system refused memory within the limits.
    #[error(
        "the system has no {bytes} bytes of memory left to decode the picture: free some, or set the camera to smaller pictures"
    )]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
    },
    /// Too little of the picture can be decoded.
    #[error("the picture is damaged: {reason}; check the camera's battery, its card and the way files are copied")]
    Damaged {
        /// What the decoder stumbled over.
        reason: String,
    },
    /// A resize to an impossible size, or of pixels whose sides do not match their bytes.
    #[error("cannot resize {from} to {to}: sides must be 1 to 16384 pixels; check the model's input size")]
    Resize {
        /// Sides of the source.
        from: String,
        /// Sides wanted.
        to: String,
    },
}

impl FrameError {
    /// What is wrong with a file in a folder of photos, and what to do about it where no camera is at hand.
    pub fn at_desk(&self) -> String {
        match self {
            Self::Empty => "the file is empty: copy it again, or delete it".into(),
            Self::Unrecognised => {
                "this is not a picture (JPEG, PNG, TIFF, WebP, GIF or BMP): convert it, or take it out of the folder"
                    .into()
            }
            Self::Unsupported { format } => format!("{format} is not supported: convert it to JPEG"),
            Self::TooLarge { what, actual, limit } => {
                format!("the {what} would be {actual}, more than the {limit} allowed: make the picture smaller")
            }
            Self::OutOfMemory { bytes } => {
                format!(
                    "there are no {bytes} bytes of memory left to decode the picture: free some, or make it smaller"
                )
            }
            Self::Damaged { reason } => {
                format!("the picture is damaged: {reason}; copy it again, or take it out of the folder")
            }
            Self::Resize { .. } => self.to_string(),
        }
    }

    /// [`FrameError::Damaged`] with anything that can say what happened.
    pub(super) fn damaged(reason: impl std::fmt::Display) -> Self {
        Self::Damaged { reason: reason.to_string() }
    }
}
