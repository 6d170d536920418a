//! Waits for tokens, in the order in which requests came.
//!
//! The tokens are reserved at once, so nobody overtakes and nobody asks again. What is dropped
//! before its time gives its tokens back.

use core::fmt;
use core::future::Future;
use core::hash::{BuildHasher, Hash};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use super::keyed::RateLimiter;
use super::rule::{Cost, Rule};
use super::state::RetryAfter;
use crate::clock::Timer;
use crate::error::Rejected;
use crate::stamp::Stamped;

/// Made by [`RateLimitLayer::waiting`](super::RateLimitLayer::waiting). At most as many requests
/// wait for a key as tokens come back within the patience.
///
/// A request that waits holds the inner service's readiness: place limits on concurrency that are
/// taken in `poll_ready` outside of it.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::rate_limit::{Quota, RateLimitLayer, RateLimiter};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::{Clock, TokioTimer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let (timer, minute) = (TokioTimer::new(), Duration::from_secs(60));
/// let limiter = RateLimiter::new(Quota::per_minute(1));
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(RateLimitLayer::new(limiter, |_: &u32| Some(())).waiting(timer, minute))
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert_eq!(service.clone().oneshot(1).await.unwrap(), 2);
/// assert_eq!(service.oneshot(2).await.unwrap(), 3);
/// assert!(timer.now() >= minute, "the second one waited");
/// # }
/// ```
pub struct RateLimitWaitLayer<K, X, C, H, T> {
    rule: Rule<K, X, C, H>,
    timer: T,
    patience: Duration,
}

impl<K, X, C, H, T> RateLimitWaitLayer<K, X, C, H, T> {
    pub(super) fn new(rule: Rule<K, X, C, H>, timer: T, patience: Duration) -> Self {
        Self { rule, timer, patience }
    }
}

impl<S, K, X: Clone, C: Clone, H, T: Clone> Layer<S> for RateLimitWaitLayer<K, X, C, H, T> {
    type Service = RateLimitWait<S, K, X, C, H, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { rule, timer, patience } = self.clone();
        RateLimitWait { inner, rule: Arc::new(rule), timer, patience }
    }
}

impl<K, X: Clone, C: Clone, H, T: Clone> Clone for RateLimitWaitLayer<K, X, C, H, T> {
    fn clone(&self) -> Self {
        Self { rule: self.rule.clone(), timer: self.timer.clone(), patience: self.patience }
    }
}

impl<K, X, C, H, T> fmt::Debug for RateLimitWaitLayer<K, X, C, H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RateLimitWaitLayer");
        out.field("rule", &self.rule).field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// The service of [`RateLimitWaitLayer`].
///
/// See [`RateLimitWaitLayer`] for an example.
pub struct RateLimitWait<S, K, X, C, H, T> {
    inner: S,
    rule: Arc<Rule<K, X, C, H>>,
    timer: T,
    patience: Duration,
}

impl<S: Clone, K, X, C, H, T: Clone> Clone for RateLimitWait<S, K, X, C, H, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            rule: Arc::clone(&self.rule),
            timer: self.timer.clone(),
            patience: self.patience,
        }
    }
}

impl<S: fmt::Debug, K, X, C, H, T> fmt::Debug for RateLimitWait<S, K, X, C, H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RateLimitWait");
        out.field("inner", &self.inner).field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl<S, R, K, X, C, H, T> Service<Stamped<R>> for RateLimitWait<S, K, X, C, H, T>
