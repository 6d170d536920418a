//! Asks again and again whether the parts still work, and answers whoever wants to know.
//!
//! [`CheckState`] is the pure state of one check: when it is due, and what its results mean.
//! [`HealthRegistry`] has many, runs them with a time limit, and tells liveness (restart me) and
//! readiness (send me no work) apart. Answers have the form of `application/health+json`
//! (draft-inadarei-api-health-check-06).
//!
//! A check that fails once or twice only warns; [`CheckConfig::failure_threshold`] failures in a
//! row make it fail, one success makes it pass again. One that has not run for three intervals
//! warns too: an old answer vouches for nothing. A check that panics or takes too long has failed.
//!
//! What an attacker can grow: nothing. Only the program registers checks, [`MOST_CHECKS`] at most;
//! each keeps its last result, with at most [`LONGEST_OUTPUT`] characters of text.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::TokioTimer;
//! use ironlight_hardening::health::{CheckConfig, HealthRegistry, Probe, from_fn, ping};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let registry = HealthRegistry::new(TokioTimer::new());
//! let often = CheckConfig::default();
//! registry.register("store", Probe::Liveness, often, from_fn(|| true)).unwrap();
//! // A circuit breaker's state, or anything else that says whether work can be done:
//! let peers = ping(async || Err::<(), _>("no peers"));
//! registry.register("peers", Probe::Readiness, often, peers).unwrap();
//! for _ in 0..3 {
//!     registry.run_all().await;
//! }
//! assert_eq!(registry.failed(), ["peers"]);
//! assert_eq!(registry.liveness().http_status(), 200);
//! assert_eq!(registry.readiness().http_status(), 503);
//! assert!(registry.readiness().to_json(None).contains(r#""output":"no peers""#));
//! # }
//! ```
//!
//! In a program a task runs them: `tokio::spawn(registry.clone().run_for_ever())`.

mod checks;
mod json;
mod registry;
mod report;
mod state;

#[cfg(test)]
mod tests;

pub use checks::{Check, CheckFuture, Freshness, FromFn, Ping, from_fn, ping};
#[cfg(feature = "tokio")]
pub use checks::{TcpConnect, tcp_connect};
pub use registry::{HealthRegistry, MOST_CHECKS, RegisterError, StatusChange};
pub use report::{CheckReport, HealthReport};
pub use state::{CheckConfig, CheckState, CheckStatus, LONGEST_OUTPUT, Observation, Probe};
