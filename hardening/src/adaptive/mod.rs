//! Finds by itself how much a service can do at once.
//!
//! A fixed limit is wrong as soon as the service changes. This one watches how long answers take:
//! when they take longer than without load, requests wait somewhere, and it goes down; when they
//! do not, it goes up. It is the rule of TCP Vegas (Brakmo and Peterson, 1995) applied to requests,
//! as Netflix' concurrency-limits does.
//!
//! ```
//! use ironlight_hardening::adaptive::{AdaptiveConfig, AdaptiveLayer, AdaptiveLimit};
//! use ironlight_hardening::stamp::{BareLayer, StampLayer};
//! use ironlight_hardening::MonotonicClock;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let clock = MonotonicClock::new();
//! let limit = AdaptiveLimit::new(AdaptiveConfig::default());
//! let service = ServiceBuilder::new()
//!     .layer(StampLayer::new(clock))
//!     .layer(AdaptiveLayer::new(limit.clone(), clock))
//!     .layer(BareLayer)
//!     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
//! assert_eq!(service.oneshot(1).await.unwrap(), 2);
//! assert_eq!(limit.status().limit, 20);
//! # }
//! ```
//!
//! What an attacker can grow: nothing. One whose requests are slow lowers the limit, down to
//! [`AdaptiveConfig::min`].

mod layer;
#[cfg(test)]
mod model_tests;
mod shared;
mod state;
#[cfg(test)]
mod tests;

pub use layer::{Adaptive, AdaptiveFuture, AdaptiveLayer};
pub use shared::{AdaptiveLimit, AdaptivePermit};
pub use state::{AdaptiveConfig, AdaptiveState, AdaptiveStatus, Ended};
