//! One connected peer.
//!
//! Purpose: two loops, one that reads and one that writes, which end together. Neither waits for
//! the other: a peer that does not read cannot stop our reading, nor one that is silent our
//! pings.
//!
//! Invariants: events of all peers go into one bounded channel, into which each connection puts
//! one at a time, in turn; while it is full, this peer is not read from. A peer that talks faster
//! than [`ConnectionConfig::quota`] is read from more slowly and is not punished: the line's own
//! flow control pushes back. What we asked for does not count. A peer that stops answering,
//! reading or finishing its messages is closed within the times of [`ConnectionConfig`].

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bitcoin::Txid;
use ironlight_hardening::rate_limit::{Gcra, Quota, RetryAfter};
use ironlight_spv::peers::{AddressRecord, PeerId, SplitMix64};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace};

use super::awaited::{Arrived, Awaited};
use super::events::{CloseReason, Notice, PeerEvent, PeerEventKind};
use super::gathered::Told;
use super::message::{Inbound, Outbound};
use super::relaying::{Relaying, Served};
use super::transport::{MessageReader, MessageWriter, Received};
use super::writing::Writing;
use crate::net::PurposeCounter;
use crate::net::data::Query;
use crate::net::suspend::Suspension;

/// A message costs one token, and one more for so many bytes.
const BYTES_PER_TOKEN: u32 = 1024;

/// How a connection is kept.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionConfig {
    /// A ping this long after the last one was answered.
    pub ping_every: Duration,
    /// A pong within this, or the peer is gone. A pong queues behind a message of headers, so
    /// less than a minute would close slow but honest lines.
    pub pong_within: Duration,
    /// A whole message within this, or the peer is gone: pings alone make for more than that.
    pub idle: Duration,
    /// A message is written within this, or the peer is gone.
    pub write_within: Duration,
    /// How fast the peer may talk: a token for each message that was not asked for, and one for
    /// each KiB of it.
    pub quota: Quota,
    /// Messages that may wait to be sent.
    pub outbox: usize,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(120),
            pong_within: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            write_within: Duration::from_secs(20),
            // Sustained, 500 messages or 500 KiB a second: far above any honest peer (a new block
            // every 10 minutes), little for a processor.
            quota: Quota { burst: 5000, per: Duration::from_millis(2) },
            outbox: 16,
        }
    }
}

/// What was carried; shared with whoever shows it.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Bytes.
    pub(super) carried: PurposeCounter,
    /// Headers received, before they are judged.
    pub(super) headers: AtomicU64,
    /// How long the last ping took, in microseconds; 0 before the first.
    pub(super) ping_micros: AtomicU64,
    /// What is carried is spent here.
    pub(super) suspension: Suspension,
}

/// The other end of a connection's leash: closes it, once, with a reason.
#[derive(Clone, Debug)]
pub(super) struct Leash {
    token: CancellationToken,
    reason: Arc<OnceLock<WhyClose>>,
}

/// Why this node closes a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum WhyClose {
    /// See [`CloseReason::Misbehaved`].
    Misbehaved(ironlight_spv::peers::Offence),
    /// See [`CloseReason::Evicted`].
    Evicted,
    /// See [`CloseReason::Asked`].
    Asked,
    /// See [`CloseReason::NotReading`].
    NotReading,
    /// See [`CloseReason::Suspended`].
    Suspended,
}

impl Leash {
    /// A leash that is also pulled when its parent is: that is [`CloseReason::Shutdown`].
    #[must_use]
    pub(super) fn new(parent: &CancellationToken) -> Self {
        Self { token: parent.child_token(), reason: Arc::default() }
    }

    /// Closes the connection. Only the first reason counts.
    pub(super) fn pull(&self, why: WhyClose) {
        // It fails when there is a reason already.
        let _ = self.reason.set(why);
        self.token.cancel();
    }

