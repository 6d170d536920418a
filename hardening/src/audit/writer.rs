//! The writer: the one thread that gives events their places in the chain and hands them to a sink.

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::chain::Chain;
use super::config::{AuditConfig, CheckpointConfig};
use super::event::Event;
use super::handover::Undone;
use super::kind::{EventKind, LogKind};
use super::observer::{Observers, Written};
use super::policy::Verdict;
use super::queue::{BatchSize, Entry, Gap};
use super::shared::{Shared, Work};
use super::sink::Sink;
use crate::retry::Backoff;

/// How often a sink may answer its own notices with more notices.
const NOTICE_ROUNDS: u32 = 4;

pub(super) struct Writer {
    pub(super) config: AuditConfig,
    pub(super) shared: Arc<Shared>,
    pub(super) sinks: Vec<Box<dyn Sink>>,
    pub(super) active: usize,
    pub(super) chain: Chain,
    pub(super) observers: Observers,
    lines: Vec<u8>,
    last_flush: Instant,
    dirty: bool,
    last_checkpoint: Instant,
    pub(super) checkpoint_size: u64,
    /// A signed checkpoint that the sink has not kept yet; no other is signed before.
    pub(super) unkept: Option<String>,
    /// Nothing can be written any more: the chain is ahead of what the sink has.
    lost_track: bool,
}

/// No sink took it, and the log is being closed.
struct Closing;

/// Tells the others that the writer is gone, even if a sink panicked.
struct EndGuard<'a>(&'a Shared);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.0.writer_ended();
    }
}

impl Writer {
    pub(super) fn new(
        config: AuditConfig,
        shared: Arc<Shared>,
        sinks: Vec<Box<dyn Sink>>,
        (active, chain): (usize, Chain),
        observers: Observers,
    ) -> Self {
        let now = Instant::now();
        Self {
            checkpoint_size: chain.size(),
            config,
            shared,
            sinks,
            active,
            chain,
            observers,
            lines: Vec::new(),
            last_flush: now,
            dirty: false,
            last_checkpoint: now,
            unkept: None,
            lost_track: false,
        }
    }

    pub(super) fn run(mut self, first: Vec<Event>) {
        let shared = Arc::clone(&self.shared);
        let _end = EndGuard(&shared);
        let first = self.now(first);
        self.deliver(first);
        let mut batch = BatchSize::new();
        loop {
            let work = self.shared.work(batch.get(), self.next_deadline(), self.config.gather);
            batch.adapt(work.entries.len(), work.waiting);
            let end = work.closing && work.waiting == 0;
            self.handle(work);
            if end {
                break;
            }
        }
        self.checkpoint(true);
        self.close_sink();
    }

    fn handle(&mut self, work: Work) {
        let events: Vec<_> = work.entries.into_iter().map(|entry| self.judged(entry)).collect();
        if !events.is_empty() {
            self.deliver(events);
            self.shared.settled(work.through);
        }
        let due = self.dirty && self.last_flush.elapsed() >= self.config.flush_every;
        if work.flush || due || (work.closing && work.waiting == 0) {
            self.flush(work.through);
        }
        self.checkpoint(false);
    }

    fn next_deadline(&self) -> Duration {
        let flush = self.config.flush_every.saturating_sub(self.last_flush.elapsed());
        let checkpoint =
            self.config.checkpoints.as_ref().map(|checkpoints| {
                checkpoints.every.saturating_sub(self.last_checkpoint.elapsed())
            });
        let flush = if self.dirty { flush } else { Duration::from_secs(3_600) };
        flush.min(checkpoint.unwrap_or(flush))
    }

    /// The event that is to be written for an entry of the queue.
    fn judged(&self, entry: Entry) -> (u64, Event) {
        let (at, mut event) = match entry {
            Entry::Gap(gap) => return (gap.last_at, gap_event(gap)),
            Entry::Event { at, event } => (at, event),
        };
        let own = matches!(event.kind, EventKind::Log(_));
        let Some(policy) = self.config.policy.as_ref().filter(|_| !own) else {
            return (at, event);
        };
        let kind = event.kind.clone();
        // A policy that panics may have been about to take a secret out: nothing is written then.
        let verdict = catch_unwind(AssertUnwindSafe(|| policy.judge(&mut event)));
        let reason = match verdict {
            Ok(Verdict::Write) => return (at, event.not_of_the_log()),
            Ok(Verdict::Refuse(reason)) => reason,
            Err(_) => "the policy panicked",
        };
        self.shared.count(|counts| counts.refused += 1);
        let refused = Event::of(EventKind::Log(LogKind::Refused));
        (at, refused.with("kind", kind.name().to_owned()).with("reason", reason))
    }

    /// Writes events, to whatever sink takes them, and what the sink says then.
    fn deliver(&mut self, mut events: Vec<(u64, Event)>) {
        for _ in 0..NOTICE_ROUNDS {
            if self.write_somewhere(&mut events).is_err() {
                self.lost_track = true;
                let lost = events.len() as u64;
                self.shared.count(|counts| counts.lost += lost);
                return;
            }
            self.show(events);
            let said = self.sink(|sink| Ok(sink.notices())).unwrap_or_default();
            if said.is_empty() {
                return;
            }
            events = self.now(said);
        }
    }

    fn now(&self, events: Vec<Event>) -> Vec<(u64, Event)> {
        let now = (self.config.clock)();
        events.into_iter().map(|event| (now, event)).collect()
    }

