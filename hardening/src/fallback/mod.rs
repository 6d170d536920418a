//! Another answer where the first one failed.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::fallback::FallbackLayer;
//! use ironlight_hardening::stamp::{BareLayer, Stamped};
//! use ironlight_hardening::{Error, ErrorClass};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // What the answer needs of the request is kept: here its number.
//! let answer = |height: u32, _error: Error<std::io::Error>| async move {
//!     Ok::<_, Error<std::io::Error>>(format!("an old answer for {height}"))
//! };
//! let fallback = FallbackLayer::new(|height: &u32| *height, answer)
//!     .for_classes(|class| class != ErrorClass::Permanent);
//! let service = ServiceBuilder::new()
//!     .layer(fallback)
//!     .layer(BareLayer)
//!     .service(service_fn(async |_: u32| {
//!         Err::<String, _>(std::io::Error::from(std::io::ErrorKind::TimedOut))
//!     }));
//! let done = service.oneshot(Stamped::new(7, Duration::ZERO)).await;
//! assert_eq!(done.unwrap(), "an old answer for 7");
//! # }
//! ```
//!
//! What an attacker can grow: nothing.

mod answer;
mod layer;
#[cfg(test)]
mod tests;

pub use answer::{Answer, AtOnce, NoAnswer};
pub use layer::{Fallback, FallbackFuture, FallbackLayer, FallbackStatus};
