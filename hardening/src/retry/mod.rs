//! When to try again.

mod state;

pub use state::{Backoff, BackoffConfig};
