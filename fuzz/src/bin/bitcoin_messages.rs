//! The payloads of Bitcoin's messages: the first byte chooses the command, the rest is its payload.
//! What decodes says what the `bitcoin` crate reads from the same bytes; what this node sends is
//! read back by it, or by us.

#![cfg_attr(all(feature = "libfuzzer", not(test)), no_main)]
#![allow(clippy::expect_used, reason = "a panic is how a fuzz target reports")]

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::consensus::encode::{deserialize, deserialize_partial, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::ServiceFlags;
use bitcoin::p2p::address::{AddrV2, AddrV2Message, Address};
use bitcoin::p2p::message_blockdata::{GetHeadersMessage, Inventory};
use bitcoin::p2p::message_filter::{CFCheckpt, CFHeaders, CFilter, GetCFilters};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::{BlockHash, Txid, Wtxid};
use ironlight::net::bitcoin::command::{
    Command, MAX_ADDRESSES, MAX_HEADERS, MAX_INVENTORY, MAX_LOCATOR, MAX_USER_AGENT,
};
use ironlight::net::bitcoin::message::{
    Inbound, MAX_ANNOUNCED, Outbound, OwnVersion, TransactionId, Version,
};
use ironlight::net::wire::{Cursor, DecodeError, Problem};
use ironlight_fuzz::names_its_place;
use ironlight_spv::generate::Miner;
use ironlight_spv::peers::AddressRecord;
use ironlight_spv::{BlockHeight, Header, Network, Params, UnixTime};

ironlight_fuzz::target!(check, seeds);

fn check(data: &[u8]) {
    let Some((choice, payload)) = data.split_first() else { return };
    let choice = usize::from(*choice) % (Command::KNOWN.len() + 1);
    let command = Command::KNOWN.get(choice).copied();
    let command = command.unwrap_or(Command::Unknown(*b"fuzz\0\0\0\0\0\0\0\0"));
    let decoded = Inbound::decode(command, payload);
    match &decoded {
        Ok(message) => says_what_the_bytes_say(message, command, payload),
        Err(error) => {
            names_its_place(error, payload.len());
            is_no_list_for_others_either(command, *error, payload);
        }
    }
    entries_of_addrv2(command, &decoded, payload);
    if let Ok(message) = outbound(&mut Cursor::new(payload), choice) {
        is_read_back(&message);
    }
}

fn says_what_the_bytes_say(message: &Inbound, command: Command, payload: &[u8]) {
    if command != Command::AddrV2 {
        assert_eq!(message.command(), command);
    }
    match message {
        Inbound::Version(version) => version_is(version, payload),
        Inbound::Ping(nonce) | Inbound::Pong(nonce) => {
            assert!(payload.starts_with(&nonce.to_le_bytes()));
        }
        Inbound::Headers(headers) => {
            assert!(headers.len() <= bound(MAX_HEADERS));
            let mut again = Vec::new();
            Outbound::Headers(headers.clone()).encode(&mut again);
            assert_eq!(again, payload);
        }
        Inbound::Inv { blocks, transactions, others } => {
            inventory_is(blocks, transactions, *others, payload);
        }
        Inbound::NotFound(entries) | Inbound::GetData(entries) => entries_are(entries, payload),
        Inbound::CFilter { block, filter } => {
            let theirs: CFilter = deserialize(payload).expect("what we read, the crate reads");
            assert_eq!((*block, filter), (theirs.block_hash, &theirs.filter));
        }
        Inbound::CFHeaders { stop, previous, hashes } => {
            let theirs: CFHeaders = deserialize(payload).expect("what we read, the crate reads");
            let theirs = (theirs.stop_hash, theirs.previous_filter_header, theirs.filter_hashes);
            assert_eq!((*stop, *previous, hashes.clone()), theirs);
        }
        Inbound::CFCheckpt { stop, headers } => {
            let theirs: CFCheckpt = deserialize(payload).expect("what we read, the crate reads");
            assert_eq!((*stop, headers), (theirs.stop_hash, &theirs.filter_headers));
        }
        Inbound::Block { hash, bytes } => {
            assert_eq!(bytes, payload);
            let (theirs, _) = deserialize_partial::<bitcoin::block::Header>(payload)
                .expect("what we read, the crate reads");
            assert_eq!(*hash, theirs.block_hash());
        }
        Inbound::Tx(bytes) => assert_eq!(bytes, payload),
        Inbound::FeeFilter(rate) => assert!(payload.starts_with(&rate.to_le_bytes())),
        Inbound::Addresses(found) if command == Command::Addr => {
            let theirs: Vec<_> = deserialize(payload).expect("what we read, the crate reads");
            assert_eq!(*found, addresses(&theirs));
        }
        Inbound::Addresses(found) => assert!(found.len() <= bound(MAX_ADDRESSES)),
        Inbound::Verack
        | Inbound::WtxidRelay
        | Inbound::SendAddrV2
        | Inbound::SendHeaders
        | Inbound::GetHeaders
        | Inbound::Ignored(_) => {}
    }
}

fn bound(most: u32) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn version_is(version: &Version, payload: &[u8]) {
    assert!(version.user_agent.len() <= bound(MAX_USER_AGENT));
    let plain = |letter: char| letter == ' ' || letter.is_ascii_graphic();
    assert!(version.user_agent.chars().all(plain), "{:?}", version.user_agent);
    // The crate refuses what has no `relay`, or a name that is not UTF-8.
    let Ok((theirs, _)) = deserialize_partial::<VersionMessage>(payload) else { return };
    let ours = (version.protocol, version.services, version.nonce, version.start_height.0);
    let height = u32::try_from(theirs.start_height).unwrap_or(0);
    assert_eq!(ours, (theirs.version, theirs.services, theirs.nonce, height));
    assert_eq!(version.user_agent.len(), theirs.user_agent.len());
}

/// The types that the crate knows and we do not are known to nobody else.
fn entries_are(entries: &[Inventory], payload: &[u8]) {
    let theirs: Vec<Inventory> = deserialize(payload).expect("what we read, the crate reads");
    assert_eq!(entries.len(), theirs.len());
    for (ours, theirs) in entries.iter().zip(&theirs) {
        assert!(ours == theirs || matches!(ours, Inventory::Unknown { .. }), "{ours:?}");
    }
}

fn inventory_is(blocks: &[BlockHash], transactions: &[TransactionId], others: u32, payload: &[u8]) {
    let theirs: Vec<Inventory> = deserialize(payload).expect("what we read, the crate reads");
    assert!(theirs.len() <= bound(MAX_INVENTORY) && blocks.len() <= MAX_ANNOUNCED);
    assert_eq!(theirs.len(), blocks.len() + transactions.len() + bound(others));
    let announced = theirs.iter().filter_map(|entry| match entry {
        Inventory::Transaction(txid) => Some(TransactionId::Txid(*txid)),
        Inventory::WTx(wtxid) => Some(TransactionId::Wtxid(*wtxid)),
        Inventory::Error
        | Inventory::Block(_)
        | Inventory::CompactBlock(_)
        | Inventory::WitnessTransaction(_)
        | Inventory::WitnessBlock(_)
        | Inventory::Unknown { .. } => None,
    });
    assert!(announced.eq(transactions.iter().copied()));
    let theirs = theirs
        .iter()
        .rev()
        .filter_map(|entry| if let Inventory::Block(hash) = entry { Some(*hash) } else { None });
    assert!(theirs.take(MAX_ANNOUNCED).eq(blocks.iter().rev().copied()));
}

fn addresses(theirs: &[(u32, Address)]) -> Vec<AddressRecord> {
    let record = |(last_seen, address): &(u32, Address)| {
        let ip = Ipv6Addr::from(address.address);
        let onion = ip.octets().starts_with(&[0xfd, 0x87, 0xd8, 0x7e, 0xeb, 0x43]);
        let addr = SocketAddr::new(IpAddr::V6(ip).to_canonical(), address.port);
        let last_seen = UnixTime(*last_seen);
        (!onion).then_some(AddressRecord { addr, services: address.services, last_seen })
    };
    theirs.iter().filter_map(record).collect()
}

/// Where we refuse a list for anything but its length, the crate does so too.
fn is_no_list_for_others_either(command: Command, error: DecodeError, payload: &[u8]) {
    if matches!(error.problem, Problem::TooMany { .. }) {
        return;
    }
    if matches!(command, Command::Inv | Command::GetData | Command::NotFound) {
        assert!(deserialize::<Vec<Inventory>>(payload).is_err(), "{error}");
    } else if command == Command::Addr {
        assert!(deserialize::<Vec<(u32, Address)>>(payload).is_err(), "{error}");
    }
}

/// We take every `addrv2` that the crate takes, and find the same addresses in it. (It refuses
/// some that BIP155 wants to be taken.)
fn entries_of_addrv2(command: Command, ours: &Result<Inbound, DecodeError>, payload: &[u8]) {
    if command != Command::AddrV2 {
        return;
    }
    let Ok(theirs) = deserialize::<Vec<AddrV2Message>>(payload) else { return };
    if theirs.len() > bound(MAX_ADDRESSES) {
        assert!(ours.is_err());
        return;
    }
    let record = |entry: &AddrV2Message| {
        let ip = if let AddrV2::Ipv4(ip) = entry.addr {
            IpAddr::V4(ip)
        } else if let AddrV2::Ipv6(ip) = entry.addr {
            IpAddr::V6(ip)
        } else {
            return None;
        };
        let (services, last_seen) = (entry.services, UnixTime(entry.time));
        Some(AddressRecord { addr: SocketAddr::new(ip, entry.port), services, last_seen })
    };
    assert_eq!(*ours, Ok(Inbound::Addresses(theirs.iter().filter_map(record).collect())));
}

/// A message of ours with fields taken from the input.
fn outbound(fields: &mut Cursor<'_>, choice: usize) -> Result<Outbound, DecodeError> {
    Ok(match choice % 7 {
        0 => Outbound::Ping(fields.u64()?),
        1 => Outbound::Pong(fields.u64()?),
        2 => Outbound::Headers(list(fields, MAX_HEADERS, Header::from_bytes)),
        3 => {
            let stop = BlockHash::from_byte_array(fields.array()?);
            let locator = list(fields, MAX_LOCATOR, BlockHash::from_byte_array);
            Outbound::GetHeaders { locator, stop }
        }
        4 => Outbound::Inv(list(fields, MAX_INVENTORY, |bytes| {
            TransactionId::Wtxid(Wtxid::from_byte_array(bytes))
        })),
        5 => {
            let stop = BlockHash::from_byte_array(fields.array()?);
            Outbound::GetCFilters { start: BlockHeight(fields.u32()?), stop }
        }
        _ => Outbound::Version(OwnVersion {
            receiver: SocketAddr::new(Ipv6Addr::from(fields.array::<16>()?).into(), fields.port()?),
            time: UnixTime(fields.u32()?),
            nonce: fields.u64()?,
            start_height: BlockHeight(fields.u32()?),
            relay: choice.is_multiple_of(2),
        }),
    })
}

fn list<const N: usize, T>(fields: &mut Cursor<'_>, most: u32, entry: fn([u8; N]) -> T) -> Vec<T> {
    std::iter::from_fn(|| fields.array().ok().map(entry)).take(bound(most)).collect()
}

fn is_read_back(message: &Outbound) {
    let mut payload = Vec::new();
    message.encode(&mut payload);
    let command = message.command();
    assert!(payload.len() <= bound(command.cap()), "{command}: {} bytes", payload.len());
    let decoded = Inbound::decode(command, &payload);
    match message {
        Outbound::Ping(nonce) => assert_eq!(decoded, Ok(Inbound::Ping(*nonce))),
        Outbound::Pong(nonce) => assert_eq!(decoded, Ok(Inbound::Pong(*nonce))),
        Outbound::Headers(headers) => assert_eq!(decoded, Ok(Inbound::Headers(headers.clone()))),
        Outbound::GetHeaders { locator, stop } => {
            let theirs = deserialize::<GetHeadersMessage>(&payload).ok();
            let theirs = theirs.map(|theirs| (theirs.locator_hashes, theirs.stop_hash));
            assert_eq!(theirs, Some((locator.clone(), *stop)));
        }
        Outbound::Version(own) => {
            let height = own.start_height.0.min(i32::MAX.unsigned_abs());
            let found = matches!(&decoded, Ok(Inbound::Version(version))
                if version.nonce == own.nonce && version.start_height.0 == height);
            assert!(found, "{decoded:?}");
            let theirs = deserialize::<VersionMessage>(&payload).map(|theirs| theirs.timestamp);
            assert_eq!(theirs.ok(), Some(i64::from(own.time.0)));
        }
        Outbound::Inv(transactions) => {
            let expected =
                Inbound::Inv { blocks: Vec::new(), transactions: transactions.clone(), others: 0 };
            assert_eq!(decoded, Ok(expected));
        }
        Outbound::GetCFilters { start, stop } => {
            let theirs = deserialize::<GetCFilters>(&payload).ok();
            let theirs = theirs.map(|theirs| (theirs.start_height, theirs.stop_hash));
            assert_eq!(theirs, Some((start.0, *stop)));
        }
        // What the crate itself writes.
        Outbound::GetCFHeaders { .. }
        | Outbound::GetCFCheckpt { .. }
        | Outbound::GetData(_)
        | Outbound::NotFound(_)
        | Outbound::Tx { .. } => {}
        Outbound::Verack
        | Outbound::WtxidRelay
        | Outbound::SendAddrV2
        | Outbound::SendHeaders
        | Outbound::GetAddr => assert!(payload.is_empty()),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let headers = Miner::new(1).run(&Params::new(Network::Regtest).genesis, 3, 600);
    let hash = headers.first().map_or(BlockHash::all_zeros(), Header::hash);
    let mut lists = Vec::new();
    Outbound::Headers(headers.clone()).encode(&mut lists);
    let receiver = SocketAddr::from(([127, 0, 0, 1], 8333));
    let (time, start_height) = (UnixTime(1_700_000_000), BlockHeight(800_000));
    let mut version = Vec::new();
    let own = OwnVersion { receiver, time, nonce: 7, start_height, relay: true };
    Outbound::Version(own).encode(&mut version);
    let inventory = [
        vec![Inventory::Block(hash); 18],
        vec![Inventory::WitnessBlock(hash), Inventory::Unknown { inv_type: 9, hash: [1; 32] }],
        vec![Inventory::WTx(Wtxid::all_zeros()), Inventory::WitnessTransaction(Txid::all_zeros())],
    ];
    let filter = CFilter { filter_type: 0, block_hash: hash, filter: vec![1; 9] };
    let hashes = CFHeaders {
        filter_type: 0,
        stop_hash: hash,
        previous_filter_header: FilterHeader::all_zeros(),
        filter_hashes: vec![FilterHash::all_zeros(); 3],
    };
    let checkpoints = CFCheckpt {
        filter_type: 0,
        stop_hash: hash,
        filter_headers: vec![FilterHeader::all_zeros(); 2],
    };
    let dressed = SocketAddr::new("fd87:d87e:eb43::1".parse().unwrap_or(receiver.ip()), 1);
    let address = |addr: &SocketAddr| (1_u32, Address::new(addr, ServiceFlags::NETWORK));
    let plain: Vec<_> = [receiver, dressed].iter().map(address).collect();
    let seeds = [
        (Command::Version, version),
        (Command::Headers, lists),
        (Command::Inv, serialize(&inventory.concat())),
        (Command::GetData, serialize(&inventory.concat())),
        (Command::NotFound, serialize(&inventory.concat())),
        (Command::CFilter, serialize(&filter)),
        (Command::CFHeaders, serialize(&hashes)),
        (Command::CFCheckpt, serialize(&checkpoints)),
        (Command::Block, vec![7; 300]),
        (Command::Tx, vec![7; 60]),
        (Command::FeeFilter, vec![7; 8]),
        (Command::Addr, serialize(&plain)),
        (Command::AddrV2, serialize(&second_form())),
        (Command::Ping, vec![1; 8]),
        (Command::Pong, vec![2; 8]),
        (Command::GetHeaders, vec![3; 100]),
        (Command::Verack, Vec::new()),
        // Fields of our own messages.
        (Command::WtxidRelay, headers.iter().flat_map(|header| *header.as_bytes()).collect()),
        (Command::SendAddrV2, vec![4; 128]),
        (Command::SendHeaders, vec![5; 40]),
    ];
    let place = |command| Command::KNOWN.iter().position(|known| *known == command);
    let choice = |command| place(command).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
    seeds.into_iter().map(|(command, body)| [vec![choice(command)], body].concat()).collect()
}

fn second_form() -> Vec<AddrV2Message> {
    let kinds = [
        AddrV2::Ipv4([10, 0, 0, 1].into()),
        AddrV2::Ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()),
        AddrV2::TorV3([7; 32]),
        AddrV2::I2p([8; 32]),
        AddrV2::Unknown(99, vec![9; 5]),
    ];
    let entry = |addr| AddrV2Message { time: 1, services: ServiceFlags::NETWORK, addr, port: 8333 };
    kinds.into_iter().map(entry).collect()
}
