//! Names that people give: of accounts and of what is watched.
//!
//! They go into rows, answers and terminals, so they are short and have no control characters.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is there.
    #[error("an account needs a name of at least one character")]
    Empty,
    /// It is too long.
    #[error("the name has {bytes} bytes, at most {limit} are kept")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A character that may not stand there.
    #[error(
        "the character {character:?} at byte {at} cannot stand in a name: {allowed} are allowed"
    )]
    Character {
        /// Which one.
        character: char,
        /// Where, in bytes.
        at: usize,
        /// What is allowed.
        allowed: &'static str,
    },
}

fn checked(
    text: &str,
    limit: usize,
    allowed: &'static str,
    is_allowed: fn(char) -> bool,
) -> Result<String, NameError> {
    if text.len() > limit {
        return Err(NameError::TooLong { bytes: text.len(), limit });
    }
    match text.char_indices().find(|(_, character)| !is_allowed(*character)) {
        Some((at, character)) => Err(NameError::Character { character, at, allowed }),
        None => Ok(text.to_owned()),
    }
}

/// An account: what is watched under one name is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AccountName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for AccountName {
    type Err = NameError;

    /// 1 to 64 letters and digits of ASCII, `_`, `-` and `.`: it stands in paths of the control
    /// interface as it is.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let allowed = "a-z, A-Z, 0-9, `_`, `-` and `.`";
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        checked(text, Self::MAX_BYTES, allowed, is_allowed).map(Self)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an item is to its owner; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The longest label, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NameError;

    /// Up to 128 printable characters of ASCII, spaces included.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_allowed = |c: char| matches!(c, ' '..='~');
        checked(text, Self::MAX_BYTES, "printable ASCII characters", is_allowed).map(Self)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_short_plain_name() {
        assert_eq!(AccountName::default().as_str(), "default");
        assert_eq!("cold-1.b_2".parse::<AccountName>().unwrap().as_str(), "cold-1.b_2");
        assert_eq!("".parse::<AccountName>(), Err(NameError::Empty));
        let long = "a".repeat(65);
        assert_eq!(long.parse::<AccountName>(), Err(NameError::TooLong { bytes: 65, limit: 64 }));
        for (text, character, at) in [("a b", ' ', 1), ("a/", '/', 1), ("\u{e9}", '\u{e9}', 0)] {
            let refused = text.parse::<AccountName>().unwrap_err();
            assert!(
                matches!(refused, NameError::Character { character: c, at: a, .. } if (c, a) == (character, at)),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_label_has_no_control_characters() {
        assert_eq!("".parse::<Label>().unwrap(), Label::default());
        assert_eq!("rent, 3rd floor".parse::<Label>().unwrap().as_str(), "rent, 3rd floor");
        for text in ["a\x1b[2J", "a\n", "\u{202e}abc"] {
            assert!(matches!(text.parse::<Label>(), Err(NameError::Character { .. })), "{text:?}");
        }
        assert!(matches!("x".repeat(129).parse::<Label>(), Err(NameError::TooLong { .. })));
    }
}
