//! TCP (noise, yamux) and QUIC, with the bytes counted.
//!
//! TCP is counted at the socket, below encryption. QUIC's socket is inside its library: there the
//! bytes of the streams are counted, which is a few percent less than what its packets take.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use libp2p::core::transport::{Boxed, Transport};
use libp2p::core::upgrade::Version;
use libp2p::core::{ConnectedPoint, Multiaddr};
use libp2p::futures::io::{AsyncRead, AsyncWrite, IoSlice, IoSliceMut};
use libp2p::identity::Keypair;
use libp2p::{PeerId, noise, quic, tcp, yamux};

use super::address::socket_address;
use super::gate::{Gated, Rules};
use super::traffic::{Meter, Traffic};

/// A connection that is not encrypted and multiplexed by then is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

pub(super) fn build(
    key: &Keypair,
    traffic: &Traffic,
    rules: Rules,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let counted = traffic.clone();
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .map(move |socket, end| Counted { inner: socket, meter: meter(&counted, &end) })
        // Lazy: the first message does not wait for the agreement on the protocol.
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .timeout(HANDSHAKE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let counted = traffic.clone();
    let quic =
        quic::tokio::Transport::new(quic::Config::new(key)).map(move |(peer, inner), end| {
            (peer, StreamMuxerBox::new(CountedMuxer { inner, meter: meter(&counted, &end) }))
        });
    let either = quic.or_transport(tcp).map(|either, _| either.into_inner());
    Ok(Gated::new(either, rules).boxed())
}

fn meter(traffic: &Traffic, end: &ConnectedPoint) -> Meter {
    // Both transports know no other addresses.
    let unknown = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    traffic.meter(socket_address(far_end(end)).unwrap_or(unknown))
}

/// The address of the other side.
pub(super) const fn far_end(end: &ConnectedPoint) -> &Multiaddr {
    match end {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
    }
}

/// A socket or a stream whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<S> {
    inner: S,
    meter: Meter,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.meter.may_receive() {
            return Poll::Pending;
        }
        let bytes = ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.meter.received(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.meter.may_receive() {
            return Poll::Pending;
        }
        let bytes = ready!(Pin::new(&mut self.inner).poll_read_vectored(context, buffers))?;
        self.meter.received(bytes);
        Poll::Ready(Ok(bytes))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(Pin::new(&mut self.inner).poll_write(context, buffer))?;
        self.meter.sent(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, buffers))?;
        self.meter.sent(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}

/// A connection whose streams are counted.
struct CountedMuxer<M> {
    inner: M,
    meter: Meter,
}

impl<M: StreamMuxer + Unpin> CountedMuxer<M> {
    fn counted<S>(&self, stream: S) -> Counted<S> {
        Counted { inner: stream, meter: self.meter.clone() }
    }
}

impl<M> StreamMuxer for CountedMuxer<M>
where
    M: StreamMuxer + Unpin,
    M::Substream: Unpin,
{
    type Substream = Counted<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_inbound(context))?;
        Poll::Ready(Ok(self.counted(stream)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_outbound(context))?;
        Poll::Ready(Ok(self.counted(stream)))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.inner).poll_close(context)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        Pin::new(&mut self.inner).poll(context)
    }
}
