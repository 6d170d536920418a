//! Which chunks of a snapshot are asked of whom: a machine without I/O and clock.
//!
//! Purpose: to be near the tip sooner than page by page, from several light nodes at once, without
//! believing any one of them. The driver tells it of peers, offers and answers, each with the time since
//! the start, and does what [`Fetch::poll`] wants done.
//!
//! - **Whom it believes.** Addresses that two peers of our choice, of different owners, offer alike from
//!   our chain on. The last such period is the target; its address commits to all before it. Whoever has
//!   sent a false chunk counts no more: the target is then as far as two others offer alike.
//! - **What shows work.** Where our chain is below its minimum work, chunks are held until those that
//!   follow each other from our chain on have it, each with its links and its proof of work. So whatever
//!   is taken in is the beginning of a chain that cost its forger the minimum.
//! - **How much at most.** A target of more headers than one in a tenth of the network's spacing since our
//!   tip is refused.
//! - **How slowly at most.** With fewer than [`LEAST_CHUNKS`] in [`RATE_TIME`] it ends. That bounds how long
//!   header sync is kept waiting, since the number of chunks is bounded; nothing else has to.
//! - **Who is to blame.** A chunk that is not what its address says is its sender's fault. What is wrong
//!   with one that is, all who offered the address have to answer for.
//!
//! Invariant: chunks are handed out in order, each once, and each has the one before it as parent.
//!
//! What an attacker can grow: offers of 16,000 addresses each from [`MAX_PEERS`] peers until the target is
//! chosen (4 MB in all), then 512 KB of addresses; chunks that are some 80 KB, at most 100 KB, on their
//! way: [`WINDOW`] in flight or waiting for those before them (7 MB, open), of one peer [`CHUNKS_IN_FLIGHT`] in
//! flight, and before them [`MAX_HELD`] until the minimum is shown (62 MB, packed); a record each of [`MAX_REMEMBERED`] peers and
//! [`MAX_REMEMBERED`] owners that lied.

mod agree;
mod judge;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ironlight_spv::peers::{NetworkGroup, PeerId};
use ironlight_spv::{BlockHash, BlockHeight, UnixTime, Work};

use crate::net::data::CHUNKS_IN_FLIGHT;

/// Peers that are asked at the same time.
pub(crate) const MAX_PEERS: usize = 8;
/// Chunks in flight, or here and waiting for those before them.
pub(crate) const WINDOW: u32 = 32;
/// Chunks that are held until the minimum of work is shown, at most. Mainnet needs about 470.
const MAX_HELD: u32 = 768;
/// Chunks that are handed out together, at most: committing each by itself costs more than it takes.
const TOGETHER: usize = 4;
/// Chunks that are asked of more than one peer at the same time.
const MAX_DUPLICATES: usize = 4;
/// Peers and owners that are remembered.
pub(crate) const MAX_REMEMBERED: usize = 64;
/// So long peers may take to join.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// So long after that an offer may take.
const OFFER_PATIENCE: Duration = Duration::from_secs(5);
/// A chunk that has not come by then is asked of another peer as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);
/// A peer that would not answer is asked again after this at the earliest.
const PAUSE: Duration = Duration::from_millis(500);
/// A peer that has given no answer so often is left.
const MAX_FAILURES: u32 = 3;
/// Fewer chunks in so long are too few: 640 KB, about 21 KB a second.
const LEAST_CHUNKS: u32 = 8;
/// See [`LEAST_CHUNKS`].
const RATE_TIME: Duration = Duration::from_secs(30);
/// Whole periods that have to be missing for this to be worth its while.
const LEAST_PERIODS: u32 = 2;
/// Headers come so many times faster than they are meant to, at most.
const HASTE: u64 = 10;

/// Where our chain ends, and what is asked of another one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchStart {
    /// The first period that is not whole.
    pub(crate) first: u32,
    /// The parent of its first header, by our chain.
    pub(crate) parent: BlockHash,
    /// The height of our tip.
    pub(crate) tip: BlockHeight,
    /// What the tip's header says of the time.
    pub(crate) tip_time: UnixTime,
    /// The wall clock.
    pub(crate) now: UnixTime,
    /// Seconds from one block to the next, as the network means them to be.
    pub(crate) spacing: u32,
    /// The work of our chain up to `parent`.
    pub(crate) work: Work,
    /// What a whole chain has to have where ours does not yet; none where ours has it.
    pub(crate) minimum: Option<Work>,
    /// Peers that the user named; when they have joined, nobody is waited for.
    pub(crate) expected: usize,
}

