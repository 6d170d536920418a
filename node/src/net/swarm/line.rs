//! Where a request goes out to a light node, and what its answer turns out to be.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ironlight_hardening::{Classify, ErrorClass};
use ironlight_spv::compress::CodecError;
use ironlight_spv::peers::Offence;
use ironlight_spv::{LinkedBatch, Params};
use libp2p::PeerId as LightPeerId;
use libp2p::request_response::OutboundFailure;
use tokio::sync::{mpsc, oneshot};
use tower_service::Service;

use super::protocol::Protocol;
use super::wire::{
    Extensions, HeadersPage, HeadersRequest, MAX_PAGE, Status, decode_response, encode_request,
};
use crate::net::wire::{Cursor, DecodeError, Problem};

/// A request on its way to the task that owns the swarm.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) to: LightPeerId,
    pub(super) protocol: Protocol,
    pub(super) bytes: Vec<u8>,
    pub(super) answered: oneshot::Sender<Result<Vec<u8>, OutboundFailure>>,
}

/// A peer's line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) out: mpsc::Sender<Outgoing>,
    pub(super) to: LightPeerId,
    /// How long an answer is waited for, which the peer is told.
    pub(super) patience: Duration,
}

impl Line {
    /// The bytes of the response to a request.
    pub(super) async fn exchange(
        self,
        protocol: Protocol,
        body: &[u8],
    ) -> Result<Vec<u8>, LineError> {
        let Self { out, to, patience } = self;
        let extensions = Extensions { deadline: Some(patience), ..Extensions::default() };
        let bytes = encode_request(&extensions, body);
        let (answered, answer) = oneshot::channel();
        let sent = out.send(Outgoing { to, protocol, bytes, answered }).await;
        sent.map_err(|_stopped| LineError::Closed)?;
        let bytes = answer.await.map_err(|_dropped| LineError::Closed)?;
        let bytes = bytes.map_err(LineError::Failed)?;
        if bytes.len() > protocol.max_response() {
            return Err(LineError::TooLong { bytes: bytes.len() });
        }
        Ok(bytes)
    }
}

/// What a response says.
pub(super) enum Said<'a> {
    /// What was asked for is in its body.
    Body(Cursor<'a>),
    /// The peer does not have it.
    NotFound,
}

/// The status of a response, and what it says beside.
pub(super) fn said(bytes: &[u8]) -> Result<(Said<'_>, Extensions), LineError> {
    let (status, extensions, body) = decode_response(bytes).map_err(LineError::of)?;
    match status {
        Status::Ok => Ok((Said::Body(body), extensions)),
        Status::NotFound => Ok((Said::NotFound, extensions)),
        Status::Busy => Err(LineError::Busy { retry_after: extensions.retry_after }),
        Status::Invalid => Err(LineError::Refused),
    }
}

/// A peer's line for headers.
#[derive(Clone, Debug)]
pub(super) struct HeadersLine {
    pub(super) line: Line,
    pub(super) params: Params,
    /// Whether the answer's headers are hashed once more, for proof of work: what a peer sends for
    /// another one's name has to have that.
    pub(super) check: bool,
}

/// An answer that is of use.
#[derive(Debug)]
pub(super) enum Answer {
    Page(HeadersPage),
    NotFound,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    #[error("it is busy")]
    Busy { retry_after: Option<Duration> },
    #[error("it does not understand the request")]
    Refused,
    #[error("{0}")]
    Failed(OutboundFailure),
    #[error("the connection ended before an answer came")]
    Closed,
    #[error("a response of {bytes} bytes")]
    TooLong { bytes: usize },
    /// It ends too early: a line that broke looks the same as an end.
    #[error("half a response: {0}")]
    Cut(DecodeError),
    #[error("no response to the request: {0}")]
    Broken(DecodeError),
    #[error("a header without proof of work")]
    NoWork,
}

impl LineError {
    /// By what is wrong with a response. Where its rest is missing, a broken line looks the same; a
    /// count that the bytes cannot hold says so, too.
    pub(super) const fn of(error: DecodeError) -> Self {
        use CodecError::{TooMany, Truncated};
        let cut = matches!(
            error.problem,
            Problem::Short { .. }
                | Problem::Segment(Truncated { .. } | TooMany { count: ..=MAX_PAGE })
        );
        if cut { Self::Cut(error) } else { Self::Broken(error) }
    }

    /// What is provably the peer's fault.
    pub(super) const fn offence(&self) -> Option<Offence> {
        match self {
            Self::TooLong { .. } => Some(Offence::Oversized),
            Self::Broken(_) => Some(Offence::ProtocolViolation),
            Self::NoWork => Some(Offence::InvalidHeader),
            Self::Busy { .. } | Self::Refused | Self::Failed(_) | Self::Closed | Self::Cut(_) => {
                None
            }
        }
    }
}

impl Classify for LineError {
    /// Whatever is wrong with an answer, another time or another peer may do better.
    fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { retry_after } => ErrorClass::RateLimited { retry_after: *retry_after },
            Self::Failed(OutboundFailure::Timeout) => ErrorClass::Timeout,
            Self::Refused
            | Self::Failed(_)
            | Self::Closed
            | Self::TooLong { .. }
            | Self::Cut(_)
            | Self::Broken(_)
            | Self::NoWork => ErrorClass::Temporary,
        }
    }
}

impl Service<HeadersRequest> for HeadersLine {
    type Response = Answer;
    type Error = LineError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, LineError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HeadersRequest) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}

impl HeadersLine {
    async fn ask(self, request: HeadersRequest) -> Result<Answer, LineError> {
        let Self { line, params, check } = self;
        let bytes = line.exchange(Protocol::Headers, &request.encode()).await?;
        // Off the async threads: a page is hashed header by header.
        let decoding =
            tokio::task::spawn_blocking(move || decode(&params, &request, &bytes, check));
        match decoding.await {
            Ok(decoded) => decoded,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_stopping) => Err(LineError::Closed),
            },
        }
    }
}

fn decode(
    params: &Params,
    request: &HeadersRequest,
    bytes: &[u8],
    check: bool,
) -> Result<Answer, LineError> {
    let mut body = match said(bytes)? {
        (Said::Body(body), _) => body,
        (Said::NotFound, _) => return Ok(Answer::NotFound),
    };
    let page = HeadersPage::decode(&mut body, request.most).map_err(LineError::of)?;
    if check && !has_work(params, &page) {
        return Err(LineError::NoWork);
    }
    Ok(Answer::Page(page))
}

fn has_work(params: &Params, page: &HeadersPage) -> bool {
    LinkedBatch::new(params, page.headers.clone()).failure().is_none()
}
