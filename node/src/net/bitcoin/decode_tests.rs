use std::net::Ipv4Addr;

use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::address::{AddrV2, AddrV2Message, Address};
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{Txid, Wtxid};
use ironlight_spv::peers::SplitMix64;

use super::*;
use crate::net::bitcoin::command::Handling;
use crate::net::bitcoin::message::{Outbound, OwnVersion};
use crate::net::bitcoin::testing::{self, MAGIC};

/// A message as the `bitcoin` crate writes it, decoded by ours.
fn through(message: NetworkMessage) -> Result<Inbound, DecodeError> {
    let bytes = serialize(&RawNetworkMessage::new(MAGIC, message));
    let command = Command::from_wire(bytes[4..16].try_into().unwrap()).unwrap();
    assert!(bytes.len() - 24 <= usize::try_from(command.cap()).unwrap(), "{command}");
    decode(command, &bytes[24..])
}

fn problem(result: Result<Inbound, DecodeError>) -> Problem {
    result.unwrap_err().problem
}

#[test]
fn headers_are_taken_byte_by_byte() {
    for count in [0, 1, 252, 253, 2000] {
        let headers = testing::headers(count);
        let expected = Inbound::Headers(testing::ours(&headers));
        assert_eq!(through(NetworkMessage::Headers(headers)), Ok(expected));
    }
}

#[test]
fn more_than_2000_headers_are_refused_by_their_count_alone() {
    let count = [0xfd, 0xd1, 0x07];
    let expected = Problem::TooMany { count: 2001, max: 2000 };
    assert_eq!(problem(decode(Command::Headers, &count)), expected);
    let all = [0xff; 9];
    let expected = Problem::TooMany { count: u64::MAX, max: 2000 };
    assert_eq!(problem(decode(Command::Headers, &all)), expected);
}

#[test]
fn headers_carry_no_transactions_and_nothing_follows_them() {
    let mut payload = Vec::new();
    Outbound::Headers(testing::ours(&testing::headers(2))).encode(&mut payload);
    assert!(decode(Command::Headers, &payload).is_ok());
    payload[81] = 1;
    let with_transactions = decode(Command::Headers, &payload);
    let problem_at_81 = DecodeError { at: 81, problem: Problem::TransactionsAfterHeader };
    assert_eq!(with_transactions, Err(problem_at_81));
    payload[81] = 0;
    payload.push(0);
    assert_eq!(problem(decode(Command::Headers, &payload)), Problem::Trailing { left: 1 });
    payload.truncate(100);
    let short = Problem::Short { needed: 80, left: 18 };
    assert_eq!(problem(decode(Command::Headers, &payload)), short);
}

#[test]
fn only_the_last_announced_blocks_are_kept() {
    let block = |number: u8| BlockHash::from_byte_array([number; 32]);
    let mut inventory: Vec<_> = (0..40).map(|number| Inventory::Block(block(number))).collect();
    inventory.push(Inventory::WTx(Wtxid::all_zeros()));
    inventory.push(Inventory::Transaction(Txid::all_zeros()));
    inventory.push(Inventory::WitnessBlock(block(99)));
    let blocks = (24..40).map(block).collect();
    let transactions =
        vec![TransactionId::Wtxid(Wtxid::all_zeros()), TransactionId::Txid(Txid::all_zeros())];
    let expected = Inbound::Inv { blocks, transactions, others: 25 };
    assert_eq!(through(NetworkMessage::Inv(inventory)), Ok(expected));
    let longest = vec![Inventory::Block(block(1)); 50_000];
    assert!(through(NetworkMessage::Inv(longest)).is_ok());
    let count = [0xfd, 0x51, 0xc3];
    let expected = Problem::TooMany { count: 50_001, max: 50_000 };
    assert_eq!(problem(decode(Command::Inv, &count)), expected);
}

fn record(addr: &str) -> AddressRecord {
    let services = ServiceFlags::NETWORK | ServiceFlags::P2P_V2;
    AddressRecord { addr: addr.parse().unwrap(), services, last_seen: UnixTime(123_456) }
}

#[test]
fn addresses_keep_their_ip_and_port() {
    let told = ["8.8.8.8:8333", "[2a01:4f8::1]:18333"].map(record);
    let old = |r: &AddressRecord| (r.last_seen.0, Address::new(&r.addr, r.services));
    let message = NetworkMessage::Addr(told.iter().map(old).collect());
    assert_eq!(through(message), Ok(Inbound::Addresses(told.to_vec())));
    let new = |r: &AddressRecord| AddrV2Message {
        time: r.last_seen.0,
        services: r.services,
        addr: match r.addr.ip() {
            IpAddr::V4(ip) => AddrV2::Ipv4(ip),
            IpAddr::V6(ip) => AddrV2::Ipv6(ip),
        },
        port: r.addr.port(),
    };
    let message = NetworkMessage::AddrV2(told.iter().map(new).collect());
    assert_eq!(through(message), Ok(Inbound::Addresses(told.to_vec())));
    let longest = vec![old(&told[0]); 1000];
    assert!(through(NetworkMessage::Addr(longest)).is_ok());
    for command in [Command::Addr, Command::AddrV2] {
        let expected = Problem::TooMany { count: 1001, max: 1000 };
        assert_eq!(problem(decode(command, &[0xfd, 0xe9, 0x03])), expected);
    }
}

