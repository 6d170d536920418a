//! The same thing several times, so that threads do not wait for each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Two neighbours on one cache line would slow each other down as one lock does.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<T>(Mutex<T>);

/// Each thread uses one of them, always the same. Reading adds them up.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    first: Shard<T>,
    rest: Box<[Shard<T>]>,
}

impl<T> Shards<T> {
    /// At least one, at most 64.
    pub(crate) fn new(count: usize, make: impl Fn() -> T) -> Self {
        let rest = (1..count.min(64)).map(|_| Shard(Mutex::new(make()))).collect();
        Self { first: Shard(Mutex::new(make())), rest }
    }

    /// Writes to this thread's.
    pub(crate) fn write<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        let place = thread_number() % (self.rest.len() + 1);
        let shard = place.checked_sub(1).and_then(|at| self.rest.get(at)).unwrap_or(&self.first);
        with(&mut shard.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Visits all, one after the other.
    pub(crate) fn each(&self, mut with: impl FnMut(&mut T)) {
        for shard in core::iter::once(&self.first).chain(&self.rest) {
            with(&mut shard.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// Threads are numbered as they come, so that few threads do not meet by chance.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.try_with(|number| *number).unwrap_or(0)
}
