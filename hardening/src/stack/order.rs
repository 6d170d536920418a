//! The order itself: the one place where layers are put around each other.

use tower_layer::Layer;

use crate::stamp::{Bare, BareLayer};

/// A layer of each kind, from the outside in. Where a kind is missing there is tower's `Identity`.
#[derive(Clone, Debug)]
pub(crate) struct Order<Stamp, Fallback, Retry, Limit, Bulkhead, Breaker, Deadline> {
    pub(crate) stamp: Stamp,
    pub(crate) fallback: Fallback,
    pub(crate) retry: Retry,
    pub(crate) limit: Limit,
    pub(crate) bulkhead: Bulkhead,
    pub(crate) breaker: Breaker,
    pub(crate) deadline: Deadline,
}

impl<S, Stamp, Fallback, Retry, Limit, Bulkhead, Breaker, Deadline> Layer<S>
    for Order<Stamp, Fallback, Retry, Limit, Bulkhead, Breaker, Deadline>
where
    Deadline: Layer<Bare<S>>,
    Breaker: Layer<Deadline::Service>,
    Bulkhead: Layer<Breaker::Service>,
    Limit: Layer<Bulkhead::Service>,
    Retry: Layer<Limit::Service>,
    Fallback: Layer<Retry::Service>,
    Stamp: Layer<Fallback::Service>,
{
    type Service = Stamp::Service;

    fn layer(&self, inner: S) -> Self::Service {
        let judged = self.breaker.layer(self.deadline.layer(BareLayer.layer(inner)));
        let attempt = self.limit.layer(self.bulkhead.layer(judged));
        self.stamp.layer(self.fallback.layer(self.retry.layer(attempt)))
    }
}
