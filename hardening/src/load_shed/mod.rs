//! Refuses at once what would have to wait for the service.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::load_shed::LoadShedLayer;
//! use ironlight_hardening::stamp::{BareLayer, Stamped};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let shed = LoadShedLayer::default();
//! let service = ServiceBuilder::new()
//!     .layer(shed.clone())
//!     .layer(BareLayer)
//!     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
//! assert_eq!(service.oneshot(Stamped::new(1, Duration::ZERO)).await.unwrap(), 2);
//! assert_eq!(shed.status().refused(), 0);
//! # }
//! ```
//!
//! What an attacker can grow: nothing.

mod layer;
#[cfg(test)]
mod tests;

pub use layer::{LoadShed, LoadShedFuture, LoadShedLayer, LoadShedStatus};