where
    S: Service<Stamped<R>> + Clone,
    S::Error: From<Rejected>,
    K: Hash + Eq + Clone,
    X: Fn(&R) -> Option<K>,
    C: Cost<R>,
    H: BuildHasher,
    T: Timer,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RateLimitWaitFuture<S, R, K, H, T>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Stamped<R>) -> Self::Future {
        let left = request.left(request.at).unwrap_or(Duration::MAX);
        let state = match self.rule.ask(&request, self.patience.min(left)) {
            Err(RetryAfter(retry_after)) => State::Refused { retry_after },
            Ok((_, Duration::ZERO)) => State::Asked { inner: self.inner.call(request) },
            Ok((taken, wait)) => {
                let due = request.at.saturating_add(wait);
                let sleep = self.timer.sleep(due.saturating_sub(self.timer.now()));
                let waiting = Waiting {
                    reserved: taken.map(|(key, tokens)| Reserved {
                        limiter: self.rule.limiter.clone(),
                        timer: self.timer.clone(),
                        key,
                        tokens,
                        due,
                    }),
                    // The instance that is ready goes along; a clone of it stays.
                    service: {
                        let clone = self.inner.clone();
                        core::mem::replace(&mut self.inner, clone)
                    },
                    request: {
                        request.at = due;
                        request
                    },
                };
                State::Waiting { sleep, waiting: Some(waiting) }
            }
        };
        RateLimitWaitFuture { state }
    }
}

/// Tokens that come at `due`; dropped before, it gives them back.
struct Reserved<K: Hash + Eq + Clone, H: BuildHasher, T: Timer> {
    limiter: RateLimiter<K, H>,
    timer: T,
    key: K,
    tokens: u32,
    due: Duration,
}

impl<K: Hash + Eq + Clone, H: BuildHasher, T: Timer> Drop for Reserved<K, H, T> {
    fn drop(&mut self) {
        // Afterwards the bucket may have filled up without them, and they would count twice.
        if self.timer.now() < self.due {
            self.limiter.give_back(&self.key, self.tokens);
        }
    }
}

struct Waiting<S, R, K: Hash + Eq + Clone, H: BuildHasher, T: Timer> {
    reserved: Option<Reserved<K, H, T>>,
    service: S,
    request: Stamped<R>,
}

pin_project_lite::pin_project! {
    /// The future of [`RateLimitWait`].
    pub struct RateLimitWaitFuture<S, R, K, H, T>
    where
        S: Service<Stamped<R>>,
        K: Hash,
        K: Eq,
        K: Clone,
        H: BuildHasher,
        T: Timer,
    {
        #[pin]
        state: State<S, R, K, H, T>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    enum State<S, R, K, H, T>
    where
        S: Service<Stamped<R>>,
        K: Hash,
        K: Eq,
        K: Clone,
        H: BuildHasher,
        T: Timer,
    {
        Waiting {
            #[pin]
            sleep: T::Sleep,
            waiting: Option<Waiting<S, R, K, H, T>>,
        },
        Asked {
            #[pin]
            inner: S::Future,
        },
        Refused {
            retry_after: Duration,
        },
    }
}

impl<S, R, K, H, T> fmt::Debug for RateLimitWaitFuture<S, R, K, H, T>
where
    S: Service<Stamped<R>>,
    K: Hash + Eq + Clone,
    H: BuildHasher,
    T: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitWaitFuture").finish_non_exhaustive()
    }
}

impl<S, R, K, H, T> Future for RateLimitWaitFuture<S, R, K, H, T>
where
    S: Service<Stamped<R>>,
    S::Error: From<Rejected>,
    K: Hash + Eq + Clone,
    H: BuildHasher,
    T: Timer,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjection::Waiting { sleep, waiting } => {
                    ready!(sleep.poll(context));
                    let Some(Waiting { mut reserved, mut service, request }) = waiting.take()
                    else {
                        return Poll::Pending;
                    };
                    // Used from now on, also where the timer woke us a little early.
                    if let Some(reserved) = &mut reserved {
                        reserved.due = Duration::ZERO;
                    }
                    drop(reserved);
                    state.set(State::Asked { inner: service.call(request) });
                }
                StateProjection::Asked { inner } => return inner.poll(context),
                StateProjection::Refused { retry_after } => {
                    let retry_after = *retry_after;
                    return Poll::Ready(Err(Rejected::RateLimited { retry_after }.into()));
                }
            }
        }
    }
}
