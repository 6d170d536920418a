//! The task that changes the wallet.

mod follow;
mod open;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bitcoin::Txid;
use ironlight_spv::BlockHeight;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::commands::Command;
use super::handle::{Shared, WalletError};
use super::scan::{Found, Scan, Scanner, Step};
use super::status::ScanStatus;
use crate::bridge::NetworksHandle;
use crate::chain::{ChainStatus, Phase, commit_blocking};
use crate::clock::Clock;
use crate::events::NodeEvent;
use crate::net::data::PeerList;
use crate::net::relay::{Relay, RelayEvent};
use crate::store::StoreError;
use crate::tasks::{blocking, joined, sleep_until};
use crate::wallet::claim::ClaimVerdict;
use crate::wallet::{Planned, ScanKind, WalletEvent};

pub(crate) use open::WalletTaskConfig;

/// After this a block that could not be had is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

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
            let behind = self.seal().await?;
            self.decide_claim().await?;
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
                // Last of all: what is asked for goes first.
                () = std::future::ready(()), if behind => {}
            }
        }
    }

    /// Commits a planned change, takes it into memory and gives back what it means.
    pub(super) async fn make<O>(&mut self, planned: Planned<O>) -> Result<O, StoreError> {
        let Planned { batch, effects, outcome } = planned;
        self.take_back(&effects).await?;
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
            Command::Import { file, id, answer } => {
                let _ = answer.send(self.import(file, id).await?);
            }
            Command::ForgetClaim { answer } => {
                let _ = answer.send(self.forget_claim().await?);
            }
            Command::Forget { txid, answer } => {
                let _ = answer.send(Ok(self.forget(&txid)));
            }
        }
        Ok(())
    }

    /// Whoever waits for the scan after the answer must not see how it stood before.
    pub(super) fn to_be_scanned(&self) {
        self.shared.status.send_modify(|status| status.synced = false);
    }

    /// The answer to a request that changes the wallet.
    pub(super) async fn answer<O, E>(
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

    pub(super) fn tell(&self, event: &WalletEvent) {
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
            WalletEvent::ClaimDecided { block, verdict } => match verdict {
                ClaimVerdict::Open => {}
                ClaimVerdict::Proven => {
                    info!(height = block.height.0, "the imported state is what the blocks gave");
                }
                ClaimVerdict::Refuted { scripts } => {
                    let height = block.height.0;
                    warn!(height, scripts, "the imported state is not what the blocks gave");
                }
            },
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
        let (complete_to, states_lost) =
            self.shared.with_kept(|wallet, kept| (kept.reach(wallet), kept.is_lost()));
        let status =
            ScanStatus { tip: wallet_tip, blocks_left: left, synced, complete_to, states_lost };
        let old = self.shared.status.send_replace(status);
        if synced && status.is_further_than(old) {
            self.scanner.chain.publish(NodeEvent::Scanned { tip });
        }
    }
}

/// The outcome of the step under way; for ever where there is none.
async fn step(step: &mut Option<Step>) -> Result<Found, StoreError> {
    match step {
        Some(step) => joined(step).await,
        None => std::future::pending().await,
    }
}
