//! Answers about filters and blocks, put together from messages.
//!
//! A request that its asker has given up stays known until its answer has come, or such an answer
//! would count as talk that nobody asked for, and a slow peer would be slowed down further. A message
//! goes to the oldest request that it fits and that is still waited for, else to one given up.
//!
//! Filters come one to a message, in the order of their blocks (BIP157, `getcfilters`). One that is
//! out of order ends its request: nothing that comes after it can be relied on.
//!
//! What an attacker can grow: [`MAX_WAITING`] requests, and the filters gathered for those that are
//! waited for, together at most [`MAX_GATHERED`]. A peer can only send what was asked for.

use std::mem::take;
use std::time::Duration;

use bitcoin::BlockHash;
use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::p2p::message_blockdata::Inventory;
use ironlight_hardening::{Classify, ErrorClass};
use tokio::sync::oneshot;

use super::awaited::Arrived;
use super::message::Inbound;
use crate::net::data::{CHECKPOINT_INTERVAL, Query, Reply};

/// Requests of one connection that are remembered, those given up included.
const MAX_WAITING: usize = 16;
/// Bytes of filters of one connection that wait for the rest of their range. Mainnet's filters take
/// 25 KB on average, so a full range of 1,000 fits as a rule, and one of 100 always does.
pub(super) const MAX_GATHERED: usize = 32 << 20;

/// Why there is no answer to a question about filters or blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataError {
    /// The connection ended first.
    #[error("the connection ended before an answer came")]
    Closed,
    /// Nothing came.
    #[error("nothing came for {within:?}")]
    Silent {
        /// The time allowed.
        within: Duration,
    },
    /// It is asked enough already.
    #[error("too much is asked of this peer already")]
    Busy,
    /// An answer with another number of entries than the blocks that it is about have.
    #[error("{got} entries where there are {expected}")]
    OtherCount {
        /// The entries that came.
        got: usize,
        /// Those asked for.
        expected: usize,
    },
    /// A filter out of its turn.
    #[error("filters out of order, after {after}")]
    OutOfOrder {
        /// Filters that came in order.
        after: usize,
    },
    /// More than is kept.
    #[error("filters of more than {MAX_GATHERED} bytes: ask for fewer blocks")]
    TooMuch,
}

impl Classify for DataError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Silent { .. } => ErrorClass::Timeout,
            Self::Busy => ErrorClass::RateLimited { retry_after: Some(Duration::from_millis(200)) },
            Self::Closed | Self::OtherCount { .. } | Self::OutOfOrder { .. } => {
                ErrorClass::Temporary
            }
            // It would be the same with every peer.
            Self::TooMuch => ErrorClass::Permanent,
        }
    }
}

/// Where an answer is told.
pub(super) type Told = oneshot::Sender<Result<Reply, DataError>>;

/// The requests of one connection that wait for their answers, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    query: Query,
    /// None once it is given up.
    told: Option<Told>,
    /// Filters that came, kept or not.
    came: usize,
    filters: Vec<Vec<u8>>,
    bytes: usize,
}

impl Waiting {
    fn tell(&mut self, answer: Result<Reply, DataError>) {
        if let Some(told) = self.told.take() {
            // It fails when nobody waits any more.
            let _ = told.send(answer);
        }
        self.let_go();
    }

    fn let_go(&mut self) {
        (self.told, self.filters, self.bytes) = (None, Vec::new(), 0);
    }

    /// The blocks whose filters it is about; none for another question.
    fn blocks(&self) -> &[BlockHash] {
        if let Query::Filters { blocks, .. } = &self.query { blocks } else { &[] }
    }
}

impl Gathered {
    /// A request goes out. With too many, one given up makes room, or else the oldest.
    pub(super) fn expect(&mut self, query: Query, told: Told) {
        self.forget_given_up();
        if self.waiting.len() >= MAX_WAITING {
            let given_up = self.waiting.iter().position(|waiting| waiting.told.is_none());
            self.waiting.remove(given_up.unwrap_or(0));
        }
        let told = Some(told);
        self.waiting.push(Waiting { query, told, came: 0, filters: Vec::new(), bytes: 0 });
    }

