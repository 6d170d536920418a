//! What every request to a peer goes through, on both networks.
//!
//! Purpose: that a peer which is slow, silent, overloaded or gone costs one request its time and
//! not the node its peace. [`Requests`] belongs to the node, [`NetworkRequests`] to one network, and
//! [`PeerRequests`] to one peer: a request is handed to the last one together with the service that
//! puts it on the line. The order of the layers is that of [`stack::Outbound`]:
//!
//! | layer | here |
//! |---|---|
//! | retry | the same peer, only where it says that it is busy; paid from a budget of its own |
//! | rate limit | what we may ask of one address |
//! | bulkhead | requests under way on one network |
//! | circuit breaker | of one address; it outlives the connection |
//! | deadline | an attempt, and the request with all its attempts |
//!
//! Another peer is asked instead of one that gave no answer by the sync machine, which knows who will
//! do. Such a question says so ([`Asked::Instead`]) and is paid from one budget of all peers, which
//! their own questions fill, so that when everybody fails, the node does not ask ever more.
//!
//! Filters and blocks have breakers of their own, which do not mind slow answers: what is megabytes
//! takes long on a line that is otherwise quick, and the chain's questions must go on.
//!
//! Invariant: no question whose answer is waited for is put on a line but by [`PeerRequests::ask`].
//!
//! A defence must not become an attack: the open breaker of a peer that we chose refuses only while
//! at least [`RequestConfig::floor`] others of different owners may be asked. Those that called us do
//! not count, since anybody can call, and get no such grace. Whoever makes our peers slow makes us
//! slow; it cannot make us stop asking.
//!
//! What an attacker can grow: twice [`ADDRESSES`] breakers of 1 KB and as many allowances.
//!
//! [`stack::Outbound`]: ironlight_hardening::stack::Outbound

mod config;
mod peer;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLimits};
use ironlight_hardening::circuit_breaker::{
    BreakerConfig, BreakerPool, CircuitBreaker, CircuitState,
};
use ironlight_hardening::flags::Switch;
use ironlight_hardening::monitor::{Operation, PerformanceConfig, PerformanceStats};
use ironlight_hardening::rate_limit::{RateLimiter, RateLimiterConfig};
use ironlight_hardening::retry::{RetryBudget, RetryPolicy};
use ironlight_hardening::stack::Outbound;
use ironlight_hardening::{Clock as _, ErrorClass, TokioTimer};
use ironlight_spv::peers::{NetworkGroup, SplitMix64};
use tower_service::Service;
use tracing::{debug, info};

use crate::audit::NodeAudit;

pub use config::RequestConfig;
pub(crate) use peer::{Asked, NoAnswer, PeerRequests};
pub use report::{PeerRequestReport, RequestReport};

use peer::Lines;
use report::Counts;

/// Addresses whose breakers and allowances are kept apart.
const ADDRESSES: usize = 1024;

/// Requests to the peers of all networks. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Requests(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    timer: TokioTimer,
    config: RequestConfig,
    budget: RetryBudget,
    breakers: BreakerPool<SocketAddr>,
    /// Those of requests for filters and blocks.
    data_breakers: BreakerPool<SocketAddr>,
    limiter: RateLimiter<SocketAddr>,
    stats: PerformanceStats,
    /// Off, requests go straight to the line. Always on where there is none.
    guarded: Option<Switch>,
    /// Those that are connected and that we chose.
    chosen: Mutex<Vec<Connected>>,
    seed: u64,
}

/// A peer of our choice, and whether it may be asked.
#[derive(Clone, Debug)]
struct Connected {
    address: SocketAddr,
    breakers: Breakers,
}

/// A peer's breakers.
#[derive(Clone, Debug)]
struct Breakers {
    /// For what is answered at once.
    prompt: CircuitBreaker,
    /// For filters and blocks.
    data: CircuitBreaker,
}

/// Which requests a breaker is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prompt,
    Data,
}

impl Breakers {
    const fn of(&self, kind: Kind) -> &CircuitBreaker {
        match kind {
            Kind::Prompt => &self.prompt,
            Kind::Data => &self.data,
        }
    }
}

/// Tells of a breaker that opens.
fn watched(
    breakers: BreakerPool<SocketAddr>,
    audit: NodeAudit,
    of: &'static str,
) -> BreakerPool<SocketAddr> {
    breakers.on_transition(move |address, change| {
        let (to, cause) = (change.to.name(), change.cause.name());
        debug!(%address, of, to, cause, "a peer's circuit breaker");
        if change.to == CircuitState::Open {
            info!(%address, of, cause, "a peer is not asked for a while");
            audit.breaker(*address, change);
        }
    });
    breakers
}

impl Requests {
    /// The seed is for the breakers' jitter and the pauses before retries.
    pub(crate) fn new(
        config: RequestConfig,
        guarded: Option<Switch>,
        audit: NodeAudit,
        seed: u64,
    ) -> Self {
        let pool = |config, number: u64| BreakerPool::new(config, ADDRESSES, seed ^ number);
        let breakers = watched(pool(config.breaker, 0), audit.clone(), "requests");
        let unhurried = BreakerConfig { slow_calls: None, ..config.breaker };
        let data_breakers = watched(pool(unhurried, 1), audit, "filters and blocks");
        let timer = TokioTimer::new();
        let keys = RateLimiterConfig { max_keys: ADDRESSES, shards: 1, shared: 64 };
        let stats = PerformanceConfig { start: timer.now(), ..PerformanceConfig::default() };
        Self(Arc::new(Shared {
            timer,
            budget: RetryBudget::new(config.retry_percent, config.retry_reserve),
            breakers,
            data_breakers,
            limiter: RateLimiter::with_config(config.per_peer, keys),
            stats: PerformanceStats::new(stats),
            guarded,
            chosen: Mutex::default(),
            config,
            seed,
        }))
    }

