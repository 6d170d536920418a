//! Asks less of someone who refuses much.
//!
//! To refuse costs the other side too; when it is overloaded, requests that will be refused are
//! better not sent. This is the adaptive throttling of "Site Reliability Engineering" (Google,
//! 2016), chapter 21: of the requests of the last two minutes, those beyond K times the accepted
//! ones are refused here, by the chance `max(0, (requests - K * accepts) / (requests + 1))`.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::stamp::{BareLayer, Stamped};
//! use ironlight_hardening::throttle::{ClientThrottle, ThrottleConfig, ThrottleLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let throttle = ClientThrottle::new(ThrottleConfig::default(), 1);
//! let service = ServiceBuilder::new()
//!     .layer(ThrottleLayer::new(throttle.clone()))
//!     .layer(BareLayer)
//!     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
//! assert_eq!(service.oneshot(Stamped::new(1, Duration::ZERO)).await.unwrap(), 2);
//! assert_eq!(throttle.status(Duration::ZERO).accepts, 1);
//! # }
//! ```
//!
//! What an attacker can grow: nothing.

mod layer;
mod state;
#[cfg(test)]
mod tests;

pub use layer::{ClientThrottle, Throttle, ThrottleFuture, ThrottleLayer};
pub use state::{ThrottleConfig, ThrottleState, ThrottleStatus};
