//! Which layer goes around which: decided once, here.
//!
//! **Outbound**, from the caller to the network:
//!
//! 1. [`StampLayer`]: reads the clock, sets the request's deadline.
//! 2. [`FallbackLayer`](crate::fallback::FallbackLayer), of a [`Guard`](crate::guard::Guard) that has
//!    one: another answer, once nothing is tried any more.
//! 3. [`RetryLayer`]: all that follows is one attempt, so that each attempt is limited and judged.
//! 4. [`RateLimitLayer`]: what we may ask of this peer. Before the places below, so that one that is
//!    over its limit takes none.
//! 5. [`BulkheadLayer`]: how much goes on at once. Around the breaker, so that a place that is not
//!    free does not count against the peer, and waiting for one holds none of its probes.
//! 6. [`BreakerLayer`]: whether the peer is to be asked at all.
//! 7. [`DeadlineLayer`]: an attempt takes so long at most. Inside the breaker, which so hears of an
//!    answer that never comes.
//! 8. [`BareLayer`](crate::stamp::BareLayer): the service and its own errors.
//!
//! **Inbound**, from the network to the service: stamp, rate limit by who asks, bulkhead,
//! deadline, service. There is no retry (the caller's business) and no breaker (nobody to spare).
//!
//! A [`Guard`](crate::guard::Guard) is the outbound order around a closure, a future or a service, with
//! the layers that it was given.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::TokioTimer;
//! use ironlight_hardening::stack::Outbound;
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let outbound = Outbound::new(TokioTimer::new());
//! let network = service_fn(async |peer: &'static str| Ok::<_, std::io::Error>(peer.len()));
//! let key = |peer: &&'static str| Some(*peer);
//! let again = |peer: &&'static str| Some(*peer);
//! let service = outbound.layer(key, again).layer(network);
//! assert_eq!(service.oneshot("alice").await.unwrap(), 5);
//! # }
//! ```

use core::hash::Hash;
use core::time::Duration;

use tower_layer::{Identity, Layer};

use self::order::Order;
use crate::bulkhead::{Bulkhead, BulkheadLayer, BulkheadLimits, Bulkheaded};
use crate::chance::fresh_seed;
use crate::circuit_breaker::{Breaker, BreakerConfig, BreakerLayer, CircuitBreaker};
use crate::clock::Timer;
use crate::deadline::{Deadline, DeadlineLayer};
use crate::rate_limit::{OneToken, Quota, RateLimit, RateLimitLayer, RateLimiter};
use crate::retry::{Retry, RetryLayer, RetryPolicy};
use crate::stamp::{Bare, Stamp, StampLayer};

mod optional;
pub(crate) mod order;

pub use optional::{Optional, OptionalFuture, OptionalLayer};

/// What surrounds requests to one peer. Its parts are handles that can be shared: the limiter and
/// the bulkhead with other peers, the policy's budget with all.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::retry::RetryPolicy;
/// use ironlight_hardening::stack::Outbound;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timeout = Some(Duration::from_secs(5));
/// let retry = RetryPolicy::QUICK;
/// let outbound = Outbound { timeout, retry, ..Outbound::new(TokioTimer::new()) };
/// let layer = outbound.layer(|peer: &&'static str| Some(*peer), |peer: &&'static str| Some(*peer));
/// let hangs = service_fn(|_: &str| core::future::pending::<Result<(), std::io::Error>>());
/// assert!(layer.layer(hangs).oneshot("bob").await.is_err());
/// assert_eq!(outbound.breaker.status(Duration::ZERO).consecutive_failures, 1);
/// # }
/// ```
#[derive(Debug)]
pub struct Outbound<K, T> {
    /// The clock of all layers.
    pub timer: T,
    /// How long a request may take with all its attempts; none for no limit.
    pub timeout: Option<Duration>,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// What is retried.
    pub retry: RetryPolicy,
    /// What may be asked, by key.
    pub limiter: RateLimiter<K>,
    /// How much goes on at once.
    pub bulkhead: Bulkhead,
    /// How long a request may wait for a place.
    pub queue_time: Duration,
    /// Whether the peer is asked at all.
    pub breaker: CircuitBreaker,
}

