//! A connection, or an address that is being dialled, as the policy sees it.

use core::time::Duration;

use super::{NetworkGroup, PeerId};

/// A dialled or connected address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) group: NetworkGroup,
    pub(super) kind: LinkKind,
    /// Whether it offers compact filters; while it is dialled, whether it is said to.
    pub(super) filters: bool,
    pub(super) state: LinkState,
}

/// Whose choice a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// The user's.
    Manual,
    /// The policy's own.
    Learnt,
    /// The peer's: it takes no place of a peer that the policy chooses, or whoever connects most
    /// often would decide whom we are connected to.
    Inbound,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LinkState {
    Dialling,
    Connected { peer: PeerId, since: Duration, slow_until: Duration },
}

impl Link {
    /// Whether it counts as ours in a network group: who connects to us does not decide which
    /// groups we may still dial.
    pub(super) fn holds(&self, group: NetworkGroup) -> bool {
        self.group == group && self.kind != LinkKind::Inbound
    }

    /// Whether it is connected, and was dialled.
    pub(super) fn is_chosen(&self) -> bool {
        self.kind != LinkKind::Inbound && matches!(self.state, LinkState::Connected { .. })
    }
}
