//! All flags of a program, live.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::codec::{self, Settings};
use super::declare::{Flag, FlagKind, FlagSet};
use super::handle::{Choice, Config, Slot, Switch};
use super::setting::Setting;
use super::store::{FlagStore, StoreFailure};
use super::{FlagError, MAX_FLAGS, MAX_LISTENERS};

/// Characters that are kept of who flips.
const MAX_BY: usize = 128;

/// A flag was set to something else.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagSet, Flags, Flip};
/// use std::sync::{Arc, Mutex};
///
/// let serving = Flag::kill_switch("serving", "Answers to clients.");
/// let (flags, heard) = (Flags::new(FlagSet::new([serving]).unwrap()), Arc::default());
/// let list: Arc<Mutex<Vec<_>>> = Arc::clone(&heard);
/// let listener = move |flip: &Flip| list.lock().unwrap().push((flip.name, flip.by.clone()));
/// flags.on_flip(Arc::new(listener)).unwrap();
/// flags.turn("serving", false, "operator").unwrap();
/// assert_eq!(*heard.lock().unwrap(), [("serving", "operator".into())]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip {
    /// Flips are numbered from 1. Two that happen at once may be told in either order.
    pub number: u64,
    /// The flag.
    pub name: &'static str,
    /// What it was set to.
    pub before: Arc<Setting>,
    /// What it is set to.
    pub after: Arc<Setting>,
    /// Who did it, as they said: the first 128 characters.
    pub by: String,
    /// Whether it will hold after a restart; see [`FlagError::NotSaved`].
    pub saved: bool,
}

/// Hears of flips, on the thread that flips. One that panics is counted, and changes nothing.
pub type FlipListener = Arc<dyn Fn(&Flip) + Send + Sync>;

/// A flag and how it is set.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagSet, Flags, Setting};
///
/// let serving = Flag::kill_switch("serving", "Answers to clients.");
/// let flags = Flags::new(FlagSet::new([serving]).unwrap());
/// flags.turn("serving", false, "operator").unwrap();
/// let status = flags.status("serving").unwrap();
/// assert_eq!((status.flag.name(), &*status.setting), ("serving", &Setting::switch(false)));
/// ```
#[derive(Clone, Debug)]
pub struct FlagStatus {
    /// As it is declared.
    pub flag: Flag,
    /// What it is set to.
    pub setting: Arc<Setting>,
}

/// What changes take one after the other.
struct Changes {
    store: Option<Arc<dyn FlagStore>>,
    /// Settings of flags that are not declared, or that those do not take.
    foreign: Settings,
    /// Something holds that could not be saved.
    unsaved: bool,
    flips: u64,
}

struct Shared {
    slots: Vec<Arc<Slot>>,
    changes: Mutex<Changes>,
    listeners: RwLock<Vec<FlipListener>>,
    panics: AtomicU64,
}

/// All flags of a program and what they are set to. Clones share them.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagSet, Flags};
///
/// let flags = Flags::new(FlagSet::new([Flag::boolean("beta", "New things.", false)]).unwrap());
/// let beta = flags.switch("beta").unwrap();
/// flags.turn("beta", true, "operator").unwrap();
/// assert!(beta.is_on(), "handles hear of it at once");
/// ```
#[derive(Clone)]
pub struct Flags(Arc<Shared>);

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.0.slots.iter();
        f.debug_map().entries(slots.map(|slot| (slot.flag.name(), slot.setting()))).finish()
    }
}

impl Flags {
    /// As declared; nothing is kept.
    #[must_use]
    pub fn new(set: FlagSet) -> Self {
        Self::with(set, Settings::new(), None)
    }

    /// As they were set last. What the store holds for a flag that is not declared stays
    /// there; what a flag does not take means nothing, and goes with the next change.
    ///
    /// # Errors
    /// [`FlagError::NotLoaded`] and [`FlagError::Unreadable`]; [`unread`](Self::unread) goes on
    /// without what is stored.
    pub fn open(set: FlagSet, store: Arc<dyn FlagStore>) -> Result<Self, FlagError> {
        let settings = load(store.as_ref())?;
        Ok(Self::with(set, settings, Some(store)))
    }

    /// As declared. The next change replaces what the store holds, without having read it.
    #[must_use]
    pub fn unread(set: FlagSet, store: Arc<dyn FlagStore>) -> Self {
        let flags = Self::with(set, Settings::new(), Some(store));
        flags.changes().unsaved = true;
        flags
    }

