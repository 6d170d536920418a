//! Keeps threads in step, so that all kinds of work go on until the end.

use std::sync::{Condvar, Mutex, PoisonError};

/// Turns that one may be ahead of the slowest.
const LEAD: u64 = 2;

/// How many turns each of several threads has done.
pub(super) struct Pace {
    done: Mutex<Vec<u64>>,
    moved: Condvar,
}

impl Pace {
    /// For so many threads, none of which has done anything.
    pub(super) fn new(threads: usize) -> Self {
        Self { done: Mutex::new(vec![0; threads]), moved: Condvar::new() }
    }

    /// The place of one thread, by its number. Dropped, it keeps nobody waiting any more.
    pub(super) const fn join(&self, number: usize) -> Place<'_> {
        Place { pace: self, number }
    }

    fn set(&self, number: usize, turn: impl FnOnce(u64) -> u64) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = done.get_mut(number) {
            *own = turn(*own);
        }
        self.moved.notify_all();
    }
}

/// One thread's place.
pub(super) struct Place<'a> {
    pace: &'a Pace,
    number: usize,
}

impl Place<'_> {
    /// A turn is done; waits while that is too far ahead of the slowest.
    pub(super) fn step(&self) {
        self.pace.set(self.number, |turn| turn.saturating_add(1));
        let ahead = |done: &mut Vec<u64>| {
            let own = done.get(self.number).copied().unwrap_or(0);
            done.iter().min().is_some_and(|least| own > least.saturating_add(LEAD))
        };
        let done = self.pace.done.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.pace.moved.wait_while(done, ahead));
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pace.set(self.number, |_| u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_further_ahead_than_the_lead_and_who_leaves_keeps_nobody_waiting() {
        let pace = Pace::new(3);
        let turns = |pace: &Pace| pace.done.lock().unwrap().clone();
        drop(pace.join(2));
        std::thread::scope(|scope| {
            for number in 0..2 {
                let pace = &pace;
                scope.spawn(move || {
                    let place = pace.join(number);
                    for turn in 0..100 {
                        let done = turns(pace);
                        let slowest = *done.iter().min().unwrap();
                        assert!(turn <= slowest + LEAD, "{done:?}");
                        place.step();
                    }
                });
            }
        });
        assert_eq!(turns(&pace), [u64::MAX; 3]);
    }
}
