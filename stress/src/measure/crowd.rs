//! Measures what many futures do at once.

use core::cell::RefCell;
use core::future::Future;
use core::time::Duration;

use super::meter::Meter;
use super::tally::Class;
use crate::scenario::ScenarioError;

/// One [`Meter`] for many futures on one thread: each of their samples takes as long as it waits.
/// What counts is the time until the last sample ends.
#[derive(Debug)]
pub struct Crowd<'m, 'a> {
    meter: RefCell<&'m mut Meter<'a>>,
    /// By the clock, less what had been measured before.
    began: Duration,
}

impl<'m, 'a> Crowd<'m, 'a> {
    pub(super) fn new(meter: &'m mut Meter<'a>) -> Self {
        let began = meter.clock().saturating_sub(meter.measured());
        Self { meter: RefCell::new(meter), began }
    }

    /// How long was measured by now.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.meter.borrow().clock().saturating_sub(self.began)
    }

    /// What is left of the round, for those who wait.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        self.meter.borrow().remaining()
    }

    /// Awaits one sample of work that stands for so many operations, and times it. Given up, it
    /// does not count.
    ///
    /// # Errors
    /// The class that the work failed with; it is counted.
    pub async fn time<T>(
        &self,
        operations: u64,
        work: impl Future<Output = Result<T, Class>>,
    ) -> Result<T, Class> {
        let began = self.now();
        let done = work.await;
        self.note(began, operations, done.as_ref().err().copied());
        done
    }

    /// Notes a sample that began at a time of [`now`](Self::now) and ends here.
    pub fn note(&self, began: Duration, operations: u64, failed: Option<Class>) {
        let now = self.now();
        self.meter.borrow_mut().note(now, now.saturating_sub(began), operations, failed);
    }
}

/// What is left of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// So much time.
    pub left: Duration,
    /// Of so much for the round.
    pub limit: Duration,
}

impl From<Remaining> for ScenarioError {
    /// All of it has passed.
    fn from(remaining: Remaining) -> Self {
        Self::OutOfTime { limit: remaining.limit }
    }
}

#[cfg(test)]
mod tests {
    use core::task::{Context, Waker};

    use ironlight_hardening::{Clock as _, ManualClock};

    use super::*;
    use crate::measure::{Silent, Surroundings};

    #[test]
    fn samples_that_overlap_count_once_for_the_time_and_each_for_itself() {
        let time = ManualClock::default();
        let clock = || time.now();
        let limit = Duration::from_secs(9);
        let around = Surroundings { clock: &clock, memory: None, progress: &Silent, limit };
        let mut meter = Meter::new(around);
        meter.note(Duration::from_secs(1), Duration::from_secs(1), 1, None);
        time.advance(Duration::from_secs(5));
        let crowd = meter.crowd();
        let first = crowd.now();
        let mut context = Context::from_waker(Waker::noop());
        let wait = core::cell::Cell::new(true);
        let work = async {
            let waits = || core::task::Poll::<()>::Pending;
            core::future::poll_fn(|_| if wait.get() { waits() } else { ().into() }).await;
            Err::<(), _>("late")
        };
        let mut second = Box::pin(crowd.time(3, work));
        assert!(second.as_mut().poll(&mut context).is_pending());
        time.advance(Duration::from_secs(2));
        crowd.note(first, 1, None);
        wait.set(false);
        assert!(second.as_mut().poll(&mut context).is_ready());
        drop(second);
        assert_eq!(meter.measured(), Duration::from_secs(3));
        assert_eq!((meter.tally().operations, meter.tally().failed()), (5, 3));
        let left = Remaining { left: Duration::from_secs(2), limit };
        assert_eq!(meter.remaining(), left);
    }
}
