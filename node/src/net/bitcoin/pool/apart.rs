//! Broadcasting a transaction on a connection of its own.
//!
//! Purpose: that nobody can link a transaction to the connections that this node keeps. A fresh
//! connection is made for one transaction: handshake, announcement, the transaction once it is asked
//! for, a ping whose pong says that it was read, goodbye. Nothing else is sent on it, and it
//! neither counts as a peer nor is it told to anybody.
//!
//! What an attacker can grow: [`MAX_APART`] connections, each for [`WITHIN`] at most.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Transaction, Txid};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::net::bitcoin::connection::Traffic;
use crate::net::bitcoin::counted::Counted;
use crate::net::bitcoin::handshake::{Greeting, HandshakeConfig, handshake};
use crate::net::bitcoin::message::{Inbound, Outbound, OwnVersion, TransactionId};
use crate::net::bitcoin::transport::{
    Connect, MessageReader, MessageWriter, Transport, TransportError,
};

/// Such connections at once.
pub(super) const MAX_APART: usize = 8;
/// One takes at most so long. Core asks for a transaction within a few seconds of its announcement, and
/// asks another peer after a minute (`txdownloadman.h`, `GETDATA_TX_INTERVAL`).
const WITHIN: Duration = Duration::from_secs(60);

/// What became of a broadcast on a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apart {
    /// The peer asked for the transaction and has read it.
    Delivered,
    /// The peer asked, and hung up before it said that it had read it: it may be that it did not
    /// like it.
    Unconfirmed,
    /// The peer did not ask: it has it already, or does not want it.
    NotAsked,
    /// There was no connection, no handshake, or a peer that wants no transactions.
    NoPeer,
    /// No address to connect to.
    NoAddress,
    /// Too many such connections already.
    Busy,
    /// The node is suspended.
    Suspended,
}

/// What such a connection is made with.
pub(super) struct ApartTask<C> {
    pub(super) connector: Arc<C>,
    pub(super) addr: SocketAddr,
    pub(super) own: OwnVersion,
    pub(super) handshake: HandshakeConfig,
    pub(super) transaction: Arc<Transaction>,
    /// For the ping.
    pub(super) nonce: u64,
    pub(super) traffic: Arc<Traffic>,
    /// Ends it.
    pub(super) stop: CancellationToken,
}

impl<C: Connect> ApartTask<C> {
    /// Cancel safe: the connection ends with it.
    pub(super) async fn run(self) -> Apart {
        let mut stage = Apart::NoPeer;
        let ended = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Apart::Suspended,
            ended = timeout(WITHIN, self.hand_over(&mut stage)) => ended,
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(addr = %self.addr, %error, "a connection of its own ends"),
            Err(_late) => debug!(addr = %self.addr, "a connection of its own takes too long"),
        }
        stage
    }

    /// How far it came is told in `stage`.
    async fn hand_over(&self, stage: &mut Apart) -> Result<(), TransportError> {
        let (reader, writer) = self.connector.connect(self.addr).await?.split();
        let mut reader = Counted::new(reader, Arc::clone(&self.traffic));
        let mut writer = Counted::new(writer, Arc::clone(&self.traffic));
        let greeting = handshake(&mut reader, &mut writer, self.own.clone(), self.handshake).await;
        let Ok(Greeting { version, wtxid_relay }) = greeting else { return Ok(()) };
        if !version.relay {
            return Ok(());
        }
        *stage = Apart::NotAsked;
        let (txid, wtxid) = (self.transaction.compute_txid(), self.transaction.compute_wtxid());
        let id = if wtxid_relay { TransactionId::Wtxid(wtxid) } else { TransactionId::Txid(txid) };
        writer.send(&Outbound::Inv(vec![id])).await?;
        loop {
            match reader.recv().await?.message {
                Inbound::GetData(wanted) => {
                    let Some(answer) = self.answer(&wanted, txid, id) else { continue };
                    *stage = Apart::Unconfirmed;
                    writer.send(&answer).await?;
                    writer.send(&Outbound::Ping(self.nonce)).await?;
                }
                Inbound::Ping(nonce) => drop(writer.send(&Outbound::Pong(nonce)).await?),
                Inbound::Pong(nonce) if nonce == self.nonce && *stage == Apart::Unconfirmed => {
                    *stage = Apart::Delivered;
                    return Ok(());
                }
                Inbound::Pong(_)
                | Inbound::Version(_)
                | Inbound::Verack
                | Inbound::WtxidRelay
                | Inbound::SendAddrV2
                | Inbound::SendHeaders
                | Inbound::Headers(_)
                | Inbound::Inv { .. }
                | Inbound::Addresses(_)
                | Inbound::GetHeaders
                | Inbound::CFilter { .. }
                | Inbound::CFHeaders { .. }
                | Inbound::CFCheckpt { .. }
                | Inbound::Block { .. }
                | Inbound::Tx(_)
                | Inbound::NotFound(_)
                | Inbound::FeeFilter(_)
                | Inbound::Ignored(_) => {}
            }
        }
    }

    /// The transaction, where it is what is wanted.
    fn answer(&self, wanted: &[Inventory], txid: Txid, id: TransactionId) -> Option<Outbound> {
        let stripped = wanted.contains(&Inventory::Transaction(txid));
        let ours = stripped
            || wanted.contains(&Inventory::WitnessTransaction(txid))
            || wanted.contains(&id.wanted());
        ours.then(|| Outbound::Tx { transaction: Arc::clone(&self.transaction), stripped })
    }
}