    /// Lets go what was gathered for requests that nobody waits for any more.
    pub(super) fn forget_given_up(&mut self) {
        let given_up = |waiting: &&mut Waiting| waiting.told.as_ref().is_none_or(Told::is_closed);
        self.waiting.iter_mut().filter(given_up).for_each(Waiting::let_go);
    }

    /// Nothing more will come. The first filters of a range are an answer, too: whoever is cut off again
    /// and again gets on all the same.
    pub(super) fn end(self) {
        for mut waiting in self.waiting {
            let filters = take(&mut waiting.filters);
            if !filters.is_empty() {
                waiting.tell(Ok(Reply::Filters(filters)));
            }
        }
    }

    /// A message has come.
    pub(super) fn arrived(&mut self, message: Inbound) -> Arrived {
        self.forget_given_up();
        let asked_for = match &message {
            Inbound::CFCheckpt { stop, headers } => self.checkpoints(*stop, headers),
            Inbound::CFHeaders { stop, previous, hashes } => {
                self.filter_headers(*stop, *previous, hashes)
            }
            Inbound::CFilter { block, .. } => self.awaits_filter(*block),
            Inbound::Block { hash, .. } => self.find(|query| is_block(query, *hash)).is_some(),
            Inbound::NotFound(missing) => self.not_found(missing),
            Inbound::Version(_)
            | Inbound::Verack
            | Inbound::WtxidRelay
            | Inbound::SendAddrV2
            | Inbound::SendHeaders
            | Inbound::Ping(_)
            | Inbound::Pong(_)
            | Inbound::Headers(_)
            | Inbound::Inv { .. }
            | Inbound::Addresses(_)
            | Inbound::GetHeaders
            | Inbound::Tx(_)
            | Inbound::GetData(_)
            | Inbound::FeeFilter(_)
            | Inbound::Ignored(_) => false,
        };
        let rest = if asked_for { self.take(message) } else { Some(message) };
        Arrived { asked_for, rest }
    }

    /// Takes what is moved rather than copied.
    fn take(&mut self, message: Inbound) -> Option<Inbound> {
        if let Inbound::CFilter { block, filter } = message {
            self.filter(block, filter);
            return None;
        }
        if let Inbound::Block { hash, bytes } = message {
            self.settle(|query| is_block(query, hash), |_| Ok(Reply::Block(bytes)));
            return None;
        }
        // Of these, something may be about transactions.
        matches!(message, Inbound::NotFound(_)).then_some(message)
    }

    /// The request that a message fits: the oldest, those that are waited for before others.
    fn find(&self, fits: impl Fn(&Query) -> bool) -> Option<usize> {
        self.find_waiting(|waiting| fits(&waiting.query))
    }

    fn find_waiting(&self, fits: impl Fn(&Waiting) -> bool) -> Option<usize> {
        let live = self.waiting.iter().position(|waiting| waiting.told.is_some() && fits(waiting));
        live.or_else(|| self.waiting.iter().position(fits))
    }

    /// Answers a request with one message. False where there is none that it fits.
    fn settle(
        &mut self,
        fits: impl Fn(&Query) -> bool,
        answer: impl FnOnce(&Query) -> Result<Reply, DataError>,
    ) -> bool {
        let Some(at) = self.find(fits) else { return false };
        let mut waiting = self.waiting.remove(at);
        let answer = answer(&waiting.query);
        waiting.tell(answer);
        true
    }

    fn checkpoints(&mut self, of: BlockHash, headers: &[FilterHeader]) -> bool {
        let count = |query: &Query| match query {
            Query::FilterCheckpoints { stop, height } if *stop == of => {
                Some(to_usize(height.0 / CHECKPOINT_INTERVAL))
            }
            Query::FilterCheckpoints { .. }
            | Query::FilterHeaders { .. }
            | Query::Filters { .. }
            | Query::Block { .. }
            | Query::Proof { .. }
            | Query::SnapshotOffer { .. }
            | Query::SnapshotChunk { .. } => None,
        };
        let got = headers.len();
        self.settle_counted(got, count, || Reply::FilterCheckpoints(headers.to_vec()))
    }

