//! A simulated network around the real filter sync: a wallet, an honest peer, and seven liars.
//!
//! Headers are taken for granted here: this is about who tells the truth about what is in blocks. All
//! follows from a seed.

mod ledger;
mod liar;
mod run;
mod wallet;
mod world;

pub use ledger::{Entry, Ledger, filter_of};
pub use liar::{LIES, Lie, Story, answer};
pub use run::{FilterOutcome, FilterScenario, run_filters};
pub use wallet::{FilterNode, FilterQuestion};
pub use world::{FilterWorld, Size, apply};