/// The services of [`Outbound`], from the outside in.
pub type OutboundService<S, K, X, A, T> = Stamp<Retry<Limited<S, K, X, T>, T, A>, T>;
/// One attempt.
type Limited<S, K, X, T> = RateLimit<Bulkheaded<Judged<S, T>, T>, K, X>;
/// One attempt that has a place.
type Judged<S, T> = Breaker<Deadline<Bare<S>, T>, T>;

impl<K: Hash + Eq + Clone, T: Timer> Outbound<K, T> {
    /// 30 s a request, 10 s an attempt, the default retries and breaker, 1,000 requests a minute and
    /// key, 64 at once and as many waiting for up to a second.
    #[must_use]
    pub fn new(timer: T) -> Self {
        Self {
            timer,
            timeout: Some(Duration::from_secs(30)),
            attempt_timeout: Duration::from_secs(10),
            retry: RetryPolicy::default(),
            limiter: RateLimiter::new([Quota::per_minute(1000)]),
            bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 64, queue: 64 }),
            queue_time: Duration::from_secs(1),
            breaker: CircuitBreaker::new(BreakerConfig::default(), fresh_seed()),
        }
    }

    /// The layer. `key` says whose limit a request counts against (none: nobody's), `again` makes
    /// it a second time (none: it cannot be retried).
    pub fn layer<X, A>(&self, key: X, again: A) -> OutboundLayer<K, X, A, T> {
        let stamp = StampLayer::new(self.timer.clone());
        let order = Order {
            stamp: match self.timeout {
                Some(timeout) => stamp.with_timeout(timeout),
                None => stamp,
            },
            fallback: Identity::new(),
            retry: RetryLayer::new(self.timer.clone(), self.retry.clone(), again),
            limit: RateLimitLayer::new(self.limiter.clone(), key),
            bulkhead: BulkheadLayer::new(
                self.bulkhead.clone(),
                self.queue_time,
                self.timer.clone(),
            ),
            breaker: BreakerLayer::new(self.breaker.clone(), self.timer.clone()),
            deadline: DeadlineLayer::new(self.timer.clone())
                .with_attempt_timeout(self.attempt_timeout),
        };
        OutboundLayer { order }
    }
}

/// All outbound layers in their order. See the [module](self).
///
/// The [module](self) has an example.
#[derive(Clone, Debug)]
pub struct OutboundLayer<K, X, A, T> {
    order: OutboundOrder<K, X, A, T>,
}

type OutboundOrder<K, X, A, T> = Order<
    StampLayer<T>,
    Identity,
    RetryLayer<T, A>,
    RateLimitLayer<K, X>,
    BulkheadLayer<T>,
    BreakerLayer<T>,
    DeadlineLayer<T>,
>;

impl<S, K, X: Clone, A: Clone, T: Timer> Layer<S> for OutboundLayer<K, X, A, T> {
    type Service = OutboundService<S, K, X, A, T>;

    fn layer(&self, inner: S) -> Self::Service {
        self.order.layer(inner)
    }
}

/// What surrounds a service that strangers call. Its parts are handles that can be shared, and keep
/// their state when the layer is applied more than once.
///
/// ```
/// use ironlight_hardening::stack::Inbound;
/// use ironlight_hardening::rate_limit::{Quota, RateLimiter};
/// use ironlight_hardening::{Classify, TokioTimer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let limiter = RateLimiter::new(Quota::per_minute(1));
/// let inbound = Inbound { limiter, ..Inbound::new(TokioTimer::new()) };
/// let layer = inbound.layer(|client: &&'static str| Some(*client));
/// let service = layer.layer(service_fn(async |_: &str| Ok::<_, std::io::Error>("answer")));
/// assert_eq!(service.clone().oneshot("alice").await.unwrap(), "answer");
/// assert_eq!(service.oneshot("alice").await.unwrap_err().class().name(), "rate_limited");
/// # }
/// ```
#[derive(Debug)]
pub struct Inbound<K, T> {
    /// The clock of all layers.
    pub timer: T,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What may be asked, by who asks.
    pub limiter: RateLimiter<K>,
    /// How much goes on at once.
    pub bulkhead: Bulkhead,
    /// How long a request may wait for a place.
    pub queue_time: Duration,
}

