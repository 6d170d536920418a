//! The node's process, from outside.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::node::{NODE, Standing};
use crate::report::Bound;

/// A line that it says is no longer.
const LONGEST: u64 = 1 << 20;
/// Kinds of warnings that are told apart; further ones count as one kind.
const MOST_KINDS: usize = 256;

/// It has stopped within so long.
const STOPPED: Duration = Duration::from_secs(60);

/// How often it warned of what.
pub(super) type Warnings = BTreeMap<String, u64>;

/// The running process. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Lent to a thread that may block.
    pipes: Arc<Mutex<Option<Pipes>>>,
    /// Comes once its log has ended, which it does with the process.
    warnings: Receiver<Warnings>,
}

#[derive(Debug)]
struct Pipes {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the program as a node.
    pub(super) fn start(
        program: &Path,
        directory: &Path,
        connect: &[SocketAddr],
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg(NODE).arg(directory).args(connect.iter().map(ToString::to_string));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(to), Some(from), Some(log)) = pipes else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let pipes = Arc::new(Mutex::new(Some(Pipes { to, from: BufReader::new(from) })));
        let (sender, ended) = channel();
        // Whoever would hear of it may have given up.
        std::thread::spawn(move || drop(sender.send(warnings(log))));
        Ok(Self { child, pipes, warnings: ended })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it how it stands. Given up, the question is answered all the same.
    pub(super) async fn look(&self) -> io::Result<Standing> {
        let pipes = Arc::clone(&self.pipes);
        let asked = tokio::task::spawn_blocking(move || {
            let mut pipes = pipes.lock().unwrap_or_else(PoisonError::into_inner);
            pipes.as_mut().ok_or(ErrorKind::BrokenPipe)?.look()
        });
        asked.await.map_err(io::Error::other)?
    }

    /// Has it stop, and says how it did and what it had warned of. One that does not stop within 60 s
    /// is killed.
    pub(super) fn stop(mut self) -> (Bound, Warnings) {
        drop(self.pipes.lock().unwrap_or_else(PoisonError::into_inner).take());
        let warnings = self.warnings.recv_timeout(STOPPED);
        let (how, met) = match warnings {
            Err(RecvTimeoutError::Timeout) => ("not within 60 s".to_owned(), false),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) if status.success() => ("in order".to_owned(), true),
                Ok(status) => (status.to_string(), false),
                Err(error) => (error.to_string(), false),
            },
        };
        (Bound::judged("the node stops", &"in order", &how, met), warnings.unwrap_or_default())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pipes {
    fn look(&mut self) -> io::Result<Standing> {
        self.to.write_all(b"look\n")?;
        let mut line = String::new();
        if (&mut self.from).take(LONGEST).read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

/// Counts the log's lines by their messages, until it ends.
fn warnings(log: ChildStderr) -> Warnings {
    let (mut warnings, mut log) = (Warnings::new(), BufReader::new(log));
    let mut line = Vec::new();
    while matches!((&mut log).take(LONGEST).read_until(b'\n', &mut line), Ok(1..)) {
        let message = message(&line);
        line.clear();
        let known = warnings.len() < MOST_KINDS || warnings.contains_key(&message);
        *warnings.entry(if known { message } else { "others".to_owned() }).or_default() += 1;
    }
    warnings
}

/// The message of a line of the log. A line that is none, such as a panic's, is passed on, and counts
/// as it is.
fn message(line: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
    if let Some(message) = value.pointer("/fields/message").and_then(serde_json::Value::as_str) {
        return message.to_owned();
    }
    let text = String::from_utf8_lossy(line);
    // Where that is closed, nobody wants to know.
    let _ = writeln!(io::stderr(), "the node says: {}", text.trim_end());
    text.trim_end().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_counts_by_its_message_and_another_as_it_is() {
        let line = br#"{"level":"WARN","fields":{"message":"no handshake","peer":7}}"#;
        assert_eq!(message(line), "no handshake");
        assert_eq!(message(b"thread 'main' panicked\n"), "thread 'main' panicked");
    }
}
