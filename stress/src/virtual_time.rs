//! Time that passes when nothing else is left to do.
//!
//! [`VirtualTime`] is a timer for the hardening crate's layers, and [`drive`] runs futures on it: as
//! long as one of them can go on, time stands still; then it jumps to the next moment at which one
//! wakes or arrives. So hours of waiting take milliseconds, and a run follows from its input alone.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use ironlight_hardening::{Clock, Timer};

/// A clock and timer that [`drive`] moves on. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct VirtualTime {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    /// Keeps those that are due at one moment apart, in the order in which they began to wait.
    number: u64,
    /// One for each sleep that goes on.
    waiting: BTreeMap<Key, Waker>,
}

type Key = (Duration, u64);

impl VirtualTime {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next sleep ends.
    fn next(&self) -> Option<Duration> {
        self.lock().waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Goes on to a moment, and wakes those that are due by then.
    fn advance(&self, to: Duration) {
        let mut state = self.lock();
        state.now = state.now.max(to);
        let last = (state.now, u64::MAX);
        let later = state.waiting.split_off(&last);
        let due = core::mem::replace(&mut state.waiting, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
    }
}

impl Clock for VirtualTime {
    fn now(&self) -> Duration {
        self.lock().now
    }
}

impl Timer for VirtualTime {
    type Sleep = VirtualSleep;

    fn sleep(&self, time: Duration) -> VirtualSleep {
        let due = self.now().saturating_add(time);
        VirtualSleep { time: self.clone(), due, key: None }
    }
}

/// A sleep in virtual time. Dropped, it is waited for no longer.
#[derive(Debug)]
pub struct VirtualSleep {
    time: VirtualTime,
    due: Duration,
    key: Option<Key>,
}

impl Future for VirtualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.time.lock();
        if let Some(key) = this.key.take() {
            state.waiting.remove(&key);
        }
        if state.now >= this.due {
            return Poll::Ready(());
        }
        state.number += 1;
        let key = (this.due, state.number);
        state.waiting.insert(key, context.waker().clone());
        this.key = Some(key);
        Poll::Pending
    }
}

impl Drop for VirtualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.time.lock().waiting.remove(&key);
        }
    }
}

/// Something to be done in virtual time.
pub type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs all tasks to their ends, each from its time of arrival on; these ascend. Asks before each
/// jump of time whether it may go on. Gives the number of tasks that wait for what never comes.
///
/// # Errors
/// What `may_go_on` says; all tasks are dropped then.
pub fn drive<'a, E>(
    time: &VirtualTime,
    arrivals: impl IntoIterator<Item = (Duration, Task<'a>)>,
    mut may_go_on: impl FnMut() -> Result<(), E>,
) -> Result<usize, E> {
    let mut running = Running::default();
    let mut arrivals = arrivals.into_iter().peekable();
    loop {
        running.until_all_wait();
        may_go_on()?;
        let arrival = arrivals.peek().map(|(at, _)| *at);
        let Some(next) = time.next().into_iter().chain(arrival).min() else {
            return Ok(running.left());
        };
        time.advance(next);
        while let Some((_, task)) = arrivals.next_if(|(at, _)| *at <= next) {
            running.begin(task);
        }
    }
}

/// The tasks that have begun, in places that are used again.
#[derive(Default)]
struct Running<'a> {
    tasks: Vec<Option<Task<'a>>>,
    free: Vec<usize>,
    ready: Arc<Ready>,
}

/// Places of tasks that can go on. One may stand here twice, or be another task's by now: then it
/// is asked once in vain.
type Ready = Mutex<VecDeque<usize>>;

struct Place {
    place: usize,
    ready: Arc<Ready>,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.place);
    }
}

impl<'a> Running<'a> {
    fn begin(&mut self, task: Task<'a>) {
        let place = self.free.pop().unwrap_or(self.tasks.len());
        match self.tasks.get_mut(place) {
            Some(free) => *free = Some(task),
            None => self.tasks.push(Some(task)),
        }
        self.poll(place);
    }

    fn until_all_wait(&mut self) {
        while let Some(place) = self.next_ready() {
            self.poll(place);
        }
    }

    fn next_ready(&self) -> Option<usize> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn poll(&mut self, place: usize) {
        let Some(slot) = self.tasks.get_mut(place) else { return };
        let Some(task) = slot else { return };
        let waker = Waker::from(Arc::new(Place { place, ready: Arc::clone(&self.ready) }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            *slot = None;
            self.free.push(place);
        }
    }

    fn left(&self) -> usize {
        self.tasks.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;
    use core::convert::Infallible;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn go_on() -> Result<(), Infallible> {
        Ok(())
    }

    #[test]
    fn an_hour_passes_at_once_and_in_the_order_of_time() {
        let (time, seen) = (VirtualTime::default(), RefCell::new(Vec::new()));
        let task = |name: &'static str, sleep: Duration| {
            let (time, seen) = (&time, &seen);
            Box::pin(async move {
                time.sleep(sleep).await;
                seen.borrow_mut().push((name, time.now()));
            }) as Task<'_>
        };
        let tasks = [
            (Duration::ZERO, task("long", 3_600 * SECOND)),
            (Duration::ZERO, task("short", SECOND)),
            (5 * SECOND, task("late", SECOND)),
        ];
        assert_eq!(drive(&time, tasks, go_on), Ok(0));
        let wanted = [("short", SECOND), ("late", 6 * SECOND), ("long", 3_600 * SECOND)];
        assert_eq!(seen.into_inner(), wanted);
    }

    #[test]
    fn a_task_that_waits_for_what_never_comes_is_told() {
        let time = VirtualTime::default();
        let never: Task<'_> = Box::pin(core::future::pending());
        assert_eq!(drive(&time, [(SECOND, never)], go_on), Ok(1));
        assert_eq!(time.now(), SECOND);
    }

    #[test]
    fn a_sleep_that_was_given_up_wakes_nobody() {
        let time = VirtualTime::default();
        let mut sleep = Box::pin(time.sleep(SECOND));
        let mut context = Context::from_waker(Waker::noop());
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        assert_eq!(time.next(), Some(SECOND));
        drop(sleep);
        assert_eq!(time.next(), None);
    }
}
