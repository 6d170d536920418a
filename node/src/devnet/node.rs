//! The running devnet: ledger, timer and peers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bitcoin::{Amount, BlockHash, ScriptBuf, Transaction, Txid};
use ironlight_spv::ChainTip;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::ledger::{Accepted, Branch, Changes, DoubleSpend, Ledger};
use super::shared::SharedLedger;
use super::{DevnetConfig, DevnetError, MAX_BLOCKS, control, server};
use crate::api::socket::{ControlSocket, SocketError};

/// Blocks mined while others wait for the ledger.
const BATCH: u32 = 50;

/// An embedded full node on regtest. Dropping it without [`stop`](Self::stop) stops it as well.
#[derive(Debug)]
pub struct Devnet {
    shared: SharedLedger,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Devnet {
    /// Mines the first blocks, then listens on 127.0.0.1. Cancel safe: given up, it leaves nothing.
    ///
    /// # Errors
    /// [`DevnetError::Listen`], [`DevnetError::TooManyBlocks`].
    pub async fn start(config: DevnetConfig) -> Result<Self, DevnetError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.port));
        let listen = |source| DevnetError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let ledger = Ledger::new(config.seed, config.first_time, config.spacing)?;
        let shared = SharedLedger::new(ledger);
        mine(&shared, config.blocks).await?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, shared.clone(), stop.clone()));
        if let Some(interval) = config.interval {
            tasks.spawn(mine_on_timer(shared.clone(), interval, stop.clone()));
        }
        Ok(Self { shared, address, stop, tasks })
    }

    /// Where it listens for peers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Peers that are connected.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.shared.peers()
    }

    /// The tip of its best chain.
    #[must_use]
    pub fn tip(&self) -> ChainTip {
        self.shared.read(|ledger| ledger.tree().tip().as_tip())
    }

    /// Looks at blocks, coins and waiting transactions; peers are not served meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        self.shared.read(look)
    }

    /// The tip, and a notice at each change of chain or waiting transactions. What happens between
    /// two looks is seen as one; [`changes_since`](Self::changes_since) tells it apart.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<ChainTip> {
        self.shared.watch()
    }

    /// What happened to the best chain since a block was its tip.
    #[must_use]
    pub fn changes_since(&self, tip: &BlockHash) -> Changes {
        self.shared.read(|ledger| ledger.tree().since(tip))
    }

    /// Mines blocks on the tip and gives the new one. Given up, it stops within 50 blocks; those
    /// that were mined stay.
    ///
    /// # Errors
    /// [`DevnetError::TooManyBlocks`] above [`MAX_BLOCKS`].
    pub async fn mine(&self, blocks: u32) -> Result<ChainTip, DevnetError> {
        mine(&self.shared, blocks).await?;
        Ok(self.tip())
    }

    /// Pays a script from the mined coins. The transaction is announced to peers and waits for the
    /// next block. Done even if given up.
    ///
    /// # Errors
    /// [`DevnetError::Ledger`] where the wallet has too little, or the amount is dust.
    pub async fn pay(&self, script: ScriptBuf, amount: Amount) -> Result<Txid, DevnetError> {
        self.shared.change(move |ledger| ledger.pay(script, amount)).await
    }

    /// Replaces the last `depth` blocks by one more than that; their payments are mined again.
    /// Done even if given up.
    ///
    /// # Errors
    /// [`DevnetError::Ledger`] where the chain is not that long, [`DevnetError::TooManyBlocks`].
    pub async fn reorg(&self, depth: u32) -> Result<Branch, DevnetError> {
        self.branch(depth, depth.saturating_add(1)).await
    }

    /// Mines `length` blocks beside the last `depth` ones. The branch with more work is the best
    /// chain afterwards, among equals the old one. Done even if given up.
    ///
    /// # Errors
    /// As [`reorg`](Self::reorg).
    pub async fn branch(&self, depth: u32, length: u32) -> Result<Branch, DevnetError> {
        branch(&self.shared, depth, length).await
    }

    /// Takes a mined payment back by a branch that spends its coins otherwise. Done even if given
    /// up.
    ///
    /// # Errors
    /// [`DevnetError::Ledger`] where no block has it, or it is a coinbase.
    pub async fn double_spend(&self, txid: Txid) -> Result<DoubleSpend, DevnetError> {
        self.shared.change(move |ledger| ledger.double_spend(txid)).await
    }

    /// Takes a transaction as if a peer had sent it. Done even if given up.
    ///
    /// # Errors
    /// [`DevnetError::Ledger`] with the rule that it breaks.
    pub async fn submit(&self, transaction: Transaction) -> Result<Accepted, DevnetError> {
        self.shared.change(move |ledger| ledger.accept(transaction)).await
    }

    /// Replaces a waiting payment of the wallet's by one that pays the same with a higher fee. Done
    /// even if given up.
    ///
    /// # Errors
    /// [`DevnetError::Ledger`] where it does not wait, or is not the wallet's.
    pub async fn replace(&self, txid: Txid) -> Result<Txid, DevnetError> {
        self.shared.change(move |ledger| ledger.replace(txid)).await
    }

    /// Takes a mined transaction out of the best chain by a branch without it; the block after has it
    /// again. Done even if given up.
    ///
    /// # Errors
    /// [`DevnetError::Ledger`] where no block has it, or it is a coinbase.
    pub async fn unmine(&self, txid: Txid) -> Result<Branch, DevnetError> {
        self.shared.change(move |ledger| ledger.unmine(txid)).await
    }

    /// Answers on a control socket in a directory until it stops. The caller holds the lock on
    /// the directory, so that a socket left there is a dead process's.
    ///
    /// # Errors
    /// [`SocketError`]
    pub fn open_control_socket(&mut self, directory: &Path) -> Result<(), SocketError> {
        let socket = ControlSocket::open(directory)?;
        let router = control::router(self.shared.clone(), self.address);
        self.tasks.spawn(socket.serve(router, self.stop.clone()));
        Ok(())
    }

    /// Hangs up on all peers and stops.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                warn!(%error, "devnet");
            }
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Mines in pieces, so that peers are served meanwhile.
pub(super) async fn mine(shared: &SharedLedger, blocks: u32) -> Result<(), DevnetError> {
    check_count(blocks)?;
    let mut left = blocks;
    while left > 0 {
        let some = left.min(BATCH);
        shared.change(move |ledger| (0..some).try_for_each(|_| ledger.mine().map(drop))).await?;
        left = left.saturating_sub(some);
    }
    Ok(())
}

pub(super) async fn branch(
    shared: &SharedLedger,
    depth: u32,
    length: u32,
) -> Result<Branch, DevnetError> {
    check_count(length)?;
    shared.change(move |ledger| ledger.branch(depth, length)).await
}

const fn check_count(blocks: u32) -> Result<(), DevnetError> {
    if blocks > MAX_BLOCKS {
        return Err(DevnetError::TooManyBlocks { asked: blocks });
    }
    Ok(())
}

async fn mine_on_timer(shared: SharedLedger, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        if let Err(error) = mine(&shared, 1).await {
            warn!(%error, "the timer stops mining");
            return;
        }
    }
}
