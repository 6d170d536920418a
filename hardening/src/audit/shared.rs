//! What emitters and the writer share: the queue, and a few counters.

use core::fmt;
use core::time::Duration;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::event::Event;
use super::hash::Hash;
use super::queue::{Entry, Queue, QueueConfig};

/// Why an event was not taken. It was counted.
///
/// ```
/// use ironlight_hardening::audit::{
///     AuditConfig, AuditLog, Event, EventKind, MemorySink, NotTaken,
/// };
///
/// let sink = MemorySink::default();
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
/// assert!(log.shutdown());
/// assert_eq!(log.emit(Event::new(EventKind::Ban)), Err(NotTaken::Closed));
/// assert_eq!(log.status().lost, 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotTaken {
    /// Too much is waiting to be written. A gap in the log will say so.
    Full,
    /// The log was shut down, or never started.
    Closed,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too much is waiting to be written",
            Self::Closed => "the log is closed",
        })
    }
}

impl core::error::Error for NotTaken {}

/// How a log stands.
///
/// See [`NotTaken`] for an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditStatus {
    /// Records written, also those of the log itself, but not those that begin a segment.
    pub written: u64,
    /// Events that were lost, because too much was waiting or no sink took them.
    pub lost: u64,
    /// Events that came after the end.
    pub late: u64,
    /// Events that the policy refused.
    pub refused: u64,
    /// Failures and panics of observers.
    pub observer_failures: u64,
    /// Events and checkpoints that observers were too slow for.
    pub unseen: u64,
    /// How often a sink was given up, for another or to be opened again.
    pub handed_over: u64,
    /// Entries that wait to be written.
    pub waiting: u64,
    /// The sink that is written to.
    pub sink: String,
    /// The size of its log.
    pub size: u64,
    /// The last record's hash.
    pub head: Hash,
    /// The last error of a sink, as text.
    pub last_error: Option<String>,
}

#[derive(Debug, PartialEq)]
enum Writer {
    Busy,
    /// Gathers for a moment; to be woken only when much is waiting.
    Gathers,
    /// To be woken by anything.
    Sleeps,
    Ended,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    writer: Writer,
    closing: bool,
    /// Threads that have not ended yet.
    threads: u32,
    flush_wanted: bool,
    /// Events pushed; of them those that were taken to be written; and of these the flushed ones.
    pushed: u64,
    taken: u64,
    /// Of the taken ones those that were written or counted as lost.
    settled: u64,
    flushed: u64,
    counts: AuditStatus,
}

impl State {
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.closing && !self.flush_wanted
    }
}

/// So many times the writer looks for events before it sleeps until it is woken.
const LOOKS: u32 = 50;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
}

/// What the writer has to do.
pub(super) struct Work {
    pub(super) entries: Vec<Entry>,
    pub(super) waiting: usize,
    pub(super) flush: bool,
    pub(super) closing: bool,
    /// The number of events taken so far.
    pub(super) through: u64,
}

