//! A policy of tower's with as many attempts as ours.

use std::future::{Ready, ready};

use tower::retry::Policy;

/// So many attempts in all, without pauses.
#[derive(Clone)]
pub(crate) struct Attempts(pub(crate) u32);

impl<E> Policy<u64, u64, E> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _request: &mut u64, result: &mut Result<u64, E>) -> Option<Ready<()>> {
        if result.is_ok() || self.0 <= 1 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}
