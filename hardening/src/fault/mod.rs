//! Makes a share of requests fail or take longer, by a seed: to try what the other layers are for.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::fault::{FaultConfig, FaultLayer, Faults};
//! use ironlight_hardening::stamp::{BareLayer, Stamped};
//! use ironlight_hardening::{Error, TokioTimer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let faults = Faults::new(FaultConfig { error_share: 0.5, ..FaultConfig::default() }, 7);
//! let broken = || Error::Inner(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
//! let service = ServiceBuilder::new()
//!     .layer(FaultLayer::new(faults.clone(), TokioTimer::new(), broken))
//!     .layer(BareLayer)
//!     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
//! for n in 0..100 {
//!     let _ = service.clone().oneshot(Stamped::new(n, Duration::ZERO)).await;
//! }
//! assert!((30..70).contains(&faults.status().errors));
//! # }
//! ```
//!
//! What an attacker can grow: nothing.

mod layer;
mod state;
#[cfg(test)]
mod tests;

pub use layer::{FaultFuture, FaultInjector, FaultLayer, Faults};
pub use state::{Fault, FaultConfig, FaultState, FaultStatus};
