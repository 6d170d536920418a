//! Which addresses are special, from IANA's special-purpose registries (RFC 6890) and what grew
//! since.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not one of the public Internet's hosts.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Special {
    /// No address, or "this network": connecting to it reaches this host.
    Unspecified,
    /// This host.
    Loopback,
    /// A private network, or IPv6's unique local and site-local addresses.
    Private,
    /// The shared space of carriers' address translation (RFC 6598); clouds use it inside.
    Shared,
    /// One link; metadata services of clouds answer here.
    LinkLocal,
    /// Many hosts at once.
    Multicast,
    /// All hosts of the link.
    Broadcast,
    /// For examples only.
    Documentation,
    /// For measuring devices only.
    Benchmarking,
    /// Packets to it are thrown away (RFC 6666).
    Discard,
    /// Kept by the IETF for protocols, or not handed out.
    Reserved,
    /// A cloud's own services under a public address.
    CloudPlatform,
    /// IPv4 inside IPv6, mapped or "compatible".
    Mapped,
    /// Reaches IPv4 through a translator (RFC 6052, RFC 8215).
    Nat64,
    /// Reaches IPv4 through a tunnel: 6to4 or Teredo.
    Tunnel,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::Private => "private",
            Self::Shared => "shared by a carrier",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Broadcast => "broadcast",
            Self::Documentation => "for documentation",
            Self::Benchmarking => "for benchmarking",
            Self::Discard => "discarded",
            Self::Reserved => "reserved",
            Self::CloudPlatform => "a cloud platform's",
            Self::Mapped => "IPv4 inside IPv6",
            Self::Nat64 => "NAT64",
            Self::Tunnel => "a tunnel to IPv4",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> u32 {
    Ipv4Addr::new(a, b, c, d).to_bits()
}

const fn v6(a: u16, b: u16, c: u16) -> u128 {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_bits()
}

/// The first that fits counts.
pub(super) const V4: &[(u32, u32, Special)] = &[
    (v4(0, 0, 0, 0), 8, Special::Unspecified),
    (v4(10, 0, 0, 0), 8, Special::Private),
    (v4(100, 64, 0, 0), 10, Special::Shared),
    (v4(127, 0, 0, 0), 8, Special::Loopback),
    // Azure's agent, name server and health probes.
    (v4(168, 63, 129, 16), 32, Special::CloudPlatform),
    (v4(169, 254, 0, 0), 16, Special::LinkLocal),
    (v4(172, 16, 0, 0), 12, Special::Private),
    (v4(192, 0, 0, 0), 24, Special::Reserved),
    (v4(192, 0, 2, 0), 24, Special::Documentation),
    (v4(192, 88, 99, 0), 24, Special::Tunnel),
    (v4(192, 168, 0, 0), 16, Special::Private),
    (v4(198, 18, 0, 0), 15, Special::Benchmarking),
    (v4(198, 51, 100, 0), 24, Special::Documentation),
    (v4(203, 0, 113, 0), 24, Special::Documentation),
    (v4(224, 0, 0, 0), 4, Special::Multicast),
    (v4(255, 255, 255, 255), 32, Special::Broadcast),
    (v4(240, 0, 0, 0), 4, Special::Reserved),
];

/// The first that fits counts; what fits none and is outside 2000::/3 is reserved.
pub(super) const V6: &[(u128, u32, Special)] = &[
    (0, 128, Special::Unspecified),
    (1, 128, Special::Loopback),
    (0xffff << 32, 96, Special::Mapped),
    (0, 96, Special::Mapped),
    // Stateless IP/ICMP translation (RFC 2765): ::ffff:0:a.b.c.d.
    (0xffff << 48, 96, Special::Mapped),
    (v6(0x64, 0xff9b, 0), 96, Special::Nat64),
    (v6(0x64, 0xff9b, 1), 48, Special::Nat64),
    (v6(0x100, 0, 0), 64, Special::Discard),
    (v6(0x2001, 0, 0), 32, Special::Tunnel),
    (v6(0x2001, 2, 0), 48, Special::Benchmarking),
    (v6(0x2001, 0, 0), 23, Special::Reserved),
    (v6(0x2001, 0xdb8, 0), 32, Special::Documentation),
    (v6(0x2002, 0, 0), 16, Special::Tunnel),
    (v6(0x3fff, 0, 0), 20, Special::Documentation),
    (v6(0xfc00, 0, 0), 7, Special::Private),
    (v6(0xfe80, 0, 0), 10, Special::LinkLocal),
    (v6(0xfec0, 0, 0), 10, Special::Private),
    (v6(0xff00, 0, 0), 8, Special::Multicast),
];

/// Whether the address is special, and how. IPv4 inside IPv6 is judged by its wrapping only.
pub(super) fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            let fits = |&&(network, prefix, _): &&(u32, u32, Special)| {
                (bits ^ network).leading_zeros() >= prefix
            };
            V4.iter().find(fits).map(|&(_, _, kind)| kind)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let fits = |&&(network, prefix, _): &&(u128, u32, Special)| {
                (bits ^ network).leading_zeros() >= prefix
            };
            let outside = || (bits >> 125 != 1).then_some(Special::Reserved);
            V6.iter().find(fits).map(|&(_, _, kind)| kind).or_else(outside)
        }
    }
}

/// The IPv4 address that an IPv6 address leads to, where it says so itself.
pub(super) fn inner_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let bits = address.to_bits();
    let low =
        |shift: u32| Ipv4Addr::from_bits(u32::try_from((bits >> shift) & 0xffff_ffff).unwrap_or(0));
    match special(IpAddr::V6(address))? {
        // A NAT64 prefix may also be shorter than /96 (RFC 6052), but its address does not say so.
        Special::Mapped | Special::Nat64 => Some(low(0)),
        // 6to4 has it after its 16 bits; Teredo, inverted, at the end.
        Special::Tunnel if bits >> 112 == 0x2002 => Some(low(80)),
        Special::Tunnel => Some(Ipv4Addr::from_bits(!low(0).to_bits())),
        Special::Unspecified
        | Special::Loopback
        | Special::Private
        | Special::Shared
        | Special::LinkLocal
        | Special::Multicast
        | Special::Broadcast
        | Special::Documentation
        | Special::Benchmarking
        | Special::Discard
        | Special::Reserved
        | Special::CloudPlatform => None,
    }
}
