//! What benches have left behind: criterion's medians and our own figures, by their ids.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::recorded::{Figure, Unit, figures_dir};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The bench.
    pub group: String,
    /// How much; of a time the median of an iteration.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// Half of the interval in which the median lies with 95 %, as a share of it; criterion's only.
    pub noise: Option<f64>,
    /// What one iteration does, where criterion was told.
    pub elements: Option<u64>,
}

/// All values by id: `group/function/parameter`, as criterion prints it, or `group/name`.
pub type Measured = BTreeMap<String, Value>;

/// Why what was measured cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasuredError {
    /// A file or a directory.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// It.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not of the form that criterion 0.8, or this version, writes.
    #[error("{path} has another form: {source}")]
    OtherForm {
        /// It.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What criterion calls a bench.
#[derive(Deserialize)]
struct Bench {
    group_id: String,
    full_id: String,
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<u64>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    confidence_interval: Interval,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Interval {
    lower_bound: f64,
    upper_bound: f64,
}

/// Reads all that benches left in criterion's directory. What was not run is not in it; what was run long ago is, until it
/// is run again.
///
/// # Errors
/// [`MeasuredError`].
pub fn read(home: &Path) -> Result<Measured, MeasuredError> {
    let mut measured = Measured::new();
    let (mut times, mut figures) = (Vec::new(), Vec::new());
    files(home, "benchmark.json", &mut times)?;
    for path in times.iter().filter(|path| path.parent().is_some_and(|dir| dir.ends_with("new"))) {
        let (id, value) = time(path)?;
        measured.insert(id, value);
    }
    files(&figures_dir(home), ".json", &mut figures)?;
    for path in &figures {
        let Figure { group, name, value, unit } = json(path)?;
        let id = format!("{group}/{name}");
        let found = Value { group, value, unit, noise: None, elements: None };
        // Criterion's noise is that of its own median.
        let replaced = |known: &mut Value| (known.value, known.noise) = (value, None);
        measured.entry(id).and_modify(replaced).or_insert(found);
    }
    Ok(measured)
}

fn time(path: &Path) -> Result<(String, Value), MeasuredError> {
    let bench: Bench = json(path)?;
    let Estimates { median } = json(&path.with_file_name("estimates.json"))?;
    let Interval { lower_bound, upper_bound } = median.confidence_interval;
    let value = Value {
        group: bench.group_id,
        value: median.point_estimate,
        unit: Unit::Nanoseconds,
        noise: Some((upper_bound - lower_bound) / 2.0 / median.point_estimate),
        elements: bench.throughput.and_then(|throughput| throughput.elements),
    };
    Ok((bench.full_id, value))
}

/// All files below a directory whose names end so; none where it is not there. Benches make these trees, four deep.
fn files(directory: &Path, end: &str, found: &mut Vec<PathBuf>) -> Result<(), MeasuredError> {
    let unreadable = |source| MeasuredError::Unreadable { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if entry.file_type().map_err(unreadable)?.is_dir() {
            files(&path, end, found)?;
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads a file of JSON.
///
/// # Errors
/// [`MeasuredError`].
pub fn json<T: DeserializeOwned>(path: &Path) -> Result<T, MeasuredError> {
    let bytes = fs::read(path)
        .map_err(|source| MeasuredError::Unreadable { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes)
        .map_err(|source| MeasuredError::OtherForm { path: path.to_owned(), source })
}
