//! Lets only so many in at once, so that one part that is slow does not sink the rest.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLayer, BulkheadLimits};
//! use ironlight_hardening::stamp::{BareLayer, StampLayer};
//! use ironlight_hardening::TokioTimer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let timer = TokioTimer::new();
//! let bulkhead = Bulkhead::new(BulkheadLimits { concurrent: 10, queue: 100 });
//! let service = ServiceBuilder::new()
//!     .layer(StampLayer::new(timer))
//!     .layer(BulkheadLayer::new(bulkhead.clone(), Duration::from_secs(1), timer))
//!     .layer(BareLayer)
//!     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
//! assert_eq!(service.oneshot(1).await.unwrap(), 2);
//! assert_eq!(bulkhead.status().inside, 0);
//! # }
//! ```
//!
//! What an attacker can grow: the queue, up to its bound.

mod layer;
#[cfg(test)]
mod model_tests;
mod shared;
mod state;
#[cfg(test)]
mod tests;

pub use layer::{BulkheadFuture, BulkheadLayer, Bulkheaded};
pub use shared::{Bulkhead, BulkheadStatus, Enter, Place};
pub use state::{BulkheadLimits, BulkheadState, Entry, Ticket};
