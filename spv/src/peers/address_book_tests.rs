use std::collections::{BTreeMap, BTreeSet};

use super::*;

const NOW: UnixTime = UnixTime(1_700_000_000);

fn book(seed: u64) -> AddressBook {
    AddressBook::new((seed, !seed), false)
}

fn peer(ip: &str) -> AddressSource {
    AddressSource::Peer(ip.parse().unwrap())
}

fn record(ip: u32, port: u16) -> AddressRecord {
    AddressRecord {
        addr: SocketAddr::new(IpAddr::V4(ip.into()), port),
        services: ServiceFlags::NETWORK,
        last_seen: NOW,
    }
}

/// Public addresses spread over all groups.
fn spread(random: &mut SplitMix64) -> AddressRecord {
    loop {
        let ip = u32::try_from(random.below(1 << 32)).unwrap();
        if is_routable(IpAddr::V4(ip.into())) {
            return record(ip, 8333);
        }
    }
}

#[test]
fn one_source_reaches_an_eighth_of_the_book() {
    for seed in 0..5 {
        let mut random = SplitMix64::new(seed);
        let mut book = book(seed);
        for _ in 0..20_000 {
            book.offer(peer("8.8.8.8"), &spread(&mut random), NOW);
        }
        assert!(book.len() > 300 && book.len() <= ADDRESS_BOOK_SIZE / 8, "{}", book.len());
        let neighbour = book.len();
        for _ in 0..20_000 {
            book.offer(peer("8.8.77.1"), &spread(&mut random), NOW);
        }
        assert!(book.len() <= ADDRESS_BOOK_SIZE / 8, "a neighbour is the same source");
        assert!(book.len() >= neighbour);
    }
}

#[test]
fn the_book_is_bounded_and_each_address_stands_in_it_once() {
    let mut random = SplitMix64::new(3);
    let mut book = book(3);
    for _ in 0..200_000 {
        let AddressRecord { addr, .. } = spread(&mut random);
        book.offer(AddressSource::Peer(addr.ip()), &spread(&mut random), NOW);
    }
    assert_eq!(book.len(), ADDRESS_BOOK_SIZE, "every slot is reached");
    let distinct: BTreeSet<_> = book.entries().map(|entry| entry.addr).collect();
    assert_eq!(distinct.len(), book.entries().count());
    for (addr, place) in &book.places {
        assert_eq!(book.slots[*place].unwrap().addr, *addr);
    }
}

#[test]
fn a_flood_does_not_push_out_what_was_known() {
    let mut random = SplitMix64::new(4);
    let mut book = book(4);
    for _ in 0..200 {
        book.offer(peer("9.9.9.9"), &spread(&mut random), NOW);
    }
    let known: Vec<_> = book.entries().map(|entry| entry.addr).collect();
    for _ in 0..50_000 {
        book.offer(peer("8.8.8.8"), &spread(&mut random), NOW);
    }
    assert!(known.iter().all(|addr| book.places.contains_key(addr)));
}

#[test]
fn the_useless_make_room() {
    let mut random = SplitMix64::new(5);
    let mut book = book(5);
    for _ in 0..20_000 {
        book.offer(peer("8.8.8.8"), &spread(&mut random), NOW);
    }
    let all: Vec<_> = book.entries().map(|entry| entry.addr).collect();
    for addr in &all {
        for _ in 0..RETRIES {
            book.failed(*addr, Duration::ZERO, &mut random);
        }
    }
    for _ in 0..20_000 {
        book.offer(peer("8.8.8.8"), &spread(&mut random), NOW);
    }
    let left = all.iter().filter(|addr| book.places.contains_key(addr)).count();
    assert_eq!(left, 0, "of {} failed ones", all.len());
}

#[test]
fn what_cannot_be_of_use_is_not_kept() {
    let mut book = book(6);
    let good = record(0x0808_0808, 8333);
    let cases = [
        AddressRecord { services: ServiceFlags::NETWORK_LIMITED, ..good },
        AddressRecord { last_seen: UnixTime(NOW.0 - HORIZON_SECONDS - 1), ..good },
        record(0x0a00_0001, 8333),
        record(0x7f00_0001, 8333),
        record(0x0808_0808, 25),
        record(0x0808_0808, 0),
    ];
    for case in cases {
        book.offer(AddressSource::DnsSeed(0), &case, NOW);
        assert_eq!(book.len(), 0, "{case:?}");
    }
    book.offer(AddressSource::DnsSeed(0), &good, NOW);
    assert_eq!(book.len(), 1);
}

#[test]
fn a_last_seen_from_the_future_counts_as_days_ago() {
    let mut book = book(7);
    let told = AddressRecord { last_seen: UnixTime(u32::MAX), ..record(0x0808_0808, 8333) };
    book.offer(peer("9.9.9.9"), &told, NOW);
    let entry = book.entries().next().unwrap();
    assert_eq!(entry.last_seen, UnixTime(NOW.0 - WRONG_CLOCK_SECONDS));
}

#[test]
fn a_source_with_many_addresses_is_not_dialled_more_for_it() {
    let mut random = SplitMix64::new(8);
    let mut book = book(8);
    for _ in 0..20_000 {
        book.offer(peer("8.8.8.8"), &spread(&mut random), NOW);
    }
    let flood: BTreeSet<_> = book.entries().map(|entry| entry.addr).collect();
    for seed in 0..7 {
        for _ in 0..8 {
            book.offer(AddressSource::DnsSeed(seed), &spread(&mut random), NOW);
        }
    }
    let from_flood = (0..2000)
        .filter(|_| {
            let chosen = book.choose(&mut random, Duration::ZERO, |_| true).unwrap();
            flood.contains(&chosen.addr)
        })
        .count();
    let share = flood.len() * 100 / book.len();
    assert!(share > 80, "the flood is {share} % of the book");
    assert!(from_flood < 900, "{from_flood} of 2000 dials");
}

#[test]
fn pauses_after_failures_double_from_a_minute_to_an_hour() {
    let mut random = SplitMix64::new(9);
    let mut book = book(9);
    let told = record(0x0808_0808, 8333);
    book.offer(peer("9.9.9.9"), &told, NOW);
    let mut pauses = BTreeMap::new();
    for failure in 1..=9_u32 {
        book.failed(told.addr, Duration::ZERO, &mut random);
        pauses.insert(failure, book.next_due(|_| true).unwrap());
    }
    for (failure, pause) in pauses {
        let ceiling = (BASE * 2_u32.pow(failure - 1)).min(CAP);
        assert!(pause >= ceiling / 2 && pause <= ceiling, "{failure}: {pause:?}");
        assert!(book.choose(&mut random, ceiling / 4, |_| true).is_none());
    }
}

#[test]
fn a_banned_owner_is_forgotten_whole() {
    let mut random = SplitMix64::new(10);
    let mut book = book(10);
    for port in 2000..2100 {
        book.offer(peer("9.9.9.9"), &record(0x0808_0808, port), NOW);
    }
    book.offer(peer("9.9.9.9"), &record(0x0809_0808, 8333), NOW);
    book.remove_owner("8.8.8.8".parse().unwrap());
    assert_eq!(book.len(), 1);
    assert_eq!(book.entries().count(), 1);
    assert!(book.choose(&mut random, Duration::ZERO, |_| true).is_some());
}