impl Shared {
    pub(super) fn new(config: QueueConfig, counts: AuditStatus) -> Self {
        let state = State {
            queue: Queue::new(config),
            writer: Writer::Busy,
            closing: false,
            threads: 0,
            flush_wanted: false,
            pushed: 0,
            taken: 0,
            settled: 0,
            flushed: 0,
            counts,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_emit(&self, at: u64, event: Event) -> Result<(), NotTaken> {
        let mut state = self.lock();
        if state.closing {
            state.counts.late += 1;
            return Err(NotTaken::Closed);
        }
        let taken = state.queue.push(at, event);
        if taken {
            state.pushed += 1;
        } else {
            state.counts.lost += 1;
        }
        let wake = match state.writer {
            Writer::Sleeps => true,
            Writer::Gathers => state.queue.is_half_full(),
            Writer::Busy | Writer::Ended => false,
        };
        if wake {
            state.writer = Writer::Busy;
            drop(state);
            self.work.notify_one();
        }
        if taken { Ok(()) } else { Err(NotTaken::Full) }
    }

    /// For those who have nobody to tell; what is not taken is counted all the same.
    pub(super) fn emit(&self, at: u64, event: Event) {
        let _counted = self.try_emit(at, event);
    }

    /// Waits for something to do, at most so long; then gathers a little longer.
    ///
    /// To wake a thread costs the emitter microseconds, and its processor if there are few. So for
    /// a while after the last event the writer looks by itself, as often as it would write.
    pub(super) fn work(&self, most: usize, wait: Duration, gather: Duration) -> Work {
        let mut state = self.lock();
        let (mut left, mut gathered) = (wait, false);
        for _ in 0..LOOKS {
            if !state.is_idle() || left.is_zero() {
                break;
            }
            let look = gather.min(left);
            state = self.gather(state, look);
            (left, gathered) = (left.saturating_sub(look), true);
        }
        if state.is_idle() {
            state.writer = Writer::Sleeps;
            state = self.wait_while(state, left, |state| state.is_idle());
            gathered = false;
        }
        if !gathered && !state.queue.is_empty() && state.queue.len() < most {
            state = self.gather(state, gather);
        }
        state.writer = Writer::Busy;
        let entries = state.queue.take(most);
        state.taken +=
            entries.iter().filter(|entry| matches!(entry, Entry::Event { .. })).count() as u64;
        let flush = core::mem::take(&mut state.flush_wanted);
        let (waiting, closing, through) = (state.queue.len(), state.closing, state.taken);
        Work { entries, waiting, flush, closing, through }
    }

    /// Lets events come in, without being woken by them unless they are many.
    fn gather<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        time: Duration,
    ) -> MutexGuard<'a, State> {
        state.writer = Writer::Gathers;
        self.wait_while(state, time, |state| {
            !state.closing && !state.flush_wanted && state.writer == Writer::Gathers
        })
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        wait: Duration,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.work.wait_timeout_while(state, wait, condition);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// A pause of the writer; it ends when the log is being closed. Whether it is.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let mut state = self.lock();
        state.writer = Writer::Busy;
        self.wait_while(state, time, |state| !state.closing).closing
    }

    /// All that was taken up to there was written or counted as lost.
    pub(super) fn settled(&self, through: u64) {
        self.lock().settled = through;
    }

    /// All that was pushed up to there is flushed.
    pub(super) fn flushed(&self, through: u64) {
        self.lock().flushed = through;
        self.done.notify_all();
    }

    pub(super) fn thread_started(&self) {
        self.lock().threads += 1;
    }

    pub(super) fn thread_ended(&self) {
        let mut state = self.lock();
        state.threads = state.threads.saturating_sub(1);
        drop(state);
        self.done.notify_all();
    }

    /// After a sink that panicked, what it was given and what is waiting still is lost.
    pub(super) fn writer_ended(&self) {
        let mut state = self.lock();
        state.writer = Writer::Ended;
        state.closing = true;
        let left = state.queue.take(usize::MAX);
        let left = left.iter().filter(|entry| matches!(entry, Entry::Event { .. })).count();
        state.counts.lost += left as u64 + (state.taken - state.settled);
        drop(state);
        self.thread_ended();
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// Whether the threads came to their end in time.
    pub(super) fn wait_for_end(&self, timeout: Duration) -> bool {
        let state = self.lock();
        let waited = self.done.wait_timeout_while(state, timeout, |state| state.threads > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.threads == 0
    }

    /// Whether all that was pushed until now was flushed in time.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let end = Instant::now().checked_add(timeout);
        let mut state = self.lock();
        let through = state.pushed;
        while state.flushed < through && state.writer != Writer::Ended {
            state.flush_wanted = true;
            self.work.notify_one();
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            let waited = self.done.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.flushed >= through
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut AuditStatus)) {
        change(&mut self.lock().counts);
    }

    pub(super) fn status(&self) -> AuditStatus {
        let state = self.lock();
        AuditStatus { waiting: state.queue.len() as u64, ..state.counts.clone() }
    }
}
