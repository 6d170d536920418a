//! Requests and responses as bytes, capped before they are read.
//!
//! A message ends where its sender closes its half of the stream. What the bytes mean is decoded
//! later, by whoever knows the protocol: so a peer that sends nonsense gets an answer. Of a message
//! that is too long one byte more is read than is allowed, and whoever decodes it sees that: libp2p
//! keeps a request that could not be read to itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use libp2p::StreamProtocol;
use libp2p::futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::request_response::Codec;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::protocol::{Protocol, purpose};
use super::wire::MAX_REQUEST;
use crate::net::{Purpose, PurposeCounter};

/// The next piece of a message may take so long.
const SILENCE: Duration = Duration::from_secs(18);
/// What is read at once.
const PIECE: usize = 16 * 1024;

/// One protocol's messages, with their caps. A stream has a copy of its own.
#[derive(Clone, Debug)]
pub(super) struct BytesCodec {
    protocol: Protocol,
    /// Where bytes are counted.
    carried: Arc<PurposeCounter>,
    /// What this stream's are counted for, once its request is known.
    purpose: Purpose,
}

impl BytesCodec {
    pub(super) const fn new(protocol: Protocol, carried: Arc<PurposeCounter>) -> Self {
        Self { protocol, carried, purpose: Purpose::Other }
    }
}

/// A response. Of one that is sent, a part may be shared with others of the same content.
#[derive(Debug, Default)]
pub(super) struct Response {
    pub(super) bytes: Vec<u8>,
    /// What follows the bytes.
    pub(super) shared: Option<Arc<[u8]>>,
    /// Its place among those that are being sent, given up once it is sent or given up itself.
    #[allow(dead_code, reason = "it is held, not read")]
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl From<Vec<u8>> for Response {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }
}

/// Reads to the end, for as long as something comes.
async fn read_capped<T: AsyncRead + Unpin + Send>(io: &mut T, cap: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(cap).unwrap_or(u64::MAX);
    let mut io = io.take(limit.saturating_add(1));
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        let read = timeout(SILENCE, io.read(&mut piece)).await;
        match read.map_err(|_silent| io::Error::from(io::ErrorKind::TimedOut))?? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Codec for BytesCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Response;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        let request = read_capped(io, MAX_REQUEST).await?;
        self.purpose = purpose(self.protocol, &request);
        self.carried.received(self.purpose, count(request.len()));
        Ok(request)
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Response> {
        let response = read_capped(io, self.protocol.max_response()).await?;
        self.carried.received(self.purpose, count(response.len()));
        Ok(response.into())
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()> {
        self.purpose = purpose(self.protocol, &request);
        io.write_all(&request).await?;
        self.carried.sent(self.purpose, count(request.len()));
        Ok(())
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()> {
        let shared = response.shared.as_deref().unwrap_or_default();
        io.write_all(&response.bytes).await?;
        io.write_all(shared).await?;
        self.carried.sent(self.purpose, count(response.bytes.len() + shared.len()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::*;
    use crate::net::Carried;
    use crate::net::swarm::wire::{Extensions, FilterRange, FiltersRequest, encode_request};
    use ironlight_spv::BlockHeight;
    use libp2p::futures::io::Cursor;

    const NAME: StreamProtocol = StreamProtocol::new("/test");

    fn codec(protocol: Protocol) -> BytesCodec {
        BytesCodec::new(protocol, Arc::default())
    }

    #[tokio::test]
    async fn of_a_message_above_the_cap_one_byte_more_is_read_than_is_allowed() {
        let mut codec = codec(Protocol::Proofs);
        for (sent, read) in [(8192, 8192), (8193, 8193), (10_000, 8193)] {
            let bytes = codec.read_request(&NAME, &mut Cursor::new(vec![1; sent])).await.unwrap();
            assert_eq!(bytes.len(), read);
        }
        let response = codec.read_response(&NAME, &mut Cursor::new([1; 100_000])).await.unwrap();
        assert_eq!(response.bytes.len(), 65_537);
    }

    #[tokio::test]
    async fn a_response_keeps_its_place_until_it_is_written() {
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let response = Response { bytes: vec![1], shared: Some([2, 3].into()), place };
        assert_eq!(places.available_permits(), 0);
        let mut written = Cursor::new(Vec::new());
        codec(Protocol::Blocks).write_response(&NAME, &mut written, response).await.unwrap();
        assert_eq!((written.into_inner(), places.available_permits()), (vec![1, 2, 3], 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_more_is_not_waited_for() {
        struct Silent;
        impl AsyncRead for Silent {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
                _: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                Poll::Pending
            }
        }
        let silent = codec(Protocol::Blocks).read_response(&NAME, &mut Silent).await;
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn bytes_count_for_what_their_request_asks_for() {
        let stop = bitcoin::hashes::Hash::all_zeros();
        let range = FilterRange { start: BlockHeight(1), count: 1, stop };
        let carried = Arc::<PurposeCounter>::default();
        for (protocol, body, purpose) in [
            (Protocol::Headers, vec![1], Purpose::Headers),
            (Protocol::Filters, FiltersRequest::Headers(range).encode(), Purpose::FilterHeaders),
            (Protocol::Filters, FiltersRequest::Filters(range).encode(), Purpose::Filters),
            (Protocol::Blocks, vec![1], Purpose::Blocks),
            (Protocol::Proofs, vec![1], Purpose::Proofs),
            (Protocol::Snapshots, vec![1], Purpose::Snapshots),
        ] {
            let request = encode_request(&Extensions::default(), &body);
            let sent = u64::try_from(request.len()).unwrap();
            let mut codec = BytesCodec::new(protocol, Arc::clone(&carried));
            codec.write_request(&NAME, &mut Cursor::new(Vec::new()), request).await.unwrap();
            codec.read_response(&NAME, &mut Cursor::new([0; 7])).await.unwrap();
            assert_eq!(carried.report().of(purpose), Carried { sent, received: 7 });
        }
        assert_eq!(carried.report().total().received, 42);
    }
}
