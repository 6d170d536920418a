//! How the pool stands, for people to look at.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ironlight_spv::peers::PeerId;

use super::task::{Peer, Pool, Session};
use super::{PeerInfo, PoolInfo, SessionInfo};
use crate::net::bitcoin::seeds::Resolve;
use crate::net::bitcoin::transport::Connect;

impl<C: Connect, R: Resolve> Pool<C, R> {
    pub(super) fn info(&self) -> PoolInfo {
        let elapsed = self.clock.now().elapsed;
        let info = |(peer, entry): (&PeerId, &Peer)| PeerInfo {
            peer: *peer,
            addr: entry.addr,
            manual: self.policy.is_manual(entry.addr),
            session: entry.session_info(elapsed),
            by_purpose: entry.traffic.carried.report(),
            headers: entry.traffic.headers.load(Ordering::Relaxed),
        };
        let peers: Vec<PeerInfo> = self.peers.iter().map(info).collect();
        let others = self.gone + self.apart_traffic.carried.report();
        let by_purpose = peers.iter().fold(others, |sum, peer| sum + peer.by_purpose);
        PoolInfo { peers, by_purpose, requests: self.config.requests.report() }
    }
}

impl Peer {
    fn session_info(&self, elapsed: Duration) -> Option<SessionInfo> {
        let Session { version, since, requests, .. } = self.session.as_ref()?;
        let ping = match self.traffic.ping_micros.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        };
        Some(SessionInfo {
            services: version.services,
            protocol_version: version.protocol,
            user_agent: version.user_agent.clone(),
            start_height: version.start_height,
            connected_for: elapsed.saturating_sub(*since),
            ping,
            requests: requests.report(),
        })
    }
}
