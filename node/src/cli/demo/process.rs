//! A light node's process: it ends with the value that holds it.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::cli::Failure;

/// A node that takes longer to end after SIGTERM is killed.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running process; dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts this program with arguments, its standard error appended to a file. What the user's
    /// environment sets for nodes is not meant for these.
    pub(super) fn start(arguments: &[String], log: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let program = std::env::current_exe()?;
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        command.env_remove("RUST_LOG");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("IRONLIGHT_") {
                command.env_remove(name);
            }
        }
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        Ok(Self { child })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, where it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGTERM, and waits for it to end. Cancelled, it is killed.
    pub(super) async fn terminate(mut self) -> Result<ExitStatus, Failure> {
        let began = Instant::now();
        if let Some(status) = self.ended() {
            return Ok(status);
        }
        // The shell's own `kill`: the standard library has SIGKILL only.
        let id = self.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status()?;
        if !sent.success() && self.ended().is_none() {
            return Err(format!("process {id} cannot be told to stop").into());
        }
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("process {id} did not stop within {PATIENCE:?}").into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// SIGKILL: it runs no destructor and flushes nothing.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Most memory that it has had at once, in bytes, where the system tells.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        peak_of(&status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// proc(5): `VmHWM`, the peak resident set size.
fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_read_from_what_the_system_says() {
        let status = "Name:\tironlight\nVmPeak:\t  999 kB\nVmHWM:\t   13244 kB\nThreads:\t4\n";
        assert_eq!(peak_of(status), Some(13_244 * 1024));
        assert_eq!(peak_of("Name:\tironlight\n"), None);
        assert_eq!(peak_of("VmHWM:\tmuch\n"), None);
    }
}
