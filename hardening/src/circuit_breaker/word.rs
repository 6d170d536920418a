//! One word that spares the lock while calls succeed.
//!
//! It says which generation it is, whether calls go through, and whether a further success changes
//! nothing but the count of calls. As long as that is so, it is counted here, by one compare-and-swap
//! that also compares the generation; who takes the lock takes these successes into the state first.
//! Between [`Word::take`] and [`Word::publish`] nothing can be counted here, so that no success is
//! lost, and none of one generation is counted in another.

use core::sync::atomic::{AtomicU64, Ordering};

/// Calls go through.
pub(super) const CLOSED: u64 = 1;
/// A success can be counted here.
pub(super) const COUNTS: u64 = 2;

const ONE: u64 = 4;
const COUNTED_BITS: u32 = 24;
const GENERATION_AT: u32 = 2 + COUNTED_BITS;
/// The generation has so many values before it begins anew.
pub(super) const GENERATIONS: u64 = 1 << (64 - GENERATION_AT);

/// What is asked of an atomic word, so that loom's can take its place in tests.
pub(super) trait Atomic {
    fn load(&self) -> u64;
    fn swap(&self, new: u64) -> u64;
    fn store(&self, new: u64);
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64>;
}

// Each is one instruction, in the middle of what is inlined into other crates.
impl Atomic for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn swap(&self, new: u64) -> u64 {
        self.swap(new, Ordering::AcqRel)
    }

    #[inline]
    fn store(&self, new: u64) {
        self.store(new, Ordering::Release);
    }

    #[inline]
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

#[derive(Debug)]
pub(super) struct Word<A = AtomicU64>(A);

impl Word {
    pub(super) const fn new(generation: u64, flags: u64) -> Self {
        Self(AtomicU64::new(generation << GENERATION_AT | flags))
    }
}

impl<A: Atomic> Word<A> {
    /// The generation, if calls go through.
    #[inline]
    pub(super) fn closed(&self) -> Option<u64> {
        let word = self.0.load();
        (word & CLOSED != 0).then_some(word >> GENERATION_AT)
    }

    /// Counts a success of this generation; false if that is to be done under the lock.
    #[inline]
    pub(super) fn count_success(&self, generation: u64) -> bool {
        let mut word = self.0.load();
        loop {
            let full = (word + ONE) >> GENERATION_AT != generation;
            if word & COUNTS == 0 || word >> GENERATION_AT != generation || full {
                return false;
            }
            match self.0.compare_exchange(word, word + ONE) {
                Ok(_) => return true,
                Err(other) => word = other,
            }
        }
    }

    /// The successes that were counted here; until [`publish`](Self::publish) there will be none.
    /// Only for who has the lock.
    pub(super) fn take(&self) -> u64 {
        let word = self.0.load();
        let rest = word & (CLOSED | (GENERATIONS - 1) << GENERATION_AT);
        (self.0.swap(rest) >> 2) & ((1 << COUNTED_BITS) - 1)
    }

    /// Says how it is now. Only for who has the lock.
    pub(super) fn publish(&self, generation: u64, flags: u64) {
        self.0.store(generation << GENERATION_AT | flags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::atomic::AtomicU64 as Loom;
    use loom::sync::{Arc, Mutex};

    impl Atomic for Loom {
        fn load(&self) -> u64 {
            self.load(Ordering::Acquire)
        }

        fn swap(&self, new: u64) -> u64 {
            self.swap(new, Ordering::AcqRel)
        }

        fn store(&self, new: u64) {
            self.store(new, Ordering::Release);
        }

        fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
            self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
        }
    }

    struct Shared {
        word: Word<Loom>,
        /// The generation, and the successes in it.
        state: Mutex<(u64, u64)>,
    }

    impl Shared {
        fn succeed(&self) {
            let Some(generation) = self.word.closed() else { return };
            if !self.word.count_success(generation) {
                self.locked(|state| state.1 += u64::from(state.0 == generation));
            }
        }

        fn locked<T>(&self, with: impl FnOnce(&mut (u64, u64)) -> T) -> T {
            let mut state = self.state.lock().unwrap();
            state.1 += self.word.take();
            let done = with(&mut state);
            self.word.publish(state.0, CLOSED | COUNTS);
            done
        }
    }

    fn shared() -> Arc<Shared> {
        let word = Word(Loom::new(CLOSED | COUNTS));
        Arc::new(Shared { word, state: Mutex::new((0, 0)) })
    }

    #[test]
    fn no_success_is_lost_or_counted_twice_in_any_interleaving() {
        loom::model(|| {
            let shared = shared();
            let other = Arc::clone(&shared);
            let thread = loom::thread::spawn(move || other.succeed());
            shared.succeed();
            // Looks in between, as one that asks for the status does.
            assert!(shared.locked(|state| state.1) >= 1);
            thread.join().unwrap();
            assert_eq!(shared.locked(|state| *state), (0, 2));
        });
    }

    #[test]
    fn no_success_of_one_generation_is_counted_in_the_next_in_any_interleaving() {
        loom::model(|| {
            let shared = shared();
            let generation = shared.word.closed().unwrap();
            let other = Arc::clone(&shared);
            let thread = loom::thread::spawn(move || {
                for _ in 0..2 {
                    if !other.word.count_success(generation) {
                        other.locked(|state| state.1 += u64::from(state.0 == generation));
                    }
                }
            });
            shared.locked(|state| *state = (1, 0));
            thread.join().unwrap();
            assert_eq!(shared.locked(|state| *state), (1, 0));
        });
    }

    #[test]
    fn when_it_is_full_the_lock_is_needed() {
        let word = Word::new(7, CLOSED | COUNTS);
        let most = (1_u64 << COUNTED_BITS) - 1;
        word.publish(7, CLOSED | COUNTS | (most - 1) << 2);
        assert!(word.count_success(7));
        assert!(!word.count_success(7), "one more would change the generation");
        assert!(!word.count_success(8), "nor may it be counted in the next one");
        assert_eq!((word.closed(), word.take()), (Some(7), most));
        assert!(!word.count_success(7), "taken, and not published yet");
    }
}
