//! Against a naive reader, which is told the list that the header was made of.

use core::net::IpAddr;

use http::{HeaderMap, HeaderValue};

use super::forwarded::{ForwardedBy, MAX_HOPS, TrustedProxies};
use crate::testing::Numbers;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn proxies(by: ForwardedBy) -> TrustedProxies {
    let networks = ["10.0.0.0/8", "2001:db8:ffff::/48"].map(|network| network.parse().unwrap());
    TrustedProxies::new(networks).reading(by)
}

/// One entry as it is written, and what it means; none for what cannot be read.
type Entry = (String, Option<IpAddr>);

const JUNK: [&str; 8] =
    ["unknown", "_hidden", "", "1.2.3", "10.0.0.1.1", "for", "999.1.1.1", "[2001:db8::1"];

fn entry(numbers: &mut Numbers, by: ForwardedBy) -> Entry {
    let n = numbers.below(5);
    let (address, v6) = match numbers.below(8) {
        0..4 => (format!("10.0.0.{n}"), false),
        4 => (format!("2001:db8:ffff::{n}"), true),
        5 => (format!("192.0.2.{n}"), false),
        6 => (format!("2001:db8::{n}"), true),
        _ => {
            let at = usize::try_from(numbers.below(JUNK.len() as u64)).unwrap();
            return (JUNK[at].into(), None);
        }
    };
    let known = Some(ip(&address));
    let bare = numbers.below(2) == 0;
    let port = if numbers.below(2) == 0 { ":4711" } else { "" };
    let text = match (by, v6) {
        (ForwardedBy::XForwardedFor, false) => format!("{address}{port}"),
        (ForwardedBy::XForwardedFor, true) if bare => address,
        (ForwardedBy::XForwardedFor, true) => format!("[{address}]{port}"),
        (ForwardedBy::Forwarded, false) if bare => format!("proto=http;For={address};by=_x"),
        (ForwardedBy::Forwarded, false) => format!("for=\"{address}{port}\"; host=\"a,b\""),
        (ForwardedBy::Forwarded, true) => format!("for=\"[{address}]{port}\""),
    };
    (text, known)
}

/// What comes before the first entry in the caller's own line.
const PREFIXES: [&[u8]; 6] =
    [b"", b"for=\"open, ", b"\"\"\", ", b"\xff\xfe, ", b"a\\\", ", b",,;=, "];

/// Walks the list from its end.
fn naive(peer: IpAddr, entries: &[Entry]) -> IpAddr {
    let trusted = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[..3] == [0x2001, 0xdb8, 0xffff],
    };
    let mut client = peer;
    for (looked_at, (_, address)) in entries.iter().rev().enumerate() {
        if !trusted(client) || looked_at == MAX_HOPS {
            return client;
        }
        match address {
            Some(address) => client = *address,
            None => return client,
        }
    }
    client
}

#[test]
fn finds_the_client_that_a_naive_reader_finds_in_the_list() {
    let mut numbers = Numbers(7);
    let (mut by_proxy, mut deep) = (0_u32, 0_u32);
    for step in 0..100_000 {
        let by = match step % 2 {
            0 => ForwardedBy::XForwardedFor,
            _ => ForwardedBy::Forwarded,
        };
        let name = if step % 2 == 0 { "x-forwarded-for" } else { "forwarded" };
        let (mut headers, mut all) = (HeaderMap::new(), Vec::<Entry>::new());
        for line in 0..1 + numbers.below(2) {
            let entries: Vec<_> =
                (0..1 + numbers.below(12)).map(|_| entry(&mut numbers, by)).collect();
            let prefix = usize::try_from(numbers.below(PREFIXES.len() as u64)).unwrap();
            let mut text = if line == 0 { PREFIXES[prefix].to_vec() } else { Vec::new() };
            if !text.is_empty() {
                all.push((String::new(), None));
            }
            let joined: Vec<_> = entries.iter().map(|(text, _)| text.as_str()).collect();
            text.extend_from_slice(joined.join(", ").as_bytes());
            headers.append(name, HeaderValue::from_bytes(&text).unwrap());
            all.extend(entries);
        }
        // The other header is the caller's own.
        let other = if step % 2 == 0 { "forwarded" } else { "x-forwarded-for" };
        headers.append(other, HeaderValue::from_static("for=6.6.6.6, 6.6.6.6"));
        let peer = ip(if numbers.below(4) == 0 { "203.0.113.9" } else { "10.9.9.9" });
        let expected = naive(peer, &all);
        assert_eq!(proxies(by).client(peer, &headers), expected, "step {step}: {headers:?}");
        by_proxy += u32::from(expected != peer);
        deep += u32::from(all.len() > MAX_HOPS);
    }
    assert!(by_proxy > 10_000 && deep > 1000, "both happen: {by_proxy}, {deep}");
}