    /// Waits until it is pulled. Cancel safe.
    pub(super) async fn pulled(&self) -> CloseReason {
        self.token.cancelled().await;
        match self.reason.get() {
            Some(WhyClose::Misbehaved(offence)) => CloseReason::Misbehaved(*offence),
            Some(WhyClose::Evicted) => CloseReason::Evicted,
            Some(WhyClose::Asked) => CloseReason::Asked,
            Some(WhyClose::NotReading) => CloseReason::NotReading,
            Some(WhyClose::Suspended) => CloseReason::Suspended,
            None => CloseReason::Shutdown,
        }
    }
}

/// What waits to be written.
#[derive(Debug)]
pub(super) enum ToWriter {
    /// A message to be sent.
    Send(Outbound),
    /// A request for headers; what it is sent with is told of the answer.
    Ask(Outbound, oneshot::Sender<()>),
    /// A question about filters or blocks, and where its answer is told.
    Query(Query, Told),
    /// A transaction to be announced, by its wtxid or its txid.
    Announce { txid: Txid, by_wtxid: bool },
    /// What a peer asked for, to be sent one after the other.
    Serve(Vec<Outbound>),
    /// A pong that came, with its nonce.
    Pong(u64),
}

/// All that a connection needs besides its transport.
#[derive(Debug)]
pub(super) struct Connection {
    /// Its number.
    pub(super) peer: PeerId,
    /// Where the peer is.
    pub(super) addr: SocketAddr,
    /// How it is kept.
    pub(super) config: ConnectionConfig,
    /// Where events go.
    pub(super) events: mpsc::Sender<PeerEvent>,
    /// Where addresses go.
    pub(super) notices: mpsc::Sender<Notice>,
    /// A sender into `outbox`, for answers.
    pub(super) replies: mpsc::Sender<ToWriter>,
    /// What is asked and not answered yet.
    pub(super) awaited: Arc<Awaited>,
    /// Transactions.
    pub(super) relaying: Relaying,
    /// What is counted.
    pub(super) traffic: Arc<Traffic>,
    /// What closes it.
    pub(super) leash: Leash,
    /// For the numbers in pings.
    pub(super) seed: u64,
}

impl Connection {
    /// Serves the peer until the connection ends, and says why it did. It sends neither
    /// `Connected` nor `Disconnected`.
    ///
    /// Cancel safe in that nothing outlives it.
    pub(super) async fn run(
        self,
        mut reader: impl MessageReader,
        writer: impl MessageWriter,
        outbox: mpsc::Receiver<ToWriter>,
    ) -> CloseReason {
        reader.note_progress(self.awaited.progress().clone());
        let reading = Reading { connection: &self };
        let writing = Writing {
            connection: &self,
            writer,
            outbox,
            nonces: SplitMix64::new(self.seed),
            ping: None,
        };
        let reason = tokio::select! {
            biased;
            reason = self.leash.pulled() => reason,
            reason = reading.run(reader) => reason,
            reason = writing.run() => reason,
        };
        debug!(peer = %self.peer, addr = %self.addr, %reason, "connection ends");
        reason
    }
}

/// However it ends.
impl Drop for Connection {
    fn drop(&mut self) {
        self.awaited.end();
    }
}

struct Reading<'a> {
    connection: &'a Connection,
}

