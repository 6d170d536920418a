//! What the system says of a process; nothing where it has no /proc.

use std::fs;

/// What is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct System {
    /// Bytes that are resident.
    pub(super) resident: Option<f64>,
    /// Open file descriptors.
    pub(super) files: Option<f64>,
}

/// Reads /proc.
pub(super) fn of(process: u32) -> System {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok();
    let resident = status.as_deref().and_then(resident);
    let files = fs::read_dir(format!("/proc/{process}/fd")).ok();
    System { resident, files: files.map(|files| files.count() as f64) }
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_kilobytes() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t   2048 kB\n"), Some(2_097_152.0));
        assert_eq!(resident("VmRSS:\t much\n"), None);
    }
}
