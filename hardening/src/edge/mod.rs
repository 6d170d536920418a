//! What stands between an HTTP server and its handlers: layers over [`http`]'s requests and answers,
//! for any server and any body.
//!
//! Purpose: strangers ask, and each request is named, timed, measured, limited and bounded before
//! anything is done for it. [`Edge`] puts the layers in their order, from the outside in:
//!
//! 1. [`StampLayer`](crate::stamp::StampLayer): reads the clock, sets the deadline.
//! 2. [`ObserveLayer`]: records how long it took and how it ended, whichever layer ended it.
//! 3. [`ClientLayer`]: who asks, as far as [`TrustedProxies`] tell.
//! 4. [`RequestIdLayer`]: a name for logs; after 3, as only proxies are believed to have given one.
//! 5. [`AnswerLayer`]: makes answers of the [`Rejection`]s of all that follow.
//! 6. [`BodyCapLayer`], then a bulkhead without a queue and
//!    [`LoadShedLayer`](crate::load_shed::LoadShedLayer): what costs least to refuse.
//! 7. [`LimitLayer`]: by client and cost; before 8, so that keys cannot be tried out fast.
//! 8. [`AuthLayer`]: whose key it is.
//! 9. [`DeadlineLayer`](crate::deadline::DeadlineLayer): all that follows may wait.
//! 10. [`ResponseCacheLayer`]: after 8, so that nobody is given what only others may see; before 11, as
//!     a hit needs no place.
//! 11. [`BulkheadLayer`](crate::bulkhead::BulkheadLayer): how much the handler does at once.
//! 12. [`HandlerLayer`]: the handler, its own requests and errors.
//!
//! Invariants: a header says who asks only where a configured proxy wrote it. A refusal is one of
//! [`Rejection`], and its answer holds nothing that the request said. A key is never kept, logged or
//! compared in a way that takes longer the more of it is right. A future that is dropped frees its
//! places, and counts as cancelled.
//!
//! What an attacker can grow: keys of limiters (see
//! [`EdgeLimits::memory_bound`]) and what is kept (see [`ResponseCache`]). Of what they send, ids
//! longer than [`MAX_REQUEST_ID`] are replaced, keys longer than [`MAX_KEY`] refused, more than
//! [`MAX_HOPS`] forwarded addresses not looked at. How large heads are, how slowly they come and how
//! many connections there are, the server must bound: none of that is seen here.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::TokioTimer;
//! use ironlight_hardening::edge::{
//!     Access, ApiKeys, AuthLayer, ClientLayer, CostClass, Edge, EdgeLimits, LimitLayer,
//!     TrustedProxies,
//! };
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let keys = ApiKeys::default();
//! keys.add("alice", "kV3xTq0bYw8mZr5s").unwrap();
//! let edge = Edge {
//!     timeout: Duration::from_secs(10),
//!     client: ClientLayer::new(TrustedProxies::new(["10.0.0.0/8".parse().unwrap()])),
//!     limit: LimitLayer::new(EdgeLimits::default()).classify(|head| match head.path() {
//!         "/health" | "/metrics" => CostClass::Exempt,
//!         path if path.starts_with("/proofs/") => CostClass::Expensive,
//!         _ => CostClass::by_method(head),
//!     }),
//!     auth: AuthLayer::new(keys).access(|head| match head.is_safe() {
//!         true => Access::Open,
//!         false => Access::Keyed,
//!     }),
//!     ..Edge::new(TokioTimer::new(), 7)
//! };
//! let layer = edge.layer(); // for axum's `Router::layer`, or any service
//! # drop(layer);
//! # }
//! ```

mod answer;
mod auth;
mod body;
mod cache;
mod cap;
mod client;
mod forwarded;
mod future;
mod head;
mod limit_layer;
mod limits;
mod observe;
mod rejection;
mod request_id;
mod stack;

#[cfg(test)]
mod forwarded_tests;
#[cfg(test)]
mod stack_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerLayer, Answering, Handler, HandlerFuture, HandlerLayer};
pub use auth::{
    API_KEY_HEADER, Access, ApiKeys, AuthFailure, AuthLayer, AuthReason, Authenticated, BadKey,
    MAX_API_KEYS, MAX_FAILURE_PATH, MAX_KEY, MIN_KEY, Principal, Unchanged,
};
pub use body::EdgeBody;
pub use cache::{
    CACHE_HEADER, CacheFinish, CacheKey, Freshness, Invalidate, ResponseCache, ResponseCacheConfig,
    ResponseCacheLayer, ResponseCacheStats, ResponseCached, Tee,
};
pub use cap::{BodyCap, BodyCapLayer, BodyError, CappedBody, Capping};
pub use client::{Client, ClientKey, ClientLayer, PeerAddr, WithClient};
pub use forwarded::{ForwardedBy, MAX_HOPS, TrustedProxies};
pub use future::{EdgeFuture, Finish};
pub use head::Head;
pub use limit_layer::{LimitLayer, Limited, Report};
pub use limits::{CostClass, EdgeLimits, LIMIT_HEADER, LimitReport, POLICY_HEADER};
pub use observe::{Observe, ObserveLayer, Observing, PROCESS_TIME_HEADER};
pub use rejection::{Failure, PROBLEM_JSON, Rejection};
pub use request_id::{
    AcceptId, MAX_REQUEST_ID, NameAnswer, REQUEST_ID_HEADER, RequestId, RequestIdLayer, RequestIds,
    WithRequestId,
};
pub use stack::{Edge, EdgeLayer, EdgeService};
