//! Where settings are kept.

use std::error::Error;
use std::sync::{Mutex, PoisonError};

/// What a store says when it fails.
pub type StoreFailure = Box<dyn Error + Send + Sync>;

/// Keeps settings over restarts. Both calls may block; they are made by
/// [`Flags::open`](super::Flags::open), [`set`](super::Flags::set), [`turn`](super::Flags::turn),
/// [`reset`](super::Flags::reset) and [`reload`](super::Flags::reload), one at a time.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagSet, Flags, MemoryFlagStore};
/// use std::sync::Arc;
///
/// let set = || FlagSet::new([Flag::kill_switch("serving", "Answers to clients.")]).unwrap();
/// let store = Arc::new(MemoryFlagStore::default());
/// let flags = Flags::open(set(), store.clone()).unwrap();
/// flags.turn("serving", false, "operator").unwrap();
/// let after_a_restart = Flags::open(set(), store).unwrap();
/// assert!(!after_a_restart.switch("serving").unwrap().is_on());
/// ```
pub trait FlagStore: Send + Sync {
    /// What was saved last; none where nothing was.
    ///
    /// # Errors
    /// What the store says.
    fn load(&self) -> Result<Option<Vec<u8>>, StoreFailure>;

    /// Replaces what is kept, whole or not at all. The bytes are those that the
    /// [module's documentation](super) describes; a store may add a checksum.
    ///
    /// # Errors
    /// What the store says; it then still holds what was there before.
    fn save(&self, settings: &[u8]) -> Result<(), StoreFailure>;
}

/// A store in memory.
///
/// See [`FlagStore`] for an example.
#[derive(Debug, Default)]
pub struct MemoryFlagStore(Mutex<Option<Vec<u8>>>);

impl FlagStore for MemoryFlagStore {
    fn load(&self) -> Result<Option<Vec<u8>>, StoreFailure> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save(&self, settings: &[u8]) -> Result<(), StoreFailure> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(settings.to_vec());
        Ok(())
    }
}
