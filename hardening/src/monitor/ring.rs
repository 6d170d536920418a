//! A window of time as a ring of slots, so that what is old falls out piece by piece.

use core::time::Duration;
use std::collections::VecDeque;

use crate::clock::nanos;

/// How far back a window looks, and in how many pieces it slides.
///
/// See [`LatencyReport`](super::LatencyReport) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The time it covers. The piece that is being filled counts in full, so it covers between
    /// `span - span / slots` and `span`.
    pub span: Duration,
    /// How many pieces; from 1 to 60, what is outside counts as the nearest.
    pub slots: u32,
}

impl Default for Window {
    /// A minute in six pieces.
    fn default() -> Self {
        Self { span: Duration::from_secs(60), slots: 6 }
    }
}

/// What is counted in one slot.
pub(crate) trait Slot: Default {
    /// Empties it, keeping its memory.
    fn clear(&mut self);
}

/// The slots. Slot `n` holds what happened from `n * slot_nanos` to `(n + 1) * slot_nanos`.
#[derive(Clone, Debug)]
pub(crate) struct Ring<T> {
    current: T,
    /// The number of the current slot.
    number: u64,
    /// When the current slot ends: one comparison instead of a division a recording.
    ends_at: u64,
    /// The slots before it, the newest first.
    past: VecDeque<T>,
    slot_nanos: u64,
}

impl<T: Slot> Ring<T> {
    pub(crate) fn new(window: Window) -> Self {
        let slots = window.slots.clamp(1, 60);
        let slot_nanos = nanos(window.span / slots).max(1);
        let past = (1..slots).map(|_| T::default()).collect();
        Self { current: T::default(), number: 0, ends_at: slot_nanos, past, slot_nanos }
    }

    /// The slot of `now`. A clock that goes back counts as standing still.
    pub(crate) fn slot(&mut self, now: Duration) -> &mut T {
        let now = nanos(now);
        if now >= self.ends_at {
            self.advance(now);
        }
        &mut self.current
    }

    #[cold]
    fn advance(&mut self, now: u64) {
        let number = now / self.slot_nanos;
        let all = u64::try_from(self.past.len()).unwrap_or(u64::MAX).saturating_add(1);
        for _ in 0..(number - self.number).min(all) {
            // With no past the one slot is simply emptied.
            if let Some(oldest) = self.past.pop_back() {
                self.past.push_front(core::mem::replace(&mut self.current, oldest));
            }
            self.current.clear();
        }
        self.number = number;
        self.ends_at = (number + 1).saturating_mul(self.slot_nanos);
    }

    /// The slots that the window still covers at `now`.
    pub(crate) fn live(&self, now: Duration) -> impl Iterator<Item = &T> {
        let behind = (nanos(now) / self.slot_nanos).saturating_sub(self.number);
        let covered =
            (self.past.len() + 1).saturating_sub(usize::try_from(behind).unwrap_or(usize::MAX));
        core::iter::once(&self.current).chain(&self.past).take(covered)
    }

    /// When the oldest slot that is covered at `now` begins.
    pub(crate) fn begins(&self, now: Duration) -> Duration {
        let number = (nanos(now) / self.slot_nanos).max(self.number);
        let past = u64::try_from(self.past.len()).unwrap_or(u64::MAX);
        Duration::from_nanos(number.saturating_sub(past).saturating_mul(self.slot_nanos))
    }

    pub(crate) fn clear(&mut self) {
        self.current.clear();
        self.past.iter_mut().for_each(Slot::clear);
    }
}
