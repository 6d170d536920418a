use std::time::Duration;

use bitcoin::p2p::message::NetworkMessage;
use ironlight_spv::peers::{Offence, SplitMix64};
use tokio::io::{DuplexStream, duplex};
use tokio::time::timeout;

use super::*;
use crate::net::bitcoin::message::Inbound;
use crate::net::bitcoin::testing::{FakePeer, MAGIC, frame, framed, headers, ours, soon};

type Reader = V1Reader<ReadHalf<DuplexStream>>;

fn pair(buffer: usize) -> (Reader, V1Writer<WriteHalf<DuplexStream>>, FakePeer<DuplexStream>) {
    let (near, far) = duplex(buffer);
    let (reader, writer) = V1::new(near, MAGIC.to_bytes()).split();
    (reader, writer, FakePeer { stream: far })
}

/// What comes of bytes after which the peer hangs up.
async fn after(bytes: &[u8]) -> (Result<Received, TransportError>, Reader) {
    let (mut reader, _writer, mut peer) = pair(bytes.len().max(1));
    peer.send_raw(bytes).await;
    drop(peer);
    let result = soon("a verdict", reader.recv()).await;
    (result, reader)
}

#[tokio::test]
async fn messages_of_the_bitcoin_crate_arrive_whole() {
    let (mut reader, mut writer, mut peer) = pair(1 << 20);
    peer.send(NetworkMessage::Ping(5)).await;
    peer.send(NetworkMessage::Headers(headers(2000))).await;
    let ping = reader.recv().await.unwrap();
    assert_eq!(ping, Received { message: Inbound::Ping(5), bytes: 32 });
    let received = reader.recv().await.unwrap();
    assert_eq!(received.message, Inbound::Headers(ours(&headers(2000))));
    assert_eq!(received.bytes, 24 + 3 + 2000 * 81);
    assert_eq!(writer.send(&Outbound::Pong(5)).await.unwrap(), 32);
    assert_eq!(peer.recv().await, NetworkMessage::Pong(5));
}

#[tokio::test]
async fn a_message_may_come_byte_by_byte_and_the_wait_be_cut_off_at_any() {
    let (mut reader, _writer, mut peer) = pair(1);
    let bytes = [framed(NetworkMessage::Headers(headers(3))), framed(NetworkMessage::Verack)];
    let last = bytes[0].len() - 1;
    for (at, byte) in bytes[0].iter().enumerate() {
        peer.send_raw(&[*byte]).await;
        let so_far = timeout(Duration::from_millis(1), reader.recv()).await;
        match so_far {
            Ok(received) => {
                assert_eq!(at, last);
                assert_eq!(received.unwrap().message, Inbound::Headers(ours(&headers(3))));
            }
            Err(_) => assert!(at < last, "the message is whole"),
        }
    }
    let (sent, received) = tokio::join!(peer.send_raw(&bytes[1]), reader.recv());
    let () = sent;
    assert_eq!(received.unwrap().message, Inbound::Verack);
}

#[tokio::test]
async fn too_long_a_message_is_refused_by_its_frame() {
    let cases = [
        ("headers", 2000 * 81 + 3, Offence::TooManyHeaders),
        ("inv", 50_000 * 36 + 3, Offence::Oversized),
        ("addr", 1000 * 30 + 3, Offence::Oversized),
        ("ping", 8, Offence::Oversized),
        ("block", 4_000_000, Offence::Oversized),
        ("whatever", 4_000_000, Offence::Oversized),
    ];
    for (command, cap, offence) in cases {
        for length in [cap + 1, u32::MAX] {
            let (result, reader) = after(&frame(command, length)).await;
            let error = result.unwrap_err();
            assert_eq!(error.offence(), Some(offence), "{command}");
            assert!(matches!(error, TransportError::Oversized { cap: c, .. } if c == cap));
            assert_eq!(reader.memory(), 0, "nothing was stored");
        }
        let (result, _) = after(&frame(command, cap)).await;
        assert!(matches!(result, Err(TransportError::Closed { mid_message: true })));
    }
}

