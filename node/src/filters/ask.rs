//! From the machine's questions to those of the peers' lines, and back.

use std::sync::Arc;

use bitcoin::consensus::deserialize;
use ironlight_spv::filter::sync::{
    FilterAnswer, FilterRequest, FilterRequestId, FilterUnanswered, ServedFilter,
};
use ironlight_spv::peers::PeerId;
use ironlight_spv::sync::Unanswered;
use ironlight_spv::{BlockHash, BlockHeight, HeaderChain};

use crate::net::data::{DataLine, Query, Reply};

/// A question of the machine's on its way.
pub(super) struct Asking {
    pub(super) peer: PeerId,
    pub(super) id: FilterRequestId,
    pub(super) query: Query,
    pub(super) retry: bool,
}

/// What became of it.
pub(super) struct Answered {
    pub(super) peer: PeerId,
    pub(super) id: FilterRequestId,
    pub(super) outcome: Outcome,
}

/// See [`Answered`].
pub(super) enum Outcome {
    /// An answer, to be checked.
    Answer(FilterAnswer),
    /// The peer does not have it. A light node may have it soon: it has to fetch it first.
    NotThere,
    /// None.
    Unanswered(FilterUnanswered),
}

impl Asking {
    pub(super) async fn ask(self, line: Arc<dyn DataLine>) -> Answered {
        let Self { peer, id, query, retry } = self;
        let outcome = match line.ask(query.clone(), retry).await {
            Ok(Reply::NotFound) => Outcome::NotThere,
            Ok(reply) => answer(&query, reply)
                .map_or(Outcome::Unanswered(FilterUnanswered::NoAnswer), Outcome::Answer),
            Err(Unanswered::Refused { retry_after }) => {
                Outcome::Unanswered(FilterUnanswered::Refused { retry_after })
            }
            Err(Unanswered::NoAnswer) => Outcome::Unanswered(FilterUnanswered::NoAnswer),
        };
        Answered { peer, id, outcome }
    }
}

/// The question as peers understand it. None where the chain has moved on since it was asked.
pub(super) fn query(chain: &HeaderChain, request: &FilterRequest) -> Option<Query> {
    match request {
        FilterRequest::Checkpoints { stop, height } => {
            Some(Query::FilterCheckpoints { stop: *stop, height: *height })
        }
        FilterRequest::Headers { start, stop, count } => {
            Some(Query::FilterHeaders { start: *start, stop: *stop, count: *count })
        }
        FilterRequest::Filters { start, stop, count } => {
            let heights = start.0..start.0.checked_add(*count)?;
            let blocks = heights.map(|height| chain.hash_at(BlockHeight(height)));
            let blocks: Arc<[BlockHash]> = blocks.collect::<Option<_>>()?;
            let same = blocks.last() == Some(stop);
            same.then_some(Query::Filters { start: *start, blocks })
        }
        FilterRequest::Block { hash, .. } => Some(Query::Block { hash: *hash }),
        // The enum grows; what is not known cannot be asked.
        _ => None,
    }
}

/// An answer of the kind that was asked for; none where it is of no use.
fn answer(query: &Query, reply: Reply) -> Option<FilterAnswer> {
    match reply {
        Reply::FilterCheckpoints(headers) => Some(FilterAnswer::Checkpoints(headers)),
        Reply::FilterHeaders { previous, hashes } => {
            Some(FilterAnswer::Headers { previous, hashes })
        }
        Reply::Filters(filters) => {
            let Query::Filters { blocks, .. } = query else { return None };
            let served = blocks.iter().zip(filters);
            let served = served.map(|(block, filter)| ServedFilter { block_hash: *block, filter });
            Some(FilterAnswer::Filters(served.collect()))
        }
        Reply::Block(bytes) => deserialize(&bytes).ok().map(Box::new).map(FilterAnswer::Block),
        Reply::Proof(_) | Reply::SnapshotOffer(_) | Reply::SnapshotChunk(_) | Reply::NotFound => {
            None
        }
    }
}
