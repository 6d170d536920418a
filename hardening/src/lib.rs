//! Keeps a service standing: retries, circuit breakers, limits, caches, monitoring and more, each
//! concern in one folder.
//!
//! Each concern is a state machine first: pure, with the time (and a seed where it needs chance) as
//! an argument, so that every decision can be repeated. Over it lies a [`tower`] layer. Both can be
//! used alone.
//!
//! [`tower`]: https://docs.rs/tower

pub mod adaptive;
#[cfg(feature = "audit")]
pub mod audit;
pub mod batch;
pub mod bulkhead;
pub mod cache;
mod chance;
pub mod circuit_breaker;
pub mod clock;
pub mod deadline;
#[cfg(feature = "http")]
pub mod edge;
pub mod error;
pub mod fallback;
pub mod fault;
#[cfg(feature = "flags")]
pub mod flags;
pub mod guard;
pub mod health;
pub mod hedge;
pub mod lazy;
mod listeners;
pub mod load_shed;
pub mod monitor;
pub mod net_guard;
pub mod rate_limit;
pub mod retry;
pub mod stack;
pub mod stamp;
#[cfg(feature = "telemetry")]
pub mod telemetry;
pub mod throttle;
#[cfg(feature = "webhook")]
pub mod webhook;

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod drop_tests;
#[cfg(test)]
mod listener_tests;
#[cfg(test)]
mod testing;

#[cfg(feature = "tokio")]
pub use clock::TokioTimer;
pub use clock::{Clock, ManualClock, MonotonicClock, Timer};
pub use error::{Classified, Classify, Error, ErrorClass, Rejected};
pub use guard::Guard;
pub use net_guard::AddressGuard;

/// The README's example is compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
