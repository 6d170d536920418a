//! A task that takes batches in time.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::state::{BatchConfig, BatchStats, Batcher, PushError, Reason};
use crate::clock::{Clock, TokioTimer};
use crate::monitor::isolated;

/// How a batch went.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchDone {
    /// Items in it.
    pub items: usize,
    /// Bytes in it.
    pub bytes: usize,
    /// Why it was time for it.
    pub reason: Reason,
    /// How long its oldest item waited.
    pub waited: Duration,
    /// How long it took.
    pub took: Duration,
    /// Whether it went well: no error, and no panic.
    pub well: bool,
}

type OnBatch = Arc<dyn Fn(&BatchDone) + Send + Sync>;

struct State<T> {
    batcher: Batcher<T>,
    /// Items of batches that have ended.
    finished: u64,
    /// The task is no more.
    ended: bool,
    listeners: Vec<OnBatch>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    clock: TokioTimer,
    /// Wakes the task.
    work: Notify,
    /// Wakes all who wait for room, or for an end.
    progress: Notify,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so. Looks again whenever a batch was taken or has ended.
    async fn until<R>(&self, mut is_so: impl FnMut(&mut State<T>) -> Option<R>) -> R {
        loop {
            // Made before looking: what happens after the look wakes it.
            let progress = self.progress.notified();
            let found = is_so(&mut self.state());
            if let Some(found) = found {
                return found;
            }
            progress.await;
        }
    }
}

/// Closes the queue when the last handle is gone.
struct Handles<T>(Arc<Shared<T>>);

impl<T> Drop for Handles<T> {
    fn drop(&mut self) {
        self.0.state().batcher.close();
        self.0.work.notify_one();
    }
}

/// A task that collects items and does them together. Clones push to the same queue.
///
/// Batches are done one after the other, in order. When the last handle is dropped the task does
/// what is left, and ends; to wait for that, call [`shutdown`](Self::shutdown). A runtime that is
/// itself shut down before drops the task, and what was left can be had from
/// [`take_left`](Self::take_left).
///
/// ```
/// use ironlight_hardening::batch::{BatchConfig, BatchProcessor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let config = BatchConfig { max_items: 2, ..BatchConfig::default() };
/// let processor = BatchProcessor::spawn(config, |batch: Vec<u32>| async move {
///     assert!(batch.len() <= 2);
///     Ok::<_, std::io::Error>(())
/// });
/// for number in 0..3 {
///     processor.push(number, 4).unwrap();
/// }
/// assert!(processor.shutdown().await);
/// assert_eq!(processor.stats().batches, 2);
/// # }
/// ```
pub struct BatchProcessor<T> {
    handles: Arc<Handles<T>>,
}

impl<T> Clone for BatchProcessor<T> {
    fn clone(&self) -> Self {
        Self { handles: self.handles.clone() }
    }
}

impl<T> fmt::Debug for BatchProcessor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.shared().state().batcher.stats();
        f.debug_struct("BatchProcessor").field("stats", &stats).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> BatchProcessor<T> {
    /// Starts the task on tokio's runtime. Whatever should happen to a batch that fails (another
    /// attempt, a file) is for `process` to do; here it is only counted, as a panic is.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn spawn<P, W, E>(config: BatchConfig, process: P) -> Self
    where
        P: FnMut(Vec<T>) -> W + Send + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
    {
        let batcher = Batcher::new(config);
        let shared = Arc::new(Shared {
            state: Mutex::new(State { batcher, finished: 0, ended: false, listeners: Vec::new() }),
            clock: TokioTimer::new(),
            work: Notify::new(),
            progress: Notify::new(),
        });
        let task = Task { shared: shared.clone(), process };
        tokio::spawn(task.run());
        Self { handles: Arc::new(Handles(shared)) }
    }
}

impl<T> BatchProcessor<T> {
    fn shared(&self) -> &Shared<T> {
        &self.handles.0
    }

    /// Calls this after every batch.
    pub fn on_batch(&self, listener: impl Fn(&BatchDone) + Send + Sync + 'static) {
        self.shared().state().listeners.push(Arc::new(listener));
    }

    /// Puts an item of so many bytes into the queue, without waiting.
    ///
    /// # Errors
    /// [`PushError`] with the item, where it cannot be taken.
    pub fn push(&self, item: T, bytes: usize) -> Result<(), PushError<T>> {
        let now = self.shared().clock.now();
        let mut state = self.shared().state();
        if state.ended {
            return Err(PushError::Closed(item));
        }
        let pushed = state.batcher.push(item, bytes, now);
        drop(state);
        self.shared().work.notify_one();
        pushed
    }

