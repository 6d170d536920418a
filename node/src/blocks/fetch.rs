//! One block, from one peer after the other until one gives it.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use ironlight_hardening::rate_limit::RetryAfter;
use ironlight_spv::IndexedHeader;
use ironlight_spv::peers::{Offence, PeerId, SplitMix64};
use ironlight_spv::sync::Unanswered;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::budget::Reserved;
use super::check::{NotTheBlock, VerifiedBlock};
use super::{BlockError, Cause, Flight, Landed, Shared, off_async};
use crate::net::data::{DataPeer, PeerList, Query, Reply};
use crate::net::{Direction, PeerNetwork};

/// Answers that may fail to come, or be wrong.
const ATTEMPTS: u32 = 8;
/// A peer that gave no answer is asked again after this, where there is no other.
const PAUSE: Duration = Duration::from_secs(1);

/// How many requests each peer has, by its number.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Mutex<BTreeMap<PeerId, u32>>);

impl UnderWay {
    fn of(&self, peer: PeerId) -> u32 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&peer).copied().unwrap_or(0)
    }

    fn begin(&self, peer: PeerId) -> OnTheWay<'_> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(peer).or_default() += 1;
        OnTheWay { counts: self, peer }
    }
}

/// Counts one, until it is dropped.
struct OnTheWay<'a> {
    counts: &'a UnderWay,
    peer: PeerId,
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

/// Begins to fetch a block, if it was not kept meanwhile. Strangers pay for it first.
pub(super) fn begin(shared: &Arc<Shared>, header: &IndexedHeader, cause: Cause) -> Flight {
    let landed = move |outcome| Landed { cause, outcome };
    if let Some(kept) = shared.kept().get(&header.hash) {
        return Box::pin(async move { landed(Ok(kept)) });
    }
    let reserved = match cause {
        Cause::Own => None,
        Cause::Stranger => match shared.budget.reserve() {
            Ok(reserved) => Some(reserved),
            Err(RetryAfter(retry_after)) => {
                return Box::pin(async move { landed(Err(BlockError::Budget { retry_after })) });
            }
        },
    };
    let (shared, header) = (Arc::clone(shared), *header);
    Box::pin(async move {
        let search = Search { shared, header, cause, tried: BTreeMap::new(), attempts: 0, used: 0 };
        landed(search.run(reserved).await)
    })
}

/// What is known of a peer in one search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// It does not have the block, or lied.
    Useless,
    /// It gave no answer, so often, or wants to be left alone until then.
    Again { at: Instant, failures: u32 },
}

struct Search {
    shared: Arc<Shared>,
    header: IndexedHeader,
    cause: Cause,
    tried: BTreeMap<PeerId, Tried>,
    attempts: u32,
    /// Bytes received.
    used: usize,
}

/// Who is to be asked.
enum Next {
    Ask(PeerId, DataPeer),
    /// Nobody before then.
    Wait(Instant),
    /// Nobody, until somebody else connects.
    Nobody,
    /// All who could be asked are of no use.
    AllUseless {
        asked: usize,
    },
}

impl Search {
    async fn run(mut self, reserved: Option<Reserved>) -> Result<Arc<VerifiedBlock>, BlockError> {
        let shared = Arc::clone(&self.shared);
        // It fails only once it is closed, which it never is.
        let _place = shared.wished(self.cause).places.acquire().await;
        let found = self.search().await;
        if let Some(reserved) = reserved {
            reserved.settle(self.used);
        }
        if let Ok(block) = &found {
            shared.kept().insert(block.hash(), Arc::clone(block), block.weight());
        }
        found
    }

    async fn search(&mut self) -> Result<Arc<VerifiedBlock>, BlockError> {
        let hash = self.header.hash;
        let mut list = self.shared.peers.subscribe();
        while self.attempts < ATTEMPTS {
            let listed = Arc::clone(&list.borrow_and_update());
            let wake = match self.next(&listed) {
                Next::Ask(peer, entry) => {
                    if let Some(block) = self.ask(peer, entry).await? {
                        return Ok(block);
                    }
                    continue;
                }
                Next::Wait(until) => Some(until),
                Next::Nobody => None,
                Next::AllUseless { asked } => return Err(BlockError::NotFound { hash, asked }),
            };
            tokio::select! {
                // It fails where the list is gone, and then nobody connects any more.
                changed = list.changed() => if changed.is_err() { pending::<()>().await },
                () = async { match wake { Some(wake) => sleep_until(wake).await, None => pending().await } } => {}
            }
        }
        Err(BlockError::Unanswered { hash, attempts: self.attempts })
    }