    /// Until a sink has taken them; what a new sink says comes before them.
    fn write_somewhere(&mut self, events: &mut Vec<(u64, Event)>) -> Result<(), Closing> {
        let mut backoff = Backoff::new(self.config.backoff, self.chain.size());
        let (mut said, mut handed_over) = (0, 0);
        while !self.lost_track {
            match self.write(events) {
                Ok(()) => return Ok(()),
                Err(Undone::Closing) => break,
                Err(Undone::HandedOver) => handed_over += 1,
            }
            // Sinks that all open and take nothing are not asked without a pause.
            if handed_over >= self.sinks.len() && self.shared.pause(backoff.next_delay()) {
                break;
            }
            let new = self.start_of_fallback();
            let new = self.now(new);
            let count = new.len();
            events.splice(..said, new);
            said = count;
        }
        Err(Closing)
    }

    fn write(&mut self, events: &[(u64, Event)]) -> Result<(), Undone> {
        if events.is_empty() {
            return Ok(());
        }
        self.lines.clear();
        let wanted = self.sinks.get(self.active).is_some_and(|sink| sink.wants_segment());
        if wanted || self.chain.size() == 0 {
            let first = self.chain.size();
            self.attempt(|sink| sink.begin_segment(first))?;
            let now = (self.config.clock)();
            self.chain.begin_segment(now, &self.config.name, &mut self.lines);
        }
        for (at, event) in events {
            self.chain.append_any(*at, event, &mut self.lines);
        }
        let lines = core::mem::take(&mut self.lines);
        let written = self.attempt(|sink| sink.write(&lines));
        self.lines = lines;
        written?;
        self.dirty = true;
        let (size, head) = (self.chain.size(), self.chain.head());
        let count = events.len() as u64;
        self.shared.count(|counts| {
            counts.written += count;
            (counts.size, counts.head) = (size, head);
        });
        Ok(())
    }

    fn show(&self, events: Vec<(u64, Event)>) {
        if !self.observers.want_records() {
            return;
        }
        let first = self.chain.size() - (events.len() as u64).min(self.chain.size());
        let hashes = self.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let hashes: Vec<_> = hashes.filter_map(super::record::hash_of).collect();
        // The first line may be a segment's, which nobody emitted.
        let skipped = hashes.len().saturating_sub(events.len());
        let seen = events.into_iter().zip(hashes.into_iter().skip(skipped)).zip(first..);
        let seen = seen.map(|(((at, event), hash), index)| Written { index, at, event, hash });
        self.observers.show(seen.collect(), &self.shared);
    }

    fn flush(&mut self, through: u64) {
        if self.make_durable() {
            self.shared.flushed(through);
        }
    }

    /// Whether everything that was written survives a power cut now.
    fn make_durable(&mut self) -> bool {
        if self.lost_track {
            return false;
        }
        match self.dirty.then(|| self.attempt(|sink| sink.flush())) {
            None | Some(Ok(())) => {}
            Some(Err(Undone::Closing)) => return false,
            Some(Err(Undone::HandedOver)) => {
                // What the old sink has and cannot flush stays there; the new log says so.
                let said = self.start_of_fallback();
                let said = self.now(said);
                self.deliver(said);
                if self.lost_track || self.sink(|sink| sink.flush()).is_none() {
                    return false;
                }
            }
        }
        self.dirty = false;
        self.last_flush = Instant::now();
        true
    }

    /// Signs a checkpoint if one is due: of what is flushed, so that it never claims more than
    /// what survives a power cut.
    fn checkpoint(&mut self, last: bool) {
        let size = self.chain.size();
        let due = self.config.checkpoints.as_ref().is_some_and(|checkpoints| {
            let new = size.saturating_sub(self.checkpoint_size);
            self.last_checkpoint.elapsed() >= checkpoints.every
                || new >= checkpoints.records.max(1)
                || (last && new > 0)
        });
        if !due || size == 0 || !self.keep_unkept() {
            return;
        }
        self.last_checkpoint = Instant::now();
        if !self.make_durable() {
            return;
        }
        // Another sink may have taken over just now.
        let size = self.chain.size();
        let (root, now) = (self.chain.root(), (self.config.clock)());
        let Some(checkpoints) = self.config.checkpoints.as_mut() else { return };
        self.unkept = Some(checkpoints.key.sign(size, root, now));
        self.checkpoint_size = size;
        self.keep_unkept();
    }

    /// Whether no checkpoint is left to be kept.
    fn keep_unkept(&mut self) -> bool {
        let Some(note) = self.unkept.take() else { return true };
        if self.sink(|sink| sink.keep_checkpoint(&note)).is_none() {
            self.unkept = Some(note);
            return false;
        }
        self.save_seed();
        self.observers.export(note, &self.shared);
        true
    }

    pub(super) fn save_seed(&self) {
        if let Some(CheckpointConfig { key, save_seed: Some(save), .. }) = &self.config.checkpoints
            && catch_unwind(AssertUnwindSafe(|| save(&key.seed()))).is_err()
        {
            let text = "saving the next seed panicked".to_owned();
            self.shared.count(|counts| counts.last_error = Some(text));
        }
    }
}

fn gap_event(gap: Gap) -> Event {
    Event::of(EventKind::Log(LogKind::Gap))
        .with("lost", gap.lost)
        .with("reserved", gap.reserved)
        .with("first_at", gap.first_at)
        .with("last_at", gap.last_at)
}
