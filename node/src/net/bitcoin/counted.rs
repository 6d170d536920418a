//! Counts the bytes of a connection, from the first message of the handshake on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection::Traffic;
use super::message::Outbound;
use super::transport::{MessageReader, MessageWriter, Received, TransportError};

/// One half of a connection, with what is counted.
#[derive(Debug)]
pub(super) struct Counted<T> {
    inner: T,
    traffic: Arc<Traffic>,
}

impl<T> Counted<T> {
    pub(super) const fn new(inner: T, traffic: Arc<Traffic>) -> Self {
        Self { inner, traffic }
    }
}

impl<T: MessageReader> MessageReader for Counted<T> {
    async fn recv(&mut self) -> Result<Received, TransportError> {
        let received = self.inner.recv().await?;
        self.traffic.bytes_in.fetch_add(u64::from(received.bytes), Ordering::Relaxed);
        Ok(received)
    }
}

impl<T: MessageWriter> MessageWriter for Counted<T> {
    async fn send(&mut self, message: &Outbound) -> Result<u32, TransportError> {
        let sent = self.inner.send(message).await?;
        self.traffic.bytes_out.fetch_add(u64::from(sent), Ordering::Relaxed);
        Ok(sent)
    }
}