    fn filter_headers(
        &mut self,
        of: BlockHash,
        previous: FilterHeader,
        hashes: &[FilterHash],
    ) -> bool {
        let count = |query: &Query| match query {
            Query::FilterHeaders { stop, count, .. } if *stop == of => Some(to_usize(*count)),
            Query::FilterCheckpoints { .. }
            | Query::FilterHeaders { .. }
            | Query::Filters { .. }
            | Query::Block { .. }
            | Query::Proof { .. }
            | Query::SnapshotOffer { .. }
            | Query::SnapshotChunk { .. } => None,
        };
        let got = hashes.len();
        let hashes = || hashes.to_vec();
        self.settle_counted(got, count, || Reply::FilterHeaders { previous, hashes: hashes() })
    }

    /// Ranges may end with the same block: the count tells them apart. Where none has this one, the
    /// oldest that ends there has a wrong answer.
    fn settle_counted(
        &mut self,
        got: usize,
        count: impl Fn(&Query) -> Option<usize>,
        reply: impl FnOnce() -> Reply,
    ) -> bool {
        if self.find(|query| count(query) == Some(got)).is_some() {
            return self.settle(|query| count(query) == Some(got), |_| Ok(reply()));
        }
        let wrong = |query: &Query| {
            let expected = count(query).unwrap_or_default();
            Err(DataError::OtherCount { got, expected })
        };
        self.settle(|query| count(query).is_some(), wrong)
    }

    /// Whether a filter is the next one of a range. One that is out of turn ends its range, unless
    /// the next one is its block's as well.
    fn awaits_filter(&mut self, block: BlockHash) -> bool {
        if self.next_filter(block).is_some() {
            return true;
        }
        let out_of_turn =
            |waiting: &Waiting| waiting.told.is_some() && waiting.blocks().contains(&block);
        if let Some(at) = self.waiting.iter().position(out_of_turn) {
            let mut waiting = self.waiting.remove(at);
            let after = waiting.came;
            waiting.tell(Err(DataError::OutOfOrder { after }));
        }
        false
    }

    fn next_filter(&self, block: BlockHash) -> Option<usize> {
        self.find_waiting(|waiting| waiting.blocks().get(waiting.came) == Some(&block))
    }

    fn filter(&mut self, block: BlockHash, filter: Vec<u8>) {
        let gathered: usize = self.waiting.iter().map(|waiting| waiting.bytes).sum();
        let Some(at) = self.next_filter(block) else { return };
        let Some(waiting) = self.waiting.get_mut(at) else { return };
        waiting.came += 1;
        if waiting.told.is_some() {
            if gathered + filter.len() > MAX_GATHERED {
                waiting.tell(Err(DataError::TooMuch));
            } else {
                waiting.bytes += filter.len();
                waiting.filters.push(filter);
            }
        }
        if waiting.came == waiting.blocks().len() {
            let mut done = self.waiting.remove(at);
            let filters = take(&mut done.filters);
            done.tell(Ok(Reply::Filters(filters)));
        }
    }

    /// Each entry says of one block that it is not there.
    fn not_found(&mut self, missing: &[Inventory]) -> bool {
        let mut asked_for = false;
        for entry in missing.iter().take(MAX_WAITING) {
            if let Inventory::Block(hash) | Inventory::WitnessBlock(hash) = entry {
                asked_for |= self.settle(|query| is_block(query, *hash), |_| Ok(Reply::NotFound));
            }
        }
        asked_for
    }
}

fn is_block(query: &Query, of: BlockHash) -> bool {
    matches!(query, Query::Block { hash } if *hash == of)
}

fn to_usize(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "gathered_tests.rs"]
mod tests;
