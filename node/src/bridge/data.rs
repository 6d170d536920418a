//! Filters, blocks and proofs as light nodes are served them.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use tokio::time::Instant;
use tracing::debug;

use crate::blocks::{BlockError, Blocks, Cause, ProveError};
use crate::net::swarm::{DataSource, FilterSource, NotServed, Serving};

/// A stranger's block may take so long: no longer than the server waits for an answer.
const PATIENCE: Duration = Duration::from_secs(9);
/// When to ask again for a block that did not come.
const PAUSE: Duration = Duration::from_secs(5);

/// See [`DataSource`].
pub(crate) struct ServedData {
    blocks: Blocks,
    filters: Option<Arc<dyn FilterSource>>,
}

impl ServedData {
    /// Without filters none are served.
    pub(crate) const fn new(blocks: Blocks, filters: Option<Arc<dyn FilterSource>>) -> Self {
        Self { blocks, filters }
    }
}

impl DataSource for ServedData {
    fn filters(&self) -> Option<&dyn FilterSource> {
        self.filters.as_deref()
    }

    fn block(&self, hash: BlockHash) -> Serving<Arc<[u8]>> {
        let (blocks, deadline) = (self.blocks.clone(), Instant::now() + PATIENCE);
        Box::pin(async move {
            let block = blocks.get(hash, Cause::Stranger, deadline).await;
            block.map(|block| Arc::clone(block.bytes())).map_err(|error| not_served(&error))
        })
    }

    fn proof(&self, block: BlockHash, txids: Vec<Txid>) -> Serving<Vec<u8>> {
        let (blocks, deadline) = (self.blocks.clone(), Instant::now() + PATIENCE);
        Box::pin(async move {
            let proof = blocks.prove(block, &txids, Cause::Stranger, deadline).await;
            proof.map_err(|error| match error {
                ProveError::Block(error) => not_served(&error),
                ProveError::NotInBlock { .. } | ProveError::Unproven(_) => NotServed::NotFound,
            })
        })
    }
}

fn not_served(error: &BlockError) -> NotServed {
    debug!(%error, "a light node gets no block");
    match error {
        BlockError::Unknown { .. } | BlockError::NotBest { .. } | BlockError::NotFound { .. } => {
            NotServed::NotFound
        }
        BlockError::Budget { retry_after } => NotServed::Busy { retry_after: *retry_after },
        BlockError::Unanswered { .. } | BlockError::Late { .. } | BlockError::Stopping => {
            NotServed::Busy { retry_after: PAUSE }
        }
    }
}
