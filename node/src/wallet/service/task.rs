//! The task that changes the wallet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bitcoin::{OutPoint, ScriptBuf, Txid};
use ironlight_spv::proof::MerkleTree;
use ironlight_spv::{BlockHeight, Header};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::commands::Command;
use super::handle::{ScanStatus, Shared, WalletError, WalletHandle};
use super::scan::{Found, Scan, Scanner, Step};
use crate::blocks::{Blocks, VerifiedBlock};
use crate::bridge::NetworksHandle;
use crate::chain::{ChainHandle, ChainStatus, Phase, commit_blocking};
use crate::clock::Clock;
use crate::events::NodeEvent;
use crate::filters::Filters;
use crate::net::data::{DataPeers, PeerList};
use crate::net::relay::{Relay, RelayEvent};
use crate::store::{Store, StoreError};
use crate::tasks::{blocking, joined, sleep_until};
use crate::wallet::broadcast::{BroadcastConfig, Broadcasts, ConnectedBlock};
use crate::wallet::fees::FeeEstimator;
use crate::wallet::{
    BlockAt, BlockId, ForkPoint, LoadError, Origin, PlanError, Planned, ScanKind, ScanRange,
    Wallet, WalletEvent,
};

/// Commands that may wait.
const COMMANDS: usize = 16;
/// After this a block that could not be had is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// What the task starts with.
pub(crate) struct WalletTaskConfig {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) chain: ChainHandle,
    pub(crate) filters: Filters,
    pub(crate) blocks: Blocks,
    pub(crate) networks: NetworksHandle,
    pub(crate) peers: DataPeers,
    pub(crate) relay: Relay,
    pub(crate) relayed: mpsc::Receiver<RelayEvent>,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
}

/// See the [module](super).
pub(crate) struct WalletTask {
    pub(super) shared: Arc<Shared>,
    scanner: Scanner,
    scan: Option<Scan>,
    step: Option<Step>,
    /// When to try again what could not be done.
    again: Option<tokio::time::Instant>,
    /// The lowest height that filters were asked for from.
    wanted: Option<BlockHeight>,
    pub(super) networks: NetworksHandle,
    pub(super) relay: Relay,
    relayed: mpsc::Receiver<RelayEvent>,
    peers: watch::Receiver<PeerList>,
    pub(super) known: PeerList,
    /// Transactions that are announced on connections of their own only.
    pub(super) apart: BTreeSet<Txid>,
    commands: mpsc::Receiver<Command>,
    pub(super) clock: Clock,
}

