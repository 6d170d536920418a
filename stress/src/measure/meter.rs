//! What a scenario measures itself with.

use core::time::Duration;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::crowd::{Crowd, Remaining};
use super::memory::MemoryProbe;
use super::tally::{Class, Tally};
use crate::scenario::ScenarioError;

/// Hears how far a scenario is.
pub trait Progress: Sync {
    /// A round of a scenario begins.
    fn begin(&self, scenario: &str, operations: u64);
    /// So many operations more are done.
    fn advance(&self, operations: u64);
    /// The round is over.
    fn end(&self);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _scenario: &str, _operations: u64) {}
    fn advance(&self, _operations: u64) {}
    fn end(&self) {}
}

/// What the runner lends to each round.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The measuring clock: time since any fixed start.
    pub clock: &'a (dyn Fn() -> Duration + Sync),
    /// Counts memory; none where the program's allocator does not.
    pub memory: Option<&'a dyn MemoryProbe>,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
    /// How long one round may take, its preparation counted.
    pub limit: Duration,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Surroundings<'_> {
    fn memory(&self) -> u64 {
        self.memory.map_or(0, MemoryProbe::current)
    }
}

/// Work for one thread of [`Meter::together`].
pub type Work<'a, T> = Box<dyn FnOnce(&mut Worker<'_>) -> Result<T, ScenarioError> + Send + 'a>;

/// Measures one round of a scenario.
///
/// What is not inside [`time`](Self::time), [`together`](Self::together) or a [`Crowd`]'s samples
/// does not count: preparation is left out of every figure but the peak of memory.
#[derive(Debug)]
pub struct Meter<'a> {
    around: Surroundings<'a>,
    /// When the round has to be over.
    ends: Duration,
    /// How long was measured so far.
    measured: Duration,
    tally: Tally,
}

impl<'a> Meter<'a> {
    /// For a round that begins now.
    #[must_use]
    pub fn new(around: Surroundings<'a>) -> Self {
        let ends = (around.clock)().saturating_add(around.limit);
        Self { around, ends, measured: Duration::ZERO, tally: Tally::default() }
    }

    /// Does one sample of work that stands for so many operations, and times it.
    ///
    /// # Errors
    /// The class that the work failed with; it is counted.
    pub fn time<T>(
        &mut self,
        operations: u64,
        work: impl FnOnce() -> Result<T, Class>,
    ) -> Result<T, Class> {
        let began = (self.around.clock)();
        let done = work();
        let took = (self.around.clock)().saturating_sub(began);
        let failed = done.as_ref().err().copied();
        self.note(self.measured.saturating_add(took), took, operations, failed);
        done
    }

    /// Lends it to many futures that run at once on this thread.
    pub fn crowd(&mut self) -> Crowd<'_, 'a> {
        Crowd::new(self)
    }

    pub(super) fn clock(&self) -> Duration {
        (self.around.clock)()
    }

    /// Notes a sample that was timed elsewhere, in virtual time or by a [`Crowd`]: it ended at `at`, since the
    /// round's start.
    pub fn note(&mut self, at: Duration, took: Duration, operations: u64, failed: Option<Class>) {
        self.measured = self.measured.max(at);
        self.tally.note(at, took, operations, failed, self.around.memory());
        self.around.progress.advance(operations);
    }

    /// Runs each piece of work on a thread of its own, and gives what came of them in their order.
    /// What counts is the time until the last one ends.
    ///
    /// # Errors
    /// The first error in their order; all threads have ended by then. [`ScenarioError::Panicked`]
    /// for one that panicked.
    pub fn together<'w, T: Send + 'w>(
        &mut self,
        work: Vec<Work<'w, T>>,
    ) -> Result<Vec<T>, ScenarioError> {
        let (around, ends, before) = (self.around, self.ends, self.measured);
        let sum = Mutex::new(Tally::default());
        let began = (around.clock)();
        let done: Vec<_> = std::thread::scope(|scope| {
            let spawn = |piece: Work<'w, T>| {
                let sum = &sum;
                scope.spawn(move || {
                    let mut worker =
                        Worker { around, ends, began, before, tally: Tally::default() };
                    let done = piece(&mut worker);
                    sum.lock().unwrap_or_else(PoisonError::into_inner).merge(worker.tally);
                    done
                })
            };
            let threads: Vec<_> = work.into_iter().map(spawn).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join();
            threads.into_iter().map(join).collect()
        });
        self.measured = before.saturating_add((around.clock)().saturating_sub(began));
        self.tally.merge(sum.into_inner().unwrap_or_else(PoisonError::into_inner));
        done.into_iter().map(|done| done.unwrap_or(Err(ScenarioError::Panicked))).collect()
    }

    /// Whether the round may go on; every loop asks.
    ///
    /// # Errors
    /// [`ScenarioError::OutOfTime`].
    pub fn check_time(&self) -> Result<(), ScenarioError> {
        check_time(&self.around, self.ends)
    }

    /// What is left of the round, for those who wait.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        let left = self.ends.saturating_sub(self.clock());
        Remaining { left, limit: self.around.limit }
    }

    /// The allocator's counts, for scenarios that are about memory.
    ///
    /// # Errors
    /// [`ScenarioError::MemoryNotCounted`] where the program's allocator does not count.
    pub fn memory(&self) -> Result<&'a dyn MemoryProbe, ScenarioError> {
        self.around.memory.ok_or(ScenarioError::MemoryNotCounted)
    }

    /// What was counted so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How long was measured so far.
    #[must_use]
    pub const fn measured(&self) -> Duration {
        self.measured
    }

    /// What was counted, and how long was measured.
    #[must_use]
    pub fn into_parts(self) -> (Tally, Duration) {
        (self.tally, self.measured)
    }
}

fn check_time(around: &Surroundings<'_>, ends: Duration) -> Result<(), ScenarioError> {
    let limit = around.limit;
    if (around.clock)() < ends { Ok(()) } else { Err(ScenarioError::OutOfTime { limit }) }
}

/// Measures what one of several threads does.
#[derive(Debug)]
pub struct Worker<'a> {
    around: Surroundings<'a>,
    ends: Duration,
    /// When the threads began, by the clock, and how long had been measured by then.
    began: Duration,
    before: Duration,
    tally: Tally,
}

impl Worker<'_> {
    /// As [`Meter::time`].
    ///
    /// # Errors
    /// The class that the work failed with; it is counted.
    pub fn time<T>(
        &mut self,
        operations: u64,
        work: impl FnOnce() -> Result<T, Class>,
    ) -> Result<T, Class> {
        let began = (self.around.clock)();
        let done = work();
        let ended = (self.around.clock)();
        let at = self.before.saturating_add(ended.saturating_sub(self.began));
        let failed = done.as_ref().err().copied();
        let memory = self.around.memory();
        self.tally.note(at, ended.saturating_sub(began), operations, failed, memory);
        self.around.progress.advance(operations);
        done
    }

    /// As [`Meter::check_time`].
    ///
    /// # Errors
    /// [`ScenarioError::OutOfTime`].
    pub fn check_time(&self) -> Result<(), ScenarioError> {
        check_time(&self.around, self.ends)
    }
}
