//! What a guard consists of, and the layers that follow from it.

use core::time::Duration;
use std::sync::Arc;

use crate::bulkhead::{Bulkhead, BulkheadLayer};
use crate::circuit_breaker::{BreakerLayer, CircuitBreaker};
use crate::clock::Timer;
use crate::deadline::{DeadlineLayer, DeadlineStatus};
use crate::error::ErrorClass;
use crate::fallback::{FallbackLayer, FallbackStatus};
use crate::rate_limit::{RateLimitLayer, RateLimiter};
use crate::retry::{RetryLayer, RetryPolicy};
use crate::stack::OptionalLayer;
use crate::stack::order::Order;
use crate::stamp::StampLayer;

/// Handles, so that clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) name: Arc<str>,
    pub(super) timeout: Option<Duration>,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) retry: RetryLayer<(), ()>,
    pub(super) limiter: Option<RateLimiter<()>>,
    pub(super) bulkhead: Option<(Bulkhead, Duration)>,
    pub(super) breaker: Option<CircuitBreaker>,
    pub(super) deadline: DeadlineStatus,
    pub(super) fallback_for: fn(ErrorClass) -> bool,
    pub(super) fallback: FallbackStatus,
}

/// The layers of a guard, for requests of one kind.
pub(super) type Layers<R, T, A, G> = Order<
    StampLayer<T>,
    FallbackLayer<fn(&R), A>,
    RetryLayer<T, G>,
    OptionalLayer<RateLimitLayer<(), fn(&R) -> Option<()>>>,
    OptionalLayer<BulkheadLayer<T>>,
    OptionalLayer<BreakerLayer<T>>,
    DeadlineLayer<T>,
>;

const fn keep_nothing<R>(_: &R) {}

/// All requests count against the same limit.
const fn everybody<R>(_: &R) -> Option<()> {
    Some(())
}

impl Parts {
    /// One attempt and no limits.
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            timeout: None,
            attempt_timeout: None,
            retry: RetryLayer::unbound(RetryPolicy::new(1, Duration::ZERO, Duration::ZERO)),
            limiter: None,
            bulkhead: None,
            breaker: None,
            deadline: DeadlineStatus::default(),
            fallback_for: ErrorClass::is_retryable,
            fallback: FallbackStatus::default(),
        }
    }

    /// `again` makes a request a second time.
    pub(super) fn layers<R, T: Timer, A, G>(
        &self,
        timer: &T,
        answer: A,
        again: G,
    ) -> Layers<R, T, A, G> {
        let timer = || timer.clone();
        let limit = |limiter: &RateLimiter<()>| {
            RateLimitLayer::new(limiter.clone(), everybody::<R> as fn(&R) -> Option<()>)
        };
        let bulkhead = |(bulkhead, queue_time): &(Bulkhead, Duration)| {
            BulkheadLayer::new(bulkhead.clone(), *queue_time, timer())
        };
        let breaker = |breaker: &CircuitBreaker| BreakerLayer::new(breaker.clone(), timer());
        let stamp = StampLayer::new(timer());
        let deadline = DeadlineLayer::new(timer()).with_status(self.deadline.clone());
        Order {
            stamp: match self.timeout {
                Some(timeout) => stamp.with_timeout(timeout),
                None => stamp,
            },
            fallback: FallbackLayer::new(keep_nothing::<R> as fn(&R), answer)
                .for_classes(self.fallback_for)
                .with_status(self.fallback.clone()),
            retry: self.retry.bound(timer(), again),
            limit: self.limiter.as_ref().map(limit).into(),
            bulkhead: self.bulkhead.as_ref().map(bulkhead).into(),
            breaker: self.breaker.as_ref().map(breaker).into(),
            deadline: match self.attempt_timeout {
                Some(timeout) => deadline.with_attempt_timeout(timeout),
                None => deadline,
            },
        }
    }
}