/// The services of [`Inbound`], from the outside in.
pub type InboundService<S, K, X, T, C = OneToken> =
    Stamp<RateLimit<Bulkheaded<Deadline<Bare<S>, T>, T>, K, X, C>, T>;

impl<K: Hash + Eq + Clone, T: Timer> Inbound<K, T> {
    /// 30 s an answer, 60 requests a minute and caller, 64 at once and as many waiting for up to a
    /// second.
    #[must_use]
    pub fn new(timer: T) -> Self {
        Self {
            timer,
            timeout: Duration::from_secs(30),
            limiter: RateLimiter::new([Quota::per_minute(60)]),
            bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 64, queue: 64 }),
            queue_time: Duration::from_secs(1),
        }
    }

    /// The layer. `key` says who asks; none for requests that are exempt.
    pub fn layer<X>(&self, key: X) -> InboundLayer<K, X, T> {
        self.layer_by_cost(key, OneToken)
    }

    /// The same where requests differ in what they cost: `cost` is a `Fn(&R) -> u32`, in tokens of
    /// the limiter.
    ///
    /// ```
    /// use ironlight_hardening::rate_limit::{Quota, RateLimiter};
    /// use ironlight_hardening::stack::Inbound;
    /// use ironlight_hardening::{Classify, TokioTimer};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let mut inbound = Inbound::new(TokioTimer::new());
    /// inbound.limiter = RateLimiter::new(Quota::per_minute(100));
    /// let layer = inbound.layer_by_cost(|_: &u32| Some("alice"), |pages: &u32| *pages);
    /// let service = layer.layer(service_fn(async |pages: u32| Ok::<_, std::io::Error>(pages)));
    /// assert!(service.clone().oneshot(70).await.is_ok());
    /// assert_eq!(service.oneshot(70).await.unwrap_err().class().name(), "rate_limited");
    /// # }
    /// ```
    pub fn layer_by_cost<X, C>(&self, key: X, cost: C) -> InboundLayer<K, X, T, C> {
        let order = Order {
            stamp: StampLayer::new(self.timer.clone()).with_timeout(self.timeout),
            fallback: Identity::new(),
            retry: Identity::new(),
            limit: RateLimitLayer::new(self.limiter.clone(), key).with_cost(cost),
            bulkhead: BulkheadLayer::new(
                self.bulkhead.clone(),
                self.queue_time,
                self.timer.clone(),
            ),
            breaker: Identity::new(),
            deadline: DeadlineLayer::new(self.timer.clone()),
        };
        InboundLayer { order }
    }
}

/// All inbound layers in their order. See the [module](self).
///
/// See [`Inbound`] for an example.
#[derive(Clone, Debug)]
pub struct InboundLayer<K, X, T, C = OneToken> {
    order: InboundOrder<K, X, T, C>,
}

type InboundOrder<K, X, T, C> = Order<
    StampLayer<T>,
    Identity,
    Identity,
    RateLimitLayer<K, X, C>,
    BulkheadLayer<T>,
    Identity,
    DeadlineLayer<T>,
>;

impl<S, K, X: Clone, T: Timer, C: Clone> Layer<S> for InboundLayer<K, X, T, C> {
    type Service = InboundService<S, K, X, T, C>;

    fn layer(&self, inner: S) -> Self::Service {
        self.order.layer(inner)
    }
}

#[cfg(test)]
mod tests;
