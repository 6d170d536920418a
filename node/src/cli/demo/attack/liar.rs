//! A full node that lies: to whoever asks, it gives a header on the asker's own tip that breaks a
//! rule. It serves one connection at a time, on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitcoin::block::{Header, Version};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::p2p::message::{NetworkMessage, RawNetworkMessage};
use bitcoin::p2p::message_network::VersionMessage;
use bitcoin::p2p::{Address, Magic, ServiceFlags};
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::net::bitcoin::message::PROTOCOL_VERSION;
use crate::net::bitcoin::v1::FRAME;

/// No message that a light node sends it is longer, in bytes.
const LONGEST: usize = 64 * 1024;
/// Regtest's target, which every second hash meets.
const EASY: u32 = 0x207f_ffff;
/// A target that regtest does not ask for.
const HARDER: u32 = 0x2000_ffff;
/// 13 May 2014: after all blocks of the devnet, and long past.
const TIME: u32 = 1_400_000_000;

/// What is wrong with its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Their hash does not meet their target.
    NoWork,
    /// Their target is not the one that the rules ask for.
    WrongTarget,
}

/// See above. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Liar {
    pub(super) address: SocketAddr,
    told: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Liar {
    pub(super) async fn start(lie: Lie) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let told = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&told);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // It ends when the light node hangs up, which it is expected to do.
                let _ = serve(&mut stream, lie, &count).await;
            }
        });
        Ok(Self { address, told, task })
    }

    /// How many lies it has told.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::Relaxed)
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: &mut TcpStream, lie: Lie, told: &AtomicU64) -> io::Result<()> {
    loop {
        let message = receive(stream).await?;
        if let NetworkMessage::Version(theirs) = &message {
            send(stream, NetworkMessage::Version(version(theirs))).await?;
            send(stream, NetworkMessage::Verack).await?;
        } else if let NetworkMessage::Ping(nonce) = message {
            send(stream, NetworkMessage::Pong(nonce)).await?;
        } else if let NetworkMessage::GetHeaders(request) = &message
            && let Some(tip) = request.locator_hashes.first()
        {
            told.fetch_add(1, Ordering::Relaxed);
            send(stream, NetworkMessage::Headers(vec![lie.on(*tip)])).await?;
        }
    }
}

async fn receive(stream: &mut TcpStream) -> io::Result<NetworkMessage> {
    let mut message = vec![0; FRAME];
    stream.read_exact(&mut message).await?;
    let length = message.get(16..20).and_then(|bytes| bytes.try_into().ok());
    let length = length.map_or(usize::MAX, |bytes| {
        usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
    });
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.resize(FRAME.saturating_add(length), 0);
    stream.read_exact(message.get_mut(FRAME..).unwrap_or_default()).await?;
    let message: RawNetworkMessage = deserialize(&message).map_err(io::Error::other)?;
    Ok(message.into_payload())
}

async fn send(stream: &mut TcpStream, message: NetworkMessage) -> io::Result<()> {
    stream.write_all(&serialize(&RawNetworkMessage::new(Magic::REGTEST, message))).await
}

fn version(theirs: &VersionMessage) -> VersionMessage {
    let nobody = Address::new(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), ServiceFlags::NONE);
    VersionMessage {
        version: PROTOCOL_VERSION,
        services: ServiceFlags::NETWORK | ServiceFlags::WITNESS,
        timestamp: theirs.timestamp,
        receiver: nobody.clone(),
        sender: nobody,
        nonce: !theirs.nonce,
        user_agent: "/liar:1/".to_owned(),
        start_height: i32::MAX,
        relay: false,
    }
}

impl Lie {
    /// A header that says it follows another one.
    fn on(self, parent: BlockHash) -> Header {
        let bits = match self {
            Self::NoWork => EASY,
            Self::WrongTarget => HARDER,
        };
        let mut header = Header {
            version: Version::from_consensus(4),
            prev_blockhash: parent,
            merkle_root: TxMerkleNode::from_byte_array([7; 32]),
            time: TIME,
            bits: CompactTarget::from_consensus(bits),
            nonce: 0,
        };
        let wanted = self == Self::WrongTarget;
        while header.validate_pow(header.target()).is_ok() != wanted {
            header.nonce = header.nonce.wrapping_add(1);
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lie_breaks_the_rule_that_it_is_named_after_and_no_other() {
        let tip = BlockHash::from_byte_array([1; 32]);
        let header = Lie::NoWork.on(tip);
        assert!(header.validate_pow(header.target()).is_err());
        assert_eq!((header.prev_blockhash, header.bits.to_consensus()), (tip, EASY));
        let header = Lie::WrongTarget.on(tip);
        assert!(header.validate_pow(header.target()).is_ok());
        assert_eq!((header.prev_blockhash, header.bits.to_consensus()), (tip, HARDER));
    }
}
