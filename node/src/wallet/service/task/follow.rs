//! How the wallet follows the best chain: filters, then the blocks that match.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{OutPoint, ScriptBuf, Txid};
use ironlight_spv::proof::MerkleTree;
use ironlight_spv::{BlockHeight, Header};
use tracing::{debug, info, warn};

use super::{AGAIN, WalletTask};
use crate::blocks::VerifiedBlock;
use crate::chain::{Phase, commit_blocking};
use crate::store::filters::forget_void;
use crate::store::{StoreError, WriteBatch};
use crate::tasks::blocking;
use crate::wallet::broadcast::{Broadcasts, ConnectedBlock};
use crate::wallet::service::scan::{Found, Scan};
use crate::wallet::{
    BlockAt, BlockId, ForkPoint, LoadError, Origin, PlanError, Planned, ScanKind, ScanRange,
    Wallet, WalletEvent,
};

impl WalletTask {
    /// Whether no block matters to the wallet.
    fn is_idle(&self) -> bool {
        self.shared.read(|wallet| wallet.watches().next().is_none()) && !self.is_bringing()
    }

    /// With nothing watched, the wallet stands at the chain's tip: older blocks are for whoever is
    /// watched from an earlier birthday on.
    pub(in crate::wallet::service) async fn begin_at_tip(&mut self) -> Result<(), StoreError> {
        let tip = self.scanner.chain.tip();
        let tip = BlockId { height: tip.height, hash: tip.hash };
        // One that was salvaged has items and no tip.
        let begun = self.shared.read(Wallet::tip);
        if begun.is_some() && (!self.is_idle() || begun == Some(tip)) {
            return Ok(());
        }
        match self.shared.read(|wallet| wallet.plan_begin(tip)) {
            Ok(planned) => self.make(planned).await,
            Err(error) => {
                debug!(%error, "the wallet stays where it is");
                Ok(())
            }
        }
    }

    /// Filters that turned out wrong: what rested on them is looked at again.
    pub(super) async fn take_void(&mut self) -> Result<(), StoreError> {
        let Some(void) = self.scanner.filters.take_void() else { return Ok(()) };
        // What is under way may have matched filters that are gone.
        self.start_over();
        let tip = self.shared.read(Wallet::tip);
        let Some(from) = tip.filter(|tip| tip.height >= void.start).and(Some(void.start)) else {
            let mut batch = WriteBatch::new();
            forget_void(&mut batch);
            return commit_blocking(&self.shared.store, batch).await;
        };
        info!(from = from.0, "filters were wrong: looking at blocks again");
        let mut planned = self.shared.read(|wallet| wallet.plan_recheck(from));
        forget_void(&mut planned.batch);
        self.make(planned).await
    }

    /// Takes off blocks that have left the best chain.
    pub(super) async fn follow_reorg(&mut self) -> Result<(), StoreError> {
        let chain = self.scanner.chain.clone();
        let status = chain.status();
        let is_above = |tip: BlockId| tip.height > status.tip.height;
        if status.phase != Phase::Synced && self.shared.read(Wallet::tip).is_some_and(is_above) {
            // Headers are fetched, anew after damage: which branch the wallet is on is not known yet.
            return Ok(());
        }
        let fork = chain.read(|chain| {
            self.shared.read(|wallet| wallet.fork_point(|height| chain.hash_at(height)))
        });
        let fork = match fork {
            ForkPoint::OnBestChain => return Ok(()),
            ForkPoint::Below(fork) => fork,
            ForkPoint::Unknown => {
                let Some(start) = self.scanner.block_at(chain.read(|chain| chain.start_height()))
                else {
                    return Ok(());
                };
                start
            }
        };
        self.start_over();
        let planned = self.shared.read(|wallet| wallet.plan_disconnect(fork));
        let planned = match planned {
            Ok(planned) => planned,
            Err(error) => {
                warn!(%error, "blocks were not taken off");
                return Ok(());
            }
        };
        let unconfirmed = self.unconfirmed(&planned.outcome).await?;
        let events = self.make(planned).await?;
        info!(height = fork.height.0, "the wallet follows a reorg");
        let now = self.clock.now();
        self.shared.broadcasts().handle_blocks_disconnected(fork.height, now);
        self.shared.fees().handle_disconnected(fork.height);
        events.into_iter().for_each(|event| self.tell(&event));
        for transaction in unconfirmed {
            self.add_pending(transaction, Origin::Peer);
        }
        Ok(())
    }

