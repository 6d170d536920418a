//! The devnet's peer side: Bitcoin's wire protocol as a full node speaks it, on loopback.

mod answers;
mod frames;
mod requests;
mod session;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::session::Session;
use super::shared::SharedLedger;

/// Peers served at once; further ones are hung up on.
pub const MAX_PEERS: usize = 64;

/// Serves peers until told to stop.
pub(super) async fn serve(listener: TcpListener, shared: SharedLedger, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_PEERS));
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_ended) = sessions.join_next(), if !sessions.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        debug!(%peer, "the devnet is full");
                        continue;
                    };
                    let session = Session::new(stream, peer, shared.clone());
                    let stop = stop.clone();
                    sessions.spawn(async move {
                        session.run(stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to come back.
                    debug!(%error, "devnet listener");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
    while sessions.join_next().await.is_some() {}
}
