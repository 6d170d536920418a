//! A connected peer.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use bitcoin::consensus::serialize;
use bitcoin::p2p::address::Address;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Magic, ServiceFlags};
use bitcoin::{BlockHash, Transaction, Txid};
use ironlight_spv::ChainTip;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::answers::{self, Data};
use super::frames::{FrameReader, PeerError};
use super::requests::Request;
use crate::clock::unix_now;
use crate::devnet::ledger::{MAX_WAITING, MIN_FEE_RATE};
use crate::devnet::shared::{CountedPeer, SharedLedger};
use crate::net::bitcoin::message::PROTOCOL_VERSION;

/// A peer has this long for its `version` and `verack`.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// A peer that takes no bytes for so long is hung up on.
const WRITE: Duration = Duration::from_secs(60);
/// See [`MIN_FEE_RATE`].
const MIN_FEE_RATE_KVB: i64 = (MIN_FEE_RATE * 1000).cast_signed();
/// How it names itself (BIP14).
const USER_AGENT: &str = concat!("/ironlight-devnet:", env!("CARGO_PKG_VERSION"), "/");

/// A connection.
pub(super) struct Session {
    reader: FrameReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    peer: SocketAddr,
    shared: SharedLedger,
    changed: watch::Receiver<ChainTip>,
    /// The tip that the peer was told of last.
    told: BlockHash,
    /// The number of the last waiting transaction that it was told of.
    told_transaction: u64,
    /// Whether it wants blocks announced by headers (BIP130).
    by_headers: bool,
    /// Whether it wants transactions announced (BIP37).
    relay: bool,
    /// Transactions that it sent: it is not told of them.
    sent: HashSet<Txid>,
    _counted: CountedPeer,
}

