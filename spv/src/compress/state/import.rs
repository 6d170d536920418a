//! Makes a compressed state of an export, in pieces of any size, and believes none of it.
//!
//! Versions, kinds, lengths, order, count, checksum and root are all checked; see the module
//! `export` for the form. What an attacker can grow: the caller's limit on accounts is checked
//! before the first is read, and nothing is reserved for what is not there yet. What waits to be
//! read is at most a piece and an account.

use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest as _, Sha256};

use super::changes::Change;
use super::compressor::StateCompressor;
use super::error::{DecodeError, StateError};
use super::export::{CHECKSUM, HEAD, PIECE, VERSION};
use super::hash::Salt;
use super::input::Input;
use super::snapshot::Snapshot;
use super::tree::Tree;
use super::update::{Placed, update};
use super::value::StateValue;
use crate::header::BlockHeight;

/// Accounts put into the tree together.
const BATCH: usize = 4_096;

/// Why an export was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// The bytes are no export.
    Decode(DecodeError),
    /// The accounts give another root.
    WrongRoot {
        /// The root in the head.
        expected: [u8; 32],
        /// What the accounts give.
        got: [u8; 32],
    },
    /// The state cannot hold it.
    State(StateError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::WrongRoot { .. } => f.write_str("the accounts do not give the root in the head"),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Decode(error) => Some(error),
            Self::State(error) => Some(error),
            Self::WrongRoot { .. } => None,
        }
    }
}

impl From<DecodeError> for ImportError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<StateError> for ImportError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

/// Takes an export in.
#[derive(Debug)]
pub struct Importer<V> {
    limit: u32,
    /// What is not read yet, and where it starts in the whole.
    waiting: Vec<u8>,
    at: usize,
    hasher: Sha256,
    head: Option<Head>,
    tree: Tree,
    made: Snapshot,
    batch: Vec<([u8; 32], Change<V>)>,
    last: Option<[u8; 32]>,
    read: u32,
    ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    height: BlockHeight,
    count: u32,
    root: [u8; 32],
}

impl<V: StateValue> Importer<V> {
    /// Takes at most so many accounts.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            waiting: Vec::new(),
            at: 0,
            hasher: Sha256::new(),
            head: None,
            tree: Tree::new(Salt::None),
            made: Snapshot::NOTHING,
            batch: Vec::new(),
            last: None,
            read: 0,
            ended: false,
        }
    }

    /// Takes the next bytes in.
    ///
    /// # Errors
    /// [`ImportError`]; what was taken in is of no use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ImportError> {
        for piece in bytes.chunks(PIECE) {
            self.waiting.extend_from_slice(piece);
            let waiting = core::mem::take(&mut self.waiting);
            let mut input = Input::new(&waiting);
            while self.step(&mut input)? {}
            self.at += input.at;
            self.waiting.extend_from_slice(waiting.get(input.at..).unwrap_or_default());
        }
        Ok(())
    }

    /// Reads the next part if it is there as a whole, and says whether to go on.
    fn step(&mut self, input: &mut Input<'_>) -> Result<bool, ImportError> {
        let start = input.at;
        let Some(head) = self.head else {
            if input.left() < HEAD {
                return Ok(false);
            }
            self.read_head(input)?;
            self.hash(input, start);
            return Ok(true);
        };
        if self.ended {
            return input.end().map(|()| false).map_err(|error| self.error(error));
        }
        if self.read == head.count {
            if input.left() < CHECKSUM {
                return Ok(false);
            }
            self.read_checksum(input)?;
            return Ok(true);
        }
        if !self.read_account(input)? {
            return Ok(false);
        }
        self.hash(input, start);
        Ok(true)
    }

    fn hash(&mut self, input: &Input<'_>, start: usize) {
        self.hasher.update(input.bytes.get(start..input.at).unwrap_or_default());
    }

    /// The error with its place in the whole.
    fn error(&self, error: DecodeError) -> ImportError {
        ImportError::Decode(error.moved(self.at))
    }

    fn read_head(&mut self, input: &mut Input<'_>) -> Result<(), ImportError> {
        input.version_and_kind(VERSION, V::KIND)?;
        let at = input.at;
        self.tree.salt = match (input.take()?, input.take()?) {
            ([0], salt) if salt == [0; 32] => Salt::None,
            ([1], salt) => Salt::Bytes(salt),
            ([_], _) => return Err(DecodeError::UnknownTag { at }.into()),
        };
        let height = BlockHeight(input.u32()?);
        let count = input.u32()?;
        let root = input.take()?;
        if count > self.limit {
            return Err(DecodeError::TooMany { count }.into());
        }
        self.head = Some(Head { height, count, root });
        Ok(())
    }

    fn read_account(&mut self, input: &mut Input<'_>) -> Result<bool, ImportError> {
        let at = input.at;
        if input.left() < 2 {
            return Ok(false);
        }
        let len = usize::from(u16::from_le_bytes(input.take()?));
        if len > V::MAX_LEN {
            let error = super::ValueError::TrailingBytes { count: len - V::MAX_LEN };
            return Err(self.error(DecodeError::Value { at, error }));
        }
        if input.left() < len {
            input.at = at;
            return Ok(false);
        }
        let value: V = input.value(len).map_err(|error| self.error(error))?;
        let place = self.tree.salt.place(value.key());
        if self.last.is_some_and(|last| last >= place) {
            return Err(self.error(DecodeError::NotAscending { at }));
        }
        self.last = Some(place);
        self.read += 1;
        self.batch.push((place, Change::Put(value)));
        if self.batch.len() == BATCH {
            self.flush()?;
        }
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), StateError> {
        let placed: Vec<Placed<'_, V>> =
            self.batch.iter().map(|(place, change)| (*place, change)).collect();
        let updated = update(&mut self.tree, self.made.top, &placed)?;
        self.made.top = updated.top;
        self.made.accounts += updated.inserted;
        self.batch.clear();
        Ok(())
    }

    fn read_checksum(&mut self, input: &mut Input<'_>) -> Result<(), ImportError> {
        let at = input.at;
        let checksum: [u8; CHECKSUM] = input.take()?;
        if self.hasher.clone().finalize()[..] != checksum {
            return Err(self.error(DecodeError::WrongChecksum { at }));
        }
        self.ended = true;
        Ok(())
    }

    /// The state with the one height that the export has.
    ///
    /// # Errors
    /// [`ImportError`] where bytes are missing or the root is another.
    pub fn finish(mut self) -> Result<StateCompressor<V>, ImportError> {
        let Some(head) = self.head.filter(|_| self.ended) else {
            return Err(self.error(DecodeError::Truncated { at: 0 }));
        };
        self.flush()?;
        let got = self.tree.root(self.made.top).map_err(StateError::from)?;
        if got != head.root {
            return Err(ImportError::WrongRoot { expected: head.root, got });
        }
        let snapshot = Snapshot {
            height: head.height,
            root: got,
            nodes_end: self.tree.nodes.len(),
            values_end: self.tree.values.end(),
            ..self.made
        };
        Ok(StateCompressor::imported(self.tree, snapshot))
    }
}
