//! Keeps the one deadline that a request carries, and a limit for each attempt.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::deadline::DeadlineLayer;
//! use ironlight_hardening::stamp::{BareLayer, StampLayer};
//! use ironlight_hardening::{Error, Rejected, TokioTimer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let timer = TokioTimer::new();
//! let timeout = Duration::from_millis(10);
//! let service = ServiceBuilder::new()
//!     .layer(StampLayer::new(timer).with_timeout(timeout))
//!     .layer(DeadlineLayer::new(timer))
//!     .layer(BareLayer)
//!     .service(service_fn(|()| core::future::pending::<Result<(), std::io::Error>>()));
//! let done = service.oneshot(()).await;
//! assert!(matches!(done, Err(Error::Rejected(Rejected::Timeout { .. }))));
//! # }
//! ```
//!
//! What an attacker can grow: nothing; a request costs one timer while it waits.

mod layer;
mod state;
#[cfg(test)]
mod tests;

pub use layer::{Deadline, DeadlineFuture, DeadlineLayer, DeadlineStatus};
pub use state::tightened;
