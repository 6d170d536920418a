//! Progress on a terminal; nothing elsewhere.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::Progress;

/// So many times at most a bar moves.
const STEPS: u64 = 200;

/// A bar on standard error for the round that is running.
pub(super) struct Bar {
    shown: bool,
    bar: Mutex<ProgressBar>,
    /// Operations that are not shown yet, and how many are worth it: threads that count must not
    /// queue here for each.
    waiting: AtomicU64,
    worth: AtomicU64,
}

impl Bar {
    pub(super) fn new() -> Self {
        let shown = std::io::stderr().is_terminal();
        let (waiting, worth) = (AtomicU64::new(0), AtomicU64::new(1));
        Self { shown, bar: Mutex::new(ProgressBar::hidden()), waiting, worth }
    }

    fn with(&self, act: impl FnOnce(&mut ProgressBar)) {
        if self.shown {
            act(&mut self.bar.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Progress for Bar {
    fn begin(&self, scenario: &str, operations: u64) {
        self.waiting.store(0, Relaxed);
        self.worth.store((operations / STEPS).max(1), Relaxed);
        self.with(|bar| {
            let template = "{msg:>20} [{wide_bar}] {human_pos}/{human_len} {per_sec}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_invalid| ProgressStyle::default_bar())
                .progress_chars("=> ");
            *bar = ProgressBar::new(operations).with_style(style).with_message(scenario.to_owned());
        });
    }

    fn advance(&self, operations: u64) {
        let waiting = self.waiting.fetch_add(operations, Relaxed) + operations;
        if !self.shown || waiting < self.worth.load(Relaxed) {
            return;
        }
        let done = self.waiting.swap(0, Relaxed);
        self.with(|bar| {
            // Some scenarios do several operations for each of their count.
            let position = bar.position() + done;
            if bar.length().is_some_and(|length| length < position) {
                bar.set_length(position);
            }
            bar.set_position(position);
        });
    }

    fn end(&self) {
        self.with(|bar| bar.finish_and_clear());
    }
}
