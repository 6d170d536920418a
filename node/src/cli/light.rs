//! Settings of the libp2p network of light nodes.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::Args;
use libp2p::multiaddr::Protocol;
use serde::{Deserialize, Serialize};

use super::config::{ConfigError, checked, invalid, value};
use crate::net::swarm::{Identity, LightNetConfig, Multiaddr};

/// What `ironlight run` does among light nodes.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub(super) struct LightSettings {
    /// Networks to be in: bitcoin, libp2p, or both [default: bitcoin,libp2p]. libp2p needs --listen,
    /// --peer or --mdns.
    #[arg(long, value_name = "NAMES", value_parser = checked(parse_networks))]
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<String>,
    /// Listen for light nodes there, e.g. /ip4/0.0.0.0/tcp/8666 or /ip4/0.0.0.0/udp/8666/quic-v1;
    /// may be given several times.
    #[arg(long, value_name = "MULTIADDR", value_parser = checked(parse_address))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    listen: Vec<String>,
    /// Light node to connect to, and to learn of others from; may be given several times.
    #[arg(long, value_name = "MULTIADDR", value_parser = checked(parse_address))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peer: Vec<String>,
    /// Look for light nodes on the local network, and be found there.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    mdns: bool,
    /// Fetch all headers page by page, even where light nodes have them as snapshots.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_snapshots: bool,
}

/// Which networks a node is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NetworkChoice {
    pub(super) bitcoin: bool,
    pub(super) libp2p: bool,
}

impl LightSettings {
    pub(super) fn networks(&self) -> Result<NetworkChoice, ConfigError> {
        let Some(names) = &self.networks else {
            return Ok(NetworkChoice { bitcoin: true, libp2p: true });
        };
        value("networks", names, parse_networks)
    }

    /// None where the node stays out of it. The identity is kept in the directory.
    pub(super) fn config(
        &self,
        networks: NetworkChoice,
        directory: PathBuf,
    ) -> Result<Option<LightNetConfig>, ConfigError> {
        let wanted = self.mdns || !self.listen.is_empty() || !self.peer.is_empty();
        if wanted && !networks.libp2p {
            let expected = "listen, peer and mdns are for libp2p: add it, or drop them";
            return Err(invalid("networks", "bitcoin", expected));
        }
        if !wanted {
            return Ok(None);
        }
        Ok(Some(LightNetConfig {
            peers: resolve_all("peer", &self.peer)?,
            listen: resolve_all("listen", &self.listen)?,
            serve: true,
            identity: Identity::Kept { directory },
            mdns: self.mdns,
            allow_private: false,
            no_snapshots: self.no_snapshots,
        }))
    }
}

fn parse_networks(text: &str) -> Result<NetworkChoice, String> {
    let mut choice = NetworkChoice { bitcoin: false, libp2p: false };
    for name in text.split(',') {
        match name.trim() {
            "bitcoin" => choice.bitcoin = true,
            "libp2p" => choice.libp2p = true,
            other => return Err(format!("{other:?} is no network: bitcoin and libp2p are")),
        }
    }
    Ok(choice)
}

fn parse_address(text: &str) -> Result<Multiaddr, String> {
    let expected = "expected /ip4/ADDRESS/tcp/PORT or /ip4/ADDRESS/udp/PORT/quic-v1, with \
                    /p2p/IDENTITY after it or without; ip6, dns, dns4 and dns6 for ip4 as well";
    let address: Multiaddr = text.parse().map_err(|_error| expected.to_owned())?;
    let mut parts = address.iter();
    let place = matches!(
        parts.next(),
        Some(
            Protocol::Ip4(_)
                | Protocol::Ip6(_)
                | Protocol::Dns(_)
                | Protocol::Dns4(_)
                | Protocol::Dns6(_)
        )
    );
    let port = match parts.next() {
        Some(Protocol::Tcp(_)) => true,
        Some(Protocol::Udp(_)) => parts.next() == Some(Protocol::QuicV1),
        Some(_) | None => false,
    };
    let end = matches!(parts.next(), None | Some(Protocol::P2p(_))) && parts.next().is_none();
    if place && port && end { Ok(address) } else { Err(expected.to_owned()) }
}

fn resolve_all(setting: &'static str, texts: &[String]) -> Result<Vec<Multiaddr>, ConfigError> {
    let mut resolved = Vec::new();
    for text in texts {
        let address = value(setting, text, parse_address)?;
        resolved.extend(value(setting, text, |_| resolve(&address))?);
    }
    Ok(resolved)
}

/// The address with its name looked up, once; an address without a name stands for itself.
fn resolve(address: &Multiaddr) -> Result<Vec<Multiaddr>, String> {
    let (name, fits): (String, fn(&IpAddr) -> bool) = match address.iter().next() {
        Some(Protocol::Dns(name)) => (name.into_owned(), |_| true),
        Some(Protocol::Dns4(name)) => (name.into_owned(), IpAddr::is_ipv4),
        Some(Protocol::Dns6(name)) => (name.into_owned(), IpAddr::is_ipv6),
        Some(_) | None => return Ok(vec![address.clone()]),
    };
    let found = (name.as_str(), 0).to_socket_addrs();
    let found = found.map_err(|error| format!("it has no address ({error})"))?;
    let ips = found.map(|socket| socket.ip()).filter(fits);
    Ok(ips.filter_map(|ip| address.replace(0, |_| Some(Protocol::from(ip)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_light_nodes_are_told_from_others() {
        let id = libp2p::PeerId::random();
        for good in [
            "/ip4/127.0.0.1/tcp/0".to_owned(),
            "/ip6/::1/udp/1/quic-v1".to_owned(),
            format!("/dns4/localhost/tcp/1/p2p/{id}"),
        ] {
            assert!(parse_address(&good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:1", "/ip4/1.1.1.1", "/ip4/1.1.1.1/udp/1", "/ip4/1.1.1.1/tcp/1/ws"] {
            assert!(parse_address(bad).unwrap_err().contains("quic-v1"), "{bad}");
        }
    }

    #[test]
    fn a_name_is_looked_up_and_the_rest_of_the_address_stays() {
        let found = resolve(&"/dns4/localhost/udp/7/quic-v1".parse().unwrap()).unwrap();
        assert_eq!(found, ["/ip4/127.0.0.1/udp/7/quic-v1".parse().unwrap()]);
        assert!(resolve(&"/dns4/nowhere.invalid/tcp/7".parse().unwrap()).is_err());
    }

    #[test]
    fn networks_are_chosen_by_name() {
        let both = NetworkChoice { bitcoin: true, libp2p: true };
        assert_eq!(parse_networks("bitcoin,libp2p"), Ok(both));
        assert_eq!(parse_networks("libp2p"), Ok(NetworkChoice { bitcoin: false, libp2p: true }));
        assert!(parse_networks("bitcoin,tor").is_err() && parse_networks("").is_err());
    }

    #[test]
    fn what_is_for_libp2p_is_not_passed_over_where_that_is_left_out() {
        let settings = LightSettings {
            networks: Some("bitcoin".to_owned()),
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            ..LightSettings::default()
        };
        let networks = settings.networks().unwrap();
        assert!(settings.config(networks, PathBuf::new()).is_err());
        let nothing = LightSettings::default();
        let networks = nothing.networks().unwrap();
        assert!(nothing.config(networks, PathBuf::new()).unwrap().is_none());
    }
}
