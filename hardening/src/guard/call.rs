//! What a guard goes around: closures, futures, services.

use core::fmt;
use core::future::{Future, ready};

use tower_layer::Layer;

use super::builder::Guard;
use super::operation::{GuardFuture, Once, Repeat};
use super::parking::Parking;
use super::parts::Layers;
use crate::bulkhead::Bulkheaded;
use crate::circuit_breaker::Breaker;
use crate::clock::{Clock, Timer};
use crate::deadline::Deadline;
use crate::error::{Classify, Error};
use crate::fallback::{Answer, Fallback};
use crate::rate_limit::RateLimit;
use crate::retry::{BlockingSleep, Retry};
use crate::stack::Optional;
use crate::stamp::{Bare, Stamp};

type Timed<S, T> = Deadline<Bare<S>, T>;
type Judged<S, T> = Optional<Breaker<Timed<S, T>, T>, Timed<S, T>>;
type Placed<S, T> = Optional<Bulkheaded<Judged<S, T>, T>, Judged<S, T>>;
type Limited<S, R, T> = Optional<RateLimit<Placed<S, T>, (), fn(&R) -> Option<()>>, Placed<S, T>>;

/// A service with a guard around it, from the outside in: service, request, timer, other answer, and
/// what makes a request again.
pub type Guarded<S, R, T, A, G> = Stamp<Fallback<Retry<Limited<S, R, T>, T, G>, fn(&R), A>, T>;

/// The future of [`Guard::call`], for the closure `F`.
pub type Calling<F, T, A> = GuardFuture<Guarded<Repeat<F>, (), T, A, fn(&()) -> Option<()>>, ()>;

/// The future of [`Guard::once`], for the future `O`.
pub type CallingOnce<O, T, A> = GuardFuture<Guarded<Once, O, T, A, fn(&O) -> Option<O>>, O>;

const fn repeat((): &()) -> Option<()> {
    Some(())
}

const fn never_again<O>(_: &O) -> Option<O> {
    None
}

impl<C: Clock, A: Clone> Guard<C, A> {
    fn calling<F, O, V, E, T>(&self, timer: &T, operation: F) -> Calling<F, T, A>
    where
        T: Timer,
        F: FnMut() -> O,
        O: Future<Output = Result<V, E>>,
        E: Classify,
        A: Answer<(), V, Error<E>>,
    {
        let again = repeat as fn(&()) -> Option<()>;
        let layers: Layers<(), T, A, _> = self.parts.layers(timer, self.answer.clone(), again);
        GuardFuture::new(layers.layer(Repeat::new(operation)), ())
    }

    /// Calls a closure that blocks, on this thread, which also waits between attempts. Needs no
    /// runtime; inside one it belongs on a thread for what blocks.
    ///
    /// ```
    /// use ironlight_hardening::Guard;
    /// use ironlight_hardening::retry::RetryPolicy;
    ///
    /// let read = Guard::for_threads("settings").retry(RetryPolicy::QUICK);
    /// let missing = read.call_blocking(|| std::fs::read("/no/such/file"));
    /// assert!(missing.is_err(), "at once: it will fail again");
    /// ```
    ///
    /// # Errors
    /// The operation's last one, or a refusal; unless there is another answer.
    ///
    /// # Panics
    /// If the operation does; that counts for nothing, and frees what was held.
    pub fn call_blocking<F, V, E>(&self, mut operation: F) -> Result<V, Error<E>>
    where
        C: BlockingSleep,
        F: FnMut() -> Result<V, E>,
        E: Classify,
        A: Answer<(), V, Error<E>>,
    {
        let thread = Parking::new(self.clock.clone());
        thread.block_on(self.calling(&thread, || ready(operation())))
    }
}

