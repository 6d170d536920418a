//! Announcing transactions: to peers, and on connections of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::{Transaction, Txid};
use ironlight_spv::peers::PeerId;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tracing::{debug, error};

use super::Announcement;
use super::apart::{Apart, ApartTask, MAX_APART};
use super::task::Pool;
use crate::net::bitcoin::connection::ToWriter;
use crate::net::bitcoin::message::OwnVersion;
use crate::net::bitcoin::seeds::Resolve;
use crate::net::bitcoin::transport::Connect;

impl<C: Connect, R: Resolve> Pool<C, R> {
    pub(super) fn announce(&self, peer: PeerId, txid: Txid) -> Announcement {
        let Some(entry) = self.peers.get(&peer) else { return Announcement::NotConnected };
        let Some(session) = &entry.session else { return Announcement::NotConnected };
        if !session.version.relay {
            return Announcement::NotWanted;
        }
        if self.config.relay.by_txid(&txid).is_none() {
            return Announcement::NotOffered;
        }
        let by_wtxid = session.wtxid_relay;
        match entry.line.outbox.try_send(ToWriter::Announce { txid, by_wtxid }) {
            Ok(()) => Announcement::Sent,
            Err(_full) => Announcement::Busy,
        }
    }

    /// The one who asked may not wait; the broadcast goes on.
    pub(super) fn announce_apart(
        &mut self,
        transaction: Arc<Transaction>,
        answer: oneshot::Sender<Apart>,
    ) {
        let now = self.clock.now();
        let refused = match self.config.suspension.silence() {
            Some(_) => Some(Apart::Suspended),
            None => (self.apart.len() >= MAX_APART).then_some(Apart::Busy),
        };
        if let Some(refused) = refused {
            let _ = answer.send(refused);
            return;
        }
        let Some(addr) = self.policy.draw_apart(&self.apart_addrs, now) else {
            let _ = answer.send(Apart::NoAddress);
            return;
        };
        self.apart_count += 1;
        let number = PeerId(u64::MAX - self.apart_count);
        let (nonce, ping) = (self.draw(number, 0), self.draw(number, 1));
        let start_height = self.config.start_height;
        let own = OwnVersion { receiver: addr, time: now.unix, nonce, start_height, relay: false };
        let task = ApartTask {
            connector: Arc::clone(&self.connector),
            addr,
            own,
            handshake: self.config.handshake,
            transaction,
            nonce: ping,
            traffic: Arc::clone(&self.apart_traffic),
            stop: self.apart_stop.clone(),
        };
        self.apart_addrs.push(addr);
        self.apart.spawn(async move {
            let outcome = task.run().await;
            debug!(%addr, ?outcome, "a transaction was announced on a connection of its own");
            let _ = answer.send(outcome);
            addr
        });
    }

    pub(super) fn on_apart_end(&mut self, ended: Result<SocketAddr, JoinError>) {
        match ended {
            Ok(addr) => {
                let at = self.apart_addrs.iter().position(|of| *of == addr);
                at.map(|at| self.apart_addrs.swap_remove(at));
            }
            Err(error) => error!(%error, "a connection's task failed: a defect"),
        }
    }
}
