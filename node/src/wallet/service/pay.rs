//! Bringing transactions to the network, and what peers say of them.

use std::sync::Arc;

use bitcoin::consensus::deserialize;
use bitcoin::{Transaction, Txid};
use ironlight_spv::peers::PeerId;
use tracing::{debug, info};

use super::handle::WalletError;
use super::task::WalletTask;
use crate::chain::commit_blocking;
use crate::events::NodeEvent;
use crate::net::PeerNetwork;
use crate::net::data::PeerList;
use crate::net::relay::RelayEvent;
use crate::store::StoreError;
use crate::wallet::broadcast::{BroadcastAction, BroadcastState, Submitted, TxName};
use crate::wallet::{Origin, PendingOutcome};

impl WalletTask {
    /// After a start: those that wait count as before, and peers get them when they ask.
    pub(super) fn remember_broadcasts(&mut self) {
        let waiting: Vec<Arc<Transaction>> = {
            let broadcasts = self.shared.broadcasts();
            broadcasts.waiting().map(|(transaction, _)| Arc::clone(transaction)).collect()
        };
        for transaction in waiting {
            self.relay.offer(Arc::clone(&transaction));
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
            let shared = Arc::new(transaction.clone());
            self.relay.offer(Arc::clone(&shared));
            self.add_pending(transaction, Origin::Own);
            if apart {
                self.networks.announce_apart(shared).await;
            }
        }
        self.bring().await?;
        Ok(Ok(submitted))
    }

    pub(super) fn forget(&mut self, txid: &Txid) -> bool {
        self.relay.withdraw(txid);
        self.shared.write(|wallet| wallet.drop_pending(txid));
        self.shared.broadcasts().forget(txid)
    }

    /// Does all that the broadcasts want done.
    pub(super) async fn bring(&mut self) -> Result<(), StoreError> {
        loop {
            let action = self.shared.broadcasts().poll();
            match action {
                None => return Ok(()),
                Some(BroadcastAction::Commit(batch)) => {
                    commit_blocking(&self.shared.store, batch).await?;
                }
                Some(BroadcastAction::Announce { peer, txid, .. }) => {
                    self.networks.announce_transaction(peer, txid).await;
                }
                // The connection that was asked has sent it: see `Relay`.
                Some(BroadcastAction::Send { .. }) => {}
                Some(BroadcastAction::Event(event)) => {
                    info!(txid = %event.txid, before = ?event.before, after = ?event.after, "broadcast");
                    match event.after {
                        BroadcastState::Confirmed { .. }
                        | BroadcastState::Conflicted { .. }
                        | BroadcastState::GivenUp => {
                            self.relay.withdraw(&event.txid);
                            if !matches!(event.after, BroadcastState::Confirmed { .. }) {
                                self.shared.write(|wallet| wallet.drop_pending(&event.txid));
                            }
                        }
                        BroadcastState::Waiting
                        | BroadcastState::Announced
                        | BroadcastState::Requested
                        | BroadcastState::RelayedBack
                        | BroadcastState::InferredRejected => self.offer_again(&event.txid),
                    }
                    self.shared.chain.publish(NodeEvent::Broadcast(event));
                }
            }
        }
    }

    /// One that lost its block is offered as before.
    fn offer_again(&self, txid: &Txid) {
        if self.relay.by_txid(txid).is_some() {
            return;
        }
        let broadcasts = self.shared.broadcasts();
        let found = broadcasts.waiting().find(|(waiting, _)| waiting.compute_txid() == *txid);
        if let Some((transaction, _)) = found {
            self.relay.offer(Arc::clone(transaction));
        }
    }

    pub(super) fn on_relayed(&mut self, event: RelayEvent) {
        let now = self.clock.now();
        match event {
            RelayEvent::Requested { peer, txid } => {
                let unknown =
                    self.shared.broadcasts().handle_get_data(peer, &[TxName::Txid(txid)], now);
                if !unknown.is_empty() {
                    debug!(%peer, %txid, "asked for a transaction that it was not told of");
                }
            }
            RelayEvent::Announced { peer, txid } => {
                self.shared.broadcasts().handle_inv(peer, &[TxName::Txid(txid)], now);
            }
            RelayEvent::Received { transaction, .. } => {
                self.add_pending(transaction.as_ref().clone(), Origin::Peer);
            }
            RelayEvent::FeeFilter { peer, least } => {
                self.shared.fees().handle_fee_filter(peer, least.to_sat_per_kwu() * 4);
            }
        }
    }

    /// Counts a transaction as waiting, where it is ours.
    pub(super) fn add_pending(&mut self, transaction: Transaction, origin: Origin) {
        let (txid, now) = (transaction.compute_txid(), self.clock.now());
        let outcome =
            self.shared.write(|wallet| wallet.add_pending(transaction, origin, now.unix));
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
