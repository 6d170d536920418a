//! Asks a running node over its control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::http::request::Builder;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::error::ErrorDto;
use super::socket::FILE_NAME;

/// The node has this long for an answer, where nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// No answer is larger: a wallet may have many coins.
const MAX_ANSWER: usize = 64 << 20;

/// Why the node gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No node listens there.
    #[error(
        "no node runs on {path} ({source}): start one with `ironlight run`, give a starting one a moment, or name its --data-dir and --network"
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node is somebody else's.
    #[error("{path} belongs to another user: ask as the user that the node runs as")]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The node listens and does not answer.
    #[error("the node on {path} did not answer within {deadline:?}: it may be stopping")]
    Deadline {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// The node answered that it cannot.
    #[error("{0}")]
    Refused(String),
    /// The answer is none that this version understands.
    #[error("the node's answer cannot be read ({0}): is it of another version?")]
    Unreadable(String),
}

/// Gets one path from the node whose network directory this is. Cancel safe.
///
/// # Errors
/// [`ClientError`].
pub async fn get<T: DeserializeOwned>(directory: &Path, path: &str) -> Result<T, ClientError> {
    get_within(directory, path, DEADLINE).await
}

/// As [`get`], for what takes the node longer.
///
/// # Errors
/// [`ClientError`].
pub async fn get_within<T: DeserializeOwned>(
    directory: &Path,
    path: &str,
    deadline: Duration,
) -> Result<T, ClientError> {
    ask(directory, Request::get(path), Bytes::new(), deadline).await
}

/// Deletes what is at one path. Given up, it may have been done or not.
///
/// # Errors
/// [`ClientError`].
pub async fn delete<T: DeserializeOwned>(directory: &Path, path: &str) -> Result<T, ClientError> {
    ask(directory, Request::delete(path), Bytes::new(), DEADLINE).await
}

/// Posts a value as JSON to one path of the node whose network directory this is. Given up, it
/// may have been done or not.
///
/// # Errors
/// [`ClientError`].
pub async fn post<T: DeserializeOwned>(
    directory: &Path,
    path: &str,
    value: &impl Serialize,
) -> Result<T, ClientError> {
    send(directory, Request::post(path), value).await
}

/// Puts a value as JSON to one path, as [`post`].
///
/// # Errors
/// [`ClientError`].
pub async fn put<T: DeserializeOwned>(
    directory: &Path,
    path: &str,
    value: &impl Serialize,
) -> Result<T, ClientError> {
    send(directory, Request::put(path), value).await
}

/// Gets bytes from one path. Cancel safe.
///
/// # Errors
/// [`ClientError`].
pub async fn get_bytes(
    directory: &Path,
    path: &str,
    deadline: Duration,
) -> Result<Vec<u8>, ClientError> {
    let answer = answer(directory, Request::get(path), Bytes::new(), deadline).await?;
    Ok(answer.to_vec())
}

/// Posts bytes to one path. Given up, it may have been done or not.
///
/// # Errors
/// [`ClientError`].
pub async fn post_bytes<T: DeserializeOwned>(
    directory: &Path,
    path: &str,
    bytes: Vec<u8>,
    deadline: Duration,
) -> Result<T, ClientError> {
    let request = Request::post(path).header("content-type", "application/octet-stream");
    ask(directory, request, bytes.into(), deadline).await
}

async fn send<T: DeserializeOwned>(
    directory: &Path,
    request: Builder,
    value: &impl Serialize,
) -> Result<T, ClientError> {
    let body = serde_json::to_vec(value)
        .map_err(|error| ClientError::Unreadable(error.to_string()))?
        .into();
    ask(directory, request.header("content-type", "application/json"), body, DEADLINE).await
}

async fn ask<T: DeserializeOwned>(
    directory: &Path,
    request: Builder,
    body: Bytes,
    deadline: Duration,
) -> Result<T, ClientError> {
    let answer = answer(directory, request, body, deadline).await?;
    serde_json::from_slice(&answer).map_err(|error| ClientError::Unreadable(error.to_string()))
}

/// The body of what the node answers when it does what it was asked for.
async fn answer(
    directory: &Path,
    request: Builder,
    body: Bytes,
    deadline: Duration,
) -> Result<Bytes, ClientError> {
    let socket = directory.join(FILE_NAME);
    let stream = match UnixStream::connect(&socket).await {
        Ok(stream) => stream,
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ClientError::NotAllowed { path: socket });
        }
        Err(source) => return Err(ClientError::NotRunning { path: socket, source }),
    };
    match tokio::time::timeout(deadline, exchange(stream, request, body)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(ClientError::Deadline { path: socket, deadline }),
    }
}

async fn exchange(stream: UnixStream, request: Builder, body: Bytes) -> Result<Bytes, ClientError> {
    let unreadable = |error: &dyn std::fmt::Display| ClientError::Unreadable(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreadable(&error))?;
    // The connection runs beside the request and ends with it; its error is the request's too.
    let connection = tokio::spawn(connection);
    let request = request
        .header("host", "ironlight")
        .body(Full::new(body))
        .map_err(|error| unreadable(&error))?;
    let response = sender.send_request(request).await.map_err(|error| unreadable(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|error| ClientError::Unreadable(error.to_string()))?
        .to_bytes();
    connection.abort();
    if status.is_success() {
        return Ok(body);
    }
    match serde_json::from_slice::<ErrorDto>(&body) {
        Ok(error) => Err(ClientError::Refused(error.error)),
        Err(_no_json) => Err(ClientError::Refused(format!("the node answered {status}"))),
    }
}
