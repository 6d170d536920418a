//! Requests and responses as bytes, capped before they are read.
//!
//! A message ends where its sender closes its half of the stream. What the bytes mean is decoded
//! later, by whoever knows the protocol: so a peer that sends nonsense gets an answer. Of a message
//! that is too long one byte more is read than is allowed, and whoever decodes it sees that: libp2p
//! keeps a request that could not be read to itself.

use std::io;
use std::sync::Arc;

use libp2p::StreamProtocol;
use libp2p::futures::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::request_response::Codec;
use tokio::sync::OwnedSemaphorePermit;

/// Caps for one protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct BytesCodec {
    /// The longest request, in bytes.
    pub(super) request: usize,
    /// The longest response, in bytes.
    pub(super) response: usize,
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

async fn read_capped<T: AsyncRead + Unpin + Send>(io: &mut T, cap: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(cap).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    io.take(limit.saturating_add(1)).read_to_end(&mut bytes).await?;
    Ok(bytes)
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
        read_capped(io, self.request).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Response> {
        read_capped(io, self.response).await.map(Response::from)
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&request).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Response,
    ) -> io::Result<()> {
        io.write_all(&response.bytes).await?;
        io.write_all(response.shared.as_deref().unwrap_or_default()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::futures::io::Cursor;

    #[tokio::test]
    async fn of_a_message_above_the_cap_one_byte_more_is_read_than_is_allowed() {
        let mut codec = BytesCodec { request: 4, response: 8 };
        let name = StreamProtocol::new("/test");
        for (sent, read) in [(4, 4), (5, 5), (1000, 5)] {
            let bytes = codec.read_request(&name, &mut Cursor::new(vec![1; sent])).await.unwrap();
            assert_eq!(bytes.len(), read);
        }
        let bytes = codec.read_response(&name, &mut Cursor::new([1; 1000])).await.unwrap();
        assert_eq!(bytes.bytes.len(), 9);
    }

    #[tokio::test]
    async fn a_response_keeps_its_place_until_it_is_written() {
        let mut codec = BytesCodec { request: 4, response: 8 };
        let places = Arc::new(tokio::sync::Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let response = Response { bytes: vec![1], shared: Some([2, 3].into()), place };
        assert_eq!(places.available_permits(), 0);
        let mut written = Cursor::new(Vec::new());
        codec.write_response(&StreamProtocol::new("/test"), &mut written, response).await.unwrap();
        assert_eq!((written.into_inner(), places.available_permits()), (vec![1, 2, 3], 1));
    }
}
