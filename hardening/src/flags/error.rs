//! Why a flag was not found, or is not set.

use core::fmt;

use super::store::StoreFailure;
use super::{FlagKind, MAX_FLAGS, MAX_LISTENERS, MAX_NAME_BYTES, MAX_SETTING_BYTES};
use crate::error::{Classify, ErrorClass};

/// Why a flag was not found, or is not set.
///
/// ```
/// use ironlight_hardening::flags::{FlagError, FlagSet, Flags};
/// use ironlight_hardening::{Classify, ErrorClass};
///
/// let error = Flags::new(FlagSet::new([]).unwrap()).switch("serving").unwrap_err();
/// assert!(matches!(error, FlagError::Unknown { .. }));
/// assert_eq!(error.class(), ErrorClass::Permanent);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum FlagError {
    /// No flag has the name.
    Unknown {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
    /// The flag is of another kind: it cannot be asked so, or does not take the setting.
    Kind {
        /// The flag.
        name: &'static str,
        /// Its kind.
        kind: FlagKind,
        /// What it was to be.
        wanted: &'static str,
    },
    /// A name is none, or is there twice.
    Name {
        /// The name.
        name: String,
    },
    /// More than [`MAX_FLAGS`] flags.
    TooMany {
        /// How many there are.
        flags: usize,
    },
    /// A setting that means nothing, or is over a bound.
    Setting {
        /// The flag.
        name: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are [`MAX_LISTENERS`] listeners.
    Listeners,
    /// The store holds something else than settings.
    Unreadable {
        /// At which byte.
        at: usize,
    },
    /// The store cannot be read.
    NotLoaded {
        /// What it says.
        source: StoreFailure,
    },
    /// The store did not take the setting.
    NotSaved {
        /// The flag.
        name: &'static str,
        /// Whether it holds all the same, until the program ends: a kill switch that goes off does.
        in_force: bool,
        /// What the store says.
        source: StoreFailure,
    },
}

impl Classify for FlagError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotLoaded { .. } | Self::NotSaved { .. } => ErrorClass::Temporary,
            Self::Unknown { .. }
            | Self::Kind { .. }
            | Self::Name { .. }
            | Self::TooMany { .. }
            | Self::Setting { .. }
            | Self::Listeners
            | Self::Unreadable { .. } => ErrorClass::Permanent,
        }
    }
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, known } => {
                write!(f, "no flag {name:?}: there are {}", known.join(", "))
            }
            Self::Kind { name, kind, wanted } => {
                write!(f, "the flag {name} is a {kind}, not a {wanted}")
            }
            Self::Name { name } => write!(
                f,
                "{name:?} is no name for a flag, or is there twice: up to {MAX_NAME_BYTES} of a-z, 0-9, _, - and ."
            ),
            Self::TooMany { flags } => write!(f, "{flags} flags, at most {MAX_FLAGS} are possible"),
            Self::Setting { name, reason } => write!(
                f,
                "the flag {name} cannot be set so: {reason} (at most {MAX_SETTING_BYTES} bytes in all)"
            ),
            Self::Listeners => write!(f, "there are {MAX_LISTENERS} listeners already"),
            Self::Unreadable { at } => {
                write!(f, "the stored flags cannot be read from byte {at} on: set them again")
            }
            Self::NotLoaded { source } => write!(f, "the stored flags cannot be loaded: {source}"),
            Self::NotSaved { name, in_force: true, source } => {
                write!(f, "the flag {name} is off until the program ends, but not saved: {source}")
            }
            Self::NotSaved { name, in_force: false, source } => {
                write!(f, "the flag {name} is as it was, since it cannot be saved: {source}")
            }
        }
    }
}

impl core::error::Error for FlagError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NotLoaded { source } | Self::NotSaved { source, .. } => Some(source.as_ref()),
            Self::Unknown { .. }
            | Self::Kind { .. }
            | Self::Name { .. }
            | Self::TooMany { .. }
            | Self::Setting { .. }
            | Self::Listeners
            | Self::Unreadable { .. } => None,
        }
    }
}