/// What the machine has to know of a chunk that is what its address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened<T> {
    /// The parent of its first header.
    pub(crate) parent: BlockHash,
    /// What the headers' targets stand for; none where one has no proof of work.
    pub(crate) work: Option<Work>,
    /// The chunk.
    pub(crate) chunk: T,
}

/// What became of a request for a chunk.
#[derive(Clone, Debug)]
pub(crate) enum Outcome<T> {
    /// It came, and is what its address says.
    Chunk(Opened<T>),
    /// Something else came.
    False,
    /// The peer does not have it.
    NotFound,
    /// The peer is busy, or is not to be asked for so long.
    Later(Duration),
    /// Nothing of use.
    NoAnswer,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// Ask a peer what it has.
    AskOffer { peer: PeerId, from: u32 },
    /// Ask a peer for a chunk.
    AskChunk { peer: PeerId, period: u32, address: BlockHash },
    /// The target is chosen, and chunks are fetched from now on.
    Begun { from: u32, to: u32 },
    /// Take these in, from this period on: they follow all that were handed out before.
    Take { first: u32, chunks: Vec<(BlockHash, T)> },
    /// A peer has sent a false chunk.
    FalseChunk { peer: PeerId },
    /// A peer has offered a chain that breaks a rule.
    FalseChain { peer: PeerId },
    /// It is over.
    End(End),
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("all chunks are taken in")]
    Done,
    #[error("fewer than two peers of different owners offer snapshots")]
    TooFewPeers,
    #[error("no two peers of different owners offer the same chain from here on")]
    NoAgreement,
    #[error("header sync gets there as soon: {headers} headers are missing")]
    Near { headers: u32 },
    #[error("{headers} headers are offered, and time allows {most}")]
    TooMany { headers: u32, most: u64 },
    #[error("the offered chain does not show the minimum of work")]
    TooLittleWork,
    #[error("the offered chain branches off before period {period}")]
    OtherBranch { period: u32 },
    #[error("period {period} breaks a rule")]
    FalseChain { period: u32 },
    #[error("period {period} cannot be taken in now")]
    NotNow { period: u32 },
    #[error("nobody is left who has period {period}")]
    NobodyLeft { period: u32 },
    #[error("{chunks} chunks in {time:?}, which is slower than header sync")]
    TooSlow { chunks: u32, time: Duration },
}

/// A peer's addresses, until the target is chosen.
#[derive(Debug)]
enum Offered {
    /// It was asked.
    Asked,
    /// It has none of use.
    Nothing,
    /// These, from the first period on.
    Addresses(Vec<BlockHash>),
}

/// A peer of our choice.
#[derive(Debug)]
struct Source {
    owner: NetworkGroup,
    offered: Offered,
    /// It has the target's addresses below this place.
    has: usize,
    /// Its first place that it did not have when it was asked.
    lacks: usize,
    /// Periods that it is asked for, and since when.
    asked: BTreeMap<u32, Duration>,
    given: u32,
    failures: u32,
    paused_until: Duration,
    gone: bool,
    lied: bool,
}

impl Source {
    const fn new(owner: NetworkGroup, offered: Offered) -> Self {
        Self {
            owner,
            offered,
            has: 0,
            lacks: usize::MAX,
            asked: BTreeMap::new(),
            given: 0,
            failures: 0,
            paused_until: Duration::ZERO,
            gone: false,
            lied: false,
        }
    }

