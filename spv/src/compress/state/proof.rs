//! Proofs that an account is, or is not, in the state of a root.
//!
//! A proof is the path that the search for the key takes, from the top: at each step the bit that
//! is looked at and the hash of the side not taken; and where the path ends. In a trie without
//! nodes of one child the search for an absent key ends at a leaf of another place, and that is
//! the proof of its absence: the path depends on the key's bits alone.
//!
//! ```text
//! proof = version 0x31 | kind u8 | end u8 | steps u16 | step ... | rest
//! step  = bit u8 | hash of the side not taken 32
//! end   = 0: no accounts at all, rest is empty and there are no steps
//!         1: the account, rest is its value
//!         2: another account, rest is its place 32 | SHA-256 of its value 32
//! ```
//! Invariant: bits ascend, so a proof has at most 256 steps and one form. What an attacker can
//! grow: nothing beyond that. A proof says what a root commits to; that the root is of a true
//! state has to come from elsewhere.

use alloc::vec::Vec;
use core::fmt;

use super::arena::NodeId;
use super::error::{Damaged, DecodeError};
use super::hash::{EMPTY_ROOT, Preimage, Salt, digest, is_set};
use super::input::Input;
use super::tree::Tree;
use super::value::StateValue;

const VERSION: u8 = 0x31;
const EMPTY: u8 = 0;
const INCLUDED: u8 = 1;
const OTHER: u8 = 2;
const MOST_STEPS: usize = 256;

/// A path from the root to where the search for a key ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof<V> {
    steps: Vec<ProofStep>,
    end: End<V>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProofStep {
    bit: u8,
    sibling: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End<V> {
    Empty,
    Included(V),
    Other { place: [u8; 32], value: [u8; 32] },
}

/// What a proof proves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict<V> {
    /// The account has this value.
    Included(V),
    /// There is no such account.
    Absent,
}

/// Why a proof proves nothing about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProofError {
    /// The value is of another key.
    OtherKey {
        /// Its key.
        got: [u8; 32],
    },
    /// The path to the other account is not the one that the search takes.
    WrongBranch {
        /// The bit where they part.
        bit: u8,
    },
    /// The account said to be another one has the place of the key.
    SamePlace,
    /// The path leads to another root.
    WrongRoot {
        /// The root asked about.
        expected: [u8; 32],
        /// Where the path leads.
        got: [u8; 32],
    },
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherKey { .. } => f.write_str("the proof is of another key"),
            Self::WrongBranch { bit } => write!(f, "the path leaves that of the key at bit {bit}"),
            Self::SamePlace => f.write_str("the account said to be another has the key's place"),
            Self::WrongRoot { .. } => f.write_str("the path leads to another root"),
        }
    }
}

impl core::error::Error for ProofError {}

impl<V: StateValue> StateProof<V> {
    pub(super) fn new(tree: &Tree, top: Option<NodeId>, key: &[u8; 32]) -> Result<Self, Damaged> {
        let Some(top) = top else { return Ok(Self { steps: Vec::new(), end: End::Empty }) };
        let mut path = Vec::new();
        let leaf = tree.search(top, &tree.salt.place(key), |step| path.push(step))?;
        let mut steps = Vec::with_capacity(path.len());
        for step in path {
            steps.push(ProofStep { bit: step.bit, sibling: *tree.nodes.hash(step.sibling)? });
        }
        let value: V = tree.value(leaf)?;
        let end = if value.key() == key {
            End::Included(value)
        } else {
            End::Other { place: tree.salt.place(value.key()), value: digest_of(&value) }
        };
        Ok(Self { steps, end })
    }