    fn with(set: FlagSet, mut stored: Settings, store: Option<Arc<dyn FlagStore>>) -> Self {
        let slots = set.0.into_iter().map(|flag| {
            let setting = take_fitting(&mut stored, &flag);
            Arc::new(Slot::new(flag, setting))
        });
        let slots = slots.collect();
        let changes = Changes { store, foreign: stored, unsaved: false, flips: 0 };
        let (changes, listeners) = (Mutex::new(changes), RwLock::default());
        Self(Arc::new(Shared { slots, changes, listeners, panics: AtomicU64::new(0) }))
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.0.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, name: &str) -> Result<&Arc<Slot>, FlagError> {
        let slots = &self.0.slots;
        slots.iter().find(|slot| slot.flag.name() == name).ok_or_else(|| FlagError::Unknown {
            // Whoever asks may be far away, and gets back no more than a name could be.
            name: name.chars().take(super::MAX_NAME_BYTES).collect(),
            known: slots.iter().map(|slot| slot.flag.name()).collect(),
        })
    }

    fn handle(
        &self,
        name: &str,
        fits: impl Fn(FlagKind) -> bool,
        wanted: &'static str,
    ) -> Result<Arc<Slot>, FlagError> {
        let slot = self.slot(name)?;
        let (name, kind) = (slot.flag.name(), slot.flag.kind());
        if fits(kind) { Ok(Arc::clone(slot)) } else { Err(FlagError::Kind { name, kind, wanted }) }
    }

    /// A kill switch, a boolean flag or a percentage, to be held and asked.
    ///
    /// # Errors
    /// [`FlagError::Unknown`] and [`FlagError::Kind`].
    pub fn switch(&self, name: &str) -> Result<Switch, FlagError> {
        self.handle(name, FlagKind::is_switch, "switch").map(Switch)
    }

    /// A flag with variants, to be held and asked.
    ///
    /// # Errors
    /// [`FlagError::Unknown`] and [`FlagError::Kind`].
    pub fn choice(&self, name: &str) -> Result<Choice, FlagError> {
        self.handle(name, |kind| kind == FlagKind::Variant, "variant").map(Choice)
    }

    /// A text, to be held and read.
    ///
    /// # Errors
    /// [`FlagError::Unknown`] and [`FlagError::Kind`].
    pub fn config(&self, name: &str) -> Result<Config, FlagError> {
        self.handle(name, |kind| kind == FlagKind::Config, "text").map(Config)
    }

    /// How a flag is set.
    ///
    /// # Errors
    /// [`FlagError::Unknown`].
    pub fn status(&self, name: &str) -> Result<FlagStatus, FlagError> {
        self.slot(name).map(|slot| status(slot))
    }

    /// All flags, in the order of their declaration.
    #[must_use]
    pub fn list(&self) -> Vec<FlagStatus> {
        self.0.slots.iter().map(|slot| status(slot)).collect()
    }

    /// Adds a listener.
    ///
    /// # Errors
    /// [`FlagError::Listeners`] where there are [`MAX_LISTENERS`].
    pub fn on_flip(&self, listener: FlipListener) -> Result<(), FlagError> {
        let mut listeners = self.0.listeners.write().unwrap_or_else(PoisonError::into_inner);
        if listeners.len() >= MAX_LISTENERS {
            return Err(FlagError::Listeners);
        }
        listeners.push(listener);
        Ok(())
    }

    /// How often a listener panicked.
    #[must_use]
    pub fn listener_panics(&self) -> u64 {
        self.0.panics.load(Ordering::Relaxed)
    }

