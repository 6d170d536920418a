//! A listener that closes when whoever holds it is done.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keeps a listener open until it is dropped, so that a program that goes on gets its port back.
#[derive(Debug)]
pub(crate) struct Door {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Door {
    /// Of a listener.
    pub(crate) fn of(listener: &TcpListener) -> Self {
        Self { address: listener.local_addr().unwrap(), closed: Arc::default() }
    }

    /// Who comes in, until the door is closed.
    pub(crate) fn visitors(
        &self,
        listener: TcpListener,
    ) -> impl Iterator<Item = TcpStream> + use<> {
        let closed = Arc::clone(&self.closed);
        let next = move || listener.accept().ok().map(|(stream, _)| stream);
        std::iter::from_fn(next).take_while(move |_| !closed.load(Ordering::Acquire))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // One more visitor, so that the listener looks; where there is none any more, it is closed.
        let _ = TcpStream::connect(self.address);
    }
}
