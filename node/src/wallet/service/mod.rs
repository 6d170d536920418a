//! The wallet of a running node: one task that changes it, and the handle that everybody reads by.
//!
//! Purpose: to follow the best chain by its filters, look into the blocks that match, and bring
//! transactions to the network. What a block does to the wallet is committed together with the wallet's
//! tip, before it is seen in memory and before anybody hears of it.
//!
//! Invariant: what a reader sees is on the disk, but for transactions that wait, which are in no block
//! and are marked so.
//!
//! What an attacker can grow: nothing beyond the bounds of [`Wallet`](super::Wallet). Blocks that
//! match are fetched one after the other, a few ahead; whoever pays dust to a watched script in every
//! block makes us fetch every block, and pays for it.

mod commands;
mod handle;
mod matching;
mod pay;
mod scan;
pub(in crate::wallet) mod states;
mod status;
mod task;

pub use crate::proven::{ProofError, TransactionProof};
#[cfg(feature = "daemon")]
pub(crate) use handle::off_async;
pub use handle::{Birthday, WalletError, WalletHandle};
pub use states::{AccountProof, ClaimStatus, Exported, Imported, ScriptAt, StateAt};
pub use status::ScanStatus;
pub(crate) use task::{WalletTask, WalletTaskConfig};
