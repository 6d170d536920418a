//! For threads.

use core::convert::Infallible;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Slot<T> {
    value: Option<Arc<T>>,
    /// Counts resets.
    epoch: u64,
    /// The epoch in which a value is being made. One of an earlier epoch is nobody's any more.
    making: Option<u64>,
}

/// A value that is made once, until it is reset.
///
/// A maker must not ask the same `Lazy`: it would wait for itself.
///
/// ```
/// use ironlight_hardening::lazy::Lazy;
///
/// let config = Lazy::new();
/// assert!(config.get().is_none());
/// assert!(config.get_or_try_init(|| "x".parse::<u32>()).is_err());
/// assert_eq!(*config.get_or_try_init(|| "7".parse::<u32>()).unwrap(), 7);
/// assert_eq!(config.reset().as_deref(), Some(&7));
/// ```
#[derive(Debug)]
pub struct Lazy<T> {
    slot: Mutex<Slot<T>>,
    /// A maker has ended, or there was a reset.
    changed: Condvar,
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Lazy<T> {
    /// Without a value.
    #[must_use]
    pub const fn new() -> Self {
        let slot = Slot { value: None, epoch: 0, making: None };
        Self { slot: Mutex::new(slot), changed: Condvar::new() }
    }

    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<Arc<T>> {
        self.slot().value.clone()
    }

    /// The value; made now if there is none. Of several threads one makes it, the others wait.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> Arc<T> {
        match self.get_or_try_init(|| Ok::<_, Infallible>(make())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The same with a maker that can fail.
    ///
    /// # Errors
    /// The maker's; there is no value then, and one of those who wait tries next.
    pub fn get_or_try_init<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut slot = self.slot();
        let epoch = loop {
            if let Some(value) = &slot.value {
                return Ok(value.clone());
            }
            if slot.making != Some(slot.epoch) {
                break slot.epoch;
            }
            slot = self.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
        };
        slot.making = Some(epoch);
        drop(slot);
        let mut making = Making { lazy: self, epoch, made: None };
        let value = Arc::new(make()?);
        making.made = Some(value.clone());
        Ok(value)
    }

    /// Forgets the value, and gives back what there was.
    pub fn reset(&self) -> Option<Arc<T>> {
        let mut slot = self.slot();
        slot.epoch += 1;
        let old = slot.value.take();
        drop(slot);
        // Who waits for a value of before must make one of now.
        self.changed.notify_all();
        old
    }
}

/// Ends the making, also where the maker fails or panics.
struct Making<'a, T> {
    lazy: &'a Lazy<T>,
    epoch: u64,
    made: Option<Arc<T>>,
}

impl<T> Drop for Making<'_, T> {
    fn drop(&mut self) {
        let mut slot = self.lazy.slot();
        if slot.making == Some(self.epoch) {
            slot.making = None;
        }
        if slot.epoch == self.epoch {
            slot.value = self.made.take();
        }
        drop(slot);
        self.lazy.changed.notify_all();
    }
}
