//! Proofs that light nodes make: some 500 bytes where the block would be two million.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::{BlockHash, Txid};
use ironlight_spv::peers::Offence;
use ironlight_spv::proof::MerkleBlock;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::Blocks;
use crate::net::data::{DataPeer, Query, Reply};

/// Light nodes that are asked, one after the other; then the block is fetched.
const ASKED: usize = 3;
/// How long each may take.
const EACH: Duration = Duration::from_secs(5);

impl Blocks {
    /// The bytes of a proof from the first light node that gives one that holds.
    pub(super) async fn asked_proof(
        &self,
        block: BlockHash,
        txids: &[Txid],
        deadline: Instant,
    ) -> Option<Vec<u8>> {
        let list = self.0.peers.list();
        let provers = list.values().filter(|peer| peer.offers.proofs).take(ASKED);
        for peer in provers {
            let query = Query::Proof { block, txids: Arc::from(txids) };
            let until = deadline.min(Instant::now() + EACH);
            match timeout_at(until, peer.line.ask(query, false)).await {
                Ok(Ok(Reply::Proof(bytes))) => {
                    if holds(peer, &bytes, block, txids) {
                        return Some(bytes);
                    }
                }
                // Neither says that the transaction is not there.
                Ok(Ok(_) | Err(_)) | Err(_) => debug!(%block, peer = peer.address, "no proof"),
            }
        }
        None
    }
}

/// Whether a proof is of this block and of all these transactions; a false one is told of.
fn holds(peer: &DataPeer, bytes: &[u8], block: BlockHash, txids: &[Txid]) -> bool {
    let decoded = MerkleBlock::decode(bytes).ok();
    let decoded = decoded.filter(|proof| proof.header().hash() == block);
    let proven = decoded.and_then(|proof| proof.verify().ok());
    let all = proven.is_some_and(|proven| {
        txids.iter().all(|txid| proven.iter().any(|inclusion| inclusion.txid() == *txid))
    });
    if !all {
        warn!(%block, peer = peer.address, "a false proof");
        peer.line.misbehaved(Offence::ProtocolViolation);
    }
    all
}
