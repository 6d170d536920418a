//! Hedging in front of a service.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use super::future::HedgeFuture;
use crate::clock::Timer;
use crate::listeners::Listeners;
use crate::retry::RetryBudget;
use crate::stamp::Stamped;

/// What second requests are charged to: the same budget as retries, best (who makes the requests
/// fills it, as the retry layer does). Closures are one too.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::hedge::HedgeBudget;
/// use ironlight_hardening::retry::RetryBudget;
///
/// let budget = RetryBudget::new(20, 1);
/// assert!(budget.take(Duration::ZERO));
/// assert!(!budget.take(Duration::ZERO), "retries and hedges share it");
/// ```
pub trait HedgeBudget {
    /// Whether there may be one more request now; then it is spent.
    fn take(&self, now: Duration) -> bool;
}

impl<F: Fn(Duration) -> bool> HedgeBudget for F {
    fn take(&self, now: Duration) -> bool {
        self(now)
    }
}

impl HedgeBudget for RetryBudget {
    fn take(&self, _: Duration) -> bool {
        self.try_withdraw()
    }
}

/// Asks a second time when the answer is slow. What comes first counts; the other is dropped.
///
/// An error of one while the other is under way waits for the other. Before there is a second one,
/// an error is passed on: to try again is the concern of a retry.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::hedge::HedgeLayer;
/// use ironlight_hardening::retry::RetryBudget;
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let after = || Duration::from_secs(1);
/// let hedge = HedgeLayer::new(timer, after, |n: &u32| Some(*n), RetryBudget::default());
/// let status = hedge.status().clone();
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(hedge)
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert_eq!(service.oneshot(1).await.unwrap(), 2);
/// assert_eq!(status.hedged(), 0, "the first one answered in time");
/// # }
/// ```
pub struct HedgeLayer<T, D, A, B> {
    timer: T,
    delay: D,
    again: A,
    budget: B,
    status: HedgeStatus,
}

/// How often it was asked a second time; clones show the same.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, Default)]
pub struct HedgeStatus {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    hedged: AtomicU64,
    won: AtomicU64,
    over_budget: AtomicU64,
    listeners: Listeners<Duration>,
}

impl HedgeStatus {
    /// Second requests.
    #[must_use]
    pub fn hedged(&self) -> u64 {
        self.counts.hedged.load(Ordering::Relaxed)
    }

    /// Second requests whose answer came first.
    #[must_use]
    pub fn won(&self) -> u64 {
        self.counts.won.load(Ordering::Relaxed)
    }

    /// Those that there was no budget for.
    #[must_use]
    pub fn over_budget(&self) -> u64 {
        self.counts.over_budget.load(Ordering::Relaxed)
    }

    /// Has each second request told, with the time at which it begins. One that panics harms nothing.
    pub fn on_hedged(&self, listener: impl Fn(Duration) + Send + Sync + 'static) {
        self.counts.listeners.add(Arc::new(move |at: &Duration| listener(*at)));
    }

    pub(super) fn count_hedged(&self, at: Duration) {
        self.counts.hedged.fetch_add(1, Ordering::Relaxed);
        self.counts.listeners.tell(&at);
    }

    pub(super) fn count_won(&self) {
        self.counts.won.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_over_budget(&self) {
        self.counts.over_budget.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: Timer, D, A, B> HedgeLayer<T, D, A, B> {
    /// `delay` says how long to wait for the first answer, `again` makes the request again (none
    /// if that cannot be), and `budget` says whether there may be one more.
    pub fn new(timer: T, delay: D, again: A, budget: B) -> Self {
        Self { timer, delay, again, budget, status: HedgeStatus::default() }
    }
}

impl<T, D, A, B> HedgeLayer<T, D, A, B> {
    /// How often it was asked a second time.
    pub const fn status(&self) -> &HedgeStatus {
        &self.status
    }
}

impl<T: Clone, D: Clone, A: Clone, B: Clone> Clone for HedgeLayer<T, D, A, B> {
    fn clone(&self) -> Self {
        Self {
            timer: self.timer.clone(),
            delay: self.delay.clone(),
            again: self.again.clone(),
            budget: self.budget.clone(),
            status: self.status.clone(),
        }
    }
}

impl<T, D, A, B> fmt::Debug for HedgeLayer<T, D, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeLayer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl<S, T: Clone, D: Clone, A: Clone, B: Clone> Layer<S> for HedgeLayer<T, D, A, B> {
    type Service = Hedge<S, T, D, A, B>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedge { inner, layer: self.clone() }
    }
}

/// The service of [`HedgeLayer`].
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct Hedge<S, T, D, A, B> {
    inner: S,
    layer: HedgeLayer<T, D, A, B>,
}

impl<S, T, D, A, B, R> Service<Stamped<R>> for Hedge<S, T, D, A, B>
where
    S: Service<Stamped<R>> + Clone,
    T: Timer,
    D: Fn() -> Duration,
    A: Fn(&R) -> Option<R>,
    B: HedgeBudget + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HedgeFuture<S, R, T, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let layer = &self.layer;
        let again = (layer.again)(&stamped.request).map(|request| Stamped { request, ..stamped });
        let spare = again.map(|again| (self.inner.clone(), again));
        let starts = stamped.at.saturating_add((layer.delay)());
        let first = self.inner.call(stamped);
        let (timer, budget) = (layer.timer.clone(), layer.budget.clone());
        HedgeFuture::new(first, spare, starts, timer, budget, layer.status.clone())
    }
}