impl Session {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, shared: SharedLedger) -> Self {
        // Answers are small and waited for: no reason to hold them back. A socket that cannot do
        // that still works.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let reader = FrameReader::new(reader, Magic::REGTEST.to_bytes());
        let mut changed = shared.watch();
        let told = changed.borrow_and_update().hash;
        let counted = shared.count_peer();
        Self {
            reader,
            writer,
            peer,
            shared,
            changed,
            told,
            told_transaction: 0,
            by_headers: false,
            relay: false,
            sent: HashSet::new(),
            _counted: counted,
        }
    }

    /// Serves the peer until it hangs up, breaks a rule, or the devnet stops.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let peer = self.peer;
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = self.serve() => ended,
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "devnet peer");
        }
    }

    async fn serve(&mut self) -> Result<(), PeerError> {
        let greeted = timeout(HANDSHAKE, self.handshake()).await;
        greeted.map_err(|_elapsed| PeerError::Deadline("handshake"))??;
        // BIP133: in satoshi for a thousand virtual bytes.
        self.send(NetworkMessage::FeeFilter(MIN_FEE_RATE_KVB)).await?;
        self.announce().await?;
        loop {
            tokio::select! {
                request = self.reader.next() => self.answer(request?).await?,
                Ok(()) = self.changed.changed() => self.announce().await?,
            }
        }
    }

    /// The peer speaks first. Wishes between `version` and `verack` (BIP155, BIP339) are read
    /// past: there are no addresses to send, and transactions go by their txid.
    async fn handshake(&mut self) -> Result<(), PeerError> {
        let version = match self.reader.next().await? {
            Request::Version(version) => version,
            Request::Verack => return Err(PeerError::TooEarly("verack")),
            Request::SendHeaders
            | Request::Ping(_)
            | Request::GetHeaders(_)
            | Request::GetData(_)
            | Request::GetCFilters(_)
            | Request::GetCFHeaders(_)
            | Request::GetCFCheckpt(_)
            | Request::Inv(_)
            | Request::Tx(_) => return Err(PeerError::TooEarly("a request")),
        };
        self.relay = version.relay;
        let own = self.version(&version);
        self.send(NetworkMessage::Version(own)).await?;
        self.send(NetworkMessage::Verack).await?;
        loop {
            match self.reader.next().await? {
                Request::Verack => return Ok(()),
                Request::Version(_) => return Err(PeerError::SecondVersion),
                Request::SendHeaders => self.by_headers = true,
                Request::Ping(nonce) => self.send(NetworkMessage::Pong(nonce)).await?,
                Request::GetHeaders(_)
                | Request::GetData(_)
                | Request::GetCFilters(_)
                | Request::GetCFHeaders(_)
                | Request::GetCFCheckpt(_)
                | Request::Inv(_)
                | Request::Tx(_) => return Err(PeerError::TooEarly("a request")),
            }
        }
    }

    fn version(&self, peers: &VersionMessage) -> VersionMessage {
        let services =
            ServiceFlags::NETWORK | ServiceFlags::WITNESS | ServiceFlags::COMPACT_FILTERS;
        let height = self.shared.read(|ledger| ledger.tree().tip().height);
        let nobody = SocketAddr::from(([0, 0, 0, 0], 0));
        VersionMessage {
            version: PROTOCOL_VERSION,
            services,
            timestamp: i64::from(unix_now().0),
            receiver: Address::new(&self.peer, ServiceFlags::NONE),
            sender: Address::new(&nobody, services),
            // It tells who talks to itself; the devnet dials nobody, so any other than the peer's.
            nonce: !peers.nonce,
            user_agent: USER_AGENT.to_owned(),
            start_height: i32::try_from(height).unwrap_or(i32::MAX),
            relay: true,
        }
    }

    async fn answer(&mut self, request: Request) -> Result<(), PeerError> {
        match request {
            Request::Version(_) => Err(PeerError::SecondVersion),
            Request::Verack => Ok(()),
            Request::SendHeaders => {
                self.by_headers = true;
                Ok(())
            }
            Request::Ping(nonce) => self.send(NetworkMessage::Pong(nonce)).await,
            Request::GetHeaders(request) => {
                let headers = self.shared.read(|ledger| answers::headers(ledger.tree(), &request));
                self.send(NetworkMessage::Headers(headers)).await
            }
            Request::GetData(wanted) => self.send_data(wanted).await,
            Request::GetCFilters(request) => {
                let blocks =
                    self.shared.read(|ledger| answers::filters(ledger.tree(), &request))?;
                for entry in blocks {
                    self.send(answers::filter_message(&entry)).await?;
                }
                Ok(())
            }
            Request::GetCFHeaders(request) => {
                let found =
                    self.shared.read(|ledger| answers::filter_headers(ledger.tree(), &request))?;
                self.send(NetworkMessage::CFHeaders(found)).await
            }
            Request::GetCFCheckpt(request) => {
                let found = self
                    .shared
                    .read(|ledger| answers::filter_checkpoints(ledger.tree(), &request))?;
                self.send(NetworkMessage::CFCheckpt(found)).await
            }
            Request::Inv(announced) => {
                let wanted = self.shared.read(|ledger| answers::wanted(ledger, &announced));
                if wanted.is_empty() {
                    return Ok(());
                }
                self.send(NetworkMessage::GetData(wanted)).await
            }
            Request::Tx(transaction) => {
                self.take(*transaction).await;
                Ok(())
            }
        }
    }

    /// Why it is refused, a full node does not say either.
    async fn take(&mut self, transaction: Transaction) {
        let txid = transaction.compute_txid();
        if self.sent.len() >= MAX_WAITING {
            self.sent.clear();
        }
        self.sent.insert(txid);
        let taken = self.shared.change(move |ledger| ledger.accept(transaction)).await;
        match taken {
            Ok(accepted) => debug!(%txid, ?accepted, "devnet: a peer's transaction"),
            Err(error) => debug!(%txid, %error, "devnet: a peer's transaction is refused"),
        }
    }

    /// One after the other, so that one block at most is in memory for it.
    async fn send_data(&mut self, wanted: Vec<Inventory>) -> Result<(), PeerError> {
        let mut missing = Vec::new();
        for item in wanted {
            match self.shared.read(|ledger| answers::data(ledger, &item)).map(Data::into_message) {
                Some(message) => self.send(message).await?,
                None => missing.push(item),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.send(NetworkMessage::NotFound(missing)).await
    }

    /// Tells of what is new.
    async fn announce(&mut self) -> Result<(), PeerError> {
        let (news, tip) = self.shared.read(|ledger| {
            let tree = ledger.tree();
            (answers::announcement(tree, &self.told, self.by_headers), tree.tip().hash)
        });
        self.told = tip;
        if let Some(message) = news {
            self.send(message).await?;
        }
        while self.relay {
            let last = self.told_transaction;
            let (new, last) = self.shared.read(|ledger| answers::new_transactions(ledger, last));
            if new.is_empty() {
                break;
            }
            self.told_transaction = last;
            let new = new.into_iter().filter(|txid| !self.sent.contains(txid));
            let new: Vec<_> = new.map(Inventory::Transaction).collect();
            if !new.is_empty() {
                self.send(NetworkMessage::Inv(new)).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: NetworkMessage) -> Result<(), PeerError> {
        let bytes = serialize(&RawNetworkMessage::new(Magic::REGTEST, message));
        let written = timeout(WRITE, self.writer.write_all(&bytes)).await;
        written.map_err(|_elapsed| PeerError::Deadline("writing"))??;
        Ok(())
    }
}
