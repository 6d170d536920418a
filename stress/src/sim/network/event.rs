//! What happens, and in which order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::chain::BlockLocator;
use ironlight_spv::peers::{DisconnectCause, PeerId};
use ironlight_spv::{BlockHash, Header};

use super::config::NodeId;

/// What nodes send each other.
#[derive(Clone, Debug)]
pub(super) enum Message {
    GetHeaders {
        locator: BlockLocator,
        stop: Option<BlockHash>,
    },
    /// An answer, or an announcement of a full node.
    Headers(Vec<Header>),
    Inv(Vec<BlockHash>),
    /// A new tip among light nodes.
    Tip(Header),
}

/// What a node wants done.
#[derive(Debug)]
pub(super) enum Output {
    Send {
        link: PeerId,
        message: Message,
        /// What the node takes beyond the network.
        delay: Duration,
    },
    /// It has hung up already.
    Close {
        link: PeerId,
    },
    Dial(SocketAddr),
}

impl Output {
    pub(super) const fn send(link: PeerId, message: Message) -> Self {
        Self::Send { link, message, delay: Duration::ZERO }
    }
}

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    Deliver {
        link: PeerId,
        to: NodeId,
        message: Message,
    },
    /// An attempt to connect comes to its end. The life of the node that made it tells an attempt
    /// of before a restart.
    Dialled {
        from: NodeId,
        to: SocketAddr,
        life: u32,
    },
    Closed {
        link: PeerId,
        to: NodeId,
        cause: DisconnectCause,
    },
    /// A partition has cut this connection for long.
    Silent {
        link: PeerId,
    },
    Started {
        node: NodeId,
    },
    Tick {
        node: NodeId,
    },
}

/// Events by time, those of one moment in the order in which they were put in.
#[derive(Debug)]
pub(super) struct EventQueue {
    events: BTreeMap<(Duration, u64), Event>,
    numbered: u64,
    messages: usize,
    max_messages: usize,
}

impl EventQueue {
    pub(super) const fn new(max_messages: usize) -> Self {
        Self { events: BTreeMap::new(), numbered: 0, messages: 0, max_messages }
    }

    /// Puts an event in. False for a message that there is no room for: it is lost.
    pub(super) fn push(&mut self, at: Duration, event: Event) -> bool {
        if matches!(event, Event::Deliver { .. }) {
            if self.messages >= self.max_messages {
                return false;
            }
            self.messages += 1;
        }
        self.numbered += 1;
        self.events.insert((at, self.numbered), event);
        true
    }

    pub(super) fn next_at(&self) -> Option<Duration> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let (_, event) = self.events.pop_first()?;
        if matches!(event, Event::Deliver { .. }) {
            self.messages -= 1;
        }
        Some(event)
    }
}
