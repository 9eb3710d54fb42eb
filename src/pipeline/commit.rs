//! What becomes of a frame that was looked at: it is marked done together with what it has to say, and only then is anybody
//! told.

use std::time::Instant;

use time::OffsetDateTime;

use super::alert::{Alert, Told};
use super::{FileRead, Pipeline, camera};
use crate::classifier::{Classified, rfc3339};
use crate::journal::{FrameRow, KeptFrame, Transaction};
use crate::watch::Candidate;

impl Pipeline {
    /// Records a file that is no frame, never to be confused with one where nothing was found.
    pub(super) fn failed(
        &mut self,
        candidate: &Candidate,
        file: &FileRead,
        reason: &str,
        now: OffsetDateTime,
    ) -> anyhow::Result<()> {
        let name = candidate.name.as_str();
        tracing::warn!(frame = name, "not classified: {reason}");
        let row = FrameRow {
            name,
            camera: camera(name),
            failed: Some(reason),
            processed_at: &rfc3339(now),
            ..FrameRow::default()
        };
        self.journal.put_silent(&file.hash, &row, &file.stamp)?;
        self.status.count(|counters| counters.failed += 1);
        if let Some(feed) = &self.feed {
            feed.failed(name, reason, row.processed_at);
        }
        Ok(())
    }

    /// One transaction: the frame is done, and what it has to say is queued.
    pub(super) fn done(
        &mut self,
        candidate: &Candidate,
        file: &FileRead,
        classified: Classified,
    ) -> anyhow::Result<()> {
        let detection = &classified.detection;
        let verdict = &classified.verdict;
        let row = FrameRow {
            name: &candidate.name,
            camera: detection.camera.as_deref(),
            captured_at: Some(classified.at),
            failed: None,
            verdict: Some((&verdict.label, verdict.confidence)),
            alert: verdict.alert,
            head: Some(&detection.model.head),
            processed_at: &detection.processed_at,
        };
        // Only what is to be in the alert itself is made before it is queued.
        let pixels = classified.pixels.as_ref().filter(|_| verdict.alert);
        let inline = self.pictures.as_ref().filter(|pictures| pictures.inline).zip(pixels);
        let inline = inline.and_then(|(pictures, pixels)| pictures.of(pixels, &candidate.name));
        let allowance = self.pictures.as_ref().map(|pictures| pictures.allowance.as_ref());
        let (alerts, most) = (&self.alerts, self.keep_features);
        let backbone = self.classifier.backbone().manifest().sha256.as_str();
        let kept = classified.features.as_ref().map(|levels| KeptFrame {
            backbone,
            levels,
            alert: verdict.alert,
            novel: classified.scores.novel,
            margin: classified.margin(),
        });
        if !verdict.alert && kept.is_none() {
            self.journal.put_silent(&file.hash, &row, &file.stamp)?;
            self.told(candidate, classified, None, None);
            return Ok(());
        }
        let work = |transaction: &mut Transaction| {
            transaction.put_frame(&file.hash, &row)?;
            transaction.note_file(&candidate.name, &file.stamp, &file.hash)?;
            if let Some(kept) = &kept {
                transaction.keep_features(&file.hash, kept, most)?;
            }
            if !verdict.alert {
                return Ok(None);
            }
            let alert = Alert { classified: &classified, alerts, picture: inline.as_deref(), allowance };
            let told = alert.queue(transaction)?;
            transaction.put_in_event(&file.hash, &told.event)?;
            Ok(Some(told))
        };
        // Each sync wears the flash, and takes longer than a small network: only an alert is worth one.
        let told = if verdict.alert { self.journal.transaction(work) } else { self.journal.lazily(work) }?;
        self.told(candidate, classified, told, inline);
        Ok(())
    }

    /// It is done: counted, logged and shown; `picture` was made already.
    fn told(&mut self, candidate: &Candidate, classified: Classified, told: Option<Told>, picture: Option<Vec<u8>>) {
        let Classified { detection, verdict, .. } = &classified;
        self.status.classified();
        self.status.count(|counters| {
            counters.classified += 1;
            counters.alerts += u64::from(verdict.alert);
        });
        if let Some(reason) = classified.closer.as_ref().and_then(|closer| closer.failed.as_deref()) {
            tracing::warn!(
                frame = candidate.name,
                "its parts were not looked at closely, the whole frame was: {reason}"
            );
        }
        if let Some(partial) = &classified.partial {
            tracing::warn!(frame = candidate.name, "decoded in part: {partial}");
        }
        match told {
            Some(told) => {
                tracing::info!(
                    frame = candidate.name,
                    confidence = %detection.confidence,
                    event = told.event,
                    published = told.published,
                    "{}",
                    verdict.label
                );
                self.active.insert(told.event, Instant::now());
                self.outbox_filled.notify_one();
                self.status.queued();
                if told.published {
                    self.put_out(&classified, picture);
                }
            }
            None => tracing::debug!(frame = candidate.name, confidence = %detection.confidence, "{}", verdict.label),
        }
        if let Some(feed) = &self.feed {
            feed.frame(classified.detection, classified.pixels.filter(|_| feed.wants_pictures()));
        }
    }

    /// Lets the link have the picture of an alert that is queued, once nothing more important waits.
    fn put_out(&self, classified: &Classified, made: Option<Vec<u8>>) {
        let Some((pictures, pixels)) = self.pictures.as_ref().zip(classified.pixels.as_ref()) else { return };
        let Some(pending) = &pictures.pending else { return };
        if let Some(jpeg) = made.or_else(|| pictures.of(pixels, &classified.detection.frame.name)) {
            pending.put(&classified.verdict.label, jpeg);
            self.outbox_filled.notify_one();
        }
    }
}
