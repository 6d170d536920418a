//! How often something may happen.

mod state;

pub use state::{Gcra, Quota, RetryAfter};
