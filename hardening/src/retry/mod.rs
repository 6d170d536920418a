//! When to try again.
//!
//! Purpose: what failed by chance works at the next attempt, and what is down is not beaten by
//! those who retry. A [`RetryPolicy`] says how often, after which pauses and until when; a
//! [`RetryBudget`], shared by many, keeps retries a share of all requests; what is
//! [permanent](crate::ErrorClass::Permanent) is never retried. [`retry`] calls a closure that
//! returns a future, [`retry_blocking`] one that blocks, [`RetryLayer`] a service. [`Backoff`] is
//! only the pauses, for loops of your own.
//!
//! The deadline stops new attempts, not one that is under way: for that there is a deadline layer.
//!
//! What an attacker can grow: nothing. A request keeps its last [`KEPT_ERRORS`] errors and one
//! spare of itself; a budget is one word.
//!
//! ```
//! use ironlight_hardening::retry::{RetryPolicy, retry_blocking};
//! use ironlight_hardening::ManualClock;
//!
//! let denied = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
//! let failed = retry_blocking(&ManualClock::default(), &RetryPolicy::AGGRESSIVE, denied);
//! assert_eq!(failed.unwrap_err().context.attempts, 1);
//! ```

mod backoff;
mod budget;
mod counters;
mod layer;
#[cfg(test)]
mod layer_tests;
#[cfg(test)]
mod model_tests;
mod policy;
mod run;
mod state;
#[cfg(test)]
mod tests;

pub use backoff::{Backoff, BackoffConfig};
pub use budget::RetryBudget;
pub use counters::{RetryHandle, RetryStats};
pub use layer::{Retry, RetryFuture, RetryLayer};
pub use policy::{Jitter, RetryEvent, RetryPolicy};
pub use run::{BlockingSleep, RetryError, Retrying, retry, retry_blocking};
pub use state::{FailedAttempt, GaveUp, KEPT_ERRORS, RecoveryContext, RetryState};