impl Reading<'_> {
    async fn run(self, mut reader: impl MessageReader) -> CloseReason {
        let start = Instant::now();
        let config = self.connection.config;
        let mut limiter = Gcra::new(config.quota);
        loop {
            let received = match timeout(config.idle, reader.recv()).await {
                Ok(Ok(received)) => received,
                Ok(Err(error)) => return CloseReason::Transport(error),
                Err(_) => {
                    return CloseReason::Idle { within: config.idle };
                }
            };
            let Received { message, bytes } = received;
            let (asked_for, rest) = match self.take(message).await {
                Ok(arrived) => (arrived.asked_for, arrived.rest),
                Err(reason) => return reason,
            };
            let served = rest.as_ref().and_then(|message| self.serve(message));
            let sent = served.as_ref().map_or(0, |served| served.bytes);
            let sent = u32::try_from(sent).unwrap_or(u32::MAX);
            let cost = if asked_for { 0 } else { 1 + bytes.saturating_add(sent) / BYTES_PER_TOKEN };
            let cost = cost.min(config.quota.burst);
            while let Err(RetryAfter(wait)) = limiter.check(cost, start.elapsed()) {
                trace!(peer = %self.connection.peer, ?wait, "talks too fast");
                sleep(wait).await;
            }
            if let Some(Served { messages, .. }) = served
                && let Err(reason) = self.reply(ToWriter::Serve(messages)).await
            {
                return reason;
            }
            if let Some(message) = rest
                && let Err(reason) = self.dispatch(message).await
            {
                return reason;
            }
        }
    }

    /// Takes what answers something.
    async fn take(&self, message: Inbound) -> Result<Arrived, CloseReason> {
        let Connection { awaited, relaying, .. } = self.connection;
        let Inbound::Tx(bytes) = &message else { return Ok(awaited.arrived(message)) };
        let Some(next) = relaying.received(bytes) else {
            return Ok(Arrived { asked_for: false, rest: None });
        };
        self.fetch(next).await?;
        Ok(Arrived { asked_for: true, rest: None })
    }

    /// The transactions that a message asks for.
    fn serve(&self, message: &Inbound) -> Option<Served> {
        let Inbound::GetData(wanted) = message else { return None };
        Some(self.connection.relaying.serve(wanted))
    }

    async fn fetch(&self, next: Option<Outbound>) -> Result<(), CloseReason> {
        match next {
            Some(message) => self.reply(ToWriter::Send(message)).await,
            None => Ok(()),
        }
    }

    async fn dispatch(&self, message: Inbound) -> Result<(), CloseReason> {
        match message {
            Inbound::Headers(headers) => {
                let count = u64::try_from(headers.len()).unwrap_or(u64::MAX);
                self.connection.traffic.headers.fetch_add(count, Ordering::Relaxed);
                self.tell(PeerEventKind::Headers(headers)).await
            }
            Inbound::Inv { blocks, transactions, .. } => {
                self.fetch(self.connection.relaying.heard(&transactions)).await?;
                match blocks.is_empty() {
                    true => Ok(()),
                    false => self.tell(PeerEventKind::BlockInv(blocks)).await,
                }
            }
            Inbound::NotFound(missing) => {
                self.fetch(self.connection.relaying.not_found(&missing)).await
            }
            Inbound::FeeFilter(rate) => {
                self.connection.relaying.fee_filter(rate);
                Ok(())
            }
            Inbound::Ping(nonce) => self.reply(ToWriter::Send(Outbound::Pong(nonce))).await,
            Inbound::Pong(nonce) => self.reply(ToWriter::Pong(nonce)).await,
            // An empty answer is the protocol's way to say that there is nothing more.
            Inbound::GetHeaders => self.reply(ToWriter::Send(Outbound::Headers(Vec::new()))).await,
            Inbound::Addresses(addresses) => self.pass_on(addresses).await,
            // Core passes over a second verack as well.
            Inbound::SendHeaders | Inbound::Verack => Ok(()),
            Inbound::CFilter { .. }
            | Inbound::CFHeaders { .. }
            | Inbound::CFCheckpt { .. }
            | Inbound::Block { .. }
            | Inbound::Tx(_)
            | Inbound::GetData(_)
            | Inbound::Ignored(_) => {
                trace!(peer = %self.connection.peer, command = %message.command(), "passed over");
                Ok(())
            }
            Inbound::Version(_) | Inbound::WtxidRelay | Inbound::SendAddrV2 => {
                Err(CloseReason::OutOfOrder { command: message.command() })
            }
        }
    }

    async fn tell(&self, kind: PeerEventKind) -> Result<(), CloseReason> {
        let event = PeerEvent { peer: self.connection.peer, kind };
        self.connection.events.send(event).await.map_err(|_| CloseReason::Shutdown)
    }

    async fn reply(&self, item: ToWriter) -> Result<(), CloseReason> {
        self.connection.replies.send(item).await.map_err(|_| CloseReason::Shutdown)
    }

    async fn pass_on(&self, addresses: Vec<AddressRecord>) -> Result<(), CloseReason> {
        let Connection { peer, notices, .. } = self.connection;
        let told = Notice::Told { peer: *peer, addresses };
        notices.send(told).await.map_err(|_| CloseReason::Shutdown)
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
