//! Answers to what peers ask.
//!
//! Each costs its client about what it weighs, and what may have to be fetched first has places of its
//! own, so that nobody waits for headers behind somebody who waits for a full node.
//!
//! What an attacker can grow: allowances of [`CLIENTS`]; answers being made, [`AT_ONCE`] and
//! [`FETCHING_AT_ONCE`]; filters, blocks, proofs and snapshots that are not read,
//! [`SENDING`] KB.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bitcoin::BlockHash;
use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLimits};
use ironlight_hardening::rate_limit::{IpKey, Quota, RateLimiter, RateLimiterConfig};
use ironlight_hardening::stack::Inbound;
use ironlight_hardening::{Error, Rejected, TokioTimer};
use ironlight_spv::peers::is_routable;
use libp2p::PeerId;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tower_layer::Layer as _;
use tower_service::Service;
use tracing::error;

use super::bytes_codec::Response;
use super::protocol::Protocol;
use super::source::{ChainSource, DataSource, FilterSource, NotServed};
use super::wire::{
    BlockRequest, Extensions, FiltersRequest, HeadersRequest, MAX_PAGE, ProofRequest,
    SnapshotsRequest, Status, block_head, decode_request, encode_checkpoints, encode_filter_hashes,
    encode_filters, encode_response, filters_that_fit,
};
use crate::net::ServeReport;
use crate::net::requests::once_ready;
use crate::net::wire::DecodeError;

/// What one client may ask for: a whole chain at once, then 100,000 headers (4 MB) a second.
const QUOTA: Quota = Quota { burst: 2_000_000, per: Duration::from_micros(10) };
/// A request costs as much as so many headers at least.
const LEAST_COST: u32 = 250;
/// The checkpoints of a million blocks are few bytes, and each is read from a piece of 16 KB.
const CHECKPOINTS_COST: u32 = 100_000;
/// A filter of 20 KB, as mainnet's are.
const FILTER_COST: u32 = 500;
/// Filters are read in pages of 16.
const LEAST_FILTERS_COST: u32 = 2_000;
/// A full page of filters.
const FILTERS_COST: u32 = 25_000;
/// A block of 2 MB.
const BLOCK_COST: u32 = 50_000;
/// The addresses of 16,000 periods, 512 KB; each is hashed out of the chain.
const OFFER_COST: u32 = 12_000;
/// A period's headers, packed or kept.
const CHUNK_COST: u32 = 2_016;
/// A proof is small, and a block may have to be fetched or hashed for it.
const PROOF_COST: u32 = 5_000;

/// Answers that are made at the same time, for all clients together; nobody waits for a place.
const AT_ONCE: u32 = 32;
/// The same for those that may have to be fetched, so that others need not wait behind a full node.
const FETCHING_AT_ONCE: u32 = 16;
/// KB of filters, blocks, proofs and snapshots on their way, for all clients together.
const SENDING: usize = 64 * 1024;
/// An answer that takes longer is not given.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);
/// When to ask again where there is no room, and where serving is off.
const PAUSE: Duration = Duration::from_millis(250);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Those whose allowance is kept apart. It stays when they hang up and call again.
const CLIENTS: RateLimiterConfig = RateLimiterConfig { max_keys: 4096, shards: 1, shared: 256 };

/// Whose allowance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// Who owns the address.
    Owner(IpKey),
    /// Many may share an address that the internet does not route.
    Identity(PeerId),
}

