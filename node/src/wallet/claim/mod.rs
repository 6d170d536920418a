//! What a file says that the wallet has, until the chain has said it too.
//!
//! A file brings what is watched and what each script had at one height. What is watched is scanned
//! as always; the state is a [`Claim`], kept beside the wallet's own states and never mixed with
//! them. Once everything was looked for up to the claim's height, the wallet's own state there, of the
//! claimed items and under the claim's salt, has the same root or not.
//!
//! Invariant: a claim changes no balance, coin or state of the wallet. What grows: one claim at a
//! time, of at most [`MAX_ITEMS`](super::file::MAX_ITEMS) items and
//! [`MAX_SCRIPTS`](super::watch::MAX_SCRIPTS) accounts.

mod compare;
mod record;

#[cfg(test)]
mod tests;

use bitcoin::{BlockHash, ScriptBuf};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{StateError, WalletAccount};
use thiserror::Error;

use super::coin::BlockId;
use super::file::FileId;
use super::watch::{ScriptOwner, WatchId};

pub(super) use record::{read_claim, write_claim};

/// An item of a file, as it is watched here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedItem {
    /// Its number here.
    pub watch: WatchId,
    /// From where on the file counts its coins.
    pub birthday: BlockHeight,
    /// How many scripts of each keychain it was of. What is derived here beyond them counts for
    /// nothing: the file's wallet had not looked for it.
    pub derived: Vec<u32>,
}

impl ClaimedItem {
    /// Whether a coin of one of its scripts counts, made at a height.
    pub(super) fn counts(&self, owner: &ScriptOwner, made: BlockHeight) -> bool {
        let derived = self.derived.get(usize::from(owner.keychain.0));
        self.birthday <= made && derived.is_some_and(|derived| owner.index < *derived)
    }
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimVerdict {
    /// Nothing yet: it is believed to nobody.
    Open,
    /// The blocks gave the same state.
    Proven,
    /// The blocks gave another.
    Refuted {
        /// How many scripts differ.
        scripts: u32,
    },
}

/// How the block of a claim stands to the best chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimBlock {
    /// It is on it, or headers up to its height are still to come.
    Expected,
    /// The best chain has another there, or ends below although it is synced: as things are, the claim
    /// is not decided.
    Elsewhere,
}

/// A state that a file claims, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The file.
    pub file: FileId,
    /// The block whose state it is.
    pub block: BlockId,
    /// Its root.
    pub root: [u8; 32],
    /// What it is about.
    pub items: Vec<ClaimedItem>,
    /// What became of it.
    pub verdict: ClaimVerdict,
}

/// A script that a claim has otherwise than the blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// SHA-256 of the script.
    pub script_id: [u8; 32],
    /// The script, where it is watched.
    pub script: Option<ScriptBuf>,
    /// What the file claims.
    pub claimed: Option<WalletAccount>,
    /// What the blocks gave.
    pub found: Option<WalletAccount>,
}

/// A claim beside what the blocks gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same.
    Same,
    /// They differ in these scripts, ascending by their hashes.
    Differs(Vec<Difference>),
}

/// Why a claim cannot be compared now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotComparable {
    /// Not everything was looked for up to its height.
    #[error(transparent)]
    NotComplete(#[from] super::states::NotComplete),
    /// Its block is none of the best chain.
    #[error("block {} is not on the best chain, which has {}", claimed, shown(best.as_ref()))]
    OtherBranch {
        /// The block of the claim.
        claimed: BlockHash,
        /// What the best chain has at its height.
        best: Option<BlockHash>,
    },
    /// Something that it is about is watched no more.
    #[error("item {watch} of it is watched no more: import the file again")]
    ItemGone {
        /// The item.
        watch: WatchId,
    },
    /// The states in memory are damaged.
    #[error(transparent)]
    State(#[from] StateError),
}

fn shown(hash: Option<&BlockHash>) -> String {
    hash.map_or_else(|| "none there".to_owned(), ToString::to_string)
}

/// An import was refused; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportRefused {
    /// The claim of another file is not decided.
    #[error(transparent)]
    Open(#[from] ClaimOpen),
    /// What the file watches cannot be watched.
    #[error(transparent)]
    Watch(#[from] super::watch::WatchError),
    /// The file's state has nothing at its height.
    #[error(transparent)]
    State(#[from] StateError),
}

/// There is no claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no file was imported")]
pub struct NoClaim;

/// The claim of another file is not decided yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a claim of another file, for height {height}, is not decided yet: wait until the wallet has \
     looked at the blocks up to there, or drop it with `ironlight wallet forget-claim`"
)]
pub struct ClaimOpen {
    /// The height of the claim that is open.
    pub height: BlockHeight,
}
