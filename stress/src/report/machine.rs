//! What a run was made on.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

/// More processes than this share of the cores, and figures say less.
const BUSY: f64 = 0.5;

/// What a run was made on, as far as the system says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system and processor family.
    pub system: String,
    /// The processor's name.
    pub processor: Option<String>,
    /// Threads that can run at once.
    pub cores: u64,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// The way that header hashing takes on it.
    pub hashing: String,
    /// How many processes wanted to run in the last minute when the run began: figures of a
    /// machine with other work say less.
    pub load: Option<f64>,
}

impl Machine {
    /// This one, now. Reads /proc; what it does not say is left out.
    #[must_use]
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: value(&read("/proc/cpuinfo"), "model name").map(str::to_owned),
            cores: available_parallelism().map_or(1, |cores| cores.get() as u64),
            memory_bytes: value(&read("/proc/meminfo"), "MemTotal").and_then(kilobytes),
            hashing: format!("{:?}", ironlight_spv::lanes::report().fastest()),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()),
        }
    }
}

impl Machine {
    /// Whether other work went on when the run began, as far as is known.
    pub(super) fn is_busy(&self) -> bool {
        self.load.is_some_and(|load| load > BUSY * self.cores as f64)
    }
}

/// The value of a line `key : value`.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then_some(value.trim())
    })
}

fn kilobytes(value: &str) -> Option<u64> {
    let number: u64 = value.strip_suffix(" kB")?.trim().parse().ok()?;
    number.checked_mul(1_024)
}

/// The commit of the sources that this was compiled from, as `git` tells it now; `+changes` after it
/// where files differ from it. None without git or outside of a checkout.
#[must_use]
pub fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let asked =
            Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(args).output();
        let answer = asked.ok().filter(|answer| answer.status.success())?;
        Some(String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"]).filter(|hash| !hash.is_empty())?;
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    Some(if changed { hash + "+changes" } else { hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read_by_their_keys() {
        let text = "processor\t: 0\nmodel name\t: A processor: fast\nMemTotal:   2048 kB\n";
        assert_eq!(value(text, "model name"), Some("A processor: fast"));
        assert_eq!(value(text, "MemTotal").and_then(kilobytes), Some(2_097_152));
        assert_eq!(value(text, "model"), None);
        assert_eq!(kilobytes("much"), None);
    }
}
