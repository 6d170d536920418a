//! Where a full node is asked for filters and blocks.
//!
//! Several questions are under way on one connection, [`AT_ONCE`] at most, each matched to what
//! comes by what it asks for. An answer may take long, since it is megabytes on a line that may be
//! slow; so an attempt's time is counted from the last piece of a block or filter that came, be it for
//! this question or for one before it, and starts anew with each. A peer that drips gets no more than
//! [`RequestConfig::data_timeout`](crate::net::RequestConfig::data_timeout).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::message_blockdata::Inventory;
use ironlight_spv::peers::{Offence, PeerId};
use ironlight_spv::sync::Unanswered;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;
use tracing::{debug, warn};

use super::awaited::Awaited;
use super::connection::ToWriter;
use super::gathered::DataError;
use super::message::Outbound;
use super::pool::PoolCommand;
use crate::net::data::{
    Answering, DataLine, MAX_FILTER_HEADERS, MAX_FILTERS, Offers, Query, Reply,
};
use crate::net::requests::{Asked, PeerRequests};

/// Questions under way on one connection: fewer than its queue holds, so that these alone never fill
/// it.
const AT_ONCE: usize = 8;

/// What a full node offers by its services (BIP157; BIP144).
pub(super) fn offers(services: ServiceFlags) -> Offers {
    Offers {
        filters: services.has(ServiceFlags::COMPACT_FILTERS),
        blocks: services.has(ServiceFlags::NETWORK | ServiceFlags::WITNESS),
        proofs: false,
        snapshots: false,
    }
}

/// The message that asks; none for what full nodes are not asked, or not that much of.
pub(super) fn question(query: &Query) -> Option<Outbound> {
    match query {
        Query::FilterCheckpoints { stop, .. } => Some(Outbound::GetCFCheckpt { stop: *stop }),
        Query::FilterHeaders { start, stop, count } => (1..=MAX_FILTER_HEADERS)
            .contains(count)
            .then_some(Outbound::GetCFHeaders { start: *start, stop: *stop }),
        Query::Filters { start, blocks } => {
            let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
            let stop = blocks.last().filter(|_| count <= MAX_FILTERS)?;
            Some(Outbound::GetCFilters { start: *start, stop: *stop })
        }
        Query::Block { hash } => Some(Outbound::GetData(vec![Inventory::WitnessBlock(*hash)])),
        Query::Proof { .. } | Query::SnapshotOffer { .. } | Query::SnapshotChunk { .. } => None,
    }
}

/// Puts questions on the line of one connection.
#[derive(Clone, Debug)]
struct Questions {
    outbox: mpsc::Sender<ToWriter>,
    awaited: Arc<Awaited>,
    places: Arc<Semaphore>,
    /// Nothing may come for so long.
    silence: Duration,
}

impl Questions {
    async fn ask(self, query: Query) -> Result<Reply, DataError> {
        let _place = self.places.try_acquire().map_err(|_full| DataError::Busy)?;
        // Dropped after the receiver, which it looks for.
        let _given_up = GivenUp(&self.awaited);
        let (told, mut answer) = oneshot::channel();
        self.outbox.try_send(ToWriter::Query(query, told)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => DataError::Busy,
            mpsc::error::TrySendError::Closed(_) => DataError::Closed,
        })?;
        let asked = Instant::now();
        loop {
            let deadline = asked.max(self.awaited.progress().last()) + self.silence;
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or(Err(DataError::Closed)),
                () = sleep_until(deadline) => {
                    if self.awaited.progress().last() + self.silence <= Instant::now() {
                        return Err(DataError::Silent { within: self.silence });
                    }
                }
            }
        }
    }
}

/// Whoever asked has its answer, or waits no more.
struct GivenUp<'a>(&'a Awaited);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.0.given_up();
    }
}

impl Service<Query> for Questions {
    type Response = Reply;
    type Error = DataError;
    type Future = Pin<Box<dyn Future<Output = Result<Reply, DataError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DataError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, query: Query) -> Self::Future {
        Box::pin(self.clone().ask(query))
    }
}

/// A connected full node, as those see it who ask it.
pub(super) struct FullNodeLine {
    peer: PeerId,
    questions: Questions,
    requests: PeerRequests,
    /// Weak: a list of peers does not keep a pool alive.
    pool: mpsc::WeakSender<PoolCommand>,
}

impl FullNodeLine {
    pub(super) fn new(
        peer: PeerId,
        outbox: mpsc::Sender<ToWriter>,
        awaited: Arc<Awaited>,
        requests: PeerRequests,
        pool: mpsc::WeakSender<PoolCommand>,
    ) -> Self {
        let silence = requests.attempt_timeout();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { peer, questions: Questions { outbox, awaited, places, silence }, requests, pool }
    }
}

impl fmt::Debug for FullNodeLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FullNodeLine").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl DataLine for FullNodeLine {
    fn ask(&self, query: Query, retry: bool) -> Answering {
        let peer = self.peer;
        if matches!(
            query,
            Query::Proof { .. } | Query::SnapshotOffer { .. } | Query::SnapshotChunk { .. }
        ) {
            return Box::pin(std::future::ready(Ok(Reply::NotFound)));
        }
        if question(&query).is_none() {
            // A defect of ours, for which no peer is to blame.
            warn!(%peer, ?query, "a question that cannot be asked");
            return Box::pin(std::future::ready(Err(Unanswered::NoAnswer)));
        }
        let (questions, requests) = (self.questions.clone(), self.requests.clone());
        Box::pin(async move {
            let answer = requests.ask_data(Asked::retry(retry), query, questions).await;
            answer.map_err(|error| {
                debug!(%peer, %error, "no answer");
                error.unanswered()
            })
        })
    }

    fn misbehaved(&self, offence: Offence) {
        let Some(pool) = self.pool.upgrade() else { return };
        if pool.try_send(PoolCommand::Misbehaved { peer: self.peer, offence }).is_err() {
            debug!(peer = %self.peer, ?offence, "no room for the report");
        }
    }
}
