//! Those who want to hear of changes.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

type Listener<E> = Arc<dyn Fn(&E) + Send + Sync>;

/// A list of listeners. Only the program itself adds to it, so it has no bound.
pub(crate) struct Listeners<E> {
    list: RwLock<Vec<Listener<E>>>,
    panics: AtomicU64,
}

impl<E> Default for Listeners<E> {
    fn default() -> Self {
        Self { list: RwLock::default(), panics: AtomicU64::new(0) }
    }
}

impl<E> fmt::Debug for Listeners<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").field("panics", &self.panics()).finish_non_exhaustive()
    }
}

impl<E> Listeners<E> {
    pub(crate) fn add(&self, listener: Listener<E>) {
        self.list.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    /// Tells all of them. One that panics is counted and does not keep the others from hearing.
    pub(crate) fn tell(&self, event: &E) {
        // A copy, so that a listener can add another one.
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in list {
            if catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
                self.panics.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}
