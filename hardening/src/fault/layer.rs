//! Faults in front of a service.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tower_layer::Layer;
use tower_service::Service;

use super::state::{Fault, FaultConfig, FaultState, FaultStatus};
use crate::clock::Timer;
use crate::stamp::Stamped;

/// Faults that many services share, and the handle to them. Clones share them.
///
/// ```
/// use ironlight_hardening::fault::{FaultConfig, Faults};
///
/// let faults = Faults::new(FaultConfig::default(), 7);
/// assert!(!faults.draw().fails);
/// faults.set_config(FaultConfig { error_share: 1.0, ..FaultConfig::default() });
/// assert!(faults.draw().fails);
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    state: Arc<Mutex<FaultState>>,
}

impl Faults {
    /// The seed decides whom it meets.
    #[must_use]
    pub fn new(config: FaultConfig, seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(FaultState::new(config, seed))) }
    }

    /// What happens to the next request.
    #[must_use]
    pub fn draw(&self) -> Fault {
        self.lock().draw()
    }

    /// Other shares from the next request on.
    pub fn set_config(&self, config: FaultConfig) {
        self.lock().set_config(config);
    }

    /// What happened, in all.
    #[must_use]
    pub fn status(&self) -> FaultStatus {
        self.lock().status()
    }

    fn lock(&self) -> MutexGuard<'_, FaultState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a share of the requests fail or take longer. Those that fail do not reach the service.
///
/// ```
/// use ironlight_hardening::fault::{FaultConfig, FaultLayer, Faults};
/// use ironlight_hardening::Error;
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use ironlight_hardening::TokioTimer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let faults = Faults::new(FaultConfig { error_share: 1.0, ..FaultConfig::default() }, 7);
/// let broken = || Error::Inner(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(FaultLayer::new(faults.clone(), timer, broken))
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, std::io::Error>(n + 1)));
/// assert!(service.oneshot(1).await.is_err());
/// assert_eq!(faults.status().errors, 1);
/// # }
/// ```
pub struct FaultLayer<T, M> {
    faults: Faults,
    timer: T,
    error: M,
}

impl<T: Timer, M> FaultLayer<T, M> {
    /// `error` makes the error of one that is to fail.
    pub const fn new(faults: Faults, timer: T, error: M) -> Self {
        Self { faults, timer, error }
    }
}

impl<T: Clone, M: Clone> Clone for FaultLayer<T, M> {
    fn clone(&self) -> Self {
        let (faults, timer) = (self.faults.clone(), self.timer.clone());
        Self { faults, timer, error: self.error.clone() }
    }
}

impl<T, M> fmt::Debug for FaultLayer<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultLayer").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl<S, T: Clone, M: Clone> Layer<S> for FaultLayer<T, M> {
    type Service = FaultInjector<S, T, M>;

    fn layer(&self, inner: S) -> Self::Service {
        FaultInjector { inner, layer: self.clone() }
    }
}

/// The service of [`FaultLayer`].
///
/// The [module](super) has an example.
#[derive(Clone, Debug)]
pub struct FaultInjector<S, T, M> {
    inner: S,
    layer: FaultLayer<T, M>,
}

impl<S, T, M, R> Service<Stamped<R>> for FaultInjector<S, T, M>
where
    S: Service<Stamped<R>> + Clone,
    T: Timer,
    M: Fn() -> S::Error,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FaultFuture<S, R, T>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let Fault { delay, fails } = self.layer.faults.draw();
        // The instance that was polled ready goes along; a fresh one stays here.
        let fresh = self.inner.clone();
        let inner = core::mem::replace(&mut self.inner, fresh);
        FaultFuture {
            sleep: delay.map(|delay| self.layer.timer.sleep(delay)),
            error: fails.then(|| (self.layer.error)()),
            call: Some((inner, stamped)),
            running: None,
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`FaultInjector`].
    pub struct FaultFuture<S, R, T>
    where
        S: Service<Stamped<R>>,
        T: Timer,
    {
        #[pin]
        sleep: Option<T::Sleep>,
        error: Option<S::Error>,
        call: Option<(S, Stamped<R>)>,
        #[pin]
        running: Option<S::Future>,
    }
}

impl<S: Service<Stamped<R>>, R, T: Timer> fmt::Debug for FaultFuture<S, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fails = self.error.is_some();
        f.debug_struct("FaultFuture").field("fails", &fails).finish_non_exhaustive()
    }
}

impl<S, R, T> Future for FaultFuture<S, R, T>
where
    S: Service<Stamped<R>>,
    T: Timer,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(context));
            this.sleep.set(None);
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        if let Some((mut service, stamped)) = this.call.take() {
            this.running.set(Some(service.call(stamped)));
        }
        match this.running.as_pin_mut() {
            Some(running) => running.poll(context),
            // Not made before it is called, and there from then on.
            None => Poll::Pending,
        }
    }
}
