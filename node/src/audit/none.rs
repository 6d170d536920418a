//! The handle of a node that keeps no audit log: nothing in it, and nothing done.

use std::fmt::Display;
use std::net::SocketAddr;

use ironlight_hardening::circuit_breaker::Transition;
use ironlight_spv::chain::HeaderRun;
use ironlight_spv::peers::Offence;
use ironlight_spv::{ChainTip, Network};
use std::path::Path;

use super::Penalty;
use crate::clock::Clock;
use crate::net::PeerNetwork;

/// See the [module](super). Not a unit, nor `Copy`: it is used as the one that keeps a log is.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeAudit(());

#[allow(clippy::unused_self, reason = "the other one needs it")]
impl NodeAudit {
    pub(crate) const fn open(_dir: &Path, _network: Network, _clock: Clock) -> (Self, Vec<String>) {
        (Self(()), Vec::new())
    }

    pub(crate) const fn misbehaved(
        &self,
        _network: PeerNetwork,
        _address: &dyn Display,
        _offence: Offence,
        _penalty: Penalty,
    ) {
    }

    pub(crate) const fn breaker(&self, _address: SocketAddr, _change: &Transition) {}

    pub(crate) const fn reorg(&self, _fork: &ChainTip, _gone: &HeaderRun, _tip: &ChainTip) {}

    pub(crate) fn repaired(&self, _what: &'static str, _about: String) {}

    pub(crate) fn failed(&self, _error: &dyn Display) {}

    #[allow(clippy::unused_async, reason = "the other one waits")]
    pub(crate) async fn stop(&self) {}

    pub(crate) const fn flip_listener(&self) -> Option<crate::flags::FlipListener> {
        None
    }
}