    /// Waits for room, and puts an item of so many bytes into the queue. Dropped before its end, the
    /// item was not taken.
    ///
    /// # Errors
    /// [`PushError`] with the item, where there will be no room.
    pub async fn push_wait(&self, item: T, bytes: usize) -> Result<(), PushError<T>> {
        let mut waiting = item;
        loop {
            match self.push(waiting, bytes) {
                Err(PushError::Full(item)) => waiting = item,
                done => return done,
            }
            let has_room = |state: &mut State<T>| {
                (state.ended || state.batcher.is_closed() || state.batcher.has_room(bytes))
                    .then_some(())
            };
            self.shared().until(has_room).await;
        }
    }

    /// Waits until all that was pushed so far has been done; whether it has, which it has not where
    /// the runtime dropped the task.
    ///
    /// ```
    /// use ironlight_hardening::batch::{BatchConfig, BatchProcessor};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let processor = BatchProcessor::spawn(BatchConfig::default(), |_: Vec<u32>| async {
    ///     Ok::<_, std::io::Error>(())
    /// });
    /// processor.on_batch(|done| assert!(done.well));
    /// processor.push_wait(7, 4).await.unwrap();
    /// assert!(processor.flush().await, "it was too few to go by itself");
    /// assert_eq!(processor.stats().batches, 1);
    /// assert!(processor.shutdown().await);
    /// # }
    /// ```
    pub async fn flush(&self) -> bool {
        let pushed = {
            let mut state = self.shared().state();
            state.batcher.flush();
            state.batcher.stats().pushed
        };
        self.shared().work.notify_one();
        let done = |state: &mut State<T>| {
            (state.finished >= pushed || state.ended).then_some(state.finished >= pushed)
        };
        self.shared().until(done).await
    }

    /// Takes nothing more, and waits until everything has been done; whether it has, which it has
    /// not where the runtime dropped the task.
    pub async fn shutdown(&self) -> bool {
        self.shared().state().batcher.close();
        self.shared().work.notify_one();
        // Those who wait for room wait in vain now.
        self.shared().progress.notify_waiters();
        let ended = |state: &mut State<T>| {
            state.ended.then_some(state.finished == state.batcher.stats().pushed)
        };
        self.shared().until(ended).await
    }

    /// What waits in the queue of a task that the runtime has dropped; nothing while it runs.
    #[must_use]
    pub fn take_left(&self) -> Vec<T> {
        let mut state = self.shared().state();
        let mut left = Vec::new();
        if state.ended {
            state.batcher.close();
            while let Some(batch) = state.batcher.take(Duration::MAX) {
                left.extend(batch.items);
            }
        }
        left
    }

    /// The figures.
    #[must_use]
    pub fn stats(&self) -> BatchStats {
        self.shared().state().batcher.stats()
    }
}

struct Task<T, P> {
    shared: Arc<Shared<T>>,
    process: P,
}

impl<T, P> Drop for Task<T, P> {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.progress.notify_waiters();
    }
}

impl<T, P, W, E> Task<T, P>
where
    P: FnMut(Vec<T>) -> W,
    W: Future<Output = Result<(), E>>,
{
    async fn run(mut self) {
        loop {
            let now = self.shared.clock.now();
            let (batch, due_at, closed) = {
                let mut state = self.shared.state();
                let batch = state.batcher.take(now);
                (batch, state.batcher.due_at(), state.batcher.is_closed())
            };
            if let Some(batch) = batch {
                self.shared.progress.notify_waiters();
                let done = BatchDone {
                    items: batch.items.len(),
                    bytes: batch.bytes,
                    reason: batch.reason,
                    waited: batch.waited,
                    took: Duration::ZERO,
                    well: false,
                };
                let well = self.process(batch.items).await;
                let took = self.shared.clock.now().saturating_sub(now);
                self.finish(&BatchDone { took, well, ..done });
                continue;
            }
            if closed {
                return;
            }
            let work = self.shared.work.notified();
            match due_at {
                None => work.await,
                Some(due_at) => {
                    let _in_time = tokio::time::timeout(due_at.saturating_sub(now), work).await;
                }
            }
        }
    }

    /// Whether it went well. A panic is a failure, and no reason to lose what comes after.
    async fn process(&mut self, items: Vec<T>) -> bool {
        match catch_unwind(AssertUnwindSafe(|| (self.process)(items))) {
            Ok(work) => Caught { work }.await,
            Err(_) => false,
        }
    }

    fn finish(&self, done: &BatchDone) {
        let listeners = {
            let mut state = self.shared.state();
            state.batcher.done(done.items, done.took, done.well);
            state.finished += u64::try_from(done.items).unwrap_or(u64::MAX);
            state.listeners.clone()
        };
        self.shared.progress.notify_waiters();
        for listener in listeners {
            isolated(|| listener(done));
        }
    }
}

pin_project_lite::pin_project! {
    /// Work whose panic is a failure.
    struct Caught<W> {
        #[pin]
        work: W,
    }
}

impl<W, E> Future for Caught<W>
where
    W: Future<Output = Result<(), E>>,
{
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        // Work that panicked is not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| self.project().work.poll(context)));
        polled.map_or(Poll::Ready(false), |polled| polled.map(|done| done.is_ok()))
    }
}
