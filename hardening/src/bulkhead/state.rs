//! Who is inside and who waits, without a lock and without wakers.
//!
//! Invariant: no more are inside than the limit, unless it was lowered under them; those that wait
//! go in in the order in which they came; nobody waits while there is room.
//!
//! What an attacker can grow: the queue, up to its bound.

use std::collections::{BTreeMap, BTreeSet};

/// How many may be inside, and how many may wait.
///
/// See [`BulkheadState`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadLimits {
    /// So many at once.
    pub concurrent: u32,
    /// So many wait at most.
    pub queue: u32,
}

/// What becomes of one who wants to go in.
///
/// See [`BulkheadState`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is inside.
    Inside,
    /// It waits, under this number.
    Waits(Ticket),
    /// There is no room.
    Refused,
}

/// The number of one who waits.
///
/// See [`BulkheadState`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The state machine, with something of each who waits: what is needed to wake it.
///
/// ```
/// use ironlight_hardening::bulkhead::{BulkheadLimits, BulkheadState, Entry};
///
/// let mut state = BulkheadState::new(BulkheadLimits { concurrent: 1, queue: 1 });
/// assert_eq!(state.enter(|| "first"), Entry::Inside);
/// let Entry::Waits(ticket) = state.enter(|| "second") else { panic!("there is a queue") };
/// assert_eq!(state.enter(|| "third"), Entry::Refused);
/// state.leave();
/// assert_eq!(state.poll_admitted(), Some("second"));
/// assert!(state.claim(ticket));
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadState<W> {
    limits: BulkheadLimits,
    inside: u32,
    waiting: BTreeMap<Ticket, W>,
    /// Let in, but they do not know it yet; they count as inside.
    admitted: BTreeSet<Ticket>,
    to_wake: Vec<W>,
    next: u64,
    refused: u64,
}

impl<W> BulkheadState<W> {
    /// Nobody is there yet.
    #[must_use]
    pub const fn new(limits: BulkheadLimits) -> Self {
        Self {
            limits,
            inside: 0,
            waiting: BTreeMap::new(),
            admitted: BTreeSet::new(),
            to_wake: Vec::new(),
            next: 0,
            refused: 0,
        }
    }

    /// Goes in if there is room, else waits.
    pub fn enter(&mut self, waker: impl FnOnce() -> W) -> Entry {
        if self.enter_now() {
            return Entry::Inside;
        }
        if self.waiting() >= self.limits.queue {
            self.refused += 1;
            return Entry::Refused;
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        self.waiting.insert(ticket, waker());
        Entry::Waits(ticket)
    }

    /// Goes in if there is room.
    pub fn enter_now(&mut self) -> bool {
        let room = self.inside < self.limits.concurrent;
        self.inside += u32::from(room);
        room
    }

    /// Goes out again. Ask [`poll_admitted`](Self::poll_admitted) afterwards.
    pub fn leave(&mut self) {
        self.inside = self.inside.saturating_sub(1);
        self.admit();
    }

    /// Whether the one who waits is inside now; from then on it is for it to leave.
    pub fn claim(&mut self, ticket: Ticket) -> bool {
        self.admitted.remove(&ticket)
    }

    /// What is kept of one who waits.
    pub fn waiter(&mut self, ticket: Ticket) -> Option<&mut W> {
        self.waiting.get_mut(&ticket)
    }

    /// One who waits goes away, whether or not it was let in meanwhile; then its place is free.
    /// What was kept of it comes back.
    pub fn give_up(&mut self, ticket: Ticket) -> Option<W> {
        if self.admitted.remove(&ticket) {
            self.leave();
        }
        self.waiting.remove(&ticket)
    }

    /// Those who were let in and are to be told, one after the other.
    pub fn poll_admitted(&mut self) -> Option<W> {
        self.to_wake.pop()
    }

    /// Other limits from now on. Nobody is thrown out, neither of the queue.
    pub fn set_limits(&mut self, limits: BulkheadLimits) {
        self.limits = limits;
        self.admit();
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> BulkheadLimits {
        self.limits
    }

    /// How many are inside.
    #[must_use]
    pub const fn inside(&self) -> u32 {
        self.inside
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// How many were refused, in all.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) const fn count_refusal(&mut self) {
        self.refused += 1;
    }

    fn admit(&mut self) {
        while self.inside < self.limits.concurrent
            && let Some((ticket, waker)) = self.waiting.pop_first()
        {
            self.inside += 1;
            self.admitted.insert(ticket);
            self.to_wake.push(waker);
        }
    }
}
