//! Blocks, fetched from whoever has them and checked against their headers.
//!
//! Purpose: the wallet wants the blocks that its filters match, and light nodes ask for blocks and for
//! proofs that this node does not have. [`Blocks`] gets a block from any peer of either network,
//! once for all who want it at the same time, and keeps the last ones.
//!
//! Invariants:
//! - What is handed out belongs to a header that the chain knows: its transactions make the header's
//!   Merkle root, and its witnesses are those that it commits to (`spv::proof`). A peer that sends anything else is
//!   reported, and another one is asked.
//! - Of a block one copy at a time is fetched, and none while it is kept.
//! - What strangers cause is asked of full nodes only, so that no question goes in circles, and for
//!   blocks of the best chain only.
//!
//! What an attacker can grow: blocks kept, up to [`BlocksConfig::cache_bytes`]; txids kept, up to
//! [`TXID_BYTES`]; blocks on their way, [`OWN_AT_ONCE`] and [`STRANGERS_AT_ONCE`] of at most
//! 4 MB. What strangers make us fetch is bounded in all by [`BlocksConfig::strangers`].

mod asked;
mod budget;
mod cache;
mod check;
mod error;
mod fetch;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use ironlight_hardening::cache::{CacheStats, SingleFlight};
use ironlight_hardening::rate_limit::Quota;
use ironlight_spv::chain::Position;
use ironlight_spv::{BlockHeight, IndexedHeader};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::chain::ChainHandle;
use crate::net::data::DataPeers;
use budget::Budget;
use cache::ByteCache;
pub(crate) use check::VerifiedBlock;
pub use error::BlockError;
pub(crate) use error::ProveError;
use fetch::UnderWay;

/// Blocks on their way that the node wants itself.
const OWN_AT_ONCE: usize = 8;
/// Those that strangers want.
const STRANGERS_AT_ONCE: usize = 4;
/// Blocks kept, unless a node is told otherwise.
pub(crate) const CACHE_BYTES: usize = 32_000_000;
/// Txids of blocks that proofs were asked of: about 80 blocks of mainnet.
const TXID_BYTES: usize = 8_000_000;

/// Whose wish it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// This node's own.
    Own,
    /// A light node's, which anybody can be.
    Stranger,
}

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlocksConfig {
    /// Bytes of blocks kept, with what they take in memory.
    pub(crate) cache_bytes: usize,
    /// Bytes that are fetched because strangers ask, all of them together.
    pub(crate) strangers: Quota,
}

impl Default for BlocksConfig {
    /// 32 MB kept; for strangers 64 MB at once, then 64 KB a second, 5.5 GB a day.
    fn default() -> Self {
        let strangers = Quota { burst: 64_000_000, per: Duration::from_nanos(15_625) };
        Self { cache_bytes: CACHE_BYTES, strangers }
    }
}

/// Blocks fetched, and their bytes, since the start; what was refused afterwards counts as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// Blocks.
    pub(crate) blocks: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// How it went since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlocksReport {
    /// What the node wanted itself.
    pub(crate) own: Fetched,
    /// What strangers wanted.
    pub(crate) strangers: Fetched,
    /// Blocks kept, and their bytes.
    pub(crate) kept: (CacheStats, usize),
}

/// Gets blocks; see the [module](self). Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Blocks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    chain: ChainHandle,
    /// From which height on blocks have witnesses.
    segwit: BlockHeight,
    peers: DataPeers,
    flights: SingleFlight<BlockHash, Flight>,
    kept: Mutex<ByteCache<BlockHash, Arc<VerifiedBlock>>>,
    txids: Mutex<ByteCache<BlockHash, Arc<[Txid]>>>,
    budget: Budget,
    /// How many blocks each peer is being asked for.
    under_way: UnderWay,
    own: Wished,
    strangers: Wished,
}

