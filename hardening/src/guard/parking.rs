//! Runs futures on a thread that stands still while they wait: what makes the blocking calls of a
//! guard the same as the others.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Wake;
use std::thread::Thread;

use crate::clock::{Clock, Timer, nanos};
use crate::retry::BlockingSleep;

/// The timer of one blocking call. Its sleeps end only while [`Self::block_on`] runs.
#[derive(Clone, Debug)]
pub(super) struct Parking<C> {
    clock: C,
    parked: Arc<Parked>,
}

#[derive(Debug)]
struct Parked {
    thread: Thread,
    woken: AtomicBool,
    /// When the first of those who sleep wants to be polled, in nanoseconds; the most for never.
    next: AtomicU64,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl<C: BlockingSleep> Parking<C> {
    /// For this thread.
    pub(super) fn new(clock: C) -> Self {
        let thread = std::thread::current();
        let (woken, next) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
        Self { clock, parked: Arc::new(Parked { thread, woken, next }) }
    }

    /// Runs it to its end, on the thread that made this.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::clone(&self.parked));
        let mut context = Context::from_waker(&waker);
        loop {
            self.parked.next.store(u64::MAX, Ordering::Relaxed);
            if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return done;
            }
            self.wait();
        }
    }

    /// Until somebody wakes it, or one of those who sleep is due.
    fn wait(&self) {
        let next = self.parked.next.load(Ordering::Relaxed);
        while !self.parked.woken.swap(false, Ordering::Acquire) {
            if next == u64::MAX {
                std::thread::park();
                continue;
            }
            let left = next.saturating_sub(nanos(self.clock.now()));
            if left == 0 {
                return;
            }
            self.clock.park_blocking(Duration::from_nanos(left));
        }
    }
}

impl<C: Clock> Clock for Parking<C> {
    fn now(&self) -> Duration {
        self.clock.now()
    }
}

impl<C: Clock> Timer for Parking<C> {
    type Sleep = ParkedSleep<C>;

    fn sleep(&self, time: Duration) -> ParkedSleep<C> {
        let due = nanos(self.clock.now().saturating_add(time));
        ParkedSleep { parking: self.clone(), due }
    }
}

/// The sleep of [`Parking`].
#[derive(Debug)]
pub(super) struct ParkedSleep<C> {
    parking: Parking<C>,
    due: u64,
}

impl<C: Clock> Future for ParkedSleep<C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if nanos(self.parking.now()) >= self.due {
            return Poll::Ready(());
        }
        self.parking.parked.next.fetch_min(self.due, Ordering::Relaxed);
        Poll::Pending
    }
}