impl WalletTask {
    /// Loads what is stored. It blocks.
    ///
    /// # Errors
    /// [`LoadError`] where the store fails. Damaged rows are mended: what is watched stays, as far as
    /// it can be read, and blocks are looked at again; the notes say so.
    pub(crate) fn open(
        start: WalletTaskConfig,
    ) -> Result<(Self, WalletHandle, Vec<String>), LoadError> {
        let WalletTaskConfig { store, chain, filters, blocks, networks, .. } = start;
        let network = chain.read(|chain| chain.params().network);
        let (wallet, mut notes) = load(store.as_ref(), network)?;
        let broadcasts = load_broadcasts(store.as_ref(), start.seed, &mut notes)?;
        let apart = crate::store::apart::load(store.as_ref())?;
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let shared = Arc::new(Shared {
            wallet: RwLock::new(wallet),
            broadcasts: Mutex::new(broadcasts),
            fees: Mutex::new(FeeEstimator::new(network)),
            store,
            chain: chain.clone(),
            blocks: blocks.clone(),
            commands,
            status: watch::Sender::default(),
        });
        let mut task = Self {
            scanner: Scanner::new(filters, blocks, chain),
            scan: None,
            step: None,
            again: None,
            wanted: None,
            networks,
            relay: start.relay,
            relayed: start.relayed,
            peers: start.peers.subscribe(),
            known: PeerList::default(),
            apart,
            commands: commands_in,
            clock: start.clock,
            shared: Arc::clone(&shared),
        };
        task.remember_broadcasts();
        Ok((task, WalletHandle(shared), notes))
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// [`StoreError`]: then the node cannot go on.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut tip = self.scanner.chain.subscribe_status();
        let mut filters = self.scanner.filters.status();
        loop {
            self.take_void().await?;
            self.follow_reorg().await?;
            self.bring().await?;
            self.begin_step().await?;
            self.publish(&tip);
            let due = self.shared.broadcasts().poll_timeout();
            let due = due.map(|elapsed| self.clock.instant(elapsed));
            let wake = due.into_iter().chain(self.again).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(command) = self.commands.recv() => self.on_command(command).await?,
                found = step(&mut self.step) => self.on_found(found?).await?,
                Some(event) = self.relayed.recv() => self.on_relayed(event),
                Ok(()) = self.peers.changed() => self.meet(),
                Ok(()) = tip.changed() => {}
                Ok(()) = filters.changed(), if self.step.is_none() => {}
                () = sleep_until(wake) => {
                    self.again = None;
                    let now = self.clock.now();
                    self.shared.broadcasts().handle_timeout(now);
                }
            }
        }
    }

    /// Commits a planned change, takes it into memory and gives back what it means.
    async fn make<O>(&mut self, planned: Planned<O>) -> Result<O, StoreError> {
        let Planned { batch, effects, outcome } = planned;
        if !batch.is_empty() {
            commit_blocking(&self.shared.store, batch).await?;
        }
        let applied = {
            let mut wallet = self.shared.wallet.write().unwrap_or_else(PoisonError::into_inner);
            wallet.apply(effects)
        };
        if let Err(stale) = applied {
            // Only this task changes the wallet, so nothing can have come in between.
            tracing::error!(%stale, "memory and disk differ");
        }
        Ok(outcome)
    }

    /// Forgets where it is within a range: the range is handed out anew.
    fn start_over(&mut self) {
        self.scan = None;
        self.step = None;
    }

    async fn on_command(&mut self, command: Command) -> Result<(), StoreError> {
        // Whoever asked may not have waited.
        match command {
            Command::Watch { request, answer } => {
                self.begin_at_tip().await?;
                let shared = Arc::clone(&self.shared);
                // Descriptors take a while.
                let planning = move || shared.read(|wallet| wallet.plan_watch(request));
                let planned = blocking(planning).await;
                let watched = self.answer(planned).await?;
                if matches!(&watched, Ok(watched) if watched.scan_from.is_some()) {
                    self.to_be_scanned();
                }
                let _ = answer.send(watched);
            }
            Command::Unwatch { id, answer } => {
                let planned = self.shared.read(|wallet| wallet.plan_unwatch(id));
                let _ = answer.send(self.answer(planned).await?);
            }
            Command::Rescan { which, from, answer } => {
                let planned = self.shared.read(|wallet| wallet.plan_rescan(which, from));
                let rescanned = self.answer(planned).await?;
                if rescanned.is_ok() {
                    self.to_be_scanned();
                }
                let _ = answer.send(rescanned);
            }
            Command::Broadcast { bytes, apart, answer } => {
                let _ = answer.send(self.submit(&bytes, apart).await?);
            }
            Command::Forget { txid, answer } => {
                let _ = answer.send(Ok(self.forget(&txid)));
            }
        }
        Ok(())
    }

    /// Whoever waits for the scan after the answer must not see how it stood before.
    fn to_be_scanned(&self) {
        self.shared.status.send_modify(|status| status.synced = false);
    }

    /// The answer to a request that changes the wallet.
    async fn answer<O, E>(
        &mut self,
        planned: Result<Planned<O>, E>,
    ) -> Result<Result<O, WalletError>, StoreError>
    where
        WalletError: From<E>,
    {
        Ok(match planned {
            Ok(planned) => {
                self.start_over();
                let done = self.make(planned).await?;
                // Before the answer: whoever has it may wait to be synced.
                self.publish(&self.scanner.chain.subscribe_status());
                Ok(done)
            }
            Err(error) => Err(error.into()),
        })
    }

    /// With nothing watched, the wallet stands at the chain's tip: older blocks are for whoever is
    /// watched from an earlier birthday on.
    async fn begin_at_tip(&mut self) -> Result<(), StoreError> {
        let idle = self.shared.read(|wallet| wallet.watches().next().is_none());
        let tip = self.scanner.chain.tip();
        let tip = BlockId { height: tip.height, hash: tip.hash };
        // One that was salvaged has items and no tip.
        let begun = self.shared.read(Wallet::tip);
        if begun.is_some() && (!idle || begun == Some(tip) || self.is_bringing()) {
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
    async fn take_void(&mut self) -> Result<(), StoreError> {
        let Some(void) = self.scanner.filters.take_void() else { return Ok(()) };
        // What is under way may have matched filters that are gone.
        self.start_over();
        let tip = self.shared.read(Wallet::tip);
        let Some(from) = tip.filter(|tip| tip.height >= void.start).and(Some(void.start)) else {
            return Ok(());
        };
        info!(from = from.0, "filters were wrong: looking at blocks again");
        let planned = self.shared.read(|wallet| wallet.plan_recheck(from));
        self.make(planned).await
    }

    /// Takes off blocks that have left the best chain.
    async fn follow_reorg(&mut self) -> Result<(), StoreError> {
        let chain = self.scanner.chain.clone();
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
            | WalletEvent::Exhausted { .. } => None,
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
    async fn begin_step(&mut self) -> Result<(), StoreError> {
        while self.step.is_none() && self.again.is_none() {
            if let Some(scan) = &self.scan {
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
            let best = self.scanner.chain.tip().height;
            let Some(range) = self.shared.read(|wallet| wallet.next_range(best)) else {
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
                filters.want_from(range.from).await;
            }
            return Ok(());
        }
        let more = if range.kind == ScanKind::Tip { self.awaited_scripts() } else { Vec::new() };
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

    async fn on_found(&mut self, found: Found) -> Result<(), StoreError> {
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
        let prove = |position| prove(fetched.header(), fetched.txids(), position);
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

    fn awaited_scripts(&self) -> Vec<ScriptBuf> {
        let broadcasts = self.shared.broadcasts();
        let outputs = broadcasts.waiting().flat_map(|(transaction, _)| &transaction.output);
        let scripts = outputs.map(|output| &output.script_pubkey);
        scripts.filter(|script| !script.is_empty() && !script.is_op_return()).cloned().collect()
    }

    fn tell(&self, event: &WalletEvent) {
        match event {
            WalletEvent::Confirmed { txid, place } => {
                info!(%txid, height = place.height.0, "a transaction of the wallet is confirmed");
            }
            WalletEvent::Unconfirmed { txid, place } => {
                info!(%txid, height = place.height.0, "a transaction of the wallet lost its block");
            }
            WalletEvent::Conflicted { txid, by, .. } => {
                warn!(%txid, %by, "a transaction that waits cannot confirm any more");
            }
            WalletEvent::Extended { watch, from, to, .. } => {
                info!(watch = watch.0, from, to, "more scripts are watched");
            }
            WalletEvent::Exhausted { watch, derived, wanted, limit, .. } => {
                warn!(
                    watch = watch.0,
                    derived,
                    wanted,
                    ?limit,
                    "the gap limit cannot be kept: payments to later addresses will not be seen"
                );
            }
        }
        self.scanner.chain.publish(NodeEvent::Wallet(event.clone()));
    }

    /// Tells the broadcasts who has come and who has gone.
    fn meet(&mut self) {
        let list = Arc::clone(&self.peers.borrow_and_update());
        let known = std::mem::replace(&mut self.known, Arc::clone(&list));
        self.peers_changed(&known, &list);
    }

    fn publish(&self, chain: &watch::Receiver<ChainStatus>) {
        let (tip, phase) = {
            let status = chain.borrow();
            (status.tip, status.phase)
        };
        let (wallet_tip, left) = self.shared.read(|wallet| {
            let urgent = wallet.jobs().filter(|(_, job)| job.kind != ScanKind::LookBack);
            let lowest = urgent.map(|(_, job)| job.next.0);
            let next = wallet.tip().map(|tip| tip.height.0 + 1);
            let next = lowest.chain(next).min();
            (wallet.tip(), next.map_or(0, |next| (tip.height.0 + 1).saturating_sub(next)))
        });
        let there = wallet_tip.is_some_and(|at| at.hash == tip.hash);
        let synced = phase == Phase::Synced && there && left == 0;
        let status = ScanStatus { tip: wallet_tip, blocks_left: left, synced };
        let old = self.shared.status.send_replace(status);
        if synced && old != status {
            self.scanner.chain.publish(NodeEvent::Scanned { tip });
        }
    }
}

/// The wallet as it is stored; where rows are damaged, what can be saved of it.
fn load(
    store: &dyn Store,
    network: ironlight_spv::Network,
) -> Result<(Wallet, Vec<String>), LoadError> {
    match Wallet::load(store, network) {
        Ok(wallet) => Ok((wallet, Vec::new())),
        Err(LoadError::Row { table, row, fault }) => {
            let salvage = Wallet::salvage(store, network)?;
            store.commit(salvage.batch)?;
            let mut notes = vec![format!(
                "the {table} row {row} was damaged ({fault}): {} watched items were kept, blocks are \
                 looked at again",
                salvage.kept
            )];
            notes.extend(salvage.lost.iter().map(|row| {
                format!("what the wallet row {row} watched cannot be read: add it again")
            }));
            notes.iter().for_each(|note| warn!("{note}"));
            Ok((Wallet::load(store, network)?, notes))
        }
        Err(error) => Err(error),
    }
}

/// The broadcasts as they are stored, without those that cannot be read.
fn load_broadcasts(
    store: &dyn Store,
    seed: u64,
    notes: &mut Vec<String>,
) -> Result<Broadcasts, LoadError> {
    let load = || Broadcasts::load(store, BroadcastConfig::default(), seed);
    let error = match load() {
        Err(error @ LoadError::Row { .. }) => error,
        loaded => return loaded,
    };
    let (batch, lost) = Broadcasts::salvage(store)?;
    store.commit(batch)?;
    warn!(%error, dropped = lost.len(), "transactions that were sent cannot be read");
    notes.push(format!("{error}: {} such rows were dropped", lost.len()));
    load()
}

/// The proof that a transaction is at a position of a block.
fn prove(header: &Header, txids: &[Txid], position: u32) -> Vec<u8> {
    let wanted = usize::try_from(position).ok().and_then(|position| txids.get(position));
    let tree = MerkleTree::new(txids).ok();
    let proof = tree
        .zip(wanted)
        .and_then(|(tree, wanted)| tree.merkle_block(header, |txid| txid == wanted).ok());
    proof.map(|proof| proof.encode()).unwrap_or_default()
}

/// The outcome of the step under way; for ever where there is none.
async fn step(step: &mut Option<Step>) -> Result<Found, StoreError> {
    match step {
        Some(step) => joined(step).await,
        None => std::future::pending().await,
    }
}