/// What is fetched for one cause.
#[derive(Debug)]
struct Wished {
    places: Semaphore,
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Wished {
    const fn new(at_once: usize) -> Self {
        let (blocks, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { places: Semaphore::const_new(at_once), blocks, bytes }
    }

    fn received(&self, bytes: usize) {
        self.blocks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn report(&self) -> Fetched {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Fetched { blocks: of(&self.blocks), bytes: of(&self.bytes) }
    }
}

/// A block being fetched.
type Flight = Pin<Box<dyn Future<Output = Landed> + Send>>;

/// What became of it, and who had begun it.
#[derive(Clone, Debug)]
struct Landed {
    cause: Cause,
    outcome: Result<Arc<VerifiedBlock>, BlockError>,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, ByteCache<BlockHash, Arc<VerifiedBlock>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn txids(&self) -> MutexGuard<'_, ByteCache<BlockHash, Arc<[Txid]>>> {
        self.txids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn wished(&self, cause: Cause) -> &Wished {
        match cause {
            Cause::Own => &self.own,
            Cause::Stranger => &self.strangers,
        }
    }
}

impl Blocks {
    pub(crate) fn new(chain: ChainHandle, peers: DataPeers, config: BlocksConfig) -> Self {
        let segwit = check::segwit_height(chain.read(|chain| chain.params().network));
        Self(Arc::new(Shared {
            chain,
            segwit,
            peers,
            flights: SingleFlight::new(),
            kept: Mutex::new(ByteCache::new(config.cache_bytes)),
            txids: Mutex::new(ByteCache::new(TXID_BYTES)),
            budget: Budget::new(config.strangers),
            under_way: UnderWay::default(),
            own: Wished::new(OWN_AT_ONCE),
            strangers: Wished::new(STRANGERS_AT_ONCE),
        }))
    }

    /// A block that the chain has a header of; for strangers, of its best chain. Where no peer can be
    /// asked it waits for one until the deadline.
    ///
    /// Cancel safe: the fetch goes on for as long as somebody waits for it.
    ///
    /// # Errors
    /// [`BlockError`]
    pub(crate) async fn get(
        &self,
        hash: BlockHash,
        cause: Cause,
        deadline: Instant,
    ) -> Result<Arc<VerifiedBlock>, BlockError> {
        let header = self.header(hash, cause)?;
        if let Some(kept) = self.0.kept().get(&hash) {
            return Ok(kept);
        }
        let fetching = async {
            tokio::select! {
                fetched = self.fetched(&header, cause) => fetched,
                () = self.0.chain.ended() => Err(BlockError::Stopping),
            }
        };
        timeout_at(deadline, fetching).await.unwrap_or_else(|_late| {
            let listed = self.0.peers.list();
            let offering = listed.values().filter(|peer| peer.offers.blocks).count();
            Err(BlockError::Late { hash, offering })
        })
    }

    /// A block that is kept; nobody is asked.
    #[cfg(feature = "daemon")]
    pub(crate) fn at_hand(&self, hash: &BlockHash) -> Option<Arc<VerifiedBlock>> {
        self.0.kept().get(hash)
    }

    /// The bytes of a `merkleblock` (BIP37) that proves these transactions. Of a block that was asked
    /// for lately its txids are enough; for the node itself light nodes are asked before a block is
    /// fetched.
    ///
    /// Cancel safe, as [`get`](Self::get).
    ///
    /// # Errors
    /// [`ProveError`]
    pub(crate) async fn prove(
        &self,
        block: BlockHash,
        txids: &[Txid],
        cause: Cause,
        deadline: Instant,
    ) -> Result<Vec<u8>, ProveError> {
        let header = self.header(block, cause)?;
        // Nobody must hold the lock while a block is fetched.
        let kept = self.0.txids().get(&block);
        let of_block = match kept {
            Some(kept) => kept,
            None => {
                if cause == Cause::Own
                    && self.0.kept().get(&block).is_none()
                    && let Some(proof) = self.asked_proof(block, txids, deadline).await
                {
                    return Ok(proof);
                }
                let found = Arc::clone(self.get(block, cause, deadline).await?.txids());
                self.0.txids().insert(block, Arc::clone(&found), size_of_val(&*found));
                found
            }
        };
        let wanted = txids.to_vec();
        off_async(move || check::prove(&header.header, &of_block, &wanted)).await?
    }

    /// How it went since the start.
    pub(crate) fn report(&self) -> BlocksReport {
        let Shared { own, strangers, .. } = &*self.0;
        let kept = self.0.kept().stats();
        BlocksReport { own: own.report(), strangers: strangers.report(), kept }
    }

    fn header(&self, hash: BlockHash, cause: Cause) -> Result<IndexedHeader, BlockError> {
        match (self.0.chain.header(&hash), cause) {
            (Some((header, Position::Best)), _) | (Some((header, Position::Side)), Cause::Own) => {
                Ok(header)
            }
            (Some((_, Position::Side)), Cause::Stranger) => Err(BlockError::NotBest { hash }),
            (None, _) => Err(BlockError::Unknown { hash }),
        }
    }

    /// Joins the fetch that is under way, or begins one.
    async fn fetched(
        &self,
        header: &IndexedHeader,
        cause: Cause,
    ) -> Result<Arc<VerifiedBlock>, BlockError> {
        loop {
            let begin = || fetch::begin(&self.0, header, cause);
            let Landed { cause: begun_by, outcome } = self.0.flights.run(header.hash, begin).await;
            match (outcome, cause, begun_by) {
                // It was under the bounds of strangers, which are not the node's own.
                (Err(_), Cause::Own, Cause::Stranger) => {}
                (outcome, _, _) => return outcome,
            }
        }
    }
}

/// Runs what takes long off the async threads.
///
/// # Panics
/// As the work does.
async fn off_async<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_stopping) => Err(BlockError::Stopping),
        },
    }
}
