//! Stops asking someone who fails, and carefully tries again.
//!
//! A [`CircuitBreaker`] is closed at first: all calls go through, and what becomes of them is
//! counted, in a row and in a [window that slides](Window). Too many failures, or too many slow
//! calls, open it: calls are refused for a while, at once and without cost to anyone. Then it is
//! half-open: a few probes go through at a time. If enough succeed it closes; if one fails it opens
//! for twice as long.
//!
//! Only failures of the other side count, see
//! [`is_failure_of_the_other`](crate::ErrorClass::is_failure_of_the_other); other errors count
//! for nothing, neither as a failure nor as a success.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::circuit_breaker::{
//!     BreakerConfig, BreakerLayer, CircuitBreaker, CircuitState,
//! };
//! use ironlight_hardening::stamp::{BareLayer, StampLayer};
//! use ironlight_hardening::{Error, ManualClock, Rejected};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let clock = ManualClock::default();
//! let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
//! breaker.on_transition(|change| println!("{:?} because of {:?}", change.to, change.cause));
//! let service = ServiceBuilder::new()
//!     .layer(StampLayer::new(clock.clone()))
//!     .layer(BreakerLayer::new(breaker.clone(), clock))
//!     .layer(BareLayer)
//!     .service(service_fn(async |(): ()| {
//!         Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
//!     }));
//! for _ in 0..5 {
//!     assert!(matches!(service.clone().oneshot(()).await, Err(Error::Inner(_))));
//! }
//! assert_eq!(breaker.state(), CircuitState::Open);
//! let refused = service.oneshot(()).await;
//! assert!(matches!(refused, Err(Error::Rejected(Rejected::CircuitOpen { .. }))));
//! # }
//! ```
//!
//! What an attacker can grow: nothing in a breaker; in a [`BreakerPool`] breakers up to its bound.

mod breaker;
mod config;
mod layer;
#[cfg(test)]
mod layer_tests;
#[cfg(test)]
mod model_tests;
mod pool;
#[cfg(test)]
mod pool_tests;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod window;
mod word;

pub use breaker::{CircuitBreaker, Permit};
pub use config::{BreakerConfig, SlowCalls};
pub use layer::{Breaker, BreakerFuture, BreakerLayer};
pub use pool::{BreakerPool, PoolStats};
pub use state::{BreakerState, Pass};
pub use status::{BreakerStatus, Cause, CircuitState, Outcome, Transition};
pub(crate) use window::TimeWindow;
pub use window::{Tally, Window};
