//! Refuses what is over the limit, at once.

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::hash::RandomState;
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use super::keyed::RateLimiter;
use super::rule::{Cost, OneToken, Rule};
use super::state::RetryAfter;
use super::wait::RateLimitWaitLayer;
use crate::clock::Timer;
use crate::error::Rejected;
use crate::stamp::Stamped;

/// Refuses requests over the limit with [`Rejected::RateLimited`]. The key function says whose a
/// request is; `None` is not limited. For requests that come in, and for those that go out where
/// nobody wants to wait; else see [`Self::waiting`].
///
/// ```
/// use ironlight_hardening::rate_limit::{Quota, RateLimitLayer, RateLimiter};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::{Classify, ManualClock};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let limiter = RateLimiter::new(Quota::per_minute(1));
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(RateLimitLayer::new(limiter.clone(), |client: &&'static str| Some(*client)))
///     .layer(BareLayer)
///     .service(service_fn(async |_: &str| Ok::<_, std::io::Error>("answer")));
/// assert!(service.clone().oneshot("alice").await.is_ok());
/// assert_eq!(service.clone().oneshot("alice").await.unwrap_err().class().name(), "rate_limited");
/// assert!(service.oneshot("bob").await.is_ok());
/// assert_eq!(limiter.stats().refused, 1);
/// # }
/// ```
pub struct RateLimitLayer<K, X, C = OneToken, H = RandomState> {
    rule: Rule<K, X, C, H>,
}

impl<K, X, H> RateLimitLayer<K, X, OneToken, H> {
    /// One token a request. The limiter stays yours: it is the handle for status and for changes.
    pub fn new(limiter: RateLimiter<K, H>, key: X) -> Self {
        Self { rule: Rule::new(limiter, key, OneToken) }
    }
}

impl<K, X, C, H> RateLimitLayer<K, X, C, H> {
    /// Tokens by request: `Fn(&R) -> u32`. What costs none is always granted.
    ///
    /// ```
    /// use ironlight_hardening::rate_limit::{Quota, RateLimitLayer, RateLimiter};
    /// use ironlight_hardening::stamp::{BareLayer, StampLayer};
    /// use ironlight_hardening::ManualClock;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let limiter = RateLimiter::new(Quota::per_minute(10));
    /// let layer = RateLimitLayer::new(limiter, |_: &u32| Some(()))
    ///     .with_cost(|blocks: &u32| *blocks)
    ///     .on_refused(|_, retry| eprintln!("refused for {:?}", retry.0));
    /// let service = ServiceBuilder::new()
    ///     .layer(StampLayer::new(ManualClock::default()))
    ///     .layer(layer)
    ///     .layer(BareLayer)
    ///     .service(service_fn(async |blocks: u32| Ok::<_, std::io::Error>(blocks)));
    /// assert!(service.clone().oneshot(8).await.is_ok());
    /// assert!(service.oneshot(3).await.is_err());
    /// # }
    /// ```
    #[must_use]
    pub fn with_cost<D>(self, cost: D) -> RateLimitLayer<K, X, D, H> {
        RateLimitLayer { rule: self.rule.with_cost(cost) }
    }

    /// Calls the listener at each refusal, in the request's own task: it must not block. If it
    /// panics, the refusal stands.
    #[must_use]
    pub fn on_refused(mut self, listener: impl Fn(&K, RetryAfter) + Send + Sync + 'static) -> Self {
        self.rule.listen(listener);
        self
    }

    /// Waits for tokens, at most for `patience` and at most until the request's deadline, and
    /// refuses only what would have to wait longer. The timer must be the clock that stamps the
    /// requests, or a clone of it.
    #[must_use]
    pub fn waiting<T: Timer>(
        self,
        timer: T,
        patience: Duration,
    ) -> RateLimitWaitLayer<K, X, C, H, T> {
        RateLimitWaitLayer::new(self.rule, timer, patience)
    }
}

impl<S, K, X: Clone, C: Clone, H> Layer<S> for RateLimitLayer<K, X, C, H> {
    type Service = RateLimit<S, K, X, C, H>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit { inner, rule: Arc::new(self.rule.clone()) }
    }
}

impl<K, X: Clone, C: Clone, H> Clone for RateLimitLayer<K, X, C, H> {
    fn clone(&self) -> Self {
        Self { rule: self.rule.clone() }
    }
}

impl<K, X, C, H> fmt::Debug for RateLimitLayer<K, X, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("rule", &self.rule).finish()
    }
}

/// The service of [`RateLimitLayer`].
///
/// See [`RateLimitLayer`] for an example.
pub struct RateLimit<S, K, X, C = OneToken, H = RandomState> {
    inner: S,
    rule: Arc<Rule<K, X, C, H>>,
}

impl<S: Clone, K, X, C, H> Clone for RateLimit<S, K, X, C, H> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), rule: Arc::clone(&self.rule) }
    }
}

impl<S: fmt::Debug, K, X, C, H> fmt::Debug for RateLimit<S, K, X, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RateLimit");
        out.field("inner", &self.inner).field("rule", &self.rule).finish()
    }
}

impl<S, R, K, X, C, H> Service<Stamped<R>> for RateLimit<S, K, X, C, H>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected>,
    K: Hash + Eq + Clone,
    X: Fn(&R) -> Option<K>,
    C: Cost<R>,
    H: BuildHasher,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RateLimitFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Stamped<R>) -> Self::Future {
        let state = match self.rule.ask(&request, Duration::ZERO) {
            Ok(_) => State::Granted { inner: self.inner.call(request) },
            Err(RetryAfter(retry_after)) => State::Refused { retry_after },
        };
        RateLimitFuture { state }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`RateLimit`].
    #[derive(Debug)]
    pub struct RateLimitFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F> {
        Granted {
            #[pin]
            inner: F,
        },
        Refused {
            retry_after: Duration,
        },
    }
}

impl<F, T, E> Future for RateLimitFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Granted { inner } => inner.poll(context),
            StateProjection::Refused { retry_after } => {
                Poll::Ready(Err(Rejected::RateLimited { retry_after: *retry_after }.into()))
            }
        }
    }
}
