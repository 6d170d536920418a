//! Answers to what peers ask.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLimits};
use ironlight_hardening::rate_limit::{IpKey, Quota, RateLimiter, RateLimiterConfig};
use ironlight_hardening::stack::Inbound;
use ironlight_hardening::{Error, Rejected, TokioTimer};
use ironlight_spv::peers::is_routable;
use libp2p::PeerId;
use tokio::task::JoinError;
use tower_layer::Layer as _;
use tower_service::Service;
use tracing::error;

use super::source::ChainSource;
use super::wire::{Extensions, HeadersRequest, MAX_PAGE, Status, decode_request, encode_response};
use crate::net::ServeReport;
use crate::net::requests::once_ready;
use crate::net::wire::DecodeError;

/// What one client may ask for: a whole chain at once, then 100,000 headers (4 MB) a second.
const QUOTA: Quota = Quota { burst: 2_000_000, per: Duration::from_micros(10) };
/// A request costs as much as so many headers at least.
const LEAST_COST: u32 = 250;

/// Answers that are made at the same time, for all clients together; nobody waits for a place.
const AT_ONCE: u32 = 32;
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

/// A request that came in.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    client: Client,
    request: HeadersRequest,
}

/// Answers requests, each client's within its allowance and all within what is done at once.
/// Clones share both.
#[derive(Clone, Debug)]
pub(super) struct Server(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inbound: Inbound<Client, TokioTimer>,
    answered: AtomicU64,
    busy: AtomicU64,
}

impl Server {
    pub(super) fn new() -> Self {
        let inbound = Inbound {
            timer: TokioTimer::new(),
            timeout: LONGEST_ANSWER,
            limiter: RateLimiter::with_config(QUOTA, CLIENTS),
            bulkhead: Bulkhead::new(BulkheadLimits { concurrent: AT_ONCE, queue: 0 }),
            queue_time: Duration::ZERO,
        };
        Self(Arc::new(Shared { inbound, answered: AtomicU64::new(0), busy: AtomicU64::new(0) }))
    }

    /// The bytes of the answer. What is over a limit is answered with a hint when to come back;
    /// `guarded` says whether there are any.
    pub(super) async fn answer(
        &self,
        source: Arc<dyn ChainSource>,
        asked: Asked,
        guarded: bool,
    ) -> Vec<u8> {
        let pages = Pages(source);
        let answer = if guarded {
            let layer = self.0.inbound.layer_by_cost(|asked: &Asked| Some(asked.client), cost);
            once_ready(layer.layer(pages), asked).await
        } else {
            once_ready(pages, asked).await.map_err(Error::Inner)
        };
        let pause = match answer {
            Ok(answer) => {
                self.0.answered.fetch_add(1, Ordering::Relaxed);
                return answer;
            }
            Err(Error::Rejected(Rejected::RateLimited { retry_after })) => retry_after,
            Err(Error::Rejected(_)) => PAUSE,
            Err(Error::Inner(failed)) => {
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

fn cost(asked: &Asked) -> u32 {
    asked.request.most.clamp(LEAST_COST, MAX_PAGE)
}

/// The chain, one page a request, off the async threads.
#[derive(Clone)]
struct Pages(Arc<dyn ChainSource>);

/// A page was not made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotMade(JoinError);

impl Service<Asked> for Pages {
    type Response = Vec<u8>;
    type Error = NotMade;
    type Future = Pin<Box<dyn Future<Output = Result<Vec<u8>, NotMade>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotMade>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, asked: Asked) -> Self::Future {
        let source = Arc::clone(&self.0);
        let making =
            tokio::task::spawn_blocking(move || headers_response(&*source, &asked.request));
        Box::pin(async move { making.await.map_err(NotMade) })
    }
}

/// The answer of a node that has no time.
pub(super) fn busy(retry_after: Duration) -> Vec<u8> {
    let extensions = Extensions { retry_after: Some(retry_after), ..Extensions::default() };
    encode_response(Status::Busy, &extensions, &[])
}

/// The answer to what is no request.
pub(super) fn invalid() -> Vec<u8> {
    encode_response(Status::Invalid, &Extensions::default(), &[])
}

/// A request for headers.
pub(super) fn headers_request(client: Client, bytes: &[u8]) -> Result<Asked, DecodeError> {
    let (_extensions, mut body) = decode_request(bytes)?;
    Ok(Asked { client, request: HeadersRequest::decode(&mut body)? })
}

fn headers_response(source: &dyn ChainSource, request: &HeadersRequest) -> Vec<u8> {
    match source.page(request) {
        Some(page) => encode_response(Status::Ok, &Extensions::default(), &page.body),
        None => encode_response(Status::NotFound, &Extensions::default(), &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::swarm::source::ServedPage;
    use crate::net::swarm::wire::{Wanted, decode_response};
    use ironlight_hardening::cache::CacheStats;
    use ironlight_spv::sync::TipVerdict;
    use ironlight_spv::{BlockHeight, Header};

    /// A chain of empty pages.
    struct Empty;

    impl ChainSource for Empty {
        fn page(&self, _: &HeadersRequest) -> Option<ServedPage> {
            Some(ServedPage { body: Vec::new(), count: 0 })
        }

        fn judge(&self, _: &Header) -> TipVerdict {
            TipVerdict::Current
        }

        fn cached(&self) -> CacheStats {
            CacheStats::default()
        }
    }

    fn a_page(client: Client) -> Asked {
        let wanted = Wanted::From(BlockHeight(0));
        Asked { client, request: HeadersRequest { wanted, most: MAX_PAGE } }
    }

    async fn status(server: &Server, client: Client, guarded: bool) -> (Status, Option<Duration>) {
        let answer = server.answer(Arc::new(Empty), a_page(client), guarded).await;
        let (status, extensions, _) = decode_response(&answer).unwrap();
        (status, extensions.retry_after)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_gets_a_whole_chain_at_once_and_then_has_to_wait() {
        let server = Server::new();
        let client = Client::new("60.1.1.1".parse().unwrap(), PeerId::random());
        for _ in 0..250 {
            assert_eq!(status(&server, client, true).await, (Status::Ok, None));
        }
        let (refused, wait) = status(&server, client, true).await;
        let wait = wait.unwrap();
        assert!(refused == Status::Busy && wait <= Duration::from_millis(80), "{wait:?}");
        let another = Client::new("70.1.1.1".parse().unwrap(), PeerId::random());
        assert_eq!(status(&server, another, true).await.0, Status::Ok, "nobody else notices");
        assert_eq!(
            server.report(),
            ServeReport { answered: 251, busy: 1, ..ServeReport::default() }
        );
        tokio::time::sleep(wait).await;
        assert_eq!(status(&server, client, true).await.0, Status::Ok);
        for _ in 0..1000 {
            assert_eq!(status(&server, client, false).await.0, Status::Ok, "nothing limits it");
        }
    }

    #[test]
    fn a_new_identity_at_the_same_address_wins_nothing_but_where_many_share_one() {
        let client = |ip: &str| Client::new(ip.parse().unwrap(), PeerId::random());
        assert_eq!(client("60.1.1.1"), client("60.1.1.1"));
        assert_eq!(client("2a01:4f8:1:2::1"), client("2a01:4f8:1:2::9"));
        assert_ne!(client("127.0.0.1"), client("127.0.0.1"));
    }
}