#[test]
fn one_address_to_be_ignored_does_not_spoil_the_others() {
    let entry = |addr: AddrV2| AddrV2Message {
        time: 123_456,
        services: ServiceFlags::NETWORK | ServiceFlags::P2P_V2,
        addr,
        port: 8333,
    };
    let mapped = Ipv4Addr::new(8, 8, 4, 4).to_ipv6_mapped();
    let onion_cat = "fd87:d87e:eb43::1".parse().unwrap();
    let message = NetworkMessage::AddrV2(vec![
        entry(AddrV2::TorV3([7; 32])),
        entry(AddrV2::I2p([7; 32])),
        entry(AddrV2::Cjdns("fc00::1".parse().unwrap())),
        entry(AddrV2::Ipv6(mapped)),
        entry(AddrV2::Ipv6(onion_cat)),
        entry(AddrV2::Unknown(200, vec![9; 512])),
        entry(AddrV2::Ipv4(Ipv4Addr::new(8, 8, 8, 8))),
    ]);
    assert_eq!(through(message), Ok(Inbound::Addresses(vec![record("8.8.8.8:8333")])));
    let wrong_length = NetworkMessage::AddrV2(vec![entry(AddrV2::Unknown(1, vec![9; 5]))]);
    let expected = Problem::AddressLength { network: 1, length: 5 };
    assert_eq!(problem(through(wrong_length)), expected);
    let too_long = NetworkMessage::AddrV2(vec![entry(AddrV2::Unknown(77, vec![9; 513]))]);
    let expected = Problem::AddressLength { network: 77, length: 513 };
    assert_eq!(problem(through(too_long)), expected);
}

#[test]
fn a_version_is_shown_safely_and_may_have_later_fields() {
    let theirs = bitcoin::p2p::message_network::VersionMessage {
        user_agent: "/Evil\x1b[2J:1.0/\u{e9}".into(),
        start_height: -5,
        ..testing::version()
    };
    let Ok(Inbound::Version(version)) = through(NetworkMessage::Version(theirs)) else {
        panic!("a version")
    };
    assert_eq!(version.user_agent, "/Evil??2J:1.0/??");
    assert_eq!((version.protocol, version.start_height), (70_016, BlockHeight::GENESIS));
    let mut payload = serialize(&testing::version());
    payload.extend([1; 100]);
    assert!(decode(Command::Version, &payload).is_ok());
    let long = bitcoin::p2p::message_network::VersionMessage {
        user_agent: "x".repeat(257),
        ..testing::version()
    };
    let expected = Problem::TooMany { count: 257, max: 256 };
    assert_eq!(problem(through(NetworkMessage::Version(long))), expected);
}

#[test]
fn what_is_decoded_is_what_is_not_skipped() {
    let zeros = [0; 200];
    for command in Command::KNOWN {
        let ignored = decode(*command, &zeros) == Ok(Inbound::Ignored(*command));
        assert_eq!(ignored, command.handling() == Handling::Skip, "{command}");
    }
}

#[test]
fn our_messages_are_read_by_the_bitcoin_crate() {
    let own = OwnVersion {
        receiver: "[2a01:4f8::1]:8333".parse().unwrap(),
        time: UnixTime(1_700_000_000),
        nonce: 5,
        start_height: BlockHeight(9),
        relay: false,
    };
    let mut payload = Vec::new();
    Outbound::Version(own.clone()).encode(&mut payload);
    let read: bitcoin::p2p::message_network::VersionMessage =
        bitcoin::consensus::deserialize(&payload).unwrap();
    assert_eq!((read.version, read.nonce, read.start_height), (70_016, 5, 9));
    assert_eq!(read.services, ServiceFlags::NONE);
    assert_eq!(read.receiver.socket_addr().unwrap(), own.receiver);
    assert!(!read.relay && read.user_agent.starts_with("/ironlight:"));
}

#[test]
fn random_bytes_never_panic_and_never_cost_more_than_they_are() {
    for seed in 0..4000 {
        let mut random = SplitMix64::new(seed);
        let length = usize::try_from(random.below(400)).unwrap();
        let mut payload: Vec<u8> =
            (0..length).map(|_| random.next_u64().to_le_bytes()[0]).collect();
        if random.one_in(2) && length > 0 {
            payload[0] = random.next_u64().to_le_bytes()[0] % 8;
        }
        for command in Command::KNOWN {
            match decode(*command, &payload) {
                Ok(Inbound::Headers(headers)) => assert!(headers.len() * 81 < length),
                Ok(Inbound::Addresses(addresses)) => assert!(addresses.len() * 9 < length),
                Ok(Inbound::Inv { blocks, .. }) => assert!(blocks.len() * 36 < length),
                Ok(_) | Err(_) => {}
            }
        }
    }
}
