//! Of those who want the same at the same time, one does the work.
//!
//! The work belongs to nobody: it lies in the middle, and whoever is polled carries it on. So no
//! leader has to be followed. One that is dropped takes nothing with it; one that is held but never
//! polled again holds up nobody, because a wake of the work wakes all who wait, and the first to
//! come carries on. That costs a wake for each that waits whenever the work wakes.
//!
//! Work that panics does so in whoever polled it; the others begin anew with work of their own.

use core::fmt;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Phase<F: Future> {
    /// Nobody polls it at the moment.
    Idle(Pin<Box<F>>),
    /// Somebody does, or makes it.
    Polling,
    Done(F::Output),
    /// It panicked, or nobody wanted it any more.
    Broken,
}

struct State<F: Future> {
    phase: Phase<F>,
    /// The work woke while it was polled.
    woken: bool,
    /// Of each that waits, at its place.
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl<F: Future> State<F> {
    /// Gives back the waker that was there: dropping one can drop a task, and with it another that
    /// waits here, which must not happen under the lock.
    fn wait(&mut self, place: &mut Option<usize>, waker: &Waker) -> Option<Waker> {
        let at = *place.get_or_insert_with(|| self.free.pop().unwrap_or(self.wakers.len()));
        if at >= self.wakers.len() {
            self.wakers.resize(at + 1, None);
        }
        let slot = self.wakers.get_mut(at)?;
        match slot {
            Some(known) if known.will_wake(waker) => None,
            Some(_) | None => slot.replace(waker.clone()),
        }
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.wakers.iter_mut().filter_map(Option::take).collect()
    }
}

struct Flight<F: Future>(Mutex<State<F>>);

impl<F: Future> Flight<F> {
    fn new() -> Self {
        let (wakers, free) = (Vec::new(), Vec::new());
        Self(Mutex::new(State { phase: Phase::Polling, woken: false, wakers, free }))
    }

    /// Ends the poll that goes on: this is how the work stands now.
    fn put(&self, phase: Phase<F>) {
        let wakers = {
            let mut state = lock(&self.0);
            let all_must_know = state.woken || !matches!(phase, Phase::Idle(_));
            state.phase = phase;
            state.woken = false;
            if all_must_know { state.take_wakers() } else { Vec::new() }
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<F> Wake for Flight<F>
where
    F: Future<Output: Send> + Send,
{
    fn wake(self: Arc<Self>) {
        let wakers = {
            let mut state = lock(&self.0);
            match state.phase {
                // Who polls it wakes the others afterwards: before, they could not carry on.
                Phase::Polling => {
                    state.woken = true;
                    Vec::new()
                }
                Phase::Idle(_) => state.take_wakers(),
                Phase::Done(_) | Phase::Broken => Vec::new(),
            }
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

struct Seats<F: Future> {
    flight: Arc<Flight<F>>,
    taken: usize,
}

struct Flights<K, F: Future> {
    by_key: Mutex<HashMap<K, Seats<F>>>,
    started: AtomicU64,
    joined: AtomicU64,
}

impl<K: Hash + Eq, F: Future> Flights<K, F> {
    /// Takes a flight off the map, so that whoever comes now begins anew.
    fn close(&self, key: &K, flight: &Arc<Flight<F>>) {
        let mut by_key = lock(&self.by_key);
        if by_key.get(key).is_some_and(|seats| Arc::ptr_eq(&seats.flight, flight)) {
            by_key.remove(key);
        }
    }
}

/// Shares work that is under way, by key. Clones share it too.
///
/// ```
/// use ironlight_hardening::cache::SingleFlight;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let flights = SingleFlight::new();
/// let work = || async {
///     tokio::task::yield_now().await;
///     42
/// };
/// let (one, two) = tokio::join!(flights.run("answer", work), flights.run("answer", work));
/// assert_eq!((one, two), (42, 42));
/// assert_eq!((flights.started(), flights.joined()), (1, 1));
/// # }
/// ```
pub struct SingleFlight<K, F: Future>(Arc<Flights<K, F>>);

impl<K, F: Future> Clone for SingleFlight<K, F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Hash + Eq, F: Future> fmt::Debug for SingleFlight<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight")
            .field("flying", &self.flying())
            .field("started", &self.started())
            .field("joined", &self.joined())
            .finish()
    }
}

impl<K, F: Future> Default for SingleFlight<K, F> {
    fn default() -> Self {
        let (started, joined) = (AtomicU64::new(0), AtomicU64::new(0));
        Self(Arc::new(Flights { by_key: Mutex::default(), started, joined }))
    }
}

impl<K: Hash + Eq, F: Future> SingleFlight<K, F> {
    /// Nothing is under way.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for the work of this key. If none is under way at the first poll, `make` makes it;
    /// again if that work panicked in somebody else's hands.
    ///
    /// Every one who waits gets a clone of the result, made under a lock: large ones belong in an
    /// `Arc`. The work may be polled by any of those who wait, in any of their tasks.
    pub fn run<M: FnMut() -> F>(&self, key: K, make: M) -> Joined<K, F, M> {
        Joined { flights: self.0.clone(), key, make, seat: None, place: None }
    }

    /// How much is under way.
    #[must_use]
    pub fn flying(&self) -> usize {
        lock(&self.0.by_key).len()
    }

    /// How often work was begun.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.0.started.load(Ordering::Relaxed)
    }

    /// How often somebody joined work that was under way.
    #[must_use]
    pub fn joined(&self) -> u64 {
        self.0.joined.load(Ordering::Relaxed)
    }
}

/// The future of [`SingleFlight::run`]. When the last that waits is dropped, so is the work.
///
/// See [`SingleFlight`] for an example.
#[must_use = "futures do nothing unless polled"]
pub struct Joined<K: Hash + Eq, F: Future, M> {
    flights: Arc<Flights<K, F>>,
    key: K,
    make: M,
    seat: Option<Arc<Flight<F>>>,
    /// Where the waker is.
    place: Option<usize>,
}

impl<K: Hash + Eq, F: Future, M> fmt::Debug for Joined<K, F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").field("waits", &self.seat.is_some()).finish_non_exhaustive()
    }
}

/// The work itself is boxed, and nothing here is pinned in place.
impl<K: Hash + Eq, F: Future, M> Unpin for Joined<K, F, M> {}

impl<K, F, M> Joined<K, F, M>
where
    K: Hash + Eq + Clone,
    F: Future<Output: Clone + Send> + Send + 'static,
    M: FnMut() -> F,
{
    /// Takes a seat; whether it is the first, and so has to make the work.
    fn join(&mut self) -> (Arc<Flight<F>>, bool) {
        let mut by_key = lock(&self.flights.by_key);
        let (flight, first) = match by_key.entry(self.key.clone()) {
            Entry::Occupied(mut seats) => {
                seats.get_mut().taken += 1;
                (seats.get().flight.clone(), false)
            }
            Entry::Vacant(vacant) => {
                let flight = Arc::new(Flight::new());
                vacant.insert(Seats { flight: flight.clone(), taken: 1 });
                (flight, true)
            }
        };
        let counter = if first { &self.flights.started } else { &self.flights.joined };
        counter.fetch_add(1, Ordering::Relaxed);
        self.seat = Some(flight.clone());
        (flight, first)
    }

    /// Polls the work, which nobody else does meanwhile.
    fn carry_on(&mut self, flight: &Arc<Flight<F>>, work: Option<Pin<Box<F>>>) -> Poll<F::Output> {
        let mut broken = OnPanic { flights: &self.flights, key: &self.key, flight, armed: true };
        let mut work = work.unwrap_or_else(|| Box::pin((self.make)()));
        let waker = Waker::from(flight.clone());
        let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
        match polled {
            Poll::Pending => {
                broken.armed = false;
                flight.put(Phase::Idle(work));
                Poll::Pending
            }
            Poll::Ready(output) => {
                // Dropped before the others go on, as it would be where it is awaited.
                drop(work);
                let copy = output.clone();
                broken.armed = false;
                self.flights.close(&self.key, flight);
                flight.put(Phase::Done(copy));
                Poll::Ready(output)
            }
        }
    }
}

/// Work that panicked is not carried on; those who wait begin anew.
struct OnPanic<'a, K: Hash + Eq, F: Future> {
    flights: &'a Flights<K, F>,
    key: &'a K,
    flight: &'a Arc<Flight<F>>,
    armed: bool,
}

impl<K: Hash + Eq, F: Future> Drop for OnPanic<'_, K, F> {
    fn drop(&mut self) {
        if self.armed {
            self.flights.close(self.key, self.flight);
            self.flight.put(Phase::Broken);
        }
    }
}

