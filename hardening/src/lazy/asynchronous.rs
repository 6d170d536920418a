//! For tasks.

use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache::SingleFlight;

type Make<T, E> = Pin<Box<dyn Future<Output = Result<Arc<T>, E>> + Send>>;

#[derive(Debug)]
struct Slot<T> {
    value: Option<Arc<T>>,
    /// Counts resets.
    epoch: u64,
}

/// A value that is made once, by a future, until it is reset. Clones share it.
///
/// The making is a [`SingleFlight`]: whoever waits carries it on, so it survives the one who began.
///
/// ```
/// use ironlight_hardening::lazy::AsyncLazy;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = AsyncLazy::new();
/// let (one, two) = tokio::join!(
///     answer.get_or_init(|| async { 42 }),
///     answer.get_or_init(|| async { 43 }),
/// );
/// assert_eq!((*one, *two), (42, 42));
/// answer.reset();
/// assert_eq!(*answer.get_or_init(|| async { 44 }).await, 44);
/// # }
/// ```
pub struct AsyncLazy<T, E = Infallible> {
    slot: Arc<Mutex<Slot<T>>>,
    /// By epoch: who asks after a reset does not join what began before.
    making: SingleFlight<u64, Make<T, E>>,
}

impl<T, E> Clone for AsyncLazy<T, E> {
    fn clone(&self) -> Self {
        Self { slot: self.slot.clone(), making: self.making.clone() }
    }
}

impl<T, E> Default for AsyncLazy<T, E> {
    fn default() -> Self {
        let slot = Arc::new(Mutex::new(Slot { value: None, epoch: 0 }));
        Self { slot, making: SingleFlight::new() }
    }
}

impl<T: fmt::Debug, E> fmt::Debug for AsyncLazy<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncLazy").field("value", &self.get()).finish_non_exhaustive()
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T, E> AsyncLazy<T, E> {
    /// Without a value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        lock(&self.slot).value.clone()
    }

    /// Forgets the value, and gives back what there was.
    pub fn reset(&self) -> Option<Arc<T>> {
        let mut slot = lock(&self.slot);
        slot.epoch += 1;
        slot.value.take()
    }
}

impl<T: Send + Sync + 'static, E: Clone + Send + 'static> AsyncLazy<T, E> {
    /// The value; made now if there is none. Of several tasks one begins to make it.
    ///
    /// # Errors
    /// The maker's, a clone for each who waited for it; there is no value then.
    pub async fn get_or_try_init<W>(&self, mut make: impl FnMut() -> W) -> Result<Arc<T>, E>
    where
        W: Future<Output = Result<T, E>> + Send + 'static,
    {
        let epoch = {
            let slot = lock(&self.slot);
            match &slot.value {
                Some(value) => return Ok(value.clone()),
                None => slot.epoch,
            }
        };
        let make = || {
            // Another may have made it between our look and now.
            if let Some(value) = self.get() {
                return Box::pin(core::future::ready(Ok(value))) as Make<T, E>;
            }
            let (making, slot) = (make(), self.slot.clone());
            Box::pin(async move {
                let value = Arc::new(making.await?);
                let mut slot = lock(&slot);
                if slot.epoch == epoch {
                    slot.value = Some(value.clone());
                }
                Ok(value)
            }) as Make<T, E>
        };
        self.making.run(epoch, make).await
    }
}

impl<T: Send + Sync + 'static> AsyncLazy<T> {
    /// The same with a maker that cannot fail.
    pub async fn get_or_init<W>(&self, mut make: impl FnMut() -> W) -> Arc<T>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let make = || {
            let making = make();
            async move { Ok(making.await) }
        };
        match self.get_or_try_init(make).await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }
}
