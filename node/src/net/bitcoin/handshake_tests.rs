use bitcoin::p2p::message::NetworkMessage;
use bitcoin::p2p::message_network::VersionMessage;
use ironlight_spv::{BlockHeight, UnixTime};
use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::net::bitcoin::testing::{FakePeer, MAGIC, version};
use crate::net::bitcoin::transport::Transport as _;
use crate::net::bitcoin::v1::V1;

const NONCE: u64 = 4242;

/// What we make of a peer that sends these and then nothing.
async fn meet(messages: &[NetworkMessage]) -> Result<Version, HandshakeError> {
    let (near, far) = duplex(64 * 1024);
    let mut peer = FakePeer { stream: far };
    for message in messages {
        peer.send(message.clone()).await;
    }
    meet_at(near).await
}

async fn meet_at(stream: DuplexStream) -> Result<Version, HandshakeError> {
    let (mut reader, mut writer) = V1::new(stream, MAGIC.to_bytes()).split();
    let own = OwnVersion {
        receiver: "127.0.0.1:8333".parse().unwrap(),
        time: UnixTime(1_700_000_000),
        nonce: NONCE,
        start_height: BlockHeight::GENESIS,
        relay: false,
    };
    let config = HandshakeConfig::default();
    handshake(&mut reader, &mut writer, own, config).await.map(|greeting| greeting.version)
}

async fn meet_version(theirs: VersionMessage) -> Result<Version, HandshakeError> {
    meet(&[NetworkMessage::Version(theirs), NetworkMessage::Verack]).await
}

#[tokio::test(start_paused = true)]
async fn knows_who_answers() {
    let theirs = meet_version(version()).await.unwrap();
    assert_eq!((theirs.protocol, theirs.start_height), (70_016, BlockHeight(2000)));
    assert_eq!(theirs.user_agent, "/Fake:1.0/");
}

#[tokio::test(start_paused = true)]
async fn nothing_comes_before_the_version() {
    let error = meet(&[NetworkMessage::Verack]).await.unwrap_err();
    assert!(matches!(error, HandshakeError::BeforeVersion { command: Command::Verack }));
    assert_eq!(error.failure(), DialFailure::Offended(Offence::ProtocolViolation));
    let error = meet(&[NetworkMessage::FeeFilter(1)]).await.unwrap_err();
    assert!(matches!(error, HandshakeError::BeforeVersion { command: Command::FeeFilter }));
}

#[tokio::test(start_paused = true)]
async fn a_second_version_is_refused() {
    let twice = [NetworkMessage::Version(version()), NetworkMessage::Version(version())];
    let error = meet(&twice).await.unwrap_err();
    assert!(matches!(error, HandshakeError::DuplicateVersion));
}

#[tokio::test(start_paused = true)]
async fn an_endless_prelude_is_cut_off() {
    let mut messages = vec![NetworkMessage::Version(version())];
    messages.extend((0..MAX_MESSAGES).map(|_| NetworkMessage::SendAddrV2));
    let error = meet(&messages).await.unwrap_err();
    assert!(matches!(error, HandshakeError::TooManyMessages));
}

#[tokio::test(start_paused = true)]
async fn peers_that_are_of_no_use_are_told_apart_from_liars() {
    let cases = [
        VersionMessage { version: 70_011, ..version() },
        VersionMessage { services: ServiceFlags::NETWORK_LIMITED, ..version() },
        VersionMessage { nonce: NONCE, ..version() },
    ];
    for theirs in cases {
        let error = meet_version(theirs).await.unwrap_err();
        assert_eq!(error.failure(), DialFailure::Unsuitable, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_is_ourselves() {
    let (near, far) = duplex(64 * 1024);
    let echo = tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(far);
        tokio::io::copy(&mut from, &mut to).await
    });
    let error = meet_at(near).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Ourselves), "{error}");
    echo.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_is_not_waited_for() {
    let (near, _far) = duplex(64 * 1024);
    let start = tokio::time::Instant::now();
    let error = meet_at(near).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Timeout { .. }));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(error.failure(), DialFailure::Unreachable);
}
