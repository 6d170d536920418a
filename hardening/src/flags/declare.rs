//! Flags as code declares them.

use core::fmt;

use super::setting::{Rule, Serve, Setting, Variant};
use super::{FlagError, MAX_FLAGS, MAX_NAME_BYTES, MAX_PARTS, MAX_SETTING_BYTES, codec};

/// What a flag can be set to.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagKind};
///
/// let flag = Flag::boolean("compact", "Shorter answers.", false);
/// assert_eq!(flag.kind(), FlagKind::Boolean);
/// assert!(flag.kind().is_switch() && !FlagKind::Config.is_switch());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlagKind {
    /// On or off for all, on as declared; goes off even where that cannot be saved.
    KillSwitch,
    /// On or off, by rules.
    Boolean,
    /// On for a share, by rules.
    Percentage,
    /// One of the declared variants, by weight and rules.
    Variant,
    /// A text, by rules.
    Config,
}

impl FlagKind {
    const fn takes(self, serve: &Serve) -> bool {
        match self {
            Self::KillSwitch | Self::Boolean => matches!(serve, Serve::Switch(_)),
            Self::Percentage => matches!(serve, Serve::Switch(_) | Serve::Share(_)),
            Self::Variant => matches!(serve, Serve::Variants(_)),
            Self::Config => matches!(serve, Serve::Text(_)),
        }
    }

    /// Whether it is asked by a [`Switch`](super::Switch).
    #[must_use]
    pub const fn is_switch(self) -> bool {
        matches!(self, Self::KillSwitch | Self::Boolean | Self::Percentage)
    }
}

impl fmt::Display for FlagKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillSwitch => "kill switch",
            Self::Boolean => "boolean flag",
            Self::Percentage => "percentage",
            Self::Variant => "variant",
            Self::Config => "text",
        })
    }
}

/// A declared flag: what it is called, what it is for, and what it is where nobody set it.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagKind, Setting};
///
/// let flag = Flag::percentage("new_parser", "The new parser, for some.", 25);
/// assert_eq!((flag.kind(), flag.default_setting()), (FlagKind::Percentage, &Setting::percent(25)));
/// ```
#[derive(Clone, Debug)]
pub struct Flag {
    name: &'static str,
    description: &'static str,
    kind: FlagKind,
    default: Setting,
    variants: Vec<&'static str>,
}

impl Flag {
    const fn new(
        name: &'static str,
        description: &'static str,
        kind: FlagKind,
        default: Setting,
    ) -> Self {
        Self { name, description, kind, default, variants: Vec::new() }
    }

    /// A kill switch: on, until somebody turns it off.
    #[must_use]
    pub const fn kill_switch(name: &'static str, description: &'static str) -> Self {
        Self::new(name, description, FlagKind::KillSwitch, Setting::switch(true))
    }

    /// On or off.
    #[must_use]
    pub const fn boolean(name: &'static str, description: &'static str, on: bool) -> Self {
        Self::new(name, description, FlagKind::Boolean, Setting::switch(on))
    }

    /// On for so many percent of all targets.
    #[must_use]
    pub const fn percentage(name: &'static str, description: &'static str, percent: u8) -> Self {
        Self::new(name, description, FlagKind::Percentage, Setting::percent(percent))
    }

    /// One of several, by weight. The first one is also for targets that would get none.
    #[must_use]
    pub fn variants(
        name: &'static str,
        description: &'static str,
        weights: &[(&'static str, u32)],
    ) -> Self {
        let flag = Self::new(name, description, FlagKind::Variant, Setting::variants(weights));
        Self { variants: weights.iter().map(|(name, _)| *name).collect(), ..flag }
    }

    /// A text.
    #[must_use]
    pub fn config(name: &'static str, description: &'static str, text: &str) -> Self {
        Self::new(name, description, FlagKind::Config, Setting::text(text))
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is for.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        self.description
    }

    /// What it can be set to.
    #[must_use]
    pub const fn kind(&self) -> FlagKind {
        self.kind
    }

    /// What it is where nobody set it.
    #[must_use]
    pub const fn default_setting(&self) -> &Setting {
        &self.default
    }

    /// The declared name of a variant; the first one where there is none of the name.
    pub(super) fn variant(&self, name: Option<&str>) -> &'static str {
        let declared = self.variants.iter().find(|its| Some(**its) == name);
        declared.or(self.variants.first()).copied().unwrap_or_default()
    }

    /// Whether it can be set so.
    pub(super) fn check(&self, setting: &Setting) -> Result<(), FlagError> {
        let Self { name, kind, .. } = *self;
        if let Some(serve) = setting.serves().find(|serve| !kind.takes(serve)) {
            return Err(FlagError::Kind { name, kind, wanted: serve.kind_name() });
        }
        let reason = if kind == FlagKind::KillSwitch && !setting.rules.is_empty() {
            "a kill switch is the same for all"
        } else if setting.rules.len() > MAX_PARTS || setting.rules.iter().any(is_too_large) {
            "too many parts, or a condition without values"
        } else if !setting.serves().all(|serve| self.has_variants(serve)) {
            "its variants are others, or weigh nothing"
        } else if codec::setting_bytes(setting) > MAX_SETTING_BYTES {
            "it is too large"
        } else {
            return Ok(());
        };
        Err(FlagError::Setting { name, reason })
    }

    fn has_variants(&self, serve: &Serve) -> bool {
        let Serve::Variants(variants) = serve else { return true };
        variants.len() <= MAX_PARTS
            && variants.iter().any(|variant| variant.weight > 0)
            && variants.iter().all(|Variant { name, .. }| self.variants.contains(&name.as_str()))
    }
}

fn is_too_large(rule: &Rule) -> bool {
    rule.conditions.len() > MAX_PARTS
        || rule
            .conditions
            .iter()
            .any(|condition| !(1..=MAX_PARTS).contains(&condition.values.len()))
}

impl Serve {
    const fn kind_name(&self) -> &'static str {
        match self {
            Self::Switch(_) => "switch",
            Self::Share(_) => "percentage",
            Self::Variants(_) => "variant",
            Self::Text(_) => "text",
        }
    }
}

/// All flags of a program.
///
/// ```
/// use ironlight_hardening::flags::{Flag, FlagSet};
///
/// let set = FlagSet::new([Flag::kill_switch("serving", "Answers to clients.")]).unwrap();
/// assert_eq!(set.iter().map(Flag::name).collect::<Vec<_>>(), ["serving"]);
/// assert!(FlagSet::new([Flag::config("Not a name", "", "")]).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct FlagSet(pub(super) Vec<Flag>);

impl FlagSet {
    /// A set of flags, in this order.
    ///
    /// # Errors
    /// [`FlagError`] where there are too many, a name is none or twice there, or a flag could not
    /// be set to what it is declared as.
    pub fn new(flags: impl IntoIterator<Item = Flag>) -> Result<Self, FlagError> {
        let flags: Vec<Flag> = flags.into_iter().collect();
        if flags.len() > MAX_FLAGS {
            return Err(FlagError::TooMany { flags: flags.len() });
        }
        for (place, flag) in flags.iter().enumerate() {
            let is_twice = flags.iter().take(place).any(|before| before.name == flag.name);
            if is_twice || !is_name(flag.name) {
                return Err(FlagError::Name { name: flag.name.to_owned() });
            }
            flag.check(&flag.default)?;
        }
        Ok(Self(flags))
    }

    /// The flags.
    pub fn iter(&self) -> impl Iterator<Item = &Flag> {
        self.0.iter()
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(fits)
}