impl Client {
    pub(super) fn new(ip: IpAddr, id: PeerId) -> Self {
        if is_routable(ip) { Self::Owner(IpKey::from(ip)) } else { Self::Identity(id) }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
enum Request {
    Headers(HeadersRequest),
    Filters(FiltersRequest),
    Block(BlockRequest),
    Proof(ProofRequest),
    Snapshots(SnapshotsRequest),
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    client: Client,
    request: Request,
}

impl Asked {
    /// What it costs its client, in headers of 44 bytes: about as many as the answer weighs.
    fn cost(&self) -> u32 {
        match &self.request {
            Request::Headers(request) => request.most.clamp(LEAST_COST, MAX_PAGE),
            Request::Filters(FiltersRequest::Checkpoints { .. }) => CHECKPOINTS_COST,
            Request::Filters(FiltersRequest::Headers(range)) => range.count.max(LEAST_COST),
            Request::Filters(FiltersRequest::Filters(range)) => {
                range.count.saturating_mul(FILTER_COST).clamp(LEAST_FILTERS_COST, FILTERS_COST)
            }
            Request::Block(_) => BLOCK_COST,
            Request::Proof(_) => PROOF_COST,
            Request::Snapshots(SnapshotsRequest::Offer { .. }) => OFFER_COST,
            Request::Snapshots(SnapshotsRequest::Chunk { .. }) => CHUNK_COST,
        }
    }

    /// Whether a block may have to be fetched for it.
    const fn may_fetch(&self) -> bool {
        match self.request {
            Request::Headers(_) | Request::Filters(_) | Request::Snapshots(_) => false,
            Request::Block(_) | Request::Proof(_) => true,
        }
    }
}

/// A request of a protocol.
pub(super) fn asked(
    protocol: Protocol,
    client: Client,
    bytes: &[u8],
) -> Result<Asked, DecodeError> {
    let (_extensions, mut body) = decode_request(bytes)?;
    let request = match protocol {
        Protocol::Headers => Request::Headers(HeadersRequest::decode(&mut body)?),
        Protocol::Filters => Request::Filters(FiltersRequest::decode(&mut body)?),
        Protocol::Blocks => Request::Block(BlockRequest::decode(&mut body)?),
        Protocol::Proofs => Request::Proof(ProofRequest::decode(&mut body)?),
        Protocol::Snapshots => Request::Snapshots(SnapshotsRequest::decode(&mut body)?),
    };
    Ok(Asked { client, request })
}

/// Where answers come from, as far as they are there.
#[derive(Clone, Default)]
pub(super) struct Sources {
    pub(super) chain: Option<Arc<dyn ChainSource>>,
    pub(super) data: Option<Arc<dyn DataSource>>,
}

impl Sources {
    pub(super) const fn have(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Headers | Protocol::Snapshots => self.chain.is_some(),
            Protocol::Filters | Protocol::Blocks | Protocol::Proofs => self.data.is_some(),
        }
    }
}

/// Answers requests, each client's within its allowance and all within what is done at once.
/// Clones share both.
#[derive(Clone, Debug)]
pub(super) struct Server(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inbound: Inbound<Client, TokioTimer>,
    /// For what may have to be fetched: with the same allowances, and places of its own.
    fetching: Inbound<Client, TokioTimer>,
    /// KB of filters, blocks and proofs that may be on their way to those who asked.
    sending: Arc<Semaphore>,
    answered: AtomicU64,
    busy: AtomicU64,
}

impl Server {
    pub(super) fn new() -> Self {
        let (timer, timeout, queue_time) = (TokioTimer::new(), LONGEST_ANSWER, Duration::ZERO);
        let limiter = RateLimiter::with_config(QUOTA, CLIENTS);
        let [inbound, fetching] = [AT_ONCE, FETCHING_AT_ONCE].map(|concurrent| Inbound {
            timer,
            timeout,
            limiter: limiter.clone(),
            bulkhead: Bulkhead::new(BulkheadLimits { concurrent, queue: 0 }),
            queue_time,
        });
        let (answered, busy) = (AtomicU64::new(0), AtomicU64::new(0));
        let sending = Arc::new(Semaphore::new(SENDING));
        Self(Arc::new(Shared { inbound, fetching, sending, answered, busy }))
    }

    /// The answer. What is over a limit is answered with a hint when to come back; `guarded` says
    /// whether there are any.
    pub(super) async fn answer(&self, sources: Sources, asked: Asked, guarded: bool) -> Response {
        let answers = Answers { sources, sending: Arc::clone(&self.0.sending) };
        let answer = if guarded {
            let inbound = if asked.may_fetch() { &self.0.fetching } else { &self.0.inbound };
            let layer = inbound.layer_by_cost(|asked: &Asked| Some(asked.client), Asked::cost);
            once_ready(layer.layer(answers), asked).await
        } else {
            once_ready(answers, asked).await.map_err(Error::Inner)
        };
        let pause = match answer {
            Ok(answer) => {
                self.0.answered.fetch_add(1, Ordering::Relaxed);
                return answer;
            }
            Err(Error::Rejected(Rejected::RateLimited { retry_after })) => retry_after,
            Err(Error::Rejected(_)) => PAUSE,
            Err(Error::Inner(NotMade::Busy { retry_after })) => retry_after,
            Err(Error::Inner(NotMade::Failed(failed))) => {
                error!(%failed, "an answer was not made: a defect");
                LONGEST_PAUSE
            }
        };
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        busy(pause)
    }

