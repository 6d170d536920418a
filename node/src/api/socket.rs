//! Serves the router on a Unix socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Clients served at once; further ones wait in the kernel's queue.
pub const MAX_CLIENTS: usize = 64;
/// A client that sends no whole request head in this time is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The socket's name in the network's directory.
pub const FILE_NAME: &str = "control.sock";

/// The socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the control socket {path}: {source}; a shorter or writable --data-dir helps")]
pub struct SocketError {
    path: PathBuf,
    source: io::Error,
}

/// An open control socket; its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Opens the socket in a directory whose process lock the caller holds, so that a file left
    /// there is a dead one's.
    ///
    /// # Errors
    /// [`SocketError`] naming the path.
    pub fn open(directory: &Path) -> Result<Self, SocketError> {
        let path = directory.join(FILE_NAME);
        let bound =
            remove_stale(&path).and_then(|()| UnixListener::bind(&path)).and_then(|listener| {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
                Ok(listener)
            });
        match bound {
            Ok(listener) => Ok(Self { listener, path }),
            Err(source) => Err(SocketError { path, source }),
        }
    }

    /// Answers until told to stop; requests under way are finished.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CLIENTS));
        let mut clients = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_done) = clients.join_next(), if !clients.is_empty() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let (router, stop) = (router.clone(), stop.clone());
                        clients.spawn(async move {
                            serve_client(stream, router, stop).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: wait for some to come back.
                        debug!(%error, "control socket");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
        while clients.join_next().await.is_some() {}
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            debug!(%error, "control socket left behind");
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn serve_client(stream: UnixStream, router: Router, stop: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "control client");
    }
}
