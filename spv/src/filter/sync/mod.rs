//! Filter sync without I/O: what arrived goes in, what to do comes out.
//!
//! [`FilterSync`] fetches the filter headers and the filters of the best header chain from peers
//! that it does not trust, and tells its driver what to ask, what to store, and which filters are
//! verified. It has the manner of [`HeaderSync`](crate::sync::HeaderSync): `handle_*` takes an event
//! and the time, [`poll`](FilterSync::poll) gives out actions until there are none, and
//! [`poll_timeout`](FilterSync::poll_timeout) says when [`handle_timeout`](FilterSync::handle_timeout)
//! is due. The driver owns the [`HeaderChain`](crate::HeaderChain), the store and the connections.
//!
//! Invariants:
//! - Filters are handed out strictly in order of height, each with the hash that the filter headers
//!   commit to, and only below what is committed. What turns out wrong later is taken back by
//!   [`FilterEvent::Revised`] and handed out again.
//! - Every peer that answers is compared with our filter headers: when it connects, and at each new
//!   tip. So one honest peer is enough for a lie to be contradicted, whoever came first and however
//!   many tell it. Nothing is decided by how many are of an opinion.
//! - Where peers differ, the first height at which they do is looked for, and both filters and the
//!   block decide, as far as they [prove](super::evidence) anything. Where they do not, both chains
//!   stay, and the block is [looked through whole](FilterAction::Undecided).
//! - Only what is proved is blamed: a filter that the block disproves, a filter that is not the one
//!   of the same peer's header, two answers that contradict each other. Silence costs a peer its turn,
//!   a claim that it does not stand by costs it the claim.
//! - No peer is asked about a block that it need not have: Bitcoin Core would hang up.
//!
//! Where a peer stands, and what moves it on:
//!
//! | Stand    | What it is                                        | Ends when                         |
//! |----------|---------------------------------------------------|-----------------------------------|
//! | Unheard  | not compared yet                                  | its checkpoints came: Holds, Differs |
//! | Holds    | our filters are its filters, up to a place        | it has another header: Differs; another filter: Disputes |
//! | Differs  | its headers part from ours between two places     | checkpoints, then headers have shown where: Disputes |
//! | Disputes | it claims another filter than ours                | proved false: Refused; ours was: Holds; it does not serve its filter: Unheard; nothing decides: Holds |
//! | Refused  | it proved itself a liar                           | never                             |
//!
//! Who holds our filters is asked for them. A peer that took the other side of an undecided block goes
//! on to be compared, filter by filter, since all its headers are other ones from there on.
//!
//! Far below the tip, the first list of checkpoints becomes the plan: those who have the same list fetch
//! ranges of 2,000 headers side by side, each of which has to lead from one checkpoint to the next. A
//! plan that nobody stands by any more is dropped for another one. A chain that starts at an anchor
//! takes its value from there, too; where peers differ about it, the chain starts anew at the last
//! checkpoint on which they agree, and what was delivered is only revised if it proves different.
//!
//! What an attacker can grow, and where it stops: peers, [`FilterSyncConfig::max_peers`]; requests in
//! flight, [`FilterSyncConfig::max_pipelined`] a peer; filters that wait for those before them,
//! [`FilterSyncConfig::buffer_bytes`] and one answer; ranges of headers that wait, 16 of 64 KB; one list of
//! checkpoints (32 bytes a thousand blocks); disputes, [`FilterSyncConfig::max_cases`], each with the
//! scripts of one block and one filter a side; 256 remembered verdicts; undecided blocks, some 20 bytes
//! each, at most one for each block, and each costs their claimants a filter that fits the block;
//! actions, a handful a call (filters not consumed yet: [`FilterSyncConfig::max_unconsumed`]; events alone are
//! dropped beyond 4,096 if nobody polls).

mod action;
mod answer;
mod ask;
mod case;
mod claims;
mod config;
mod deliver;
mod delivery;
mod dispute;
mod gather;
mod machine;
mod peer;
mod plan;
mod revise;
mod schedule;
mod spans;
#[cfg(test)]
mod tests;

pub use action::{
    FilterAction, FilterAnswer, FilterEvent, FilterHeaderChange, FilterOffence, FilterPeerStatus,
    FilterRequest, FilterRequestId, FilterStanding, FilterSyncStatus, FilterUnanswered, Revision,
    ServedFilter, Settlement,
};
pub use config::{FilterDefences, FilterSyncConfig};
pub use machine::FilterSync;
pub use peer::FilterPeerTraits;

/// Peers name their filter header of every so many blocks at once (BIP157).
pub const CHECKPOINT_INTERVAL: u32 = 1000;
/// Filter headers in a message at most (BIP157).
pub const MAX_FILTER_HEADERS: u32 = 2000;
/// Filters that one request asks for at most (BIP157).
pub const MAX_FILTERS: u32 = 1000;
