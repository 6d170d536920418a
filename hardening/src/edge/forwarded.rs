//! Who is behind the proxies: `X-Forwarded-For` and `Forwarded` (RFC 7239), read from the right.

use core::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use crate::net_guard::Network;

/// Entries that are looked at, from the right: more proxies than that nobody has in a row.
pub const MAX_HOPS: usize = 16;

/// Which header our proxies write. Only this one is read: another may be the caller's own, which
/// the proxies pass on as it is.
///
/// ```
/// use http::HeaderMap;
/// use ironlight_hardening::edge::{ForwardedBy, TrustedProxies};
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
/// headers.insert("forwarded", r#"for="[2001:db8::1]:4711";proto=https"#.parse().unwrap());
/// let ours = "10.0.0.1".parse().unwrap();
/// assert_eq!(proxies.client(ours, &headers).to_string(), "192.0.2.7");
/// let proxies = proxies.reading(ForwardedBy::Forwarded);
/// assert_eq!(proxies.client(ours, &headers).to_string(), "2001:db8::1");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedBy {
    /// `X-Forwarded-For: 192.0.2.7, 10.0.0.1`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=192.0.2.7, for="[2001:db8::1]:4711"`.
    Forwarded,
}

/// The proxies that are believed when they say for whom they ask.
///
/// Each proxy adds, on the right, the address that it was asked from. So the list is read from the
/// right for as long as those who wrote it are trusted; what stands left of that anybody can have
/// written. With no proxies configured the header is not looked at.
///
/// ```
/// use http::HeaderMap;
/// use ironlight_hardening::edge::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "1.1.1.1, 192.0.2.7, 10.0.0.2".parse().unwrap());
/// let ours = "10.0.0.1".parse().unwrap();
/// assert_eq!(proxies.client(ours, &headers).to_string(), "192.0.2.7");
/// let stranger = "203.0.113.9".parse().unwrap();
/// assert_eq!(proxies.client(stranger, &headers), stranger);
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    by: ForwardedBy,
}

impl TrustedProxies {
    /// These, and `X-Forwarded-For`.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = Network>) -> Self {
        Self { networks: networks.into_iter().collect(), by: ForwardedBy::default() }
    }

    /// Reads another header.
    #[must_use]
    pub fn reading(self, by: ForwardedBy) -> Self {
        Self { by, ..self }
    }

    /// Whether it is one of them. IPv4 inside IPv6 counts as IPv4.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Who asks, when the connection comes from `peer`: the first address, from the right, that is
    /// not one of the proxies. Where an entry cannot be read (`unknown`, a hidden name, a
    /// `Forwarded` with a backslash), it is the proxy that wrote it; the same after [`MAX_HOPS`]
    /// entries.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let name = match self.by {
            ForwardedBy::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ForwardedBy::Forwarded => FORWARDED,
        };
        // `GetAll` ends at both sides: the last header line is the one added last.
        let lines = headers.get_all(name).iter().rev();
        let entries = lines.flat_map(|line| FromRight { rest: Some(line.as_bytes()) });
        for entry in entries.take(MAX_HOPS) {
            let Some(address) = self.address(entry) else { break };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn address(&self, entry: &[u8]) -> Option<IpAddr> {
        let entry = core::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
        match self.by {
            ForwardedBy::XForwardedFor => node_address(entry),
            // No address needs one. Read from the right, an escaped quote looks like one that ends a
            // text, and what a caller put into it (as a `Host`) like an entry of the proxy's.
            ForwardedBy::Forwarded if entry.contains('\\') => None,
            ForwardedBy::Forwarded => {
                let pairs = entry.split(';').filter_map(|pair| pair.split_once('='));
                let mut nodes = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
                let (_, node) = nodes.next()?;
                let node = node.trim_matches([' ', '\t']);
                // Twice in one entry is not allowed, and which one was meant is not known.
                let unquoted =
                    node.strip_prefix('"').map_or(Some(node), |node| node.strip_suffix('"'));
                if nodes.next().is_some() { None } else { node_address(unquoted?) }
            }
        }
    }
}

/// `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node_address(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = node.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    node.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6)
}

/// The parts between commas that are not in quotes, the last first. From the right, so that an open
/// quote in what a caller wrote does not swallow what the proxies wrote after it.
struct FromRight<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        let comma = rest.iter().rposition(|&byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        let (before, part) = match comma {
            Some(at) => (rest.get(..at), rest.get(at.saturating_add(1)..)),
            None => (None, Some(rest)),
        };
        self.rest = before;
        part
    }
}
