//! Addresses as keys.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as a key: IPv4 as it is, IPv6 by its /64, for whoever has one IPv6 address has all
/// 2^64 of its network. IPv4 inside IPv6 (`::ffff:192.0.2.7`) counts as IPv4.
///
/// ```
/// use ironlight_hardening::rate_limit::IpKey;
///
/// let key = |text: &str| IpKey::from(text.parse::<std::net::IpAddr>().unwrap());
/// assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:2"));
/// assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
/// assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
/// assert_eq!(key("2001:db8::1").to_string(), "2001:db8::/64");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpKey {
    bits: u64,
    v6: bool,
}

impl From<IpAddr> for IpKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self { bits: u64::from(address.to_bits()), v6: false },
            IpAddr::V6(address) => {
                let network = u64::try_from(address.to_bits() >> 64).unwrap_or(0);
                Self { bits: network, v6: true }
            }
        }
    }
}

impl fmt::Display for IpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.v6 {
            return write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(self.bits) << 64));
        }
        Ipv4Addr::from_bits(u32::try_from(self.bits).unwrap_or(0)).fmt(f)
    }
}
