//! What comes out of the machine and what goes in: actions, requests, answers, events.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use bitcoin::{Block, BlockHash, ScriptBuf};

use crate::filter::header_chain::VerifiedFilterHeaders;
use crate::filter::{Filter, FilterAnchor, FilterError, FilterHash, FilterHeader};
use crate::header::BlockHeight;
use crate::peers::{Offence, PeerId};

/// Numbers a request; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterRequestId(pub u64);

/// What the driver is to do, in this order.
#[derive(Debug)]
#[non_exhaustive]
pub enum FilterAction {
    /// Send a request. It is answered exactly once, by `handle_answer` or `handle_unanswered`, be it
    /// late; a disconnected peer's are answered by `handle_disconnected`.
    Ask {
        /// To whom.
        peer: PeerId,
        /// What the answer is reported with.
        id: FilterRequestId,
        /// What is asked.
        request: FilterRequest,
        /// It is asked because another question came to nothing: what a driver that bounds retries
        /// counts as one.
        retry: bool,
    },
    /// Store this change of the filter headers, then report to `handle_committed`. Changes are
    /// reported in the order in which they were given out.
    Commit(FilterHeaderChange),
    /// The next filter: verified, in order of height.
    Filter {
        /// Its block's height.
        height: BlockHeight,
        /// Its block.
        block_hash: BlockHash,
        /// The filter. Only its size was checked: should reading it give a
        /// [`FilterError`], the block is to be looked through whole, and `handle_broken` to be told.
        filter: Filter,
    },
    /// The next filters are those that the driver said it has.
    Cached {
        /// From the first height up to, and without, the last.
        heights: Range<BlockHeight>,
    },
    /// Nobody can prove which filter is right: the block is to be fetched and looked through whole.
    /// It stands in the place of its filter, or comes later for a height that is delivered already.
    Undecided {
        /// Its height.
        height: BlockHeight,
        /// The block.
        block_hash: BlockHash,
        /// Whether a filter was delivered for it before.
        late: bool,
    },
    /// A provable fault. The machine does not ask this peer any more.
    Misbehaved {
        /// Who.
        peer: PeerId,
        /// What.
        offence: FilterOffence,
    },
    /// For logs, metrics and subscribers.
    Event(FilterEvent),
}

/// What is asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterRequest {
    /// `getcfcheckpt`: every thousandth filter header.
    Checkpoints {
        /// Up to this block ...
        stop: BlockHash,
        /// ... of this height.
        height: BlockHeight,
    },
    /// `getcfheaders`.
    Headers {
        /// The first.
        start: BlockHeight,
        /// The block of the last.
        stop: BlockHash,
        /// How many.
        count: u32,
    },
    /// `getcfilters`: one message a filter; the driver collects them.
    Filters {
        /// The first.
        start: BlockHeight,
        /// The block of the last.
        stop: BlockHash,
        /// How many.
        count: u32,
    },
    /// A block with its witnesses, from `getdata`.
    Block {
        /// Its height.
        height: BlockHeight,
        /// The block.
        hash: BlockHash,
    },
}

/// A filter as a peer sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedFilter {
    /// The block that the peer names.
    pub block_hash: BlockHash,
    /// The filter's bytes.
    pub filter: Vec<u8>,
}

/// What a peer answered. Only its kind has to fit the request: the rest is checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterAnswer {
    /// `cfcheckpt`.
    Checkpoints(Vec<FilterHeader>),
    /// `cfheaders`.
    Headers {
        /// The header before the first.
        previous: FilterHeader,
        /// Hashes of the filters.
        hashes: Vec<FilterHash>,
    },
    /// `cfilter`s in order of height. They may be fewer than were asked for, where the driver
    /// waited long enough: what came is used and the rest is asked for again.
    Filters(Vec<ServedFilter>),
    /// `block`.
    Block(Box<Block>),
}

/// Why a question comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterUnanswered {
    /// The driver did not send it, and will not before so long. Nobody is to blame.
    Refused {
        /// When the peer can be asked.
        retry_after: Duration,
    },
    /// No answer came in the driver's own time, or none that is of use.
    NoAnswer,
}

/// A change of the filter headers, to be stored.
#[derive(Clone, Debug)]
pub enum FilterHeaderChange {
    /// Drop all headers, and begin with this one; without one, with genesis'.
    Restart {
        /// The first header.
        anchor: Option<FilterAnchor>,
    },
    /// These come next.
    Append(VerifiedFilterHeaders),
    /// Drop the headers above this height.
    Rollback {
        /// The highest that stays.
        to: BlockHeight,
    },
}