    /// Turns a switch on or off for all. `by` says who does it, for those who listen.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn turn(&self, name: &str, on: bool, by: &str) -> Result<bool, FlagError> {
        self.set(name, Setting::switch(on), by)
    }

    /// Sets a flag to what it is declared as.
    ///
    /// ```
    /// use ironlight_hardening::flags::{Flag, FlagSet, Flags};
    ///
    /// let flags = Flags::new(FlagSet::new([Flag::boolean("beta", "New things.", false)]).unwrap());
    /// flags.turn("beta", true, "operator").unwrap();
    /// assert!(flags.reset("beta", "operator").unwrap());
    /// assert!(!flags.switch("beta").unwrap().is_on(), "as declared");
    /// ```
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn reset(&self, name: &str, by: &str) -> Result<bool, FlagError> {
        let default = self.slot(name)?.flag.default_setting().clone();
        self.set(name, default, by)
    }

    /// Sets a flag; false where it was set so already. It may block, as the store does.
    ///
    /// # Errors
    /// [`FlagError::Unknown`]; [`FlagError::Kind`] and [`FlagError::Setting`] where the flag does
    /// not take the setting; [`FlagError::NotSaved`], which says whether it holds all the same.
    pub fn set(&self, name: &str, setting: Setting, by: &str) -> Result<bool, FlagError> {
        let slot = self.slot(name)?;
        slot.flag.check(&setting)?;
        let mut changes = self.changes();
        let is_new = *slot.setting() != setting;
        let saved = if is_new || changes.unsaved {
            self.save(&changes, slot.flag.name(), &setting)
        } else {
            Ok(())
        };
        let kills = slot.flag.kind() == FlagKind::KillSwitch && setting == Setting::switch(false);
        let in_force = saved.is_ok() || kills;
        if saved.is_ok() || (kills && is_new) {
            changes.unsaved = saved.is_err();
        }
        let flip =
            (is_new && in_force).then(|| replace(&mut changes, slot, setting, by, saved.is_ok()));
        drop(changes);
        if let Some(flip) = flip {
            self.tell(&flip);
        }
        let name = slot.flag.name();
        saved.map_err(|source| FlagError::NotSaved { name, in_force, source })?;
        Ok(is_new)
    }

    /// Saves all settings, with one of them as it is to be.
    fn save(&self, changes: &Changes, name: &str, setting: &Setting) -> Result<(), StoreFailure> {
        let Some(store) = &changes.store else { return Ok(()) };
        let mut settings = Settings::new();
        for slot in &self.0.slots {
            let its = slot.flag.name();
            let current = slot.setting();
            let current = if its == name { setting } else { &*current };
            if current != slot.flag.default_setting() {
                settings.insert(its.to_owned(), current.clone());
            }
        }
        for (name, setting) in &changes.foreign {
            if settings.len() < MAX_FLAGS && self.slot(name).is_err() {
                settings.insert(name.clone(), setting.clone());
            }
        }
        store.save(&codec::encode(&settings))
    }

    /// Takes over what the store holds now, where something else than this changed it; gives the
    /// number of flips. It may block, as the store does.
    ///
    /// ```
    /// use ironlight_hardening::flags::{Flag, FlagSet, Flags, MemoryFlagStore};
    /// use std::sync::Arc;
    ///
    /// let set = || FlagSet::new([Flag::kill_switch("serving", "Answers to clients.")]).unwrap();
    /// let store = Arc::new(MemoryFlagStore::default());
    /// let (here, elsewhere) = (Flags::open(set(), store.clone()), Flags::open(set(), store));
    /// let (here, elsewhere) = (here.unwrap(), elsewhere.unwrap());
    /// elsewhere.turn("serving", false, "operator").unwrap();
    /// assert_eq!(here.reload("store").unwrap(), 1);
    /// assert!(!here.switch("serving").unwrap().is_on());
    /// ```
    ///
    /// # Errors
    /// [`FlagError::NotLoaded`] and [`FlagError::Unreadable`]; nothing has changed then.
    pub fn reload(&self, by: &str) -> Result<usize, FlagError> {
        let mut changes = self.changes();
        let Some(store) = &changes.store else { return Ok(0) };
        let mut settings = load(store.as_ref())?;
        let mut flips = Vec::new();
        for slot in &self.0.slots {
            let setting = take_fitting(&mut settings, &slot.flag);
            if *slot.setting() != setting {
                flips.push(replace(&mut changes, slot, setting, by, true));
            }
        }
        changes.foreign = settings;
        changes.unsaved = false;
        drop(changes);
        flips.iter().for_each(|flip| self.tell(flip));
        Ok(flips.len())
    }

    /// Without any lock held, so that a listener may ask and even flip.
    fn tell(&self, flip: &Flip) {
        let listeners = self.0.listeners.read().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners {
            if catch_unwind(AssertUnwindSafe(|| listener(flip))).is_err() {
                self.0.panics.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn status(slot: &Slot) -> FlagStatus {
    FlagStatus { flag: slot.flag.clone(), setting: slot.setting() }
}

fn load(store: &dyn FlagStore) -> Result<Settings, FlagError> {
    let stored = store.load().map_err(|source| FlagError::NotLoaded { source })?;
    stored.map_or_else(|| Ok(Settings::new()), |bytes| codec::decode(&bytes))
}

/// What is stored for a flag, where it takes that; else what it is declared as.
fn take_fitting(stored: &mut Settings, flag: &Flag) -> Setting {
    let fits = stored.get(flag.name()).is_some_and(|setting| flag.check(setting).is_ok());
    let taken = if fits { stored.remove(flag.name()) } else { None };
    taken.unwrap_or_else(|| flag.default_setting().clone())
}

fn replace(changes: &mut Changes, slot: &Slot, setting: Setting, by: &str, saved: bool) -> Flip {
    changes.flips += 1;
    let before = slot.replace(setting);
    let (number, name, after) = (changes.flips, slot.flag.name(), slot.setting());
    Flip { number, name, before, after, by: by.chars().take(MAX_BY).collect(), saved }
}
