//! What each watched script had at each height: a pure function of coins and history.
//!
//! A script's account ([`WalletAccount`](ironlight_spv::compress::state::WalletAccount)) is found by the SHA-256 of the script and changes in the
//! blocks that pay to it or spend from it. Its coins hash commits to all of its outputs, made and
//! spent, in the order of the chain, so that a block costs what it changes and not what the script
//! holds:
//!
//! ```text
//! coins hash = SHA-256(coins hash before 32, zeros at first | height u32 | event ...)
//! made       = 00 | txid 32 | vout u32 | value u64 | position in the block u32 | coinbase u8
//! spent      = 01 | txid 32 | vout u32 | txid of the spender 32
//! ```
//! Of a block the events go by position; of a transaction what it spends comes first, each by
//! outpoint. A transaction counts once for each script that it touches.
//!
//! Invariant: equal coins give equal accounts, however they were found. What grows: an account for
//! each script that was ever paid to, at most [`MAX_SCRIPTS`](super::watch::MAX_SCRIPTS).

mod fold;
mod lowest;
mod reach;
mod totals;

#[cfg(test)]
mod tests;

#[cfg(test)]
use fold::accounts_at;
pub use fold::script_id;
pub(in crate::wallet) use fold::sealed_at;
pub use reach::{Behind, NotComplete};
pub(in crate::wallet) use reach::{check_at_tip, check_height};
pub use totals::{AccountAt, TotalsAt};