impl<K, F, M> Future for Joined<K, F, M>
where
    K: Hash + Eq + Clone,
    F: Future<Output: Clone + Send> + Send + 'static,
    M: FnMut() -> F,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            let this = &mut *self;
            let (flight, first) = match &this.seat {
                Some(flight) => (flight.clone(), false),
                None => this.join(),
            };
            // Dropped in reverse order: the lock first.
            let old_waker;
            let mut state = lock(&flight.0);
            old_waker = state.wait(&mut this.place, context.waker());
            let work = if first {
                None
            } else {
                match core::mem::replace(&mut state.phase, Phase::Polling) {
                    Phase::Idle(work) => Some(work),
                    Phase::Polling => return Poll::Pending,
                    Phase::Done(output) => {
                        let copy = output.clone();
                        state.phase = Phase::Done(output);
                        return Poll::Ready(copy);
                    }
                    Phase::Broken => {
                        state.phase = Phase::Broken;
                        drop(state);
                        this.leave();
                        continue;
                    }
                }
            };
            drop(state);
            drop(old_waker);
            return this.carry_on(&flight, work);
        }
    }
}

impl<K: Hash + Eq, F: Future, M> Joined<K, F, M> {
    fn leave(&mut self) {
        let Some(flight) = self.seat.take() else { return };
        let place = self.place.take();
        let last = {
            let mut by_key = lock(&self.flights.by_key);
            match by_key.get_mut(&self.key) {
                Some(seats) if Arc::ptr_eq(&seats.flight, &flight) => {
                    seats.taken -= 1;
                    let last = seats.taken == 0;
                    if last {
                        by_key.remove(&self.key);
                    }
                    last
                }
                Some(_) | None => false,
            }
        };
        let mut state = lock(&flight.0);
        let waker = place.and_then(|at| {
            state.free.push(at);
            state.wakers.get_mut(at).and_then(Option::take)
        });
        // The work holds wakers that hold the flight: left in, neither would ever be dropped.
        let work = last.then(|| core::mem::replace(&mut state.phase, Phase::Broken));
        drop(state);
        drop((waker, work));
    }
}

impl<K: Hash + Eq, F: Future, M> Drop for Joined<K, F, M> {
    fn drop(&mut self) {
        self.leave();
    }
}