#[test]
fn any_bytes_are_read_without_a_panic_and_a_stranger_stays_who_it_is() {
    let mut numbers = Numbers(11);
    let alphabet = b"10.,:;=\"\\[] for2db8\xff\t";
    for _ in 0..100_000 {
        let len = numbers.below(40);
        let mut byte = || alphabet[usize::try_from(numbers.below(20)).unwrap()];
        let text: Vec<u8> = (0..len).map(|_| byte()).collect();
        let mut headers = HeaderMap::new();
        for name in ["x-forwarded-for", "forwarded"] {
            headers.append(name, HeaderValue::from_bytes(&text).unwrap());
        }
        let stranger = ip("203.0.113.9");
        for by in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
            assert_eq!(proxies(by).client(stranger, &headers), stranger);
            let _any = proxies(by).client(ip("10.0.0.1"), &headers);
        }
    }
}

#[test]
fn what_a_caller_writes_itself_does_not_hide_it() {
    let mut headers = HeaderMap::new();
    // The caller claims to be a proxy, and then somebody; the proxy adds who really asked.
    headers.insert("x-forwarded-for", HeaderValue::from_static("8.8.8.8, 10.0.0.5, 192.0.2.7"));
    let client = proxies(ForwardedBy::XForwardedFor).client(ip("10.0.0.1"), &headers);
    assert_eq!(client, ip("192.0.2.7"));
    headers.insert("forwarded", HeaderValue::from_static("for=\"8.8.8.8, for=192.0.2.7"));
    let client = proxies(ForwardedBy::Forwarded).client(ip("10.0.0.1"), &headers);
    assert_eq!(client, ip("192.0.2.7"), "an open quote swallows nothing");
    headers.insert("forwarded", HeaderValue::from_static("for=192.0.2.7;for=8.8.8.8"));
    let client = proxies(ForwardedBy::Forwarded).client(ip("10.0.0.1"), &headers);
    assert_eq!(client, ip("10.0.0.1"), "twice in one entry says nothing");
    // The proxy quotes the `Host` that the caller sent: `x", for=9.9.9.9;a="y`.
    let escaped = r#"for=192.0.2.7;host="x\", for=9.9.9.9;a=\"y""#;
    headers.insert("forwarded", HeaderValue::from_static(escaped));
    let client = proxies(ForwardedBy::Forwarded).client(ip("10.0.0.1"), &headers);
    assert_eq!(client, ip("10.0.0.1"), "what is in quotes is no entry");
}

#[test]
fn ipv4_inside_ipv6_is_the_same_proxy() {
    let mut headers = HeaderMap::new();
    headers
        .insert("x-forwarded-for", HeaderValue::from_static("::ffff:192.0.2.7, ::ffff:10.0.0.2"));
    let peer = ip("::ffff:10.0.0.1");
    assert_eq!(proxies(ForwardedBy::XForwardedFor).client(peer, &headers), ip("192.0.2.7"));
}
