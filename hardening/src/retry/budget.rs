//! Retries as a share of requests.
//!
//! When everything fails, three attempts a request are three times the load, and at the worst
//! moment. A budget lets retries be only a share of the requests, over all who share it.
//!
//! Invariant: `retries <= reserve + requests * percent / 100`, and the reserve comes back only from
//! requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A token bucket that requests fill and retries empty. Clones share it, and so can policies and
/// hedges; one word, without a lock.
///
/// ```
/// use ironlight_hardening::retry::RetryBudget;
///
/// let budget = RetryBudget::new(50, 1);
/// assert!(budget.try_withdraw(), "the reserve");
/// assert!(!budget.try_withdraw());
/// budget.deposit();
/// budget.deposit();
/// assert!(budget.try_withdraw(), "two requests are worth one retry");
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    account: Arc<Account<AtomicU64>>,
}

impl RetryBudget {
    /// So many retries in a hundred requests, with a reserve (full at first) for those who ask
    /// rarely. Never more than the reserve is saved, or one retry if that is zero.
    #[must_use]
    pub fn new(percent: u32, reserve: u32) -> Self {
        Self { account: Arc::new(Account::new(AtomicU64::new, percent, reserve)) }
    }

    /// A request is made, for the first time.
    pub fn deposit(&self) {
        self.account.deposit();
    }

    /// Pays for a retry or a hedge, if there is enough.
    #[must_use]
    pub fn try_withdraw(&self) -> bool {
        self.account.try_withdraw()
    }

    /// The whole retries that are left.
    #[must_use]
    pub fn balance(&self) -> u64 {
        self.account.balance.load(Ordering::Relaxed) / RETRY
    }
}

impl Default for RetryBudget {
    /// 20 retries in a hundred requests, with a reserve of 10.
    fn default() -> Self {
        Self::new(20, 10)
    }
}

/// What is asked of an atomic word, so that loom's can take its place in tests.
/// Nothing else is published by the balance, so no order is needed.
trait Word {
    fn load(&self) -> u64;
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64>;
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed)
    }
}

/// What a retry costs, in the unit of the balance.
const RETRY: u64 = 100;

#[derive(Debug)]
struct Account<W> {
    /// In hundredths of a retry.
    balance: W,
    percent: u64,
    most: u64,
}

impl<W: Word> Account<W> {
    fn new(word: impl FnOnce(u64) -> W, percent: u32, reserve: u32) -> Self {
        let start = u64::from(reserve) * RETRY;
        let percent = u64::from(percent);
        // What a single request brings must fit, else a share above one could never be spent.
        let most = start.max(RETRY).max(percent);
        Self { balance: word(start), percent, most }
    }

    fn deposit(&self) {
        let most = self.most;
        // Full: nothing to do, and nothing written that other processors would have to fetch.
        self.update(|now| (now < most).then(|| (now + self.percent).min(most)));
    }

    fn try_withdraw(&self) -> bool {
        self.update(|now| now.checked_sub(RETRY))
    }

    /// Changes it in one step, or not at all where that gives `None`; whether it was changed.
    fn update(&self, change: impl Fn(u64) -> Option<u64>) -> bool {
        let mut now = self.balance.load();
        while let Some(next) = change(now) {
            match self.balance.compare_exchange(now, next) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::atomic::AtomicU64 as Loom;

    impl Word for Loom {
        fn load(&self) -> u64 {
            self.load(Ordering::Relaxed)
        }

        fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
            self.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
        }
    }

    #[test]
    fn nothing_is_paid_twice_or_lost_in_any_interleaving() {
        loom::model(|| {
            let account = loom::sync::Arc::new(Account::new(Loom::new, 50, 1));
            assert!(account.try_withdraw());
            let other = loom::sync::Arc::clone(&account);
            let thread = loom::thread::spawn(move || {
                other.deposit();
                other.try_withdraw()
            });
            account.deposit();
            let ours = account.try_withdraw();
            let theirs = thread.join().unwrap();
            // Two halves are one retry, for whoever sees both.
            assert!(ours != theirs, "{ours} {theirs}");
            assert!(!account.try_withdraw());
        });
    }
}
