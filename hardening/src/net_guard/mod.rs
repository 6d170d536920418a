//! Which addresses a request that somebody else chose may go to.
//!
//! Purpose: whoever can name a URL (a webhook, a log sink, a mirror) must not make this host ask
//! its own network: the loopback, the router, a cloud's metadata service (server-side request
//! forgery). Names prove nothing, since their owner decides what they resolve to, and may decide
//! differently from one question to the next. So the check comes after resolving, and the address
//! that was checked is the one to connect to: see [`AddressGuard::filter`]. A client behind it
//! must connect to that [`SocketAddr`], must not resolve again, and must not follow redirects by
//! itself; each hop is checked anew.
//!
//! What is refused: all that is [`Special`]. IPv4 inside IPv6 (mapped, NAT64, 6to4, Teredo) is
//! refused as such; where its network is allowed, what is inside is still judged as IPv4.
//!
//! What an attacker can grow: nothing. Of a name's addresses the first [`MAX_ADDRESSES`] count.
//!
//! ```
//! use ironlight_hardening::net_guard::{AddressGuard, Special};
//!
//! let guard = AddressGuard::public_only();
//! assert!(guard.check("1.1.1.1".parse().unwrap()).is_ok());
//! let metadata = guard.check("169.254.169.254".parse().unwrap()).unwrap_err();
//! assert_eq!(metadata.special, Special::LinkLocal);
//!
//! // Hooks on our own network: named one by one.
//! let guard = guard.allow("10.1.0.0/16".parse().unwrap());
//! assert!(guard.check("10.1.2.3".parse().unwrap()).is_ok());
//! assert!(guard.check("10.2.2.3".parse().unwrap()).is_err());
//! ```

mod ranges;
#[cfg(test)]
mod tests;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use std::io;
use std::net::ToSocketAddrs;

pub use ranges::Special;

/// How many addresses of a name are looked at.
pub const MAX_ADDRESSES: usize = 16;

/// A network such as `10.1.0.0/16`; an address alone is a network of one.
///
/// The [module](self) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// None when the prefix is longer than the address. Bits after the prefix do not matter.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u32) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Whether the address lies in it. IPv4 inside IPv6 is IPv6 here.
    ///
    /// ```
    /// use ironlight_hardening::net_guard::Network;
    ///
    /// let network = Network::new([10, 1, 0, 0].into(), 16).unwrap();
    /// assert!(network.contains([10, 1, 2, 3].into()));
    /// assert!(!network.contains([10, 2, 0, 0].into()));
    /// ```
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                (ours.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                (ours.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Not a network: `address` or `address/prefix` was expected.
///
/// ```
/// use ironlight_hardening::net_guard::Network;
///
/// assert!("10.1.0.0/16".parse::<Network>().is_ok());
/// assert!("10.1.0.0/33".parse::<Network>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network such as 10.1.0.0/16")
    }
}

impl core::error::Error for NotANetwork {}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(whole), str::parse).map_err(|_| NotANetwork)?;
        Self::new(address, prefix).ok_or(NotANetwork)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// An address that must not be connected to.
///
/// The [module](self) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRefused {
    /// The address.
    pub address: IpAddr,
    /// Why. For an allowed wrapping of IPv4, what the IPv4 address inside is.
    pub special: Special,
}

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a public address: {}", self.address, self.special)
    }
}

impl core::error::Error for AddressRefused {}

/// Why there is nothing to connect to.
///
/// ```
/// use ironlight_hardening::net_guard::{AddressGuard, GuardError};
///
/// let guard = AddressGuard::public_only();
/// let refused = guard.filter([([127, 0, 0, 1], 443).into()]).unwrap_err();
/// assert!(matches!(refused, GuardError::Refused(_)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum GuardError {
    /// All addresses are refused; this is the first.
    Refused(AddressRefused),
    /// The name has no address.
    NoAddress,
    /// Resolving failed.
    Resolve(io::Error),
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::NoAddress => f.write_str("the name has no address"),
            Self::Resolve(error) => write!(f, "resolving failed: {error}"),
        }
    }
}

impl core::error::Error for GuardError {}

/// Decides which addresses may be connected to. Cheap to clone where little is allowed.
///
/// ```
/// use ironlight_hardening::net_guard::AddressGuard;
///
/// let guard = AddressGuard::public_only().allow("10.1.0.0/16".parse().unwrap());
/// assert!(guard.check("10.1.2.3".parse().unwrap()).is_ok());
/// assert!(guard.check("127.0.0.1".parse().unwrap()).is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Vec<Network>,
}

impl AddressGuard {
    /// Public addresses only.
    #[must_use]
    pub const fn public_only() -> Self {
        Self { allowed: Vec::new() }
    }

    /// Also this network, whatever it is. Of NAT64's local prefix (`64:ff9b:1::/48`) allow the /96
    /// that the translator uses: where the IPv4 address stands in a shorter one cannot be told.
    #[must_use]
    pub fn allow(mut self, network: Network) -> Self {
        self.allowed.push(network);
        self
    }

    /// Whether the address may be connected to.
    ///
    /// # Errors
    /// [`AddressRefused`] when it is special and not allowed.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let refused = |special| AddressRefused { address, special };
        self.judge(address).map_err(refused)?;
        ranges::inner_v4(address).map_or(Ok(()), |inner| self.judge(inner.into()).map_err(refused))
    }

    /// The addresses that may be connected to, in their order and without repetition, of the first
    /// [`MAX_ADDRESSES`].
    ///
    /// # Errors
    /// [`GuardError::Refused`] when none may be, [`GuardError::NoAddress`] when there is none.
    pub fn filter(
        &self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, GuardError> {
        let mut good = Vec::new();
        let mut refused = None;
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match self.check(address.ip()) {
                Ok(()) if good.contains(&address) => {}
                Ok(()) => good.push(address),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        if good.is_empty() {
            return Err(refused.map_or(GuardError::NoAddress, GuardError::Refused));
        }
        Ok(good)
    }

    /// Resolves a name with the operating system, which blocks, and filters what comes. A name
    /// that is an address in any spelling is one to the resolver too (`0x7f.1`).
    ///
    /// # Errors
    /// As [`Self::filter`]; [`GuardError::Resolve`] when resolving fails.
    pub fn resolve_blocking(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, GuardError> {
        self.filter((host, port).to_socket_addrs().map_err(GuardError::Resolve)?)
    }

    fn judge(&self, address: IpAddr) -> Result<(), Special> {
        if self.allowed.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        ranges::special(address).map_or(Ok(()), Err)
    }
}
