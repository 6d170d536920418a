//! A line between the node and its full node that can be cut.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Connections over it at once; further ones wait in the kernel's queue.
const MOST: usize = 16;

/// Forwards connections to a full node on loopback. Dropped, it closes all of them.
#[derive(Debug)]
pub(super) struct Line {
    address: SocketAddr,
    cut: Arc<Notify>,
    _forwards: JoinSet<()>,
}

impl Line {
    /// A line on a free port, forwarded by the runtime that it is made in.
    pub(super) async fn to(full_node: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, cut) = (listener.local_addr()?, Arc::new(Notify::new()));
        let mut forwards = JoinSet::new();
        forwards.spawn(forward(listener, full_node, Arc::clone(&cut)));
        Ok(Self { address, cut, _forwards: forwards })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the connections that there are.
    pub(super) fn cut(&self) {
        self.cut.notify_waiters();
    }
}

async fn forward(listener: TcpListener, full_node: SocketAddr, cut: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            Ok((near, _)) = listener.accept(), if connections.len() < MOST => {
                let cut = Arc::clone(&cut);
                connections.spawn(async move {
                    let cut = cut.notified();
                    tokio::select! {
                        () = cut => {}
                        () = carry(near, full_node) => {}
                    }
                });
            }
            else => return,
        }
    }
}

/// Either end may close it: then both are closed.
async fn carry(mut near: TcpStream, full_node: SocketAddr) {
    if let Ok(mut far) = TcpStream::connect(full_node).await {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}
