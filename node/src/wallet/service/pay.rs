//! Bringing transactions to the network, and what peers say of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bitcoin::consensus::deserialize;
use bitcoin::{Transaction, Txid};
use ironlight_spv::peers::PeerId;
use tracing::{info, warn};

use super::handle::WalletError;
use super::task::WalletTask;
use crate::chain::commit_blocking;
use crate::events::NodeEvent;
use crate::net::PeerNetwork;
use crate::net::data::PeerList;
use crate::net::relay::RelayEvent;
use crate::store::{StoreError, apart};
use crate::wallet::broadcast::{BroadcastAction, BroadcastEvent, BroadcastState, Submitted};
use crate::wallet::{Origin, PendingOutcome};

impl WalletTask {
    /// After a start: those that wait count as before.
    pub(super) fn remember_broadcasts(&mut self) {
        for transaction in self.waiting() {
            self.add_pending(transaction.as_ref().clone(), Origin::Own);
        }
    }

    /// Whether any transaction waits to be confirmed.
    pub(super) fn is_bringing(&self) -> bool {
        self.shared.broadcasts().waiting().next().is_some()
    }

    pub(super) async fn submit(
        &mut self,
        bytes: &[u8],
        apart: bool,
    ) -> Result<Result<Submitted, WalletError>, StoreError> {
        let tip = self.shared.chain.tip().height;
        let now = self.clock.now();
        let submitted = self.shared.broadcasts().submit(bytes, tip, now);
        let submitted = match submitted {
            Ok(submitted) => submitted,
            Err(error) => return Ok(Err(error.into())),
        };
        let Ok(transaction) = deserialize::<Transaction>(bytes) else {
            return Ok(Ok(submitted));
        };
        if matches!(submitted, Submitted::New { .. } | Submitted::Again { .. }) {
            self.add_pending(transaction, Origin::Own);
            if apart && self.apart.insert(submitted.txid()) {
                self.record_apart().await?;
            }
        }
        self.bring().await?;
        Ok(Ok(submitted))
    }

    pub(super) fn forget(&mut self, txid: &Txid) -> bool {
        self.shared.write(|wallet| wallet.drop_pending(txid));
        self.shared.broadcasts().forget(txid)
    }

    /// Does all that the broadcasts want done.
    pub(super) async fn bring(&mut self) -> Result<(), StoreError> {
        // However many peers it is meant for, one connection of its own is enough.
        let mut apart = BTreeSet::new();
        loop {
            let action = self.shared.broadcasts().poll();
            match action {
                None => break,
                Some(BroadcastAction::Commit(batch)) => {
                    commit_blocking(&self.shared.store, batch).await?;
                }
                Some(BroadcastAction::Announce { txid, .. }) if self.apart.contains(&txid) => {
                    apart.insert(txid);
                }
                Some(BroadcastAction::Announce { peer, txid, .. }) => {
                    self.networks.announce_transaction(peer, txid).await;
                }
                Some(BroadcastAction::Offer(transaction)) => {
                    // One that a reorg brings back waits again.
                    self.add_pending(transaction.as_ref().clone(), Origin::Own);
                    if !self.relay.offer(transaction) {
                        warn!("too many transactions are offered already");
                    }
                }
                Some(BroadcastAction::Withdraw(txid)) => self.relay.withdraw(&txid),
                Some(BroadcastAction::Event(event)) => {
                    let BroadcastEvent { txid, before, after } = event;
                    info!(%txid, ?before, ?after, "broadcast");
                    if matches!(after, BroadcastState::Conflicted { .. } | BroadcastState::GivenUp)
                    {
                        self.shared.write(|wallet| wallet.drop_pending(&txid));
                    }
                    self.shared.chain.publish(NodeEvent::Broadcast(event));
                }
            }
        }
        if apart.is_empty() {
            return Ok(());
        }
        let waiting = self.waiting().into_iter();
        waiting
            .filter(|transaction| apart.contains(&transaction.compute_txid()))
            .for_each(|transaction| self.networks.announce_apart(transaction));
        Ok(())
    }

    fn waiting(&self) -> Vec<Arc<Transaction>> {
        let broadcasts = self.shared.broadcasts();
        broadcasts.waiting().map(|(transaction, _)| Arc::clone(transaction)).collect()
    }

    /// Records which transactions go on connections of their own: those that are still kept.
    async fn record_apart(&mut self) -> Result<(), StoreError> {
        let kept: BTreeSet<Txid> =
            self.shared.broadcasts().statuses().iter().map(|status| status.txid).collect();
        self.apart.retain(|txid| kept.contains(txid));
        commit_blocking(&self.shared.store, apart::batch(&self.apart)).await
    }

    pub(super) fn on_relayed(&mut self, event: RelayEvent) {
        let now = self.clock.now();
        match event {
            RelayEvent::Requested { peer, txid } => {
                self.shared.broadcasts().handle_requested(peer, &txid, now);
            }
            RelayEvent::Announced { peer, txid } => {
                self.shared.broadcasts().handle_announced(peer, &txid, now);
            }
            RelayEvent::Received { transaction, .. } => {
                self.add_pending(transaction.as_ref().clone(), Origin::Peer);
            }
            RelayEvent::FeeFilter { peer, least } => {
                self.shared.fees().handle_fee_filter(peer, least);
            }
        }
    }

    /// Counts a transaction as waiting, where it is ours.
    pub(super) fn add_pending(&mut self, transaction: Transaction, origin: Origin) {
        let (txid, now) = (transaction.compute_txid(), self.clock.now());
        let outcome = self.shared.write(|wallet| wallet.add_pending(transaction, origin, now.unix));
        match outcome {
            PendingOutcome::Added { .. } => {
                self.shared.chain.publish(NodeEvent::Pending { txid, own: origin == Origin::Own });
            }
            PendingOutcome::Known
            | PendingOutcome::Confirmed { .. }
            | PendingOutcome::NotOurs
            | PendingOutcome::Conflicts { .. }
            | PendingOutcome::OwnGoesFirst { .. } => {}
        }
    }

    /// Full nodes relay transactions; light nodes do not.
    pub(super) fn peers_changed(&mut self, before: &PeerList, now: &PeerList) {
        let relays = |list: &PeerList| -> Vec<PeerId> {
            let full = list.iter().filter(|(_, entry)| entry.network == PeerNetwork::Bitcoin);
            full.map(|(peer, _)| *peer).collect()
        };
        let (before, now, time) = (relays(before), relays(now), self.clock.now());
        for peer in before.iter().filter(|peer| !now.contains(peer)) {
            self.shared.broadcasts().handle_disconnected(*peer, time);
            self.shared.fees().handle_peer_left(*peer);
        }
        for peer in now.iter().filter(|peer| !before.contains(peer)) {
            self.shared.broadcasts().handle_connected(*peer, true, time);
        }
    }
}