    /// Transactions that are taken out of blocks, before their rows are gone; those that blocks made
    /// are gone with them.
    async fn unconfirmed(
        &self,
        events: &[WalletEvent],
    ) -> Result<Vec<bitcoin::Transaction>, StoreError> {
        let of = |event: &WalletEvent| match event {
            WalletEvent::Unconfirmed { txid, .. } => Some(*txid),
            WalletEvent::Confirmed { .. }
            | WalletEvent::Conflicted { .. }
            | WalletEvent::Extended { .. }
            | WalletEvent::Exhausted { .. }
            | WalletEvent::ClaimDecided { .. } => None,
        };
        let txids: Vec<Txid> = events.iter().filter_map(of).collect();
        let shared = Arc::clone(&self.shared);
        let read = blocking(move || {
            let load = |txid| shared.read(|wallet| wallet.transaction(shared.store.as_ref(), txid));
            txids.iter().map(load).collect::<Result<Vec<_>, LoadError>>()
        });
        match read.await {
            Ok(found) => {
                let found = found.into_iter().flatten().map(|stored| stored.transaction);
                Ok(found.filter(|transaction| !transaction.is_coinbase()).collect())
            }
            Err(LoadError::Store(error)) => Err(error),
            Err(error) => {
                warn!(%error, "a transaction that lost its block cannot be shown as waiting");
                Ok(Vec::new())
            }
        }
    }

    /// Starts the next step, where none is under way.
    pub(super) async fn begin_step(&mut self) -> Result<(), StoreError> {
        while self.step.is_none() && self.again.is_none() {
            if let Some(scan) = &mut self.scan {
                if let Some((range, up_to)) = scan.finished() {
                    let planned = self.shared.read(|wallet| wallet.plan_scanned(range, up_to));
                    self.scan = None;
                    self.scanned(planned, up_to).await?;
                    continue;
                }
                self.step = self.scanner.fetch(scan);
                return Ok(());
            }
            self.begin_at_tip().await?;
            // The chain may be higher already: then the task is woken, and begins there.
            let range = if self.is_idle() { None } else { self.next_range() };
            let Some(range) = range else {
                self.scanner.filters.read_to(None);
                return Ok(());
            };
            if self.skip_to_birthday(&range).await? {
                continue;
            }
            return self.match_filters(range).await;
        }
        Ok(())
    }

    /// What is looked at next. Filters come in order: while those of the tip are not there, those of a
    /// birthday are on the way to it.
    fn next_range(&self) -> Option<ScanRange> {
        let best = self.scanner.chain.tip().height;
        self.shared.read(|wallet| {
            let tip = wallet.tip()?.height;
            let next = tip.next();
            let waits = best > tip && self.scanner.filters.readable_to(next) == next;
            let job = if waits { wallet.next_range(tip) } else { None };
            let job = job.filter(|job| job.kind == ScanKind::CatchUp);
            job.or_else(|| wallet.next_range(best))
        })
    }

    /// Blocks that are older than everything watched are not looked at. Whether there were any.
    async fn skip_to_birthday(&mut self, range: &ScanRange) -> Result<bool, StoreError> {
        if range.kind != ScanKind::Tip || self.is_bringing() {
            return Ok(false);
        }
        let birthday = self.shared.read(|wallet| wallet.watches().map(|item| item.birthday).min());
        let last = birthday.and_then(|birthday| birthday.minus(1));
        let Some(last) = last.map(|last| last.min(range.to)).filter(|last| *last >= range.from)
        else {
            return Ok(false);
        };
        let Some(up_to) = self.scanner.block_at(last) else { return Ok(false) };
        let planned = self.shared.read(|wallet| wallet.plan_scanned(range, up_to));
        self.scanned(planned, up_to).await?;
        Ok(true)
    }

    async fn match_filters(&mut self, range: ScanRange) -> Result<(), StoreError> {
        let filters = self.scanner.filters.clone();
        filters.read_to(Some(range.from));
        if filters.readable_to(range.from) == range.from {
            let status = filters.status().borrow().clone();
            if status.tip != Some(self.scanner.chain.tip().hash) {
                // It follows the chain just now, and says so when it has.
                return Ok(());
            }
            // Not there: asked for, unless it is on its way.
            let wanted = self.wanted.into_iter().chain(status.wanted_from).min();
            let coming = wanted.is_some_and(|wanted| wanted <= range.from)
                && status.next.is_none_or(|next| next <= range.from);
            if !coming && range.kind != ScanKind::LookBack {
                self.wanted = Some(range.from);
                let birthdays = |wallet: &Wallet| wallet.watches().map(|it| it.birthday).min();
                let lowest = self.shared.read(birthdays).unwrap_or(range.from);
                filters.want(lowest, range.from).await;
            }
            return Ok(());
        }
        let awaited =
            |broadcasts: &Broadcasts| broadcasts.scripts().map(ToOwned::to_owned).collect();
        let more: Vec<ScriptBuf> = if range.kind == ScanKind::Tip {
            awaited(&self.shared.broadcasts())
        } else {
            Vec::new()
        };
        self.step = Some(self.scanner.find(range, &more));
        Ok(())
    }

