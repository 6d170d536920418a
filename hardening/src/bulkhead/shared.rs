//! A bulkhead that many share.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::state::{BulkheadLimits, BulkheadState, Entry, Ticket};
use crate::error::Rejected;
use crate::listeners::Listeners;

/// Lets only so many in at once; the others wait in a bounded queue. Clones share it.
///
/// It needs no runtime: those who wait are woken by who leaves.
///
/// ```
/// use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLimits};
/// use ironlight_hardening::Rejected;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let bulkhead = Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 0 });
/// let place = bulkhead.enter().await.unwrap();
/// assert_eq!(bulkhead.enter().await.unwrap_err(), Rejected::Overloaded { limit: 1 });
/// drop(place);
/// assert!(bulkhead.try_enter().is_ok());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bulkhead {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<BulkheadState<Waker>>,
    listeners: Listeners<u32>,
}

/// What can be said about a bulkhead.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkheadStatus {
    /// The limits.
    pub limits: BulkheadLimits,
    /// How many are inside.
    pub inside: u32,
    /// How many wait.
    pub waiting: u32,
    /// How many were refused, in all, or waited for too long.
    pub refused: u64,
}

impl Bulkhead {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(limits: BulkheadLimits) -> Self {
        let state = Mutex::new(BulkheadState::new(limits));
        Self { shared: Arc::new(Shared { state, listeners: Listeners::default() }) }
    }

    /// Goes in, or waits.
    pub fn enter(&self) -> Enter {
        Enter { bulkhead: self.clone(), ticket: None }
    }

    /// Goes in without waiting.
    ///
    /// # Errors
    /// [`Rejected::Overloaded`] when there is no room inside.
    pub fn try_enter(&self) -> Result<Place, Rejected> {
        let mut state = self.lock();
        if state.enter_now() {
            return Ok(Place { bulkhead: self.clone() });
        }
        state.count_refusal();
        let limit = state.limits().concurrent;
        drop(state);
        Err(self.refused(limit))
    }

    /// A place, if there is one; no refusal is counted where there is none.
    pub(super) fn enter_now(&self) -> Option<Place> {
        self.lock().enter_now().then(|| Place { bulkhead: self.clone() })
    }

    /// Has each refusal told, with how many may be inside; also of those who waited for too long. One
    /// that panics harms nothing.
    pub fn on_refused(&self, listener: impl Fn(u32) + Send + Sync + 'static) {
        self.shared.listeners.add(Arc::new(move |limit: &u32| listener(*limit)));
    }

    fn refused(&self, limit: u32) -> Rejected {
        self.shared.listeners.tell(&limit);
        Rejected::Overloaded { limit }
    }

    /// Other limits from now on. Nobody is thrown out, neither of the queue.
    ///
    /// ```
    /// use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLimits};
    ///
    /// let bulkhead = Bulkhead::new(BulkheadLimits { concurrent: 0, queue: 0 });
    /// assert!(bulkhead.try_enter().is_err());
    /// bulkhead.set_limits(BulkheadLimits { concurrent: 1, queue: 0 });
    /// assert!(bulkhead.try_enter().is_ok());
    /// ```
    pub fn set_limits(&self, limits: BulkheadLimits) {
        self.update(|state| state.set_limits(limits));
    }

    /// What can be said about it.
    #[must_use]
    pub fn status(&self) -> BulkheadStatus {
        let state = self.lock();
        BulkheadStatus {
            limits: state.limits(),
            inside: state.inside(),
            waiting: state.waiting(),
            refused: state.refused(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BulkheadState<Waker>> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who were let in, outside of the lock: a waker may run anything.
    fn update(&self, with: impl FnOnce(&mut BulkheadState<Waker>)) {
        let mut state = self.lock();
        with(&mut state);
        while let Some(waker) = state.poll_admitted() {
            drop(state);
            waker.wake();
            state = self.lock();
        }
    }
}

impl From<BulkheadLimits> for Bulkhead {
    fn from(limits: BulkheadLimits) -> Self {
        Self::new(limits)
    }
}

/// A place inside; free again when this is dropped.
///
/// See [`Bulkhead`] for an example.
#[derive(Debug)]
#[must_use = "dropped at once, the place is free again"]
pub struct Place {
    bulkhead: Bulkhead,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bulkhead.update(BulkheadState::leave);
    }
}

/// The future of [`Bulkhead::enter`]. It takes its turn when it is polled first; dropped, it gives
/// its turn to the next.
///
/// See [`Bulkhead`] for an example.
#[derive(Debug)]
pub struct Enter {
    bulkhead: Bulkhead,
    ticket: Option<Ticket>,
}

impl Future for Enter {
    /// [`Rejected::Overloaded`] when the queue is full as well.
    type Output = Result<Place, Rejected>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.bulkhead.lock();
        let Some(ticket) = this.ticket else {
            return match state.enter(|| context.waker().clone()) {
                Entry::Inside => Poll::Ready(Ok(Place { bulkhead: this.bulkhead.clone() })),
                Entry::Waits(ticket) => {
                    this.ticket = Some(ticket);
                    Poll::Pending
                }
                Entry::Refused => {
                    let limit = state.limits().concurrent;
                    drop(state);
                    Poll::Ready(Err(this.bulkhead.refused(limit)))
                }
            };
        };
        if let Some(waker) = state.waiter(ticket) {
            let old = (!waker.will_wake(context.waker()))
                .then(|| core::mem::replace(waker, context.waker().clone()));
            drop(state);
            // Only now: dropping a waker may run anything, this bulkhead's own code too.
            drop(old);
            return Poll::Pending;
        }
        this.ticket = None;
        if state.claim(ticket) {
            return Poll::Ready(Ok(Place { bulkhead: this.bulkhead.clone() }));
        }
        Poll::Pending
    }
}

impl Enter {
    /// Goes away, as if it were dropped.
    fn give_up(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // The waker is dropped after the lock is released.
            let mut waker = None;
            self.bulkhead.update(|state| waker = state.give_up(ticket));
        }
    }

    /// Goes away because it took too long.
    pub(super) fn refuse(&mut self) -> Rejected {
        self.give_up();
        let mut state = self.bulkhead.lock();
        state.count_refusal();
        let limit = state.limits().concurrent;
        drop(state);
        self.bulkhead.refused(limit)
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        self.give_up();
    }
}
