//! Progress of long work: a bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Counts towards a total.
pub(super) struct Progress {
    what: &'static str,
    total: u64,
    done: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{msg:>10} [{wide_bar}] {human_pos}/{human_len} {per_sec} {eta}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_invalid| ProgressStyle::default_bar())
                .progress_chars("=> ");
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        Self { what, total, done: 0, bar, last_line: Instant::now() }
    }

    pub(super) fn add(&mut self, count: usize) {
        self.done += count as u64;
        self.show();
    }

    /// So much is left; more than there was at first makes the total grow.
    pub(super) fn left(&mut self, left: u64) {
        if let Some(more) = left.checked_sub(self.total - self.done).filter(|more| *more > 0) {
            self.total += more;
            if let Some(bar) = &self.bar {
                bar.set_length(self.total);
            }
        }
        self.done = self.total.saturating_sub(left);
        self.show();
    }

    fn show(&mut self) {
        match &self.bar {
            Some(bar) => bar.set_position(self.done),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                note!("{}: {} of {}", self.what, self.done, self.total);
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
