//! The life of one peer: connect, shake hands, serve, say goodbye.

use std::io;
use std::sync::Arc;

use ironlight_spv::peers::{DialFailure, DisconnectCause, Offence};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::net::bitcoin::connection::{Connection, ToWriter};
use crate::net::bitcoin::counted::Counted;
use crate::net::bitcoin::events::{CloseReason, Notice, PeerEvent, PeerEventKind};
use crate::net::bitcoin::handshake::{Greeting, HandshakeConfig, HandshakeError, handshake};
use crate::net::bitcoin::message::OwnVersion;
use crate::net::bitcoin::transport::{Connect, MessageReader, MessageWriter, Transport};

/// How a peer's task ended.
#[derive(Debug)]
pub(super) enum End {
    /// No connection.
    NoConnection(io::Error),
    /// No handshake.
    NoHandshake(HandshakeError),
    /// This node gave up before it was a peer.
    GivenUp,
    /// It was a peer.
    Served {
        /// What the policy is to make of the end.
        cause: DisconnectCause,
        /// What it did wrong, where the policy does not know of it yet.
        offence: Option<Offence>,
    },
}

impl End {
    /// Why it never was a peer; none if it was one.
    pub(super) const fn failure(&self) -> Option<DialFailure> {
        match self {
            Self::NoHandshake(error) => Some(error.failure()),
            Self::NoConnection(_) | Self::GivenUp => Some(DialFailure::Unreachable),
            Self::Served { .. } => None,
        }
    }
}

/// What a peer's task starts with.
pub(super) struct PeerTask<C> {
    pub(super) connector: Arc<C>,
    pub(super) connection: Connection,
    pub(super) outbox: mpsc::Receiver<ToWriter>,
    pub(super) own: OwnVersion,
    pub(super) handshake: HandshakeConfig,
    /// The whole pool stops: then nobody may be left to hear the goodbye.
    pub(super) stop: CancellationToken,
}

impl<C: Connect> PeerTask<C> {
    pub(super) async fn run(self) -> End {
        let met = tokio::select! {
            biased;
            _ = self.connection.leash.pulled() => return End::GivenUp,
            met = self.meet() => met,
        };
        match met {
            Ok((reader, writer, greeting)) => self.serve(reader, writer, greeting).await,
            Err(end) => end,
        }
    }

    async fn meet(&self) -> Result<Met<C::Transport>, End> {
        let connected = self.connector.connect(self.connection.addr).await;
        let (reader, writer) = connected.map_err(End::NoConnection)?.split();
        let traffic = &self.connection.traffic;
        let mut reader = Counted::new(reader, Arc::clone(traffic));
        let mut writer = Counted::new(writer, Arc::clone(traffic));
        let greeting = handshake(&mut reader, &mut writer, self.own.clone(), self.handshake)
            .await
            .map_err(End::NoHandshake)?;
        Ok((reader, writer, greeting))
    }

    async fn serve(
        self,
        reader: impl MessageReader,
        writer: impl MessageWriter,
        greeting: Greeting,
    ) -> End {
        let Self { connection, outbox, stop, .. } = self;
        let announced = tokio::select! {
            biased;
            () = stop.cancelled() => false,
            announced = announce(&connection, greeting) => announced,
        };
        if !announced {
            return End::GivenUp;
        }
        let (peer, events) = (connection.peer, connection.events.clone());
        let reason = connection.run(reader, writer, outbox).await;
        let end = End::Served { cause: reason.cause(), offence: reason.offence() };
        let goodbye = PeerEvent { peer, kind: PeerEventKind::Disconnected { reason } };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            // It fails when nobody listens any more, and then it does not matter.
            _ = events.send(goodbye) => {}
        }
        end
    }
}

/// The halves of a connection, and who is at its other end.
type Met<T> = (Counted<<T as Transport>::Reader>, Counted<<T as Transport>::Writer>, Greeting);

/// Tells the pool, then the node, that there is a new peer. False when nobody listens.
async fn announce(connection: &Connection, greeting: Greeting) -> bool {
    let version = &greeting.version;
    let Connection { peer, addr, .. } = *connection;
    let kind = PeerEventKind::Connected {
        addr,
        services: version.services,
        start_height: version.start_height,
        protocol_version: version.protocol,
        user_agent: version.user_agent.clone(),
    };
    let notice = Notice::Connected { peer, greeting };
    connection.notices.send(notice).await.is_ok()
        && connection.events.send(PeerEvent { peer, kind }).await.is_ok()
}

/// The goodbye of a peer whose task failed before it could say it.
pub(super) const fn crash_goodbye(peer: ironlight_spv::peers::PeerId) -> PeerEvent {
    PeerEvent { peer, kind: PeerEventKind::Disconnected { reason: CloseReason::Crashed } }
}