    /// What this proves about a key in the state of a root.
    ///
    /// # Errors
    /// [`ProofError`] where it proves nothing.
    pub fn verify(
        &self,
        root: &[u8; 32],
        key: &[u8; 32],
        salt: &Salt,
    ) -> Result<Verdict<V>, ProofError> {
        let place = salt.place(key);
        let (leaf, verdict) = match &self.end {
            End::Empty => (EMPTY_ROOT, Verdict::Absent),
            End::Included(value) if value.key() == key => {
                let leaf = Preimage::leaf(&place, &digest_of(value)).hash();
                (leaf, Verdict::Included(value.clone()))
            }
            End::Included(value) => return Err(ProofError::OtherKey { got: *value.key() }),
            End::Other { place: other, value } => {
                self.check_other(&place, other)?;
                (Preimage::leaf(other, value).hash(), Verdict::Absent)
            }
        };
        let got = self.root_over(leaf, &place);
        if got == *root { Ok(verdict) } else { Err(ProofError::WrongRoot { expected: *root, got }) }
    }

    /// The other account must stand where the search for the key ends, and not be the key's own.
    fn check_other(&self, place: &[u8; 32], other: &[u8; 32]) -> Result<(), ProofError> {
        if place == other {
            return Err(ProofError::SamePlace);
        }
        let parting =
            self.steps.iter().find(|step| is_set(place, step.bit) != is_set(other, step.bit));
        parting.map_or(Ok(()), |step| Err(ProofError::WrongBranch { bit: step.bit }))
    }

    fn root_over(&self, leaf: [u8; 32], place: &[u8; 32]) -> [u8; 32] {
        self.steps.iter().rev().fold(leaf, |hash, ProofStep { bit, sibling }| {
            let (left, right) =
                if is_set(place, *bit) { (sibling, &hash) } else { (&hash, sibling) };
            Preimage::inner(*bit, left, right).hash()
        })
    }

    /// How many steps the path has.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The proof as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let end = match &self.end {
            End::Empty => EMPTY,
            End::Included(_) => INCLUDED,
            End::Other { .. } => OTHER,
        };
        let mut bytes = Vec::with_capacity(5 + self.steps.len() * 33 + V::MAX_LEN);
        bytes.extend_from_slice(&[VERSION, V::KIND, end]);
        let count = u16::try_from(self.steps.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        for step in &self.steps {
            bytes.push(step.bit);
            bytes.extend_from_slice(&step.sibling);
        }
        match &self.end {
            End::Empty => {}
            End::Included(value) => value.encode(&mut bytes),
            End::Other { place, value } => {
                bytes.extend_from_slice(place);
                bytes.extend_from_slice(value);
            }
        }
        bytes
    }

    /// The proof that these bytes are. Nothing is proved yet.
    ///
    /// # Errors
    /// [`DecodeError`], naming the place.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input::new(bytes);
        input.version_and_kind(VERSION, V::KIND)?;
        let end_at = input.at;
        let [end] = input.take()?;
        let steps = decode_steps(&mut input)?;
        let end = match end {
            EMPTY if steps.is_empty() => End::Empty,
            INCLUDED => End::Included(input.value(input.left())?),
            OTHER => End::Other { place: input.take()?, value: input.take()? },
            _ => return Err(DecodeError::UnknownTag { at: end_at }),
        };
        input.end().map(|()| Self { steps, end })
    }
}

fn decode_steps(input: &mut Input<'_>) -> Result<Vec<ProofStep>, DecodeError> {
    let count = u16::from_le_bytes(input.take()?);
    let steps = usize::from(count);
    if steps > MOST_STEPS || steps > input.left() / 33 {
        return Err(DecodeError::TooMany { count: count.into() });
    }
    let mut path: Vec<ProofStep> = Vec::with_capacity(steps);
    for _ in 0..steps {
        let at = input.at;
        let [bit] = input.take()?;
        if path.last().is_some_and(|before| before.bit >= bit) {
            return Err(DecodeError::NotAscending { at });
        }
        path.push(ProofStep { bit, sibling: input.take()? });
    }
    Ok(path)
}

fn digest_of<V: StateValue>(value: &V) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(V::MAX_LEN);
    value.encode(&mut bytes);
    digest(&bytes)
}
