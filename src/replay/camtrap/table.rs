//! The columns of the standard's tables, and how a row gets into them.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::replay::file;

/// Columns of a table, in the standard's order: readers such as R's `frictionless` demand all of them, in this order.
pub struct Columns(pub &'static [&'static str]);

/// `deployments.csv` of Camtrap DP 1.0.2.
pub const DEPLOYMENTS: Columns = Columns(&[
    "deploymentID",
    "locationID",
    "locationName",
    "latitude",
    "longitude",
    "coordinateUncertainty",
    "deploymentStart",
    "deploymentEnd",
    "setupBy",
    "cameraID",
    "cameraModel",
    "cameraDelay",
    "cameraHeight",
    "cameraDepth",
    "cameraTilt",
    "cameraHeading",
    "detectionDistance",
    "timestampIssues",
    "baitUse",
    "featureType",
    "habitat",
    "deploymentGroups",
    "deploymentTags",
    "deploymentComments",
]);

/// `media.csv` of Camtrap DP 1.0.2.
pub const MEDIA: Columns = Columns(&[
    "mediaID",
    "deploymentID",
    "captureMethod",
    "timestamp",
    "filePath",
    "filePublic",
    "fileName",
    "fileMediatype",
    "exifData",
    "favorite",
    "mediaComments",
]);

/// `observations.csv` of Camtrap DP 1.0.2.
pub const OBSERVATIONS: Columns = Columns(&[
    "observationID",
    "deploymentID",
    "mediaID",
    "eventID",
    "eventStart",
    "eventEnd",
    "observationLevel",
    "observationType",
    "cameraSetupType",
    "scientificName",
    "count",
    "lifeStage",
    "sex",
    "behavior",
    "individualID",
    "individualPositionRadius",
    "individualPositionAngle",
    "individualSpeed",
    "bboxX",
    "bboxY",
    "bboxWidth",
    "bboxHeight",
    "classificationMethod",
    "classifiedBy",
    "classificationTimestamp",
    "classificationProbability",
    "observationTags",
    "observationComments",
]);

/// A table that is being written.
pub struct Table<'a> {
    columns: &'static [&'static str],
    out: csv::Writer<&'a mut BufWriter<File>>,
}

impl Columns {
    /// Writes a table to `path`, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system and of `rows`.
    pub fn write(&self, path: &Path, rows: impl FnOnce(&mut Table) -> Result<()>) -> Result<()> {
        file::write_whole(path, |out| {
            let mut table = Table { columns: self.0, out: csv::Writer::from_writer(out) };
            table.out.write_record(self.0)?;
            rows(&mut table)?;
            Ok(table.out.flush()?)
        })
    }
}

impl Table<'_> {
    /// Writes a row; columns that are not named stay empty, which means unknown.
    ///
    /// # Errors
    /// Those of the file system, and a column that the table does not have.
    pub fn row(&mut self, values: &[(&str, &str)]) -> Result<()> {
        if let Some((name, _)) = values.iter().find(|(name, _)| !self.columns.contains(name)) {
            bail!("there is no column {name}; please report this");
        }
        let value = |column: &&str| values.iter().find(|(name, _)| name == column).map_or("", |(_, value)| value);
        self.out.write_record(self.columns.iter().map(value)).context("a row can't be written")
    }
}
