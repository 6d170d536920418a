//! What both layers ask: whose request is it, what does it cost, is it granted.

use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Arc;

use super::keyed::RateLimiter;
use super::state::RetryAfter;
use crate::stamp::Stamped;

/// The tokens that a request costs. Any `Fn(&R) -> u32` says so.
///
/// ```
/// use ironlight_hardening::rate_limit::{Cost, OneToken};
///
/// let by_length = |request: &&str| request.len() as u32;
/// assert_eq!(by_length.tokens(&"proof"), 5);
/// assert_eq!(OneToken.tokens(&"proof"), 1);
/// ```
pub trait Cost<R> {
    /// Its tokens.
    fn tokens(&self, request: &R) -> u32;
}

/// Each request costs one token.
///
/// See [`Cost`] for an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneToken;

impl<R> Cost<R> for OneToken {
    fn tokens(&self, _request: &R) -> u32 {
        1
    }
}

impl<R, F: Fn(&R) -> u32> Cost<R> for F {
    fn tokens(&self, request: &R) -> u32 {
        self(request)
    }
}

type Listener<K> = Arc<dyn Fn(&K, RetryAfter) + Send + Sync>;

/// The limiter with its key and its cost, shared by the clones of a layer.
pub(super) struct Rule<K, X, C, H> {
    pub(super) limiter: RateLimiter<K, H>,
    key: X,
    cost: C,
    listeners: Vec<Listener<K>>,
}

impl<K, X, C, H> Rule<K, X, C, H> {
    pub(super) fn new(limiter: RateLimiter<K, H>, key: X, cost: C) -> Self {
        Self { limiter, key, cost, listeners: Vec::new() }
    }

    pub(super) fn listen(&mut self, listener: impl Fn(&K, RetryAfter) + Send + Sync + 'static) {
        self.listeners.push(Arc::new(listener));
    }

    pub(super) fn with_cost<D>(self, cost: D) -> Rule<K, X, D, H> {
        Rule { limiter: self.limiter, key: self.key, cost, listeners: self.listeners }
    }

    /// The refusal goes to the listeners. One that panics is as good as one that returned: the
    /// request's fate is decided already.
    pub(super) fn refused(&self, key: &K, retry_after: RetryAfter) -> RetryAfter {
        for listener in &self.listeners {
            drop(catch_unwind(AssertUnwindSafe(|| listener(key, retry_after))));
        }
        retry_after
    }
}

/// What was granted: the key and its tokens (none where the request is not limited), and when
/// they are there.
pub(super) type Granted<K> = (Option<(K, u32)>, Duration);

impl<K: Hash + Eq + Clone, X, C, H: BuildHasher> Rule<K, X, C, H> {
    pub(super) fn ask<R>(
        &self,
        stamped: &Stamped<R>,
        patience: Duration,
    ) -> Result<Granted<K>, RetryAfter>
    where
        X: Fn(&R) -> Option<K>,
        C: Cost<R>,
    {
        let Some(key) = (self.key)(&stamped.request) else {
            return Ok((None, Duration::ZERO));
        };
        let tokens = self.cost.tokens(&stamped.request);
        match self.limiter.reserve(&key, tokens, stamped.at, patience) {
            Ok(wait) => Ok((Some((key, tokens)), wait)),
            Err(retry_after) => Err(self.refused(&key, retry_after)),
        }
    }
}

impl<K, X: Clone, C: Clone, H> Clone for Rule<K, X, C, H> {
    fn clone(&self) -> Self {
        Self {
            limiter: self.limiter.clone(),
            key: self.key.clone(),
            cost: self.cost.clone(),
            listeners: self.listeners.clone(),
        }
    }
}

impl<K, X, C, H> fmt::Debug for Rule<K, X, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}