    /// How it went since the start.
    pub(super) fn report(&self) -> ServeReport {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServeReport {
            answered: of(&self.0.answered),
            busy: of(&self.0.busy),
            ..ServeReport::default()
        }
    }
}

/// Makes answers, off the async threads where it takes long.
#[derive(Clone)]
struct Answers {
    sources: Sources,
    sending: Arc<Semaphore>,
}

/// An answer was not made.
#[derive(Debug, thiserror::Error)]
enum NotMade {
    #[error("not now")]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Failed(#[from] JoinError),
}

/// None where the answer is that it is not there.
fn found<T>(served: Result<T, NotServed>) -> Result<Option<T>, NotMade> {
    match served {
        Ok(served) => Ok(Some(served)),
        Err(NotServed::NotFound) => Ok(None),
        Err(NotServed::Busy { retry_after }) => Err(NotMade::Busy { retry_after }),
    }
}

impl Service<Asked> for Answers {
    type Response = Response;
    type Error = NotMade;
    type Future = Pin<Box<dyn Future<Output = Result<Response, NotMade>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotMade>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, asked: Asked) -> Self::Future {
        let Self { sources: Sources { chain, data }, sending } = self.clone();
        Box::pin(async move {
            const NO_SOURCE: NotMade = NotMade::Busy { retry_after: LONGEST_PAUSE };
            let data = data.ok_or(NO_SOURCE);
            let made = match asked.request {
                Request::Headers(request) => {
                    let chain = chain.ok_or(NO_SOURCE)?;
                    let page = spawn_blocking(move || chain.page(&request)).await?;
                    return Ok(page.map_or_else(not_found, |page| ok(&page.body)));
                }
                Request::Snapshots(request) => snapshots(chain.ok_or(NO_SOURCE)?, request).await?,
                Request::Filters(request) => Some(filters(data?, request).await?),
                Request::Block(BlockRequest { hash }) => block(&*data?, hash).await?,
                Request::Proof(request) => proof(&*data?, request).await?,
            };
            made.map_or_else(|| Ok(not_found()), |response| with_a_place(&sending, response))
        })
    }
}

/// Whatever it is, it says whose filters there are, so that nobody has to try.
async fn filters(data: Arc<dyn DataSource>, request: FiltersRequest) -> Result<Response, NotMade> {
    let made = spawn_blocking(move || {
        let source = data.filters()?;
        let extensions = Extensions { held: Some(source.held()), ..Extensions::default() };
        let body = filters_body(source, &request);
        let status = if body.is_some() { Status::Ok } else { Status::NotFound };
        Some(encode_response(status, &extensions, &body.unwrap_or_default()).into())
    });
    Ok(made.await?.unwrap_or_else(not_found))
}

fn filters_body(source: &dyn FilterSource, request: &FiltersRequest) -> Option<Vec<u8>> {
    match request {
        FiltersRequest::Checkpoints { stop } => {
            source.filter_checkpoints(stop).map(|headers| encode_checkpoints(&headers))
        }
        FiltersRequest::Headers(range) => {
            let (previous, hashes) = source.filter_hashes(range)?;
            Some(encode_filter_hashes(&previous, &hashes))
        }
        FiltersRequest::Filters(range) => {
            let filters = source.filters(range)?;
            let filters = || filters.iter().map(Vec::as_slice);
            // More than there is room for, or none, would be no response.
            let count = filters_that_fit(filters());
            (count > 0).then(|| encode_filters(filters().take(count)))
        }
    }
}

/// Off the async threads: whatever is not kept is hashed and packed.
async fn snapshots(
    chain: Arc<dyn ChainSource>,
    request: SnapshotsRequest,
) -> Result<Option<Response>, NotMade> {
    let made = spawn_blocking(move || match request {
        SnapshotsRequest::Offer { from } => {
            chain.snapshot_offer(from).map(|offer| ok(&offer.encode()))
        }
        SnapshotsRequest::Chunk { period, hash } => {
            let chunk = chain.snapshot_chunk(period, &hash)?;
            Some(Response { shared: Some(chunk), ..ok(&[]) })
        }
    });
    Ok(made.await?)
}

async fn block(data: &dyn DataSource, hash: BlockHash) -> Result<Option<Response>, NotMade> {
    let block = found(data.block(hash).await)?;
    Ok(block.map(|block| Response { shared: Some(Arc::clone(&block)), ..ok(&block_head(&block)) }))
}

async fn proof(data: &dyn DataSource, request: ProofRequest) -> Result<Option<Response>, NotMade> {
    Ok(found(data.proof(request.block, request.txids).await)?.map(|proof| ok(&proof)))
}

/// A large answer keeps its place until it is written, so that those who do not read theirs cannot
/// make us keep ever more.
fn with_a_place(sending: &Arc<Semaphore>, response: Response) -> Result<Response, NotMade> {
    let bytes = response.bytes.len() + response.shared.as_deref().map_or(0, <[u8]>::len);
    let size = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    match Arc::clone(sending).try_acquire_many_owned(size) {
        Ok(place) => Ok(Response { place: Some(place), ..response }),
        Err(_full) => Err(NotMade::Busy { retry_after: PAUSE }),
    }
}

fn ok(body: &[u8]) -> Response {
    encode_response(Status::Ok, &Extensions::default(), body).into()
}

fn not_found() -> Response {
    encode_response(Status::NotFound, &Extensions::default(), &[]).into()
}

/// The answer of a node that has no time.
pub(super) fn busy(retry_after: Duration) -> Response {
    let extensions = Extensions { retry_after: Some(retry_after), ..Extensions::default() };
    encode_response(Status::Busy, &extensions, &[]).into()
}

/// The answer to what is no request.
pub(super) fn invalid() -> Response {
    encode_response(Status::Invalid, &Extensions::default(), &[]).into()
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
