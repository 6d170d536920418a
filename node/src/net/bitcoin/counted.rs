//! Counts the bytes of a connection, from the first message of the handshake on. With an allowance of
//! bytes that is spent, no further message is read.

use std::sync::Arc;

use super::awaited::Progress;
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
        if !self.traffic.suspension.may_receive() {
            // Its leash is about to be pulled.
            std::future::pending::<()>().await;
        }
        let received = self.inner.recv().await?;
        let purpose = received.message.purpose();
        self.traffic.carried.received(purpose, u64::from(received.bytes));
        self.traffic.suspension.spend(u64::from(received.bytes));
        Ok(received)
    }

    fn note_progress(&mut self, progress: Progress) {
        self.inner.note_progress(progress);
    }
}

impl<T: MessageWriter> MessageWriter for Counted<T> {
    async fn send(&mut self, message: &Outbound) -> Result<u32, TransportError> {
        let sent = self.inner.send(message).await?;
        self.traffic.carried.sent(message.purpose(), u64::from(sent));
        self.traffic.suspension.spend(u64::from(sent));
        Ok(sent)
    }
}
