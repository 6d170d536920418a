//! The handle of a node that keeps an audit log.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ironlight_hardening::audit::{
    AuditConfig, AuditLog, CheckpointConfig, Event, EventKind, FileConfig, FileSink, Sink,
};
use ironlight_hardening::circuit_breaker::Transition;
use ironlight_hardening::rate_limit::{Gcra, Quota};
use ironlight_spv::chain::HeaderRun;
use ironlight_spv::peers::Offence;
use ironlight_spv::{ChainTip, Network};
use tracing::{info, warn};

use super::{Penalty, key};
use crate::clock::Clock;
use crate::net::PeerNetwork;

/// The log's folder in a network's directory.
pub(crate) const FOLDER: &str = "audit";
/// The folder of the log that goes on where that one cannot.
pub(crate) const FALLBACK: &str = "audit.fallback";

/// Reorgs up to so many blocks happen by themselves.
const ORDINARY_REORG: usize = 2;
/// Records that strangers can cause, of one kind; the module's bound rests on it.
const BY_STRANGERS: Quota = Quota { burst: 1_000, per: Duration::from_secs(15) };
/// A checkpoint at least so often: 1.8 MB a year.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60 * 60);
/// And one after so many records.
const CHECKPOINT_RECORDS: u64 = 1_000;

/// See the [module](super). Cheap to clone; the default one does nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeAudit(Option<Arc<Running>>);

/// The name of a network's log, which stands in it and in its checkpoints.
pub(crate) fn log_name(network: Network) -> String {
    format!("ironlight/{}", network.name())
}

struct Running {
    log: AuditLog,
    clock: Clock,
    bans: Limited,
    drops: Limited,
    breakers: Limited,
    /// That the node stopped is written down.
    told_stop: AtomicBool,
    /// It could not go on.
    failed: AtomicBool,
}

/// What strangers can cause is written down at a rate, and the rest counted.
struct Limited {
    /// The bucket, and how many were left out since the last record.
    state: Mutex<(Gcra, u64)>,
    left_out: &'static str,
}

impl Limited {
    const fn new(left_out: &'static str) -> Self {
        Self { state: Mutex::new((Gcra::new(BY_STRANGERS), 0)), left_out }
    }

    /// How many were left out before this one; none if it is left out itself.
    fn pass(&self, now: Duration) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (bucket, left_out) = &mut *state;
        if bucket.check(1, now).is_err() {
            *left_out += 1;
            return None;
        }
        Some(std::mem::take(left_out))
    }

    /// Adds the number of those that were left out, where there are any.
    fn told(&self, event: Event, left_out: u64) -> Event {
        if left_out == 0 { event } else { event.with(self.left_out, left_out) }
    }
}

impl NodeAudit {
    /// Opens the log in a network's directory and writes the node's start down. Blocks. The second
    /// value says what is not as it should be; the node goes on all the same.
    pub(crate) fn open(directory: &Path, network: Network, clock: Clock) -> (Self, Vec<String>) {
        let mut notes = Vec::new();
        let name = log_name(network);
        let key = key::load_or_create(directory, &name);
        let key = key.map_err(|error| notes.push(format!("no checkpoint is signed: {error}"))).ok();
        let public = key.as_ref().map(|key| key::in_words(key.public()));
        let checkpoints = key.map(|key| CheckpointConfig {
            every: CHECKPOINT_EVERY,
            records: CHECKPOINT_RECORDS,
            // Where logs are sent elsewhere, so are checkpoints.
            export: vec![Box::new(|note| info!(note, "audit checkpoint"))],
            ..CheckpointConfig::new(key)
        });
        let sinks = [FOLDER, FALLBACK].map(|folder| -> Box<dyn Sink> {
            Box::new(FileSink::new(FileConfig::new(directory.join(folder))))
        });
        let config = AuditConfig { name, checkpoints, ..AuditConfig::default() };
        let audit = match AuditLog::start(config, sinks.into()) {
            Ok(log) => {
                let status = log.status();
                if status.handed_over > 0 {
                    let why = status.last_error.unwrap_or_default();
                    notes.push(format!(
                        "the audit log goes on in {FALLBACK}: {why}; see `ironlight audit`"
                    ));
                }
                let audit = Self::of(log, clock);
                audit.emit(start(network, public));
                audit
            }
            Err(error) => {
                notes.push(format!("no audit log is kept: {error}"));
                Self::default()
            }
        };
        notes.iter().for_each(|note| warn!("{note}"));
        (audit, notes)
    }

    fn of(log: AuditLog, clock: Clock) -> Self {
        Self(Some(Arc::new(Running {
            log,
            clock,
            bans: Limited::new("bans_left_out"),
            drops: Limited::new("drops_left_out"),
            breakers: Limited::new("breakers_left_out"),
            told_stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        })))
    }

    fn emit(&self, event: Event) {
        if let Some(running) = &self.0 {
            running.emit(event);
        }
    }

    fn emit_limited(&self, which: impl Fn(&Running) -> &Limited, event: impl FnOnce() -> Event) {
        let Some(running) = &self.0 else { return };
        let limited = which(running);
        if let Some(left_out) = limited.pass(running.clock.now().elapsed) {
            running.emit(limited.told(event(), left_out));
        }
    }

