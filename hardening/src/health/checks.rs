//! What can be checked.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::state::Observation;
use crate::clock::{Clock, nanos};

/// A run of a check. Boxed: a registry holds checks of all kinds, and runs them seldom.
pub type CheckFuture = Pin<Box<dyn Future<Output = Observation> + Send>>;

/// Something that can be asked again and again.
///
/// ```
/// use ironlight_hardening::health::{Check, CheckFuture, CheckStatus, Observation};
///
/// struct Peers(u32);
/// impl Check for Peers {
///     fn check(&self) -> CheckFuture {
///         let seen = if self.0 > 0 { Observation::pass() } else { Observation::fail("none") };
///         Box::pin(core::future::ready(seen.with_value(self.0.into(), "peers")))
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(Peers(0).check().await.status, CheckStatus::Fail);
/// # }
/// ```
pub trait Check: Send + Sync + 'static {
    /// Looks once. It is dropped when it takes too long.
    fn check(&self) -> CheckFuture;
}

impl<C: Check> Check for Arc<C> {
    fn check(&self) -> CheckFuture {
        (**self).check()
    }
}

/// Asks a closure: see [`from_fn`].
///
/// See [`from_fn`] for an example.
#[derive(Clone, Copy)]
pub struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

/// Asks a closure that answers at once. `bool` and `Result` are answers too.
///
/// ```
/// use ironlight_hardening::health::{Observation, from_fn};
///
/// let _check = from_fn(|| true);
/// let _check = from_fn(|| Err::<(), _>("disk full"));
/// let _check = from_fn(|| Observation::warn("few peers").with_value(2, "peers"));
/// ```
pub const fn from_fn<F, O>(ask: F) -> FromFn<F>
where
    F: Fn() -> O + Send + Sync + 'static,
    O: Into<Observation>,
{
    FromFn(ask)
}

impl<F, O> Check for FromFn<F>
where
    F: Fn() -> O + Send + Sync + 'static,
    O: Into<Observation>,
{
    fn check(&self) -> CheckFuture {
        Box::pin(core::future::ready((self.0)().into()))
    }
}

/// Asks something that takes time: see [`ping`].
///
/// See [`ping`] for an example.
#[derive(Clone, Copy)]
pub struct Ping<F>(F);

impl<F> fmt::Debug for Ping<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ping")
    }
}

/// Waits for the answer of a future, made anew for each run.
///
/// ```
/// use ironlight_hardening::health::{Check, CheckStatus, ping};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let check = ping(async || Err::<(), _>("no answer"));
/// assert_eq!(check.check().await.status, CheckStatus::Fail);
/// # }
/// ```
pub const fn ping<F, W, O>(ask: F) -> Ping<F>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Future<Output = O> + Send + 'static,
    O: Into<Observation>,
{
    Ping(ask)
}

impl<F, W, O> Check for Ping<F>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Future<Output = O> + Send + 'static,
    O: Into<Observation>,
{
    fn check(&self) -> CheckFuture {
        let answer = (self.0)();
        Box::pin(async move { answer.await.into() })
    }
}

/// Whether somebody accepts connections there: see [`tcp_connect`].
///
/// See [`tcp_connect`] for an example.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug)]
pub struct TcpConnect(std::net::SocketAddr);

/// Connects, and closes at once. An address and not a name: resolving is another thing to check.
///
/// ```
/// use ironlight_hardening::health::{Check, CheckStatus, tcp_connect};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// let check = tcp_connect(listener.local_addr().unwrap());
/// assert_eq!(check.check().await.status, CheckStatus::Pass);
/// # }
/// ```
#[cfg(feature = "tokio")]
#[must_use]
pub const fn tcp_connect(address: std::net::SocketAddr) -> TcpConnect {
    TcpConnect(address)
}

#[cfg(feature = "tokio")]
impl Check for TcpConnect {
    fn check(&self) -> CheckFuture {
        let address = self.0;
        Box::pin(async move { tokio::net::TcpStream::connect(address).await.map(drop).into() })
    }
}

/// Whether a value is renewed: a tip, a price, a certificate. Clones are the same value.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::health::{CheckStatus, Freshness};
///
/// let clock = ManualClock::default();
/// let minute = Duration::from_secs(60);
/// let tip = Freshness::new(clock.clone(), 30 * minute, 90 * minute);
/// clock.advance(40 * minute);
/// assert_eq!(tip.look().status, CheckStatus::Warn);
/// clock.advance(60 * minute);
/// assert_eq!(tip.look().status, CheckStatus::Fail);
/// tip.renewed();
/// assert_eq!(tip.look().status, CheckStatus::Pass);
/// ```
#[derive(Clone, Debug)]
pub struct Freshness<C> {
    clock: C,
    warn_after: Duration,
    fail_after: Duration,
    renewed_at: Arc<AtomicU64>,
}

impl<C: Clock> Freshness<C> {
    /// Renewed now.
    #[must_use]
    pub fn new(clock: C, warn_after: Duration, fail_after: Duration) -> Self {
        let renewed_at = Arc::new(AtomicU64::new(nanos(clock.now())));
        Self { clock, warn_after, fail_after, renewed_at }
    }

    /// The value was renewed now.
    pub fn renewed(&self) {
        self.renewed_at.fetch_max(nanos(self.clock.now()), Ordering::Relaxed);
    }

    /// How old it is.
    #[must_use]
    pub fn age(&self) -> Duration {
        let renewed_at = Duration::from_nanos(self.renewed_at.load(Ordering::Relaxed));
        self.clock.now().saturating_sub(renewed_at)
    }

    /// What a check of it sees.
    #[must_use]
    pub fn look(&self) -> Observation {
        let age = self.age();
        let seen = if age > self.fail_after {
            Observation::fail(format_args!("not renewed for {}s", age.as_secs()))
        } else if age > self.warn_after {
            Observation::warn(format_args!("not renewed for {}s", age.as_secs()))
        } else {
            Observation::pass()
        };
        seen.with_value(i64::try_from(age.as_secs()).unwrap_or(i64::MAX), "s")
    }
}

impl<C: Clock> Check for Freshness<C> {
    fn check(&self) -> CheckFuture {
        Box::pin(core::future::ready(self.look()))
    }
}