    /// Requests to the peers of one network.
    pub(crate) fn network(&self, name: &'static str) -> NetworkRequests {
        let RequestConfig { concurrent, queue, .. } = self.0.config;
        NetworkRequests {
            shared: Arc::clone(&self.0),
            bulkhead: Bulkhead::new(BulkheadLimits { concurrent, queue }),
            operation: self.0.stats.operation(name),
            counts: Arc::default(),
        }
    }
}

impl Shared {
    fn is_guarded(&self) -> bool {
        self.guarded.as_ref().is_none_or(Switch::is_on)
    }

    fn chosen(&self) -> MutexGuard<'_, Vec<Connected>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes an open breaker where otherwise too few peers could be asked.
    fn keep_floor(&self, breaker: &CircuitBreaker, kind: Kind, now: Duration) {
        if breaker.refuses(now).is_some() && self.askable(kind, now) < self.config.floor {
            debug!("too few peers can be asked: this one is, though it failed");
            breaker.reset(now);
        }
    }

    /// Peers of our choice, of different owners, that may be asked.
    fn askable(&self, kind: Kind, now: Duration) -> usize {
        let chosen = self.chosen().clone();
        let may = |peer: &&Connected| peer.breakers.of(kind).refuses(now).is_none();
        let askable = chosen.iter().filter(may);
        askable.map(|peer| NetworkGroup::of(peer.address)).collect::<BTreeSet<_>>().len()
    }
}

/// Requests to the peers of one network. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct NetworkRequests {
    shared: Arc<Shared>,
    bulkhead: Bulkhead,
    operation: Operation,
    counts: Arc<Counts>,
}

impl NetworkRequests {
    /// Requests to a peer that we chose, for as long as it is connected. The number makes its pauses
    /// differ from others'.
    pub(crate) fn peer(&self, address: SocketAddr, number: u64) -> PeerRequests {
        let breakers = self.breakers(address);
        self.shared.chosen().push(Connected { address, breakers: breakers.clone() });
        PeerRequests::new(self.clone(), address, self.lines(breakers, number), true)
    }

    /// The same to one that called us.
    #[cfg(any(test, feature = "libp2p"))]
    pub(crate) fn caller(&self, address: SocketAddr, number: u64) -> PeerRequests {
        let lines = self.lines(self.breakers(address), number);
        PeerRequests::new(self.clone(), address, lines, false)
    }

    fn breakers(&self, address: SocketAddr) -> Breakers {
        let Shared { breakers, data_breakers, timer, .. } = &*self.shared;
        let now = timer.now();
        Breakers { prompt: breakers.get(&address, now), data: data_breakers.get(&address, now) }
    }

    fn lines(&self, breakers: Breakers, number: u64) -> Lines {
        let RequestConfig { timeout, attempt_timeout, data_timeout, .. } = self.shared.config;
        Lines {
            prompt: self.outbound(breakers.prompt, number, timeout, attempt_timeout),
            data: self.outbound(breakers.data, !number, data_timeout, data_timeout),
        }
    }

    /// How requests went on this network.
    pub(crate) fn report(&self) -> RequestReport {
        let latency = self.operation.report(self.shared.timer.now()).latency;
        self.counts.report(self.bulkhead.status(), self.shared.budget.balance(), latency)
    }

    fn outbound(
        &self,
        breaker: CircuitBreaker,
        number: u64,
        timeout: Duration,
        attempt_timeout: Duration,
    ) -> Outbound<SocketAddr, TokioTimer> {
        let Shared { timer, config, limiter, seed, .. } = &*self.shared;
        // A peer that is always busy spends nobody's retries but its own.
        let budget = RetryBudget::new(config.retry_percent, config.attempts);
        let retry = RetryPolicy {
            max_attempts: config.attempts,
            base: config.pause,
            max_retry_after: config.longest_pause,
            seed: Some(SplitMix64::new(seed ^ number).next_u64()),
            ..RetryPolicy::default()
        };
        Outbound {
            timer: *timer,
            timeout: Some(timeout),
            attempt_timeout,
            // A peer that does not answer is not asked again: another one is.
            retry: retry.retry_if(is_busy).with_budget(budget),
            limiter: limiter.clone(),
            bulkhead: self.bulkhead.clone(),
            queue_time: config.queue_time,
            breaker,
        }
    }
}

/// It would answer, but not now.
fn is_busy(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::RateLimited { .. })
}

/// Hands a service a request, as soon as it is ready for it.
pub(crate) async fn once_ready<S: Service<R>, R>(
    mut service: S,
    request: R,
) -> Result<S::Response, S::Error> {
    poll_fn(|context| service.poll_ready(context)).await?;
    service.call(request).await
}
