//! What code holds that is to be switched.

use core::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::declare::Flag;
use super::setting::{Serve, Setting, Share, Target};
use super::state;

/// In place of a share: the setting has rules, or is no switch.
const SEE_SETTING: u32 = u32::MAX;

/// A flag and what it is set to.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) flag: Flag,
    /// The share of a switch without rules; written with the setting's lock held.
    share: AtomicU32,
    setting: RwLock<Arc<Setting>>,
}

impl Slot {
    pub(super) fn new(flag: Flag, setting: Setting) -> Self {
        let share = AtomicU32::new(plain_share(&setting));
        Self { flag, share, setting: RwLock::new(Arc::new(setting)) }
    }

    pub(super) fn setting(&self) -> Arc<Setting> {
        Arc::clone(&self.setting.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets it and gives what it was set to before.
    pub(super) fn replace(&self, setting: Setting) -> Arc<Setting> {
        let mut place = self.setting.write().unwrap_or_else(PoisonError::into_inner);
        let share = plain_share(&setting);
        let before = std::mem::replace(&mut *place, Arc::new(setting));
        self.share.store(share, Ordering::Release);
        before
    }
}

fn plain_share(setting: &Setting) -> u32 {
    match &setting.otherwise {
        _ if !setting.rules.is_empty() => SEE_SETTING,
        Serve::Switch(on) => if *on { Share::ALL } else { Share::default() }.parts().into(),
        Serve::Share(share) => share.parts().into(),
        Serve::Variants(_) | Serve::Text(_) => SEE_SETTING,
    }
}

/// Whether something is on: a kill switch, a boolean flag or a percentage. Cheap to clone; it
/// follows every flip.
///
/// The [module](super) has an example.
#[derive(Clone)]
pub struct Switch(pub(super) Arc<Slot>);

impl Switch {
    /// Whether it is on for everybody: one atomic load.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.share.load(Ordering::Acquire) == u32::from(Share::ALL.parts())
    }

    /// Whether it is on for a target: one atomic load where it has no rules, and a hash where it
    /// is a share.
    #[must_use]
    pub fn is_on_for(&self, target: &Target<'_>) -> bool {
        match u16::try_from(self.0.share.load(Ordering::Acquire)) {
            Ok(0) => false,
            Ok(parts) if parts == Share::ALL.parts() => true,
            Ok(parts) => state::is_in(self.0.flag.name(), Share::of_10_000(parts), target),
            Err(_has_rules) => state::is_on(self.0.flag.name(), &self.0.setting(), target),
        }
    }
}

/// Which of several ways to go. Cheap to clone; it follows every flip.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagSet, Flags, Setting, Target};
///
/// let colours = Flag::variants("colour", "Of the button.", &[("red", 1), ("blue", 0)]);
/// let flags = Flags::new(FlagSet::new([colours]).unwrap());
/// let colour = flags.choice("colour").unwrap();
/// assert_eq!(colour.variant_for(&Target::new("alice")), "red");
/// let blue = Setting::variants(&[("red", 0), ("blue", 1)]);
/// flags.set("colour", blue, "operator").unwrap();
/// assert_eq!(colour.variant_for(&Target::new("alice")), "blue");
/// ```
#[derive(Clone)]
pub struct Choice(pub(super) Arc<Slot>);

impl Choice {
    /// The variant for a target, by its declared name.
    #[must_use]
    pub fn variant_for(&self, target: &Target<'_>) -> &'static str {
        let flag = &self.0.flag;
        let setting = self.0.setting();
        let picked = match state::served(&setting, target) {
            Serve::Variants(variants) => state::pick(flag.name(), variants, target),
            Serve::Switch(_) | Serve::Share(_) | Serve::Text(_) => None,
        };
        flag.variant(picked.map(|variant| variant.name.as_str()))
    }
}

/// A text that can be changed. Cheap to clone; it follows every flip.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagSet, Flags, Setting};
///
/// let greeting = Flag::config("greeting", "Said first.", "hello");
/// let flags = Flags::new(FlagSet::new([greeting]).unwrap());
/// let config = flags.config("greeting").unwrap();
/// assert_eq!(&*config.text(), "hello");
/// flags.set("greeting", Setting::text("good day"), "operator").unwrap();
/// assert_eq!(&*config.text(), "good day");
/// ```
#[derive(Clone)]
pub struct Config(pub(super) Arc<Slot>);

impl Config {
    /// The text for a target.
    #[must_use]
    pub fn text_for(&self, target: &Target<'_>) -> Arc<str> {
        match state::served(&self.0.setting(), target) {
            Serve::Text(text) => Arc::clone(text),
            Serve::Switch(_) | Serve::Share(_) | Serve::Variants(_) => Arc::default(),
        }
    }

    /// The text for a target of which nothing is known.
    #[must_use]
    pub fn text(&self) -> Arc<str> {
        self.text_for(&Target::new(""))
    }
}

macro_rules! shows_name_and_setting {
    ($($handle:ident)*) => {$(
        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self(slot) = self;
                write!(f, "{}({}: {})", stringify!($handle), slot.flag.name(), slot.setting())
            }
        }
    )*};
}
shows_name_and_setting! { Switch Choice Config }
