//! What an alerting frame says, in the transaction that marks it done.

use crate::classifier::Classified;
use crate::config::Alerts;
use crate::detect::burst;
use crate::detection::Detection;
use crate::journal::{JournalError, Transaction, priority};
use crate::pictures::{Allowance, in_base64};

/// Topic of detections and event summaries.
pub(super) const TOPIC: &str = "detection";

/// Messages that wait, from which on alerts go without pictures: those of a long outage would fill the disk, for the outbox is
/// bounded by its messages' number.
const MOST_WAITING: u64 = 1_000;

/// An alerting frame on its way to the outbox.
pub(super) struct Alert<'a> {
    pub(super) classified: &'a Classified,
    pub(super) alerts: &'a Alerts,
    /// JPEG that is to be in the message.
    pub(super) picture: Option<&'a [u8]>,
    pub(super) allowance: Option<&'a Allowance>,
}

/// What came of an alert.
pub(super) struct Told {
    pub(super) event: String,
    pub(super) published: bool,
}

impl Alert<'_> {
    /// Puts the frame into its event, and the message, if there is to be one, into the outbox.
    pub(super) fn queue(&self, transaction: &mut Transaction) -> Result<Told, JournalError> {
        let detection = self.classified.detection.clone();
        let camera = detection.camera.as_deref().unwrap_or_default();
        let at = self.classified.at;
        let (from, to) = burst::reach(at, self.alerts);
        let near = transaction.events_near(camera, &detection.label, from, to)?;
        let burst::Joined { stored, mut detection, publish } = burst::join(detection, at, near, self.alerts)?;
        // Without the picture: the summary does not bring it a second time.
        transaction.put_event(&stored)?;
        if publish {
            detection.thumbnail = self.thumbnail(transaction);
            let priority = if detection.replayed { priority::REPLAYED } else { priority::LIVE };
            let id = detection.id.clone();
            transaction.queue(&id, priority, TOPIC, |epoch, seq| numbered(detection, epoch, seq))?;
        }
        Ok(Told { event: stored.event.id, published: publish })
    }

    /// The picture in base64, as far as the day's bytes and those that wait allow.
    fn thumbnail(&self, transaction: &mut Transaction) -> Option<String> {
        let text = in_base64(self.picture?);
        // The alert is not to fail with the count.
        let granted = self.grants(transaction, text.len() as u64).unwrap_or_else(|error| {
            tracing::error!("{error}; the alert goes without its picture");
            false
        });
        granted.then_some(text)
    }

    fn grants(&self, transaction: &mut Transaction, bytes: u64) -> Result<bool, JournalError> {
        if transaction.waiting()? >= MOST_WAITING {
            return Ok(false);
        }
        let Some(allowance) = self.allowance else { return Ok(true) };
        allowance.grants(|day, most| transaction.spend(day, bytes, most))
    }
}

/// The message with its number.
pub(super) fn numbered(mut detection: Detection, epoch: &str, seq: u64) -> Detection {
    detection.epoch = Some(epoch.to_owned());
    detection.seq = Some(seq);
    detection
}