impl<T: Timer, A: Clone> Guard<T, A> {
    /// Calls a closure whose future is made anew for each attempt: `|| fetch(..)` or
    /// `async || fetch(..).await`. An async closure may borrow what is outside of it; one that owns
    /// (`async move`) or changes what its future uses is `|| { let it = it.clone(); async move { .. } }`.
    ///
    /// ```
    /// use ironlight_hardening::Guard;
    /// use ironlight_hardening::retry::RetryPolicy;
    /// use std::io::{Error, ErrorKind};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let get = Guard::new("price").retry(RetryPolicy::AGGRESSIVE);
    /// let mut attempt = 0;
    /// let price = get.call(|| {
    ///     attempt += 1;
    ///     async move { if attempt < 3 { Err(Error::from(ErrorKind::TimedOut)) } else { Ok(7) } }
    /// });
    /// assert_eq!(price.await.unwrap(), 7);
    /// # }
    /// ```
    ///
    /// The future ends with the answer, the operation's last error, or a refusal. Cancel safe: dropped
    /// at any time it frees its place, and a breaker's probe.
    pub fn call<F, O, V, E>(&self, operation: F) -> Calling<F, T, A>
    where
        F: FnMut() -> O,
        O: Future<Output = Result<V, E>>,
        E: Classify,
        A: Answer<(), V, Error<E>>,
    {
        self.calling(&self.clock, operation)
    }

    /// Runs one future, which cannot be made again: all but the retries.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::{Error, Guard};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let upload = Guard::new("upload")
    ///     .timeout(Duration::from_secs(10))
    ///     .fallback(|error| if matches!(error, Error::Rejected(_)) { Ok(0) } else { Err(error) });
    /// let hangs = core::future::pending::<Result<u32, std::io::Error>>();
    /// assert_eq!(upload.once(hangs).await.unwrap(), 0);
    /// # }
    /// ```
    ///
    /// Cancel safe as [`call`](Self::call) is.
    pub fn once<O, V, E>(&self, operation: O) -> CallingOnce<O, T, A>
    where
        O: Future<Output = Result<V, E>>,
        E: Classify,
        A: Answer<(), V, Error<E>>,
    {
        let again = never_again::<O> as fn(&O) -> Option<O>;
        let layers: Layers<O, T, A, _> = self.parts.layers(&self.clock, self.answer.clone(), again);
        GuardFuture::new(layers.layer(Once), operation)
    }

    /// Goes around a service. `again` makes a request a second time, or says `None` where that must
    /// not be.
    ///
    /// ```
    /// use ironlight_hardening::Guard;
    /// use ironlight_hardening::retry::RetryPolicy;
    /// use tower::{ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let inner = service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1));
    /// let guard = Guard::new("add").retry(RetryPolicy::QUICK);
    /// let service = guard.service(inner, |n: &u32| Some(*n));
    /// assert_eq!(service.oneshot(1).await.unwrap(), 2);
    /// # }
    /// ```
    pub fn service<S, R, G>(&self, inner: S, again: G) -> Guarded<S, R, T, A, G>
    where
        G: FnMut(&R) -> Option<R> + Clone,
    {
        self.layer(again).layer(inner)
    }

    /// The layer of [`service`](Self::service), for tower's builders.
    ///
    /// ```
    /// use ironlight_hardening::Guard;
    /// use ironlight_hardening::rate_limit::Quota;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let guard = Guard::new("add").limit(Quota::per_minute(1));
    /// let service = ServiceBuilder::new()
    ///     .layer(guard.layer(|n: &u32| Some(*n)))
    ///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
    /// assert_eq!(service.clone().oneshot(1).await.unwrap(), 2);
    /// assert!(service.oneshot(1).await.is_err());
    /// # }
    /// ```
    pub fn layer<R, G>(&self, again: G) -> GuardLayer<R, T, A, G>
    where
        G: FnMut(&R) -> Option<R> + Clone,
    {
        GuardLayer { layers: self.parts.layers(&self.clock, self.answer.clone(), again) }
    }
}

/// The layers of a guard, for requests of one kind: see [`Guard::layer`] for an example.
pub struct GuardLayer<R, T, A, G> {
    layers: Layers<R, T, A, G>,
}

impl<S, R, T: Timer, A: Clone, G: Clone> Layer<S> for GuardLayer<R, T, A, G> {
    type Service = Guarded<S, R, T, A, G>;

    fn layer(&self, inner: S) -> Self::Service {
        self.layers.layer(inner)
    }
}

impl<R, T: Clone, A: Clone, G: Clone> Clone for GuardLayer<R, T, A, G> {
    fn clone(&self) -> Self {
        Self { layers: self.layers.clone() }
    }
}

impl<R, T, A, G> fmt::Debug for GuardLayer<R, T, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer").field("retry", &self.layers.retry).finish_non_exhaustive()
    }
}
