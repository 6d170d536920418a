//! Those who want to see what was written, in a thread of their own.
//!
//! Invariant: whatever an observer does, the writer goes on: it offers and never waits. What the
//! observers were too slow for is counted.
//!
//! What an attacker can grow: [`WAITING`] batches of at most 2,048 events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use super::config::Export;
use super::event::Event;
use super::hash::Hash;
use super::kind::{EventKind, LogKind};
use super::shared::Shared;

const WAITING: usize = 8;

/// An event that was written.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its index in the log.
    pub index: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// What was written.
    pub event: Event,
    /// The record's hash.
    pub hash: Hash,
}

/// Sees what was written; an error is counted and written down.
pub type Observer = Box<dyn Fn(&Written) -> Result<(), String> + Send + Sync>;

enum Seen {
    Batch(Vec<Written>),
    Checkpoint(String),
}

/// The writer's end.
pub(super) struct Observers {
    /// None where nobody observes.
    sender: Option<SyncSender<Seen>>,
    records: bool,
}

impl Observers {
    /// Starts the thread if there is anyone to see something.
    pub(super) fn start(
        observers: Vec<(&'static str, Observer)>,
        exports: Vec<Export>,
        shared: &Arc<Shared>,
    ) -> std::io::Result<Self> {
        let records = !observers.is_empty();
        if !records && exports.is_empty() {
            return Ok(Self { sender: None, records });
        }
        let (sender, receiver) = sync_channel(WAITING);
        let shared = Arc::clone(shared);
        let observers =
            observers.into_iter().map(|(name, see)| Observed { name, see, failures: 0 }).collect();
        shared.thread_started();
        let on_error = Arc::clone(&shared);
        let run = move || {
            watch(&receiver, observers, &exports, &shared);
            shared.thread_ended();
        };
        let spawned = thread::Builder::new().name("audit-observers".to_owned()).spawn(run);
        spawned.inspect_err(|_| on_error.thread_ended())?;
        Ok(Self { sender: Some(sender), records })
    }

    pub(super) const fn want_records(&self) -> bool {
        self.records
    }

    pub(super) fn show(&self, batch: Vec<Written>, shared: &Shared) {
        let count = batch.len() as u64;
        self.offer(Seen::Batch(batch), count, shared);
    }

    pub(super) fn export(&self, note: String, shared: &Shared) {
        self.offer(Seen::Checkpoint(note), 1, shared);
    }

    fn offer(&self, seen: Seen, count: u64, shared: &Shared) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sender.try_send(seen) {
            shared.count(|counts| counts.unseen += count);
        }
    }
}

struct Observed {
    name: &'static str,
    see: Observer,
    failures: u64,
}

fn watch(
    receiver: &Receiver<Seen>,
    mut observers: Vec<Observed>,
    exports: &[Export],
    shared: &Shared,
) {
    for seen in receiver {
        match seen {
            Seen::Batch(batch) => {
                for observed in &mut observers {
                    batch.iter().for_each(|written| observed.show(written, shared));
                }
            }
            Seen::Checkpoint(note) => {
                for export in exports {
                    if catch_unwind(AssertUnwindSafe(|| export(&note))).is_err() {
                        shared.count(|counts| counts.observer_failures += 1);
                    }
                }
            }
        }
    }
}

impl Observed {
    fn show(&mut self, written: &Written, shared: &Shared) {
        // A record of a failure must not make another one.
        if written.event.kind == EventKind::Log(LogKind::Observer) {
            return;
        }
        let reason = match catch_unwind(AssertUnwindSafe(|| (self.see)(written))) {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => reason,
            Err(_) => "panicked".to_owned(),
        };
        self.failures += 1;
        shared.count(|counts| counts.observer_failures += 1);
        // The first failure is written down, and then each time that they have doubled.
        if self.failures.is_power_of_two() {
            let event = Event::of(EventKind::Log(LogKind::Observer))
                .by(self.name)
                .with("reason", reason)
                .with("failures", self.failures)
                .with("record", written.index);
            shared.emit(written.at, event);
        }
    }
}
