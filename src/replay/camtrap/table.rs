//! The columns of the standard's tables, and how a row gets into them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use csv_core::{WriteResult, Writer};

use crate::whole_file;

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
    // Quotes what must be quoted; bytes and buffers are left to us.
    writer: Writer,
    out: &'a mut BufWriter<File>,
}

impl Columns {
    /// Writes a table to `path`, whole or not at all.
    ///
    /// # Errors
    /// Those of the file system and of `rows`.
    pub fn write(&self, path: &Path, rows: impl FnOnce(&mut Table) -> Result<()>) -> Result<()> {
        whole_file::write::<anyhow::Error>(path, |out| {
            let mut table = Table { columns: self.0, writer: Writer::new(), out };
            table.cells(self.0.iter().copied())?;
            rows(&mut table)
        })
        .with_context(|| whole_file::cannot(path))
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
        self.cells(self.columns.iter().map(value))
    }

    fn cells<'c>(&mut self, cells: impl Iterator<Item = &'c str>) -> Result<()> {
        for (place, cell) in cells.enumerate() {
            if place > 0 {
                self.push(|writer, buffer| writer.delimiter(buffer))?;
            }
            let mut rest = cell.as_bytes();
            self.push(|writer, buffer| {
                let (result, read, written) = writer.field(rest, buffer);
                rest = rest.get(read..).unwrap_or_default();
                (result, written)
            })?;
        }
        self.push(|writer, buffer| writer.terminator(buffer))
    }

    /// Lets `step` write until it has no more.
    fn push(&mut self, mut step: impl FnMut(&mut Writer, &mut [u8]) -> (WriteResult, usize)) -> Result<()> {
        let mut buffer = [0; 512];
        loop {
            let (result, written) = step(&mut self.writer, &mut buffer);
            self.out.write_all(buffer.get(..written).unwrap_or_default())?;
            if result == WriteResult::InputEmpty {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn awkward_values_are_quoted_and_a_column_that_does_not_exist_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.csv");
        let columns = Columns(&["a", "b", "c"]);
        let long = "x".repeat(2_000);
        columns
            .write(&file, |out| {
                out.row(&[("c", "two\nlines"), ("a", "said \"so\", twice")])?;
                out.row(&[("b", &long)])
            })
            .unwrap();
        let expected = format!("a,b,c\n\"said \"\"so\"\", twice\",,\"two\nlines\"\n,{long},\n");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
        assert!(columns.write(&file, |out| out.row(&[("d", "")])).is_err());
    }
}
