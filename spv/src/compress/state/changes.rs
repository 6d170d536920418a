//! Changes of accounts, and the changes of one block as bytes: what a store keeps beside a base
//! export, so that opening it again verifies every root on the way.
//!
//! ```text
//! changes = version 0x21 | kind u8 | height u32 | previous root 32 | root 32 | count u32
//!           | change ... | SHA-256 of all before
//! change  = 0x00 | key 32, removed;  or 0x01 | length u16 | value, put
//! ```
//! Invariant: one set of changes has one form; that they ascend by place is checked where the salt
//! is known, when they are applied. What an attacker can grow: the count is checked against the
//! bytes at hand before anything is reserved.

use alloc::vec::Vec;
use core::fmt;

use super::error::{DecodeError, StateError};
use super::hash::digest;
use super::input::Input;
use super::value::StateValue;
use crate::header::BlockHeight;

const VERSION: u8 = 0x21;
const REMOVE: u8 = 0;
const PUT: u8 = 1;
/// A removed key.
const SMALLEST_CHANGE: usize = 1 + 32;
const CHECKSUM: usize = 32;

/// What happens to one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<V> {
    /// It is there from now on, with this value.
    Put(V),
    /// The account with this key is gone.
    Remove([u8; 32]),
}

impl<V: StateValue> Change<V> {
    /// The account's key.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        match self {
            Self::Put(value) => value.key(),
            Self::Remove(key) => key,
        }
    }
}

/// What one sealed block changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSet<V> {
    /// The height that it makes.
    pub height: BlockHeight,
    /// The root of the state that it changes.
    pub previous: [u8; 32],
    /// The root that must come out.
    pub root: [u8; 32],
    /// The changes, ascending by place; none without effect.
    pub changes: Vec<Change<V>>,
}

impl<V: StateValue> ChangeSet<V> {
    /// The changes as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::from([VERSION, V::KIND]);
        bytes.extend_from_slice(&self.height.0.to_le_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.extend_from_slice(&self.root);
        let count = u32::try_from(self.changes.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        let mut value_bytes = Vec::with_capacity(V::MAX_LEN);
        for change in &self.changes {
            match change {
                Change::Put(value) => {
                    value_bytes.clear();
                    value.encode(&mut value_bytes);
                    bytes.push(PUT);
                    push_with_length(&mut bytes, &value_bytes);
                }
                Change::Remove(key) => {
                    bytes.push(REMOVE);
                    bytes.extend_from_slice(key);
                }
            }
        }
        let checksum = digest(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// The changes that these bytes are.
    ///
    /// # Errors
    /// [`DecodeError`], naming the place.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        input.version_and_kind(VERSION, V::KIND)?;
        let height = BlockHeight(input.u32()?);
        let (previous, root) = (input.take()?, input.take()?);
        let count = input.u32()?;
        let needed = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(SMALLEST_CHANGE);
        if needed > input.left().saturating_sub(CHECKSUM) {
            return Err(DecodeError::TooMany { count });
        }
        let mut changes = Vec::with_capacity(needed / SMALLEST_CHANGE);
        for _ in 0..count {
            changes.push(decode_change(&mut input)?);
        }
        let at = input.at;
        let checksum: [u8; CHECKSUM] = input.take()?;
        input.end()?;
        if bytes.get(..at).is_none_or(|before| digest(before) != checksum) {
            return Err(DecodeError::WrongChecksum { at });
        }
        Ok(Self { height, previous, root, changes })
    }
}

/// The length of an encoding is at most [`LARGEST`](super::value::LARGEST).
pub(super) fn push_with_length(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(value);
}

fn decode_change<V: StateValue>(input: &mut Input<'_>) -> Result<Change<V>, DecodeError> {
    let at = input.at;
    match input.take()? {
        [REMOVE] => input.take().map(Change::Remove),
        [PUT] => {
            let len = u16::from_le_bytes(input.take()?);
            input.value(usize::from(len)).map(Change::Put)
        }
        [_] => Err(DecodeError::UnknownTag { at }),
    }
}

/// Why changes were refused; the state is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApplyError {
    /// The open block has changes of its own.
    OpenChanges {
        /// How many.
        count: usize,
    },
    /// The changes are of another state.
    WrongPrevious {
        /// The root of the newest height.
        expected: [u8; 32],
        /// The root that the changes name.
        got: [u8; 32],
    },
    /// The changes do not ascend by place.
    NotAscending {
        /// The first that does not, from 0.
        index: usize,
    },
    /// Changes that change nothing are among them.
    WithoutEffect {
        /// How many.
        count: usize,
    },
    /// Another root came out.
    WrongRoot {
        /// The root that the changes name.
        expected: [u8; 32],
        /// What came out.
        got: [u8; 32],
    },
    /// The state takes no such block.
    State(StateError),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenChanges { count } => write!(f, "{count} changes are not sealed yet"),
            Self::WrongPrevious { .. } => f.write_str("the changes are of another state"),
            Self::NotAscending { index } => write!(f, "change {index} is out of order"),
            Self::WithoutEffect { count } => write!(f, "{count} of the changes change nothing"),
            Self::WrongRoot { .. } => f.write_str("the changes do not give the root they name"),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ApplyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::OpenChanges { .. }
            | Self::WrongPrevious { .. }
            | Self::NotAscending { .. }
            | Self::WithoutEffect { .. }
            | Self::WrongRoot { .. } => None,
        }
    }
}

impl From<StateError> for ApplyError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}
