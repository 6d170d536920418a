//! The backends by name.

use std::fmt;
use std::str::FromStr;

use super::StoreError;

/// What keeps the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// A map in memory, gone with the process.
    Memory,
    /// sled: a log-structured store in a directory.
    Sled,
    /// redb: a copy-on-write B-tree in one file.
    Redb,
    /// The user's own ([`CustomStore`](super::CustomStore)); no directory has it.
    Custom,
}

impl Backend {
    /// Every backend that can be asked for by name, built in or not.
    pub const ALL: &'static [Backend] = &[Backend::Memory, Backend::Sled, Backend::Redb];

    /// The name in configuration, messages and the FORMAT file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Memory => "memory",
            Backend::Sled => "sled",
            Backend::Redb => "redb",
            Backend::Custom => "custom",
        }
    }

    /// Whether this build has it: the cargo features `sled` and `redb` bring theirs.
    #[must_use]
    pub const fn is_built(self) -> bool {
        match self {
            Backend::Memory | Backend::Custom => true,
            Backend::Sled => cfg!(feature = "sled"),
            Backend::Redb => cfg!(feature = "redb"),
        }
    }

    /// The backend of a new directory: sled, else redb, as far as they are built.
    #[must_use]
    pub const fn preferred() -> Backend {
        if Backend::Redb.is_built() && !Backend::Sled.is_built() {
            Backend::Redb
        } else {
            Backend::Sled
        }
    }

    /// The name of its file or directory in a network's directory.
    pub(crate) const fn file_name(self) -> Option<&'static str> {
        match self {
            Backend::Memory | Backend::Custom => None,
            Backend::Sled => Some("store.sled"),
            Backend::Redb => Some("store.redb"),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = StoreError;

    fn from_str(name: &str) -> Result<Self, StoreError> {
        Backend::ALL
            .iter()
            .copied()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| StoreError::UnknownBackend { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for &backend in Backend::ALL {
            assert_eq!(backend.to_string().parse::<Backend>().unwrap(), backend);
        }
    }

    #[test]
    fn unknown_name_lists_what_there_is() {
        let error = "rocks".parse::<Backend>().unwrap_err();
        assert!(matches!(&error, StoreError::UnknownBackend { name } if name == "rocks"));
        assert!(error.to_string().contains("memory, sled, redb"));
    }
}
