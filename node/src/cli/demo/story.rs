//! What the demo tells: one line an event, with the time since its start and who it is about.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    began: Instant,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A line about somebody.
    pub(super) fn tell(&self, who: &str, what: impl Display) {
        say!("{:7.2} s  {who:<7} {what}", self.elapsed().as_secs_f64());
    }

    /// A line that goes on with the one before.
    pub(super) fn more(&self, what: impl Display) {
        say!("{:18}{what}", "");
    }

    /// A line that says what comes next.
    pub(super) fn title(&self, what: impl Display) {
        let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
        let (bold, end) = if plain { ("", "") } else { ("\x1b[1m", "\x1b[0m") };
        say!("\n{bold}{what}{end}");
    }
}