/// A provable fault of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterOffence {
    /// The filter that its header commits to lacks a script that is in the block.
    Omission {
        /// The block's height.
        height: BlockHeight,
        /// The block.
        block_hash: BlockHash,
        /// The script.
        script: ScriptBuf,
    },
    /// All scripts of the block are known, and its filter is another one than its header commits to.
    NotTheFilter {
        /// The block's height.
        height: BlockHeight,
        /// The block.
        block_hash: BlockHash,
        /// The filter's hash.
        expected: FilterHash,
        /// What the peer's header commits to, where it is known.
        got: Option<FilterHash>,
    },
    /// A filter that is not the one which the same peer's header commits to.
    WrongFilter {
        /// The block's height.
        height: BlockHeight,
        /// The block.
        block_hash: BlockHash,
    },
    /// The filter that its header commits to is none: no block has one like that.
    Malformed {
        /// The block's height.
        height: BlockHeight,
        /// The block.
        block_hash: BlockHash,
        /// Why.
        error: FilterError,
    },
    /// Two answers about the same block's filter header contradict each other.
    Contradiction {
        /// The block's height.
        height: BlockHeight,
    },
}

impl FilterOffence {
    /// What the peer policy is told of it.
    #[must_use]
    pub const fn offence(&self) -> Offence {
        match self {
            Self::Omission { .. }
            | Self::NotTheFilter { .. }
            | Self::WrongFilter { .. }
            | Self::Malformed { .. }
            | Self::Contradiction { .. } => Offence::FalseFilter,
        }
    }
}

impl fmt::Display for FilterOffence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Omission { height, script, .. } => {
                write!(f, "the filter at height {height} lacks the block's script {script:x}")
            }
            Self::NotTheFilter { height, expected, .. } => {
                write!(f, "the filter at height {height} is not {expected}, which the block gives")
            }
            Self::WrongFilter { height, .. } => {
                write!(f, "the filter at height {height} is not the one of its own header")
            }
            Self::Malformed { height, error, .. } => {
                write!(f, "the filter at height {height} is none: {error}")
            }
            Self::Contradiction { height } => {
                write!(f, "two answers about the filter header at height {height} differ")
            }
        }
    }
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterEvent {
    /// Filter headers reach the tip, all filters wanted are delivered, and every peer that answers
    /// agrees or has been judged.
    Synced {
        /// The tip's height.
        height: BlockHeight,
        /// So many peers agree on it.
        peers: usize,
    },
    /// What was delivered from this height on does not hold; it is delivered again.
    Revised {
        /// The first height that is void.
        from: BlockHeight,
        /// Why.
        why: Revision,
    },
    /// A peer has another filter than we have.
    Disputed {
        /// Who.
        peer: PeerId,
        /// The first height at which they differ.
        height: BlockHeight,
    },
    /// A dispute is over.
    Settled {
        /// Its height.
        height: BlockHeight,
        /// How.
        settlement: Settlement,
    },
    /// A request was not answered in time.
    Stalled {
        /// Who.
        peer: PeerId,
    },
    /// A peer did not stand by what it claimed, which need not be its fault. Its claims are dropped, and
    /// it is asked again later.
    Lapsed {
        /// Who.
        peer: PeerId,
    },
}

/// Why filters are delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The best header chain has changed.
    Reorg,
    /// A filter turned out to be false, or nobody stands by it.
    Evidence,
    /// A stored header does not fit what peers agree on.
    Damage,
}

/// How a dispute ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Our chain stays; the others lied or did not serve what they claimed.
    Ours,
    /// Our chain was false there, or nobody served what it claims.
    Theirs,
    /// Nothing decides.
    Undecided,
}

/// What the machine is doing, for a status page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterSyncStatus {
    /// The highest filter header.
    pub headers: Option<BlockHeight>,
    /// The next height to be delivered.
    pub next: Option<BlockHeight>,
    /// Whether all is delivered up to the tip, and every peer that answers was compared.
    pub synced: bool,
    /// Blocks whose filters are undecided.
    pub undecided: usize,
    /// Disputes that are being settled.
    pub disputes: usize,
    /// Peer by peer.
    pub peers: Vec<FilterPeerStatus>,
}

/// One peer as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterPeerStatus {
    /// Who.
    pub peer: PeerId,
    /// Where it stands.
    pub standing: FilterStanding,
    /// Requests in flight.
    pub in_flight: usize,
}

/// Where a peer stands towards our filter headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterStanding {
    /// Not compared yet.
    Unheard,
    /// It agrees up to here, blocks apart that are undecided.
    Agrees {
        /// The height.
        to: BlockHeight,
    },
    /// It differs; where is being looked for or being judged.
    Differs,
    /// It proved itself a liar.
    Refused,
}
