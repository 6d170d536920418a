//! Figures that criterion does not know: bytes, rates, shares, percentiles. Each is printed, and kept as a file beside
//! criterion's, until the same bench writes it anew.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde::{Deserialize, Serialize};

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Of time.
    Nanoseconds,
    /// Of memory or disk.
    Bytes,
    /// So many a second.
    ASecond,
    /// A share, from 0 to 1.
    Share,
}

impl Unit {
    /// A value for people to read, in three digits or four.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Nanoseconds => scaled(value, &["ns", "us", "ms", "s"]),
            Self::Bytes => scaled(value, &["bytes", "kB", "MB", "GB"]),
            Self::ASecond => scaled(value, &["a second", "thousand a second", "million a second"]),
            Self::Share => format!("{:.2} %", value * 100.0),
        }
    }
}

fn scaled(value: f64, units: &[&str]) -> String {
    let (mut value, mut shown) = (value, "");
    for (place, unit) in units.iter().enumerate() {
        shown = unit;
        if value < 1e3 || place + 1 == units.len() {
            break;
        }
        value /= 1e3;
    }
    let digits = match value {
        ..10.0 if value.fract() != 0.0 => 2,
        ..100.0 if value.fract() != 0.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {shown}")
}

/// A figure, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The bench.
    pub group: String,
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
}

/// Where criterion keeps what it has measured, where cargo runs it.
#[must_use]
pub fn home() -> PathBuf {
    // Relative ones begin at the workspace's root for whoever sets them, and cargo runs benches below it.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let set = |name| std::env::var_os(name).map(PathBuf::from);
    let beside = || set("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()).join("criterion");
    root.join(set("CRITERION_HOME").unwrap_or_else(beside))
}

/// The compiler's name and version.
///
/// # Errors
/// Where `rustc` cannot be run.
pub fn compiler() -> io::Result<String> {
    let told = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

/// The most bytes that were resident of a process, by its number or `self`; Linux only.
#[must_use]
pub fn peak_resident(process: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

/// Where figures are kept in it.
pub(crate) fn figures_dir(home: &Path) -> PathBuf {
    home.join("figures")
}

/// Prints a figure and keeps it.
///
/// # Panics
/// Where the file cannot be written: a report without it would be made of an older run.
#[allow(clippy::print_stdout, reason = "figures are what a bench is for")]
pub fn record(group: &str, name: &str, value: f64, unit: Unit) {
    println!("{group}/{name}: {}", unit.show(value));
    replace(group, name, value, unit);
}

/// Keeps a figure that is printed elsewhere. Where criterion has measured the same, this is what the report goes by.
///
/// # Panics
/// As [`record`].
#[allow(clippy::panic, reason = "a bench ends where it fails")]
pub fn replace(group: &str, name: &str, value: f64, unit: Unit) {
    let figure = Figure { group: group.to_owned(), name: name.to_owned(), value, unit };
    if let Err(error) = keep(&figures_dir(&home()), &figure) {
        panic!("the figure {group}/{name} cannot be kept: {error}");
    }
}

/// Drops a figure that was kept: this run has none that counts.
///
/// # Panics
/// As [`record`].
#[allow(clippy::panic, reason = "a bench ends where it fails")]
pub fn forget(group: &str, name: &str) {
    match fs::remove_file(file(&figures_dir(&home()), group, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            panic!("the figure {group}/{name} cannot be dropped: {error}")
        }
        Ok(()) | Err(_) => {}
    }
}

/// Writes a figure's file.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn keep(directory: &Path, figure: &Figure) -> io::Result<()> {
    fs::create_dir_all(directory.join(&figure.group))?;
    fs::write(file(directory, &figure.group, &figure.name), serde_json::to_vec(figure)?)
}

fn file(directory: &Path, group: &str, name: &str) -> PathBuf {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let file: String = name.chars().map(plain).collect();
    directory.join(group).join(file + ".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_in_the_unit_that_suits_them() {
        assert_eq!(Unit::Nanoseconds.show(17.46), "17.5 ns");
        assert_eq!(Unit::Nanoseconds.show(1_600.0), "1.60 us");
        assert_eq!(Unit::Nanoseconds.show(2.5e12), "2500 s");
        assert_eq!(Unit::Bytes.show(580_000.0), "580 kB");
        assert_eq!(Unit::Bytes.show(0.0), "0 bytes");
        assert_eq!(Unit::ASecond.show(5_120_000.0), "5.12 million a second");
        assert_eq!(Unit::Share.show(0.97812), "97.81 %");
    }
}
