//! Every special range at its edges, both inside and just outside.

use core::net::{IpAddr, SocketAddr};

use super::{AddressGuard, GuardError, MAX_ADDRESSES, Network, Special};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// First and last address, what they are, and the neighbours that are public.
const RANGES: &[(&str, &str, Special, &[&str])] = &[
    ("0.0.0.0", "0.255.255.255", Special::Unspecified, &["1.0.0.0"]),
    ("10.0.0.0", "10.255.255.255", Special::Private, &["9.255.255.255", "11.0.0.0"]),
    ("100.64.0.0", "100.127.255.255", Special::Shared, &["100.63.255.255", "100.128.0.0"]),
    ("127.0.0.0", "127.255.255.255", Special::Loopback, &["126.255.255.255", "128.0.0.0"]),
    ("168.63.129.16", "168.63.129.16", Special::CloudPlatform, &["168.63.129.15", "168.63.129.17"]),
    ("169.254.0.0", "169.254.255.255", Special::LinkLocal, &["169.253.255.255", "169.255.0.0"]),
    ("172.16.0.0", "172.31.255.255", Special::Private, &["172.15.255.255", "172.32.0.0"]),
    ("192.0.0.0", "192.0.0.255", Special::Reserved, &["191.255.255.255", "192.0.1.0"]),
    ("192.0.2.0", "192.0.2.255", Special::Documentation, &["192.0.1.255", "192.0.3.0"]),
    ("192.88.99.0", "192.88.99.255", Special::Tunnel, &["192.88.98.255", "192.88.100.0"]),
    ("192.168.0.0", "192.168.255.255", Special::Private, &["192.167.255.255", "192.169.0.0"]),
    ("198.18.0.0", "198.19.255.255", Special::Benchmarking, &["198.17.255.255", "198.20.0.0"]),
    ("198.51.100.0", "198.51.100.255", Special::Documentation, &["198.51.99.255", "198.51.101.0"]),
    ("203.0.113.0", "203.0.113.255", Special::Documentation, &["203.0.112.255", "203.0.114.0"]),
    ("224.0.0.0", "239.255.255.255", Special::Multicast, &["223.255.255.255"]),
    ("240.0.0.0", "255.255.255.254", Special::Reserved, &[]),
    ("255.255.255.255", "255.255.255.255", Special::Broadcast, &[]),
    ("::", "::", Special::Unspecified, &[]),
    ("::1", "::1", Special::Loopback, &[]),
    ("::2", "::ffff:ffff", Special::Mapped, &[]),
    ("::ffff:0.0.0.0", "::ffff:255.255.255.255", Special::Mapped, &[]),
    ("::ffff:0:0.0.0.0", "::ffff:0:255.255.255.255", Special::Mapped, &[]),
    ("64:ff9b::", "64:ff9b::255.255.255.255", Special::Nat64, &[]),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Special::Nat64, &[]),
    ("100::", "100::ffff:ffff:ffff:ffff", Special::Discard, &[]),
    ("100:0:0:1::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Special::Reserved, &["2000::"]),
    ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Special::Tunnel, &["2000:ffff::1"]),
    ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Special::Benchmarking, &[]),
    ("2001:10::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Special::Reserved, &["2001:200::"]),
    (
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        Special::Documentation,
        &["2001:db7:ffff::", "2001:db9::"],
    ),
    (
        "2002::",
        "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        Special::Tunnel,
        &["2001:ffff::", "2003::"],
    ),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        Special::Documentation,
        &["3ffe::1", "3fff:1000::"],
    ),
    ("4000::", "fbff:ffff::", Special::Reserved, &[]),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Special::Private, &[]),
    ("fe00::", "fe7f:ffff::", Special::Reserved, &[]),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Special::LinkLocal, &[]),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Special::Private, &[]),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Special::Multicast, &[]),
];

#[test]
fn every_special_range_is_refused_to_its_edges_and_not_beyond() {
    let guard = AddressGuard::public_only();
    for &(first, last, special, public) in RANGES {
        for text in [first, last] {
            let refused = guard.check(ip(text)).unwrap_err();
            assert_eq!((refused.special, refused.address), (special, ip(text)), "{text}");
        }
        for text in public {
            assert_eq!(guard.check(ip(text)), Ok(()), "{text}");
        }
    }
    for text in ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2a00:1450::1", "192.31.196.1"] {
        assert_eq!(guard.check(ip(text)), Ok(()), "{text}");
    }
}

