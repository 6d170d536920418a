//! Talking to the swarm.

use std::sync::Arc;

use ironlight_spv::peers::{Offence, PeerId};
use ironlight_spv::sync::Unanswered;
use ironlight_spv::{BlockHash, Header};
use tokio::sync::{mpsc, oneshot};

use super::source::{ChainSource, DataSource};
use crate::net::{Direction, NetworkReport, Question};

/// Something that a light node did. Of one peer, `Joined` comes first and `Left` last.
#[derive(Debug)]
pub(crate) enum LightEvent {
    /// It serves headers and can be asked.
    Joined { peer: PeerId, direction: Direction, address: String, agent: String },
    /// It sent headers, at most 8,000; none at all is an answer, too.
    Headers { peer: PeerId, headers: Vec<Header> },
    /// What it was asked last comes to nothing.
    Unanswered { peer: PeerId, why: Unanswered },
    /// It is gone.
    Left { peer: PeerId, reason: String },
}

pub(super) enum Command {
    GetHeaders { peer: PeerId, question: Question },
    Misbehaved { peer: PeerId, offence: Offence, header: Option<BlockHash> },
    Announce { header: Header },
    Serve { source: Arc<dyn ChainSource> },
    ServeData { source: Arc<dyn DataSource> },
    Report { answer: oneshot::Sender<NetworkReport> },
}

/// The swarm has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the swarm of light nodes has stopped")]
pub(crate) struct SwarmStopped;

/// Talks to a swarm. What concerns a peer that is gone is passed over: its `Left` is on the way.
/// When the last handle is dropped, the swarm stops. All methods are cancel safe.
#[derive(Clone, Debug)]
pub(crate) struct SwarmHandle {
    pub(super) commands: mpsc::Sender<Command>,
}

impl SwarmHandle {
    pub(crate) async fn get_headers(
        &self,
        peer: PeerId,
        question: Question,
    ) -> Result<(), SwarmStopped> {
        self.send(Command::GetHeaders { peer, question }).await
    }

    /// Reports what a peer did wrong, and the hash of the header, where it was one.
    pub(crate) async fn misbehaved(
        &self,
        peer: PeerId,
        offence: Offence,
        header: Option<BlockHash>,
    ) -> Result<(), SwarmStopped> {
        self.send(Command::Misbehaved { peer, offence, header }).await
    }

    /// Tells everybody of a new tip.
    pub(crate) async fn announce(&self, header: Header) -> Result<(), SwarmStopped> {
        self.send(Command::Announce { header }).await
    }

    /// From now on there is a chain to serve and to judge by.
    pub(crate) async fn serve(&self, source: Arc<dyn ChainSource>) -> Result<(), SwarmStopped> {
        self.send(Command::Serve { source }).await
    }

    /// From now on what was offered besides headers is there.
    pub(crate) async fn serve_data(&self, source: Arc<dyn DataSource>) -> Result<(), SwarmStopped> {
        self.send(Command::ServeData { source }).await
    }

    /// How the network stands.
    pub(crate) async fn report(&self) -> Result<NetworkReport, SwarmStopped> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Report { answer }).await?;
        answered.await.map_err(|_| SwarmStopped)
    }

    async fn send(&self, command: Command) -> Result<(), SwarmStopped> {
        self.commands.send(command).await.map_err(|_| SwarmStopped)
    }
}
