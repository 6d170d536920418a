//! Where a light node is asked for filters, blocks, proofs and snapshots.
//!
//! What comes back has the form that its question asks for; whether it is true is checked by the same
//! code as what a full node sends.
//!
//! What an attacker can grow: of one peer, [`IN_FLIGHT`] answers of each protocol and
//! [`CHUNKS_IN_FLIGHT`] of snapshots, and how many peers are asked at the same time is for those who ask
//! to bound.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use ironlight_spv::BlockHeight;
use ironlight_spv::peers::{Offence, PeerId};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tower_service::Service;
use tracing::debug;

use super::behaviour::IN_FLIGHT;
use super::line::{Line, LineError, Said, said};
use super::protocol::Protocol;
use super::wire::{
    BlockRequest, FilterRange, FiltersRequest, ProofRequest, SnapshotOffer, SnapshotsRequest,
    decode_block, decode_checkpoints, decode_chunk, decode_filter_hashes, decode_filters,
    decode_proof,
};
use crate::net::data::{Answering, CHECKPOINT_INTERVAL, CHUNKS_IN_FLIGHT, DataLine, Query, Reply};
use crate::net::requests::{Asked, NoAnswer, PeerRequests};

type HeldRanges = Vec<Range<BlockHeight>>;

/// What a peer has said it has may be otherwise after this.
const STALE: Duration = Duration::from_secs(30);

/// A report on a peer, by the number that it has in the list of those that can be asked.
pub(super) type Blame = (PeerId, Offence);

/// See [`DataLine`].
#[derive(Debug)]
pub(super) struct LightDataLine {
    peer: PeerId,
    requests: PeerRequests,
    line: QueryLine,
    blamed: mpsc::Sender<Blame>,
}

impl LightDataLine {
    pub(super) fn new(
        peer: PeerId,
        requests: PeerRequests,
        line: Line,
        blamed: mpsc::Sender<Blame>,
    ) -> Self {
        let line = QueryLine { line, places: Arc::default(), held: Arc::default() };
        Self { peer, requests, line, blamed }
    }
}

impl DataLine for LightDataLine {
    fn ask(&self, query: Query, retry: bool) -> Answering {
        let (requests, line) = (self.requests.clone(), self.line.clone());
        let (peer, blamed) = (self.peer, self.blamed.clone());
        Box::pin(async move {
            let protocol = protocol(&query);
            // A peer drops what is more than this, so that nothing is lost by waiting.
            let _place = line.places.of(protocol).acquire().await;
            let answer = requests.ask_data(Asked::retry(retry), query, line.clone()).await;
            answer.map_err(|error| {
                debug!(peer = peer.0, %error, "no answer of use");
                if let NoAnswer::Failed(fault) = &error
                    && let Some(offence) = fault.offence()
                {
                    let _ = blamed.try_send((peer, offence));
                }
                error.unanswered()
            })
        })
    }

    fn may_have_filter(&self, height: BlockHeight) -> bool {
        let held = self.line.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((said, ranges)) = &*held else { return true };
        if said.elapsed() > STALE {
            return true;
        }
        let is_above = ranges.last().is_none_or(|last| last.end <= height);
        is_above || ranges.iter().any(|range| range.contains(&height))
    }

    fn misbehaved(&self, offence: Offence) {
        let _ = self.blamed.try_send((self.peer, offence));
    }
}

/// Places for requests under way, of each protocol.
#[derive(Debug)]
struct Places {
    filters: Semaphore,
    blocks: Semaphore,
    proofs: Semaphore,
    snapshots: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        let [filters, blocks, proofs] = [(); 3].map(|()| Semaphore::new(IN_FLIGHT));
        Self { filters, blocks, proofs, snapshots: Semaphore::new(CHUNKS_IN_FLIGHT) }
    }
}

