//! Who may be dialled and who may call, decided before a byte is sent.
//!
//! The swarm's behaviours dial on their own (Kademlia asks strangers on its way), and what they
//! dial is what other peers said. So the transport itself refuses addresses that are banned, and
//! those that the internet does not route, or that belong to other services, unless the user named
//! them: or a peer could have us knock at the doors of our own network, or of mail servers.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use ironlight_spv::peers::{is_routable, owner};
use libp2p::Multiaddr;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};

use super::address::socket_address;

/// Ports below belong to other services.
const FIRST_PORT: u16 = 1024;

#[derive(Debug, Default)]
struct Lists {
    named: HashSet<SocketAddr>,
    /// The owners of the addresses.
    banned: HashSet<IpAddr>,
    allow_unroutable: bool,
    /// Nobody at all.
    closed: bool,
}

impl Lists {
    fn is_banned(&self, address: SocketAddr) -> bool {
        self.banned.contains(&owner(address.ip()))
    }
}

/// Shared between the task that decides and the transport that obeys.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules(Arc<RwLock<Lists>>);

impl Rules {
    pub(super) fn new(allow_unroutable: bool) -> Self {
        Self(Arc::new(RwLock::new(Lists { allow_unroutable, ..Lists::default() })))
    }

    /// The user wants this one.
    pub(super) fn name(&self, address: SocketAddr) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).named.insert(address);
    }

    /// These are banned, and no others.
    pub(super) fn ban_only(&self, banned: impl IntoIterator<Item = IpAddr>) {
        let banned = banned.into_iter().map(owner).collect();
        self.0.write().unwrap_or_else(PoisonError::into_inner).banned = banned;
    }

    /// While it is closed, nobody is dialled or let in.
    pub(super) fn close(&self, closed: bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).closed = closed;
    }

    fn may_dial(&self, address: &Multiaddr) -> bool {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !lists.closed
            && socket_address(address).is_some_and(|address| {
                let reachable = lists.allow_unroutable || is_routable(address.ip());
                let decent = reachable && address.port() >= FIRST_PORT;
                lists.named.contains(&address) || (decent && !lists.is_banned(address))
            })
    }

    fn may_call(&self, address: &Multiaddr) -> bool {
        let lists = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !lists.closed && socket_address(address).is_none_or(|address| !lists.is_banned(address))
    }
}

/// A transport that keeps to the rules.
#[derive(Debug)]
pub(super) struct Gated<T> {
    inner: T,
    rules: Rules,
}

impl<T> Gated<T> {
    pub(super) const fn new(inner: T, rules: Rules) -> Self {
        Self { inner, rules }
    }
}

impl<T: Transport + Unpin> Transport for Gated<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        if self.rules.may_dial(&address) {
            self.inner.dial(address, options)
        } else {
            Err(TransportError::MultiaddrNotSupported(address))
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        loop {
            let event = std::task::ready!(Pin::new(&mut self.inner).poll(context));
            match &event {
                // Dropping the upgrade hangs up.
                TransportEvent::Incoming { send_back_addr, .. }
                    if !self.rules.may_call(send_back_addr) => {}
                TransportEvent::Incoming { .. }
                | TransportEvent::NewAddress { .. }
                | TransportEvent::AddressExpired { .. }
                | TransportEvent::ListenerClosed { .. }
                | TransportEvent::ListenerError { .. } => return Poll::Ready(event),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn strangers_cannot_have_us_dial_into_our_own_network() {
        let rules = Rules::new(false);
        for inside in
            ["/ip4/127.0.0.1/tcp/2022", "/ip4/10.0.0.7/udp/5353/quic-v1", "/ip6/::1/tcp/2022"]
        {
            assert!(!rules.may_dial(&address(inside)), "{inside}");
            assert!(Rules::new(true).may_dial(&address(inside)), "{inside}");
        }
        assert!(rules.may_dial(&address("/ip4/60.1.1.1/tcp/4001")));
        assert!(!rules.may_dial(&address("/ip4/60.1.1.1/tcp/25")));
        rules.name("127.0.0.1:22".parse().unwrap());
        assert!(rules.may_dial(&address("/ip4/127.0.0.1/tcp/22")));
    }

    #[test]
    fn who_is_banned_is_neither_dialled_nor_let_in() {
        let rules = Rules::new(false);
        rules.ban_only(["60.1.1.1".parse().unwrap()]);
        assert!(!rules.may_dial(&address("/ip4/60.1.1.1/tcp/4001")));
        assert!(!rules.may_call(&address("/ip4/60.1.1.1/tcp/50000")));
        assert!(rules.may_call(&address("/ip4/60.1.1.2/tcp/50000")));
        rules.ban_only(["2a01:4f8:1:2::".parse().unwrap()]);
        assert!(!rules.may_call(&address("/ip6/2a01:4f8:1:2:3::9/tcp/50000")));
        assert!(rules.may_call(&address("/ip6/2a01:4f8:1:3::9/tcp/50000")));
        rules.ban_only([]);
        assert!(rules.may_call(&address("/ip4/60.1.1.1/tcp/50000")));
    }

    #[test]
    fn a_closed_gate_lets_nobody_through() {
        let (rules, peer) = (Rules::new(true), address("/ip4/60.1.1.1/tcp/4001"));
        rules.name("60.1.1.1:4001".parse().unwrap());
        rules.close(true);
        assert!(!rules.may_dial(&peer) && !rules.may_call(&peer));
        rules.close(false);
        assert!(rules.may_dial(&peer) && rules.may_call(&peer));
    }

    #[test]
    fn names_and_relays_are_not_dialled() {
        for odd in ["/dns4/example.com/tcp/4001", "/ip4/60.1.1.1/sctp/4001", "/p2p-circuit"] {
            assert!(!Rules::new(true).may_dial(&address(odd)), "{odd}");
        }
    }
}
