//! Which blocks have to be looked at for which scripts.
//!
//! New blocks are looked at for all scripts; that is the wallet's tip. What is watched later needs
//! the blocks from its birthday on: a job for each keychain, which follows the tip until it has
//! caught up. It has to go up to the tip as it is then, since a coin that it finds may have been spent
//! in a block that was scanned before the coin was known.
//!
//! Scripts that are derived because one before them was used get a job as well, of kind
//! [`LookBack`](ScanKind::LookBack): they are in every range from then on, so it only finds what
//! was paid out of order, to an address beyond the gap of its time. It may wait.

use bitcoin::ScriptBuf;
use ironlight_spv::BlockHeight;

use super::watch::{Keychain, WatchId};

/// Why a range is scanned; the order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScanKind {
    /// Blocks above the wallet's tip, for all scripts.
    Tip,
    /// Blocks from a birthday or a chosen height on, for what was added.
    CatchUp,
    /// Older blocks, for scripts derived late. Worth doing when filters are at hand.
    LookBack,
}

/// A keychain's scripts from an index on, which have to be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobKey {
    /// The item.
    pub watch: WatchId,
    /// Its keychain.
    pub keychain: Keychain,
    /// The first index.
    pub first: u32,
}

/// How far that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The next height to look at.
    pub next: BlockHeight,
    /// Why.
    pub kind: ScanKind,
}

/// Heights whose filters have to be matched with scripts, in ascending order. A block whose filter
/// matches goes to [`Wallet::plan_block`](super::Wallet::plan_block); when its outcome says that scripts
/// were derived, ask for the next range again, so that the heights above are matched with
/// those, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// The first height.
    pub from: BlockHeight,
    /// The last height.
    pub to: BlockHeight,
    /// Why.
    pub kind: ScanKind,
    /// What to match with, in the order of their bytes, without duplicates.
    pub scripts: Vec<ScriptBuf>,
    pub(super) jobs: Vec<JobKey>,
    pub(super) epoch: u64,
}
