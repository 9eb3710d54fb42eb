//! The pipeline's end of the page.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::mpsc::Sender;

use super::lock;
use super::tally::Tally;
use crate::detection::Detection;
use crate::frame::Pixels;
use crate::thumbnail::jpeg;

/// News that wait for the page at most; beyond it frames are left out there.
pub(super) const WAITING: usize = 64;
/// Among them with a picture, which takes some megabytes.
const PICTURES: usize = 2;
/// Longest side of a picture, pixels.
const SIDE: u32 = 640;
/// JPEG quality: about 40 KiB a picture.
const QUALITY: u8 = 75;

/// Hands over what the pipeline finished; never waits.
#[derive(Clone)]
pub struct Feed {
    news: Sender<News>,
    watching: Arc<AtomicUsize>,
    tally: Arc<Mutex<Tally>>,
}

/// A frame that was dealt with.
pub(super) enum News {
    Frame { detection: Box<Detection>, pixels: Option<Pixels> },
    Failed(Failure),
}

/// A file that is no frame.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Failure {
    name: String,
    failed: String,
    processed_at: String,
}

/// What hangs on the board.
pub(super) struct Shown {
    pub what: What,
    /// A JPEG.
    pub picture: Option<Bytes>,
}

/// A frame or a file that is none.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum What {
    Frame(Box<Detection>),
    Failed(Failure),
}

impl Feed {
    pub(super) fn new(news: Sender<News>, watching: Arc<AtomicUsize>) -> Self {
        Self { news, watching, tally: Arc::default() }
    }

    pub(super) fn tally(&self) -> Arc<Mutex<Tally>> {
        self.tally.clone()
    }

    /// Whether somebody looks: pictures are made for nobody else.
    pub fn wants_pictures(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0
    }

    /// A frame was looked at, and what became of it is noted.
    pub fn frame(&self, detection: Detection, pixels: Option<Pixels>) {
        lock(&self.tally).count(&detection);
        let waiting = self.news.max_capacity() - self.news.capacity();
        let pixels = pixels.filter(|_| waiting < PICTURES);
        // Full, or the page is gone: the frame is in the journal all the same.
        let _ = self.news.try_send(News::Frame { detection: Box::new(detection), pixels });
    }

    /// A file turned out to be no frame.
    pub fn failed(&self, name: &str, reason: &str, processed_at: &str) {
        let (name, failed, processed_at) = (name.to_owned(), reason.to_owned(), processed_at.to_owned());
        let _ = self.news.try_send(News::Failed(Failure { name, failed, processed_at }));
    }
}

impl Shown {
    /// Whether it is a frame that alerts.
    pub fn alerts(&self) -> bool {
        matches!(&self.what, What::Frame(detection) if detection.decision.alert)
    }
}

impl News {
    /// As it is hung up: the picture is made here.
    pub fn shown(self) -> Shown {
        match self {
            Self::Frame { detection, pixels } => {
                let picture = pixels.and_then(|pixels| match jpeg(&pixels, SIDE, QUALITY) {
                    Ok(jpeg) => Some(jpeg.into()),
                    Err(error) => {
                        tracing::debug!("no picture for the page: {error}");
                        None
                    }
                });
                Shown { what: What::Frame(detection), picture }
            }
            Self::Failed(failure) => Shown { what: What::Failed(failure), picture: None },
        }
    }
}