/// The standard library knows some of the ranges too.
#[test]
fn nothing_that_the_standard_library_calls_special_passes() {
    let guard = AddressGuard::public_only();
    let mut numbers = crate::testing::Numbers(7);
    let mut special = 0;
    for _ in 0..100_000 {
        let bits = u32::try_from(numbers.below(1 << 32)).unwrap();
        let v4 = core::net::Ipv4Addr::from_bits(bits);
        let theirs = v4.is_private()
            || v4.is_loopback()
            || v4.is_link_local()
            || v4.is_multicast()
            || v4.is_broadcast()
            || v4.is_documentation()
            || v4.is_unspecified();
        special += u32::from(theirs);
        assert!(!theirs || guard.check(v4.into()).is_err(), "{v4}");
        assert!(guard.check(v4.to_ipv6_mapped().into()).is_err());
    }
    assert!(special > 1000);
}

#[test]
fn an_allowed_wrapping_is_still_judged_by_what_is_inside() {
    let guard = AddressGuard::public_only()
        .allow("64:ff9b::/96".parse().unwrap())
        .allow("64:ff9b:1::/48".parse().unwrap())
        .allow("::ffff:0.0.0.0/96".parse().unwrap())
        .allow("2002::/16".parse().unwrap())
        .allow("2001::/32".parse().unwrap());
    let inside = [
        ("64:ff9b::169.254.169.254", Special::LinkLocal),
        ("64:ff9b:1::10.0.0.1", Special::Private),
        ("::ffff:127.0.0.1", Special::Loopback),
        ("2002:7f00:1::1", Special::Loopback),
        // Teredo has it inverted: 0x80ff_fffe is not 127.0.0.1.
        ("2001::80ff:fffe", Special::Loopback),
    ];
    for (text, special) in inside {
        assert_eq!(guard.check(ip(text)).unwrap_err().special, special, "{text}");
    }
    for text in ["64:ff9b::1.1.1.1", "::ffff:1.1.1.1", "2002:101:101::1"] {
        assert_eq!(guard.check(ip(text)), Ok(()), "{text}");
    }
}

#[test]
fn allowing_ipv4_does_not_allow_it_inside_ipv6() {
    let guard = AddressGuard::public_only().allow("127.0.0.0/8".parse().unwrap());
    assert_eq!(guard.check(ip("127.0.0.1")), Ok(()));
    assert!(guard.check(ip("::ffff:127.0.0.1")).is_err());
    assert!(guard.check(ip("::1")).is_err());
}

#[test]
fn only_good_addresses_are_left_and_not_too_many() {
    let guard = AddressGuard::public_only();
    let at = |text: &str| SocketAddr::new(ip(text), 443);
    let mixed = [at("10.0.0.1"), at("1.1.1.1"), at("::1"), at("1.1.1.1"), at("2606::1")];
    assert_eq!(guard.filter(mixed).unwrap(), [at("1.1.1.1"), at("2606::1")]);
    let all_bad = guard.filter([at("10.0.0.1"), at("::1")]);
    let Err(GuardError::Refused(refused)) = all_bad else { panic!("{all_bad:?}") };
    assert_eq!(refused.address, ip("10.0.0.1"));
    assert!(matches!(guard.filter([]), Err(GuardError::NoAddress)));
    let many = (0..1000_u16).map(|port| SocketAddr::new(ip("1.1.1.1"), port));
    assert_eq!(guard.filter(many).unwrap().len(), MAX_ADDRESSES);
}

#[test]
fn other_spellings_of_the_loopback_are_seen_through_by_resolving_first() {
    let guard = AddressGuard::public_only();
    for host in ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"] {
        match guard.resolve_blocking(host, 80) {
            Err(GuardError::Refused(_) | GuardError::Resolve(_) | GuardError::NoAddress) => {}
            Ok(addresses) => panic!("{host}: {addresses:?}"),
        }
    }
    let refused = guard.resolve_blocking("127.0.0.1", 80);
    assert!(matches!(refused, Err(GuardError::Refused(_))));
}

#[test]
fn networks_are_read_and_written() {
    for text in ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "", "/8", "10.0.0/8"] {
        assert!(text.parse::<Network>().is_err(), "{text}");
    }
    let one: Network = "192.0.2.7".parse().unwrap();
    assert_eq!(one.to_string(), "192.0.2.7/32");
    assert!(one.contains(ip("192.0.2.7")) && !one.contains(ip("192.0.2.6")));
    let all: Network = "0.0.0.0/0".parse().unwrap();
    assert!(all.contains(ip("255.1.2.3")) && !all.contains(ip("::1")));
}