    /// A peer did something wrong, and this became of it.
    pub(crate) fn misbehaved(
        &self,
        network: PeerNetwork,
        address: &dyn Display,
        offence: Offence,
        penalty: Penalty,
    ) {
        let about = |kind| {
            Event::new(kind)
                .by("peer policy")
                .on(address.to_string())
                .with("network", network.name())
                .with("offence", format!("{offence:?}"))
                .with("penalty", penalty.to_string())
        };
        match penalty {
            Penalty::Dropped => {
                self.emit_limited(|running| &running.drops, || about(EventKind::InvalidData));
            }
            Penalty::Blocked => {
                self.emit_limited(|running| &running.bans, || about(EventKind::Ban));
            }
            Penalty::Banned { until } => self.emit_limited(
                |running| &running.bans,
                || about(EventKind::Ban).with("until", until.0),
            ),
        }
    }

    /// The breaker of a peer went from one state to another.
    pub(crate) fn breaker(&self, address: SocketAddr, change: &Transition) {
        let event = || {
            Event::new(EventKind::other("breaker"))
                .by("breaker")
                .on(address.to_string())
                .with("from", change.from.name())
                .with("to", change.to.name())
                .with("cause", change.cause.name())
        };
        self.emit_limited(|running| &running.breakers, event);
    }

    /// The best chain lost headers to a better one; deep losses are written down.
    pub(crate) fn reorg(&self, fork: &ChainTip, gone: &HeaderRun, tip: &ChainTip) {
        if gone.len() <= ORDINARY_REORG {
            return;
        }
        let old = gone.last_hash().map(|hash| hash.to_string()).unwrap_or_default();
        let event = Event::new(EventKind::Reorg)
            .by("chain")
            .on(tip.hash.to_string())
            .with("height", tip.height.0)
            .with("fork_height", fork.height.0)
            .with("disconnected", gone.len() as u64)
            .with("connected", tip.height.0.saturating_sub(fork.height.0))
            .with("old_tip", old);
        self.emit(event);
    }

    /// Something in the store was damaged and mended.
    pub(crate) fn repaired(&self, what: &'static str, about: String) {
        self.emit(Event::new(EventKind::Repair).by("store").on(what).with("about", about));
    }

    /// The node cannot go on.
    pub(crate) fn failed(&self, error: &dyn Display) {
        if let Some(running) = &self.0 {
            running.failed.store(true, Ordering::Relaxed);
        }
        self.emit(Event::new(EventKind::Failure).by("node").with("error", error.to_string()));
    }

    /// Writes down that the node stopped in order, and waits until all is on the disk, or for 5 s.
    /// What is told later is not written.
    pub(crate) async fn stop(&self) {
        let Some(running) = self.0.clone() else { return };
        let ended = tokio::task::spawn_blocking(move || running.end(true)).await;
        if let Err(error) = ended {
            warn!(%error, "the audit log did not end in order");
        }
    }

    /// Hears of flips, for as long as the node runs: whoever holds flags of a node that has stopped
    /// must not keep its log open.
    pub(crate) fn flip_listener(&self) -> Option<crate::flags::FlipListener> {
        let running = Arc::downgrade(self.0.as_ref()?);
        Some(Arc::new(move |flip| {
            let Some(running) = running.upgrade() else { return };
            let event = Event::new(EventKind::FlagFlip)
                .by(flip.by.clone())
                .on(flip.name)
                .with("before", flip.before.to_string())
                .with("after", flip.after.to_string())
                .with("saved", flip.saved);
            running.emit(event);
        }))
    }
}

fn start(network: Network, public: Option<String>) -> Event {
    let event = Event::new(EventKind::Start)
        .by("node")
        .on(network.name())
        .with("version", crate::VERSION)
        .with("process", std::process::id());
    match public {
        Some(public) => event.with("checkpoint_key", public),
        None => event,
    }
}

impl Running {
    fn emit(&self, event: Event) {
        // What finds no room is counted, and the log itself says so.
        let _counted = self.log.emit(event);
    }

    /// The node has stopped; once.
    fn end(&self, in_order: bool) {
        if self.told_stop.swap(true, Ordering::Relaxed) {
            return;
        }
        let in_order = in_order && !self.failed.load(Ordering::Relaxed);
        let mut stop = Event::new(EventKind::Stop).by("node").with("in_order", in_order);
        for limited in [&self.bans, &self.drops, &self.breakers] {
            let state = limited.state.lock().unwrap_or_else(PoisonError::into_inner);
            stop = limited.told(stop, state.1);
        }
        self.emit(stop);
        let ended = self.log.shutdown();
        let status = self.log.status();
        if !ended || status.lost > 0 {
            let why = status.last_error.unwrap_or_default();
            warn!(lost = status.lost, ended, %why, "the audit log is not complete");
        }
    }
}

impl Drop for Running {
    /// A node that was dropped, or never came to run.
    fn drop(&mut self) {
        self.end(false);
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.fmt(f)
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
