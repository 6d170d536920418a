//! The program `ironlight` as a process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The program beside the test's own: the same build profile.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let directory = test.parent().and_then(Path::parent).unwrap();
    let program = directory.join("ironlight");
    assert!(program.exists(), "{} is not built: `cargo build` first", program.display());
    program
}

/// A running `ironlight run` with JSON logs.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Daemon {
    /// Starts one on regtest with further options.
    #[must_use]
    pub fn start(data_dir: &Path, options: &[&str]) -> Self {
        Self::start_on("regtest", data_dir, options)
    }

    /// The same on any network.
    #[must_use]
    pub fn start_on(network: &str, data_dir: &Path, options: &[&str]) -> Self {
        let mut process = Command::new(program())
            .args(["--log-format", "json", "run", "--network", network, "--data-dir"])
            .arg(data_dir)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = process.stderr.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, lines, seen: Vec::new() }
    }

    /// Waits for a log line with a message and gives its fields.
    pub fn line(&mut self, message: &str, limit: Duration) -> Value {
        self.wait(&format!("line {message:?}"), limit, |fields| fields["message"] == message)
    }

    /// Waits until its tip has a hash.
    pub fn reaches(&mut self, hash: &str, limit: Duration) -> Value {
        self.wait(&format!("tip {hash}"), limit, |fields| {
            let message = fields["message"].as_str().unwrap_or_default();
            message.starts_with("new tip") && fields["hash"] == hash
        })
    }

    /// Waits for a log line whose fields fit.
    fn wait(&mut self, what: &str, limit: Duration, fits: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let left = limit.saturating_sub(started.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no {what} within {limit:?}; there were {:#?}", self.seen)
            };
            let fields = line["fields"].clone();
            self.seen.push(line);
            if fits(&fields) {
                return fields;
            }
        }
    }

    /// All lines that were waited past or have come since.
    pub fn lines(&mut self) -> &[Value] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// SIGKILL: no destructor runs, nothing is flushed.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// SIGTERM, and waits for it to end.
    pub fn stop(mut self) -> ExitStatus {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        self.process.wait().unwrap()
    }

    /// The program, to be given arguments.
    #[must_use]
    pub fn program() -> Command {
        Command::new(program())
    }

    /// Runs another command of the program to its end.
    #[must_use]
    pub fn command(arguments: &[&str]) -> Output {
        Command::new(program()).args(arguments).stdin(Stdio::null()).output().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