    /// Those of our choice before those that called, full nodes before light ones, and of these
    /// whoever has least to do. What decides in the end differs from block to block.
    fn next(&self, listed: &PeerList) -> Next {
        let now = Instant::now();
        let may = |peer: &DataPeer| {
            let full = peer.network == PeerNetwork::Bitcoin;
            peer.offers.blocks && (full || self.cause == Cause::Own)
        };
        let candidates: Vec<_> = listed.iter().filter(|(_, peer)| may(peer)).collect();
        let mut earliest: Option<Instant> = None;
        let mut ready = Vec::new();
        for (id, peer) in &candidates {
            let failures = match self.tried.get(id) {
                None => 0,
                Some(Tried::Useless) => continue,
                Some(Tried::Again { at, failures }) if *at <= now => *failures,
                Some(Tried::Again { at, .. }) => {
                    earliest = Some(earliest.map_or(*at, |earliest| earliest.min(*at)));
                    continue;
                }
            };
            let called = peer.direction == Direction::Inbound;
            let light = peer.network == PeerNetwork::LibP2p;
            let busy = self.shared.under_way.of(**id);
            ready.push(((failures, called, light, busy, self.draw(**id)), *id, *peer));
        }
        match ready.into_iter().min_by_key(|(order, _, _)| *order) {
            Some((_, id, peer)) => Next::Ask(*id, peer.clone()),
            None => match (earliest, candidates.len(), self.cause) {
                (Some(until), _, _) => Next::Wait(until),
                (None, 0, Cause::Own) => Next::Nobody,
                (None, asked, _) => Next::AllUseless { asked },
            },
        }
    }

    fn draw(&self, peer: PeerId) -> u64 {
        let first = self.header.hash.as_byte_array().first_chunk().copied().unwrap_or_default();
        SplitMix64::new(peer.0 ^ u64::from_le_bytes(first)).next_u64()
    }

    /// Asks a peer; none where it is somebody else's turn.
    async fn ask(
        &mut self,
        peer: PeerId,
        entry: DataPeer,
    ) -> Result<Option<Arc<VerifiedBlock>>, BlockError> {
        let shared = Arc::clone(&self.shared);
        let under_way = shared.under_way.begin(peer);
        let query = Query::Block { hash: self.header.hash };
        let answer = entry.line.ask(query, self.attempts > 0).await;
        drop(under_way);
        match answer {
            Ok(Reply::Block(bytes)) => {
                self.used = self.used.saturating_add(bytes.len());
                shared.wished(self.cause).received(bytes.len());
                let (header, segwit) = (self.header, shared.segwit);
                match off_async(move || VerifiedBlock::verify(header, segwit, bytes)).await? {
                    Ok(block) => return Ok(Some(Arc::new(block))),
                    Err(fault) => self.lied(peer, &entry, &fault),
                }
            }
            Ok(Reply::NotFound) => drop(self.tried.insert(peer, Tried::Useless)),
            Err(Unanswered::Refused { retry_after }) => self.later(peer, retry_after, 0),
            // A line gives the kind of answer that was asked for.
            Ok(
                Reply::FilterCheckpoints(_)
                | Reply::FilterHeaders { .. }
                | Reply::Filters(_)
                | Reply::Proof(_)
                | Reply::SnapshotOffer(_)
                | Reply::SnapshotChunk(_),
            )
            | Err(Unanswered::NoAnswer) => {
                self.attempts += 1;
                self.later(peer, PAUSE, 1);
            }
        }
        Ok(None)
    }

    fn later(&mut self, peer: PeerId, pause: Duration, more: u32) {
        debug!(peer = peer.0, block = %self.header.hash, ?pause, "no block from a peer");
        let failures = match self.tried.get(&peer) {
            Some(Tried::Again { failures, .. }) => *failures,
            Some(Tried::Useless) | None => 0,
        };
        let failures = failures.saturating_add(more);
        let at = Instant::now() + pause * failures.max(1);
        self.tried.insert(peer, Tried::Again { at, failures });
    }

    /// The bytes were whole, and so it is no broken line.
    fn lied(&mut self, peer: PeerId, entry: &DataPeer, fault: &NotTheBlock) {
        let block = self.header.hash;
        warn!(peer = peer.0, address = entry.address, %block, %fault, "a peer sent a false block");
        entry.line.misbehaved(Offence::ProtocolViolation);
        self.attempts += 1;
        self.tried.insert(peer, Tried::Useless);
    }
}