    async fn scanned(
        &mut self,
        planned: Result<Planned<()>, PlanError>,
        up_to: BlockId,
    ) -> Result<(), StoreError> {
        match planned {
            Ok(planned) => {
                self.make(planned).await?;
                self.connected(up_to.height, &[]);
            }
            // The wallet or the chain has changed: the range is handed out anew.
            Err(error) => debug!(%error, "a range is looked at again"),
        }
        Ok(())
    }

    pub(super) async fn on_found(&mut self, found: Found) -> Result<(), StoreError> {
        self.step = None;
        match found {
            Found::NotYet => {
                // The filters' task has not followed the chain yet, and says so when it has.
                self.again = Some(tokio::time::Instant::now() + Duration::from_millis(50));
            }
            Found::Lost { height } => {
                self.scanner.filters.lost(height).await;
                self.again = Some(tokio::time::Instant::now() + AGAIN);
            }
            Found::Matched { range, last, blocks } => {
                self.scanner.adapt(blocks.len());
                self.scan = Some(Scan::new(range, last, blocks));
            }
            Found::Block { range, at, block } => self.look_into(range, at, &block).await?,
            Found::NoBlock { at, error } => {
                warn!(height = at.height.0, hash = %at.hash, %error, "a block cannot be had yet");
                self.again = Some(tokio::time::Instant::now() + AGAIN);
            }
        }
        Ok(())
    }

    /// What a block does to the wallet.
    async fn look_into(
        &mut self,
        range: ScanRange,
        at: BlockId,
        fetched: &VerifiedBlock,
    ) -> Result<(), StoreError> {
        if self.scanner.block_at(at.height) != Some(at) {
            self.start_over();
            return Ok(());
        }
        let events = match self.plan(&range, at, fetched) {
            Ok(planned) => self.make(planned).await?,
            Err(error) => {
                debug!(%error, "a range is looked at again");
                self.start_over();
                return Ok(());
            }
        };
        if range.kind == ScanKind::Tip {
            let spends = fetched.transactions().iter().zip(fetched.txids().iter());
            let spends = spends.map(|(transaction, txid)| {
                (*txid, transaction.input.iter().map(|input| input.previous_output).collect())
            });
            let spends: Vec<(Txid, Vec<OutPoint>)> = spends.collect();
            self.connected(at.height, &spends);
            self.shared.fees().handle_block(at.height, fetched.block());
        }
        if let Some(scan) = &mut self.scan {
            scan.done(at);
        }
        if events.iter().any(|event| matches!(event, WalletEvent::Extended { .. })) {
            self.start_over();
        }
        events.iter().for_each(|event| self.tell(event));
        Ok(())
    }

    fn plan(
        &self,
        range: &ScanRange,
        at: BlockId,
        fetched: &VerifiedBlock,
    ) -> Result<Planned<Vec<WalletEvent>>, PlanError> {
        let tree = OnceCell::new();
        let prove = |position| {
            prove(fetched.header(), fetched.txids(), &tree, position).unwrap_or_default()
        };
        let BlockId { height, hash } = at;
        let block = BlockAt { height, hash, block: fetched.block(), prove: &prove };
        self.shared.read(|wallet| wallet.plan_block(range, &block))
    }

    /// Brings the broadcasts up to a height of the wallet's tip.
    fn connected(&self, height: BlockHeight, transactions: &[(Txid, Vec<OutPoint>)]) {
        if self.shared.read(Wallet::tip).is_some_and(|tip| tip.height == height) {
            let now = self.clock.now();
            let block = ConnectedBlock { height, transactions };
            self.shared.broadcasts().handle_block(&block, now);
        }
    }
}

/// The proof that a transaction is at a position of a block, whose tree is made once, if at all.
fn prove(
    header: &Header,
    txids: &[Txid],
    tree: &OnceCell<Option<MerkleTree>>,
    position: u32,
) -> Option<Vec<u8>> {
    let wanted = txids.get(usize::try_from(position).ok()?)?;
    let tree = tree.get_or_init(|| MerkleTree::new(txids).ok()).as_ref()?;
    Some(tree.merkle_block(header, |txid| txid == wanted).ok()?.encode())
}