#[tokio::test]
async fn a_length_alone_costs_no_memory() {
    let mut bytes = frame("inv", 1_800_003);
    bytes.extend([1; 10]);
    let (result, reader) = after(&bytes).await;
    assert!(matches!(result, Err(TransportError::Closed { mid_message: true })));
    assert!(reader.memory() <= CHUNK, "{}", reader.memory());
}

#[tokio::test]
async fn what_is_of_no_use_is_read_past_without_being_stored() {
    let (mut reader, _writer, mut peer) = pair(64 * 1024);
    let (block, unknown) = (frame("cmpctblock", 4_000_000), frame("whatever", 4_000_000));
    let sending = tokio::spawn(async move {
        for frame in [block, unknown] {
            peer.send_raw(&frame).await;
            peer.send_raw(&vec![7; 4_000_000]).await;
        }
        peer.send(NetworkMessage::Verack).await;
        peer
    });
    let block = soon("a block", reader.recv()).await.unwrap();
    assert_eq!(block.message, Inbound::Ignored(Command::CmpctBlock));
    assert_eq!(block.bytes, 4_000_024);
    let unknown = soon("an unknown message", reader.recv()).await.unwrap();
    assert!(matches!(unknown.message, Inbound::Ignored(Command::Unknown(_))));
    assert_eq!(soon("a verack", reader.recv()).await.unwrap().message, Inbound::Verack);
    assert!(reader.memory() <= CHUNK, "{}", reader.memory());
    sending.await.unwrap();
}

#[tokio::test]
async fn memory_of_a_large_message_is_given_back() {
    let (mut reader, _writer, mut peer) = pair(4_000_000);
    let inventory = vec![bitcoin::p2p::message_blockdata::Inventory::Error; 50_000];
    peer.send(NetworkMessage::Inv(inventory)).await;
    let received = soon("an inventory", reader.recv()).await.unwrap();
    assert!(matches!(received.message, Inbound::Inv { others: 50_000, .. }));
    assert!(reader.memory() <= KEEP);
}

#[tokio::test]
async fn another_network_is_told_by_its_magic() {
    let bytes = b"HTTP/1.1 302 Found\r\nLocation: /login".to_vec();
    let error = after(&bytes).await.0.unwrap_err();
    assert_eq!(error.offence(), Some(Offence::WrongNetwork));
    let expected = MAGIC.to_bytes();
    assert!(matches!(
        error,
        TransportError::WrongMagic { expected: e, got } if e == expected && got == *b"HTTP"
    ));
}

#[tokio::test]
async fn a_changed_payload_is_noticed() {
    let mut bytes = framed(NetworkMessage::Headers(headers(5)));
    bytes[100] ^= 1;
    let error = after(&bytes).await.0.unwrap_err();
    assert!(matches!(error, TransportError::BadChecksum { command: Command::Headers, .. }));
    assert_eq!(error.offence(), Some(Offence::BadChecksum));
}

#[tokio::test]
async fn the_end_of_a_stream_is_nobodys_fault() {
    let whole = framed(NetworkMessage::Ping(1));
    for length in 0..whole.len() {
        let error = after(&whole[..length]).await.0.unwrap_err();
        assert_eq!(error.offence(), None);
        let mid = length > 0;
        assert!(matches!(error, TransportError::Closed { mid_message } if mid_message == mid));
    }
}

#[tokio::test]
async fn random_streams_never_panic() {
    for seed in 0..2000 {
        let mut random = SplitMix64::new(seed);
        let mut bytes = match random.below(4) {
            0 => framed(NetworkMessage::Headers(headers(3))),
            1 => framed(NetworkMessage::Version(crate::net::bitcoin::testing::version())),
            2 => framed(NetworkMessage::Addr(vec![])),
            _ => frame("addrv2", 64),
        };
        bytes.extend((0..64).map(|_| random.next_u64().to_le_bytes()[0]));
        for _ in 0..random.below(4) {
            let length = u64::try_from(bytes.len()).unwrap();
            let at = usize::try_from(random.below(length)).unwrap();
            bytes[at] ^= 1 << random.below(8);
        }
        let (mut reader, _writer, mut peer) = pair(bytes.len());
        peer.send_raw(&bytes).await;
        drop(peer);
        while soon("a verdict", reader.recv()).await.is_ok() {}
        assert!(reader.memory() <= KEEP);
    }
}