    const fn is_of_use(&self) -> bool {
        !self.gone && !self.lied && self.failures < MAX_FAILURES
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Peers are asked what they have.
    Agreeing,
    /// Chunks are fetched.
    Fetching,
    Over,
}

/// A chunk that is here and not handed out yet.
#[derive(Debug)]
struct Held<T> {
    work: Work,
    chunk: T,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Fetch<T> {
    start: FetchStart,
    stage: Stage,
    sources: BTreeMap<PeerId, Source>,
    /// Peers that the user named and that have joined, with snapshots or without.
    named: usize,
    liars: BTreeSet<NetworkGroup>,
    /// Those that are believed, from the first period on.
    addresses: Vec<BlockHash>,
    /// The next one to hand out.
    next: u32,
    waiting: BTreeMap<u32, Held<T>>,
    /// The first one that is missing of those that follow each other from our chain on.
    linked: u32,
    /// The work of the chain before that one.
    work: Work,
    steps: VecDeque<Step<T>>,
    /// Chunks that came since then.
    came: u32,
    counted_since: Duration,
}

impl<T> Fetch<T> {
    /// At time zero nobody is there.
    pub(crate) const fn new(start: FetchStart) -> Self {
        Self {
            next: start.first,
            linked: start.first,
            work: start.work,
            start,
            stage: Stage::Agreeing,
            sources: BTreeMap::new(),
            named: 0,
            liars: BTreeSet::new(),
            addresses: Vec::new(),
            waiting: BTreeMap::new(),
            steps: VecDeque::new(),
            came: 0,
            counted_since: Duration::ZERO,
        }
    }

    /// A peer of our choice that has snapshots has joined, and is asked which.
    pub(crate) fn handle_joined(&mut self, peer: PeerId, owner: NetworkGroup) {
        let owner = agree::in_one_hand(owner);
        // Whoever left is asked no more, but what it offered is held.
        let held = |source: &Source| matches!(source.offered, Offered::Addresses(_));
        let counted = |source: &&Source| source.is_of_use() || held(source);
        let counted = self.sources.values().filter(counted).count();
        let room = counted < MAX_PEERS && self.sources.len() < MAX_REMEMBERED;
        if !room || self.liars.contains(&owner) || self.sources.contains_key(&peer) {
            return;
        }
        self.sources.insert(peer, Source::new(owner, Offered::Asked));
        self.steps.push_back(Step::AskOffer { peer, from: self.start.first });
    }

    /// So many of those that the user named have joined so far, each counted once.
    pub(crate) const fn handle_named(&mut self, joined: usize) {
        self.named = joined;
    }

    /// A peer is gone. What it offered is still what it offered.
    pub(crate) fn handle_left(&mut self, peer: PeerId) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.gone = true;
            source.asked.clear();
            if matches!(source.offered, Offered::Asked) {
                source.offered = Offered::Nothing;
            }
        }
    }

    /// A peer's answer to what it has: from which period on, and the addresses.
    pub(crate) fn handle_offer(&mut self, peer: PeerId, first: u32, addresses: Vec<BlockHash>) {
        let fits = first == self.start.first;
        let Some(source) = self.sources.get_mut(&peer).filter(|source| !source.gone) else {
            return;
        };
        if self.stage == Stage::Agreeing && fits {
            source.offered = Offered::Addresses(addresses);
            return;
        }
        source.offered = Offered::Nothing;
        if fits {
            source.has = agree::alike(&self.addresses, &addresses);
        }
    }

    /// A peer has not said what it has.
    pub(crate) fn handle_no_offer(&mut self, peer: PeerId) {
        if let Some(source) = self.sources.get_mut(&peer) {
            source.offered = Offered::Nothing;
        }
    }

    /// How many peers have given chunks.
    pub(crate) fn givers(&self) -> usize {
        self.sources.values().filter(|source| source.given > 0).count()
    }

    fn place(&self, period: u32) -> usize {
        usize::try_from(period.saturating_sub(self.start.first)).unwrap_or(usize::MAX)
    }

    fn address(&self, period: u32) -> Option<BlockHash> {
        self.addresses.get(self.place(period)).copied()
    }

    /// The period after the target.
    fn after_target(&self) -> u32 {
        let count = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        self.start.first.saturating_add(count)
    }

    fn end(&mut self, end: End) {
        if self.stage != Stage::Over {
            self.stage = Stage::Over;
            self.waiting.clear();
            self.steps.push_back(Step::End(end));
        }
    }
}
