//! Retry, breaker, limits, deadline and fallback around an operation, in one line.
//!
//! A [`Guard`] is built once and used for many calls: of closures whose futures can be made again
//! ([`Guard::call`]), of closures that block ([`Guard::call_blocking`]), of a future that cannot be
//! made again ([`Guard::once`]), and of tower services ([`Guard::service`], [`Guard::layer`]). All pass
//! the same layers in the same order, that of [`stack`](crate::stack); the methods of the builder say
//! which, not in which order.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::circuit_breaker::BreakerConfig;
//! use ironlight_hardening::rate_limit::Quota;
//! use ironlight_hardening::retry::RetryPolicy;
//! use ironlight_hardening::{Error, Guard};
//!
//! # async fn fetch() -> Result<u32, std::io::Error> {
//! #     Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
//! # }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let get = Guard::new("price")
//!     .retry(RetryPolicy::QUICK)
//!     .breaker(BreakerConfig::default())
//!     .limit(Quota::per_minute(60))
//!     .timeout(Duration::from_secs(30))
//!     .fallback(|_: Error<std::io::Error>| Ok(0));
//! assert_eq!(get.call(async || fetch().await).await.unwrap(), 0);
//! let status = get.handle().status();
//! assert_eq!((status.retry.retries, status.fallbacks), (1, 1));
//! # }
//! ```
//!
//! An operation's error says by [`Classify`](crate::Classify) what kind of failure it is;
//! [`Classified`](crate::Classified) says it for errors of others, in the closure:
//! `fetch().await.map_err(Classified::temporary)`.
//!
//! What blocks cannot be broken off: give the operation itself a time-out. What an attacker can grow:
//! nothing; the limiter has one key.

mod builder;
mod call;
mod operation;
mod parking;
mod parts;
mod status;
#[cfg(test)]
mod tests;

pub use builder::Guard;
pub use call::{Calling, CallingOnce, GuardLayer, Guarded};
pub use operation::{GuardFuture, Once, Repeat};
pub use status::{GuardHandle, GuardStatus};