impl Places {
    const fn of(&self, protocol: Protocol) -> &Semaphore {
        match protocol {
            Protocol::Headers | Protocol::Filters => &self.filters,
            Protocol::Blocks => &self.blocks,
            Protocol::Proofs => &self.proofs,
            Protocol::Snapshots => &self.snapshots,
        }
    }
}

#[derive(Clone, Debug)]
struct QueryLine {
    line: Line,
    places: Arc<Places>,
    /// The heights whose filters the peer said last that it has, and when.
    held: Arc<Mutex<Option<(Instant, HeldRanges)>>>,
}

impl Service<Query> for QueryLine {
    type Response = Reply;
    type Error = LineError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, LineError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Query) -> Self::Future {
        let (line, held) = (self.line.clone(), Arc::clone(&self.held));
        Box::pin(async move {
            let bytes = line.exchange(protocol(&query), &request(&query)).await?;
            let (said, extensions) = said(&bytes)?;
            if let Some(ranges) = extensions.held {
                let now = Some((Instant::now(), ranges));
                *held.lock().unwrap_or_else(PoisonError::into_inner) = now;
            }
            decode(&query, said)
        })
    }
}

const fn protocol(query: &Query) -> Protocol {
    match query {
        Query::FilterCheckpoints { .. } | Query::FilterHeaders { .. } | Query::Filters { .. } => {
            Protocol::Filters
        }
        Query::Block { .. } => Protocol::Blocks,
        Query::Proof { .. } => Protocol::Proofs,
        Query::SnapshotOffer { .. } | Query::SnapshotChunk { .. } => Protocol::Snapshots,
    }
}

/// The body of a request. One for nothing or for too much is answered Invalid.
fn request(query: &Query) -> Vec<u8> {
    match query {
        Query::FilterCheckpoints { stop, height: _ } => {
            FiltersRequest::Checkpoints { stop: *stop }.encode()
        }
        &Query::FilterHeaders { start, stop, count } => {
            FiltersRequest::Headers(FilterRange { start, count, stop }).encode()
        }
        Query::Filters { start, blocks } => {
            let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
            let stop = blocks.last().copied().unwrap_or_else(BlockHash::all_zeros);
            FiltersRequest::Filters(FilterRange { start: *start, count, stop }).encode()
        }
        Query::Block { hash } => BlockRequest { hash: *hash }.encode(),
        Query::Proof { block, txids } => {
            let mut txids: Vec<Txid> = txids.to_vec();
            txids.sort_unstable();
            txids.dedup();
            ProofRequest { block: *block, txids }.encode()
        }
        &Query::SnapshotOffer { from } => SnapshotsRequest::Offer { from }.encode(),
        &Query::SnapshotChunk { period, address } => {
            SnapshotsRequest::Chunk { period, hash: address }.encode()
        }
    }
}

fn decode(query: &Query, said: Said<'_>) -> Result<Reply, LineError> {
    let mut body = match said {
        Said::Body(body) => body,
        Said::NotFound => return Ok(Reply::NotFound),
    };
    let body = &mut body;
    let reply = match query {
        Query::FilterCheckpoints { height, stop: _ } => {
            decode_checkpoints(body, height.0 / CHECKPOINT_INTERVAL).map(Reply::FilterCheckpoints)
        }
        Query::FilterHeaders { count, .. } => decode_filter_hashes(body, *count)
            .map(|(previous, hashes)| Reply::FilterHeaders { previous, hashes }),
        Query::Filters { blocks, .. } => {
            let most = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
            decode_filters(body, most).map(Reply::Filters)
        }
        Query::Block { hash } => decode_block(body, hash).map(Reply::Block),
        Query::Proof { block, .. } => decode_proof(body, block).map(Reply::Proof),
        Query::SnapshotOffer { from } => {
            SnapshotOffer::decode(body, *from).map(Reply::SnapshotOffer)
        }
        Query::SnapshotChunk { period, .. } => {
            decode_chunk(body, *period).map(Reply::SnapshotChunk)
        }
    };
    reply.map_err(LineError::of)
}
