//! Retries requests to a service.

use core::fmt;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::panic::catch_unwind;
use std::sync::Arc;

use tower_layer::Layer;
use tower_service::Service;

use super::counters::{Counters, RetryHandle};
use super::policy::RetryPolicy;
use super::state::{GaveUp, RecoveryContext, RetryState};
use crate::clock::Timer;
use crate::error::{Classify, ErrorClass};
use crate::stamp::Stamped;

type Listener = Arc<dyn Fn(GaveUp, &RecoveryContext) + Send + Sync>;

/// Retries what fails, after the policy, and never beyond the request's own deadline. Until then it
/// waits for the service to be ready for the next attempt; the last error is what ends the request
/// if it is not.
///
/// A request is gone once it is sent, so you say how to make it again: before each attempt but
/// the last, `again` makes a spare. Where it gives `None` (a stream that can be read only once) the
/// request is sent once, whole, and never a second time in part.
///
/// The timer must be the clock that stamps the requests, or a clone of it. Clones of the layer
/// and all its services share what is counted.
///
/// ```
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::retry::{RetryLayer, RetryPolicy};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use std::io::{Error, ErrorKind};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let timer = TokioTimer::new();
/// let retry = RetryLayer::new(timer, RetryPolicy::QUICK, |n: &u32| Some(n + 1));
/// let handle = retry.handle();
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(timer))
///     .layer(retry)
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| match n {
///         0 => Err(Error::from(ErrorKind::ConnectionReset)),
///         n => Ok(n),
///     }));
/// assert_eq!(service.oneshot(0).await.unwrap(), 1);
/// assert_eq!((handle.stats().retries, handle.stats().recovered), (1, 1));
/// # }
/// ```
#[derive(Clone)]
pub struct RetryLayer<T, A> {
    timer: T,
    again: A,
    shared: Arc<Shared>,
}

impl<T: Timer, A> RetryLayer<T, A> {
    /// `again` is a `FnMut(&R) -> Option<R>`.
    pub fn new(timer: T, policy: RetryPolicy, again: A) -> Self {
        RetryLayer::unbound(policy).bound(timer, again)
    }
}

impl RetryLayer<(), ()> {
    /// What does not depend on timer and request yet.
    pub(crate) fn unbound(policy: RetryPolicy) -> Self {
        let shared =
            Shared { policy: Arc::new(policy), counters: Arc::default(), listeners: Vec::new() };
        Self { timer: (), again: (), shared: Arc::new(shared) }
    }

    /// Another policy; what was counted stays.
    pub(crate) fn set_policy(&mut self, policy: RetryPolicy) {
        Arc::make_mut(&mut self.shared).policy = Arc::new(policy);
    }

    /// The layer for a timer and a kind of request.
    pub(crate) fn bound<T, A>(&self, timer: T, again: A) -> RetryLayer<T, A> {
        RetryLayer { timer, again, shared: Arc::clone(&self.shared) }
    }
}

impl<T, A> RetryLayer<T, A> {
    /// Calls the listener when a request failed for good. It must not block. If it panics, the
    /// request still ends with its error.
    ///
    /// ```
    /// use ironlight_hardening::TokioTimer;
    /// use ironlight_hardening::retry::{GaveUp, RetryLayer, RetryPolicy};
    /// use ironlight_hardening::stamp::{BareLayer, StampLayer};
    /// use std::io::{Error, ErrorKind};
    /// use std::sync::{Arc, Mutex};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let (timer, heard) = (TokioTimer::new(), Arc::new(Mutex::new(Vec::new())));
    /// let list = Arc::clone(&heard);
    /// let retry = RetryLayer::new(timer, RetryPolicy::QUICK, |(): &()| Some(()))
    ///     .on_gave_up(move |why, context| list.lock().unwrap().push((why, context.attempts)));
    /// let service = ServiceBuilder::new()
    ///     .layer(StampLayer::new(timer))
    ///     .layer(retry)
    ///     .layer(BareLayer)
    ///     .service(service_fn(async |()| Err::<(), _>(Error::from(ErrorKind::TimedOut))));
    /// assert!(service.oneshot(()).await.is_err());
    /// assert_eq!(*heard.lock().unwrap(), [(GaveUp::Attempts, 2)]);
    /// # }
    /// ```
    #[must_use]
    pub fn on_gave_up(
        mut self,
        listener: impl Fn(GaveUp, &RecoveryContext) + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.shared).listeners.push(Arc::new(listener));
        self
    }

    /// What is counted, to read from outside.
    pub fn handle(&self) -> RetryHandle {
        let Shared { policy, counters, .. } = &*self.shared;
        RetryHandle { policy: Arc::clone(policy), counters: Arc::clone(counters) }
    }
}

impl<S, T: Clone, A: Clone> Layer<S> for RetryLayer<T, A> {
    type Service = Retry<S, T, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Arc::clone(&self.shared);
        Retry { inner, timer: self.timer.clone(), again: self.again.clone(), shared }
    }
}

impl<T, A> fmt::Debug for RetryLayer<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer").field("policy", &self.shared.policy).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Shared {
    policy: Arc<RetryPolicy>,
    counters: Arc<Counters>,
    listeners: Vec<Listener>,
}

impl Shared {
    fn gave_up(&self, why: GaveUp, context: &RecoveryContext) {
        self.counters.gave_up(why);
        for listener in &self.listeners {
            drop(catch_unwind(AssertUnwindSafe(|| listener(why, context))));
        }
    }
}

/// The service of [`RetryLayer`].
///
/// See [`RetryLayer`] for an example.
#[derive(Clone)]
pub struct Retry<S, T, A> {
    inner: S,
    timer: T,
    again: A,
    shared: Arc<Shared>,
}

impl<S: fmt::Debug, T, A> fmt::Debug for Retry<S, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, R, T, A> Service<Stamped<R>> for Retry<S, T, A>
where
    S: Service<Stamped<R>> + Clone,
    S::Error: Classify,
    T: Timer,
    A: FnMut(&R) -> Option<R> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RetryFuture<S, R, T, A>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        self.shared.counters.request();
        let state = RetryState::new(&self.shared.policy, stamped.at, stamped.deadline);
        let mut again = self.again.clone();
        let spare = spare(&self.shared.policy, &state, &stamped.request, &mut again);
        let deadline = stamped.deadline;
        // The instance that is ready is called; retries go to a clone, once that is ready.
        let service = self.inner.clone();
        let attempt = self.inner.call(stamped);
        let shared = Arc::clone(&self.shared);
        let timer = self.timer.clone();
        let request =
            Repeated { service, timer, again, shared, state, spare, deadline, last: None };
        RetryFuture { request, step: Step::Trying { attempt } }
    }
}

/// The request for one more attempt, made before it is sent away. None where there is none to
/// follow, or it cannot be made again.
fn spare<R>(
    policy: &RetryPolicy,
    state: &RetryState,
    request: &R,
    again: &mut impl FnMut(&R) -> Option<R>,
) -> Option<R> {
    if state.is_last_attempt(policy) { None } else { again(request) }
}

/// All that is needed to ask again.
struct Repeated<S, R, T, A>
where
    S: Service<Stamped<R>>,
{
    service: S,
    timer: T,
    again: A,
    shared: Arc<Shared>,
    state: RetryState,
    spare: Option<R>,
    deadline: Option<core::time::Duration>,
    /// Why it is asked again.
    last: Option<S::Error>,
}

impl<S, R, T, A> Repeated<S, R, T, A>
where
    S: Service<Stamped<R>>,
    T: Timer,
    A: FnMut(&R) -> Option<R>,
{
    /// The wait before the next attempt; none if there is no next one.
    fn failed(&mut self, class: ErrorClass) -> Option<T::Sleep> {
        let policy = &self.shared.policy;
        let now = self.timer.now();
        let verdict = if self.spare.is_none() && !self.state.is_last_attempt(policy) {
            Err(self.state.failed_for_good(policy, class, now))
        } else {
            self.state.failed(policy, class, now)
        };
        match verdict {
            Ok(delay) => Some(self.timer.sleep(delay)),
            Err(why) => {
                self.shared.gave_up(why, self.state.context());
                None
            }
        }
    }

    /// Waits until the service is ready, or until the limit with the error that came before.
    fn ready(
        &mut self,
        limit: Pin<&mut Option<T::Sleep>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), S::Error>> {
        let (why, error) = match self.service.poll_ready(context) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            // A service that fails to become ready is done for: that is its last word.
            Poll::Ready(Err(error)) => (GaveUp::Permanent, error),
            Poll::Pending => {
                let Some(limit) = limit.as_pin_mut() else { return Poll::Pending };
                ready!(limit.poll(context));
                let Some(error) = self.last.take() else { return Poll::Pending };
                (GaveUp::Deadline, error)
            }
        };
        self.shared.gave_up(why, self.state.context());
        Poll::Ready(Err(error))
    }

    /// Ends when the request may wait no longer for the service to be ready.
    fn limit(&self) -> Option<T::Sleep> {
        let deadline = self.state.deadline()?;
        Some(self.timer.sleep(deadline.saturating_sub(self.timer.now())))
    }

    /// Sends the spare request, with the time as it is now. The service is ready.
    fn send(&mut self) -> Option<S::Future> {
        let request = self.spare.take()?;
        self.shared.counters.retry();
        self.spare = spare(&self.shared.policy, &self.state, &request, &mut self.again);
        let at = self.timer.now();
        Some(self.service.call(Stamped { request, at, deadline: self.deadline }))
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Retry`].
    pub struct RetryFuture<S, R, T, A>
    where
        S: Service<Stamped<R>>,
        T: Timer,
    {
        request: Repeated<S, R, T, A>,
        #[pin]
        step: Step<S::Future, T::Sleep>,
    }
}

pin_project_lite::pin_project! {
    #[project = StepProjection]
    enum Step<F, W> {
        Trying {
            #[pin]
            attempt: F,
        },
        Waiting {
            #[pin]
            sleep: W,
        },
        Ready {
            #[pin]
            limit: Option<W>,
        },
    }
}

impl<S, R, T, A> fmt::Debug for RetryFuture<S, R, T, A>
where
    S: Service<Stamped<R>>,
    T: Timer,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").field("state", &self.request.state).finish_non_exhaustive()
    }
}

impl<S, R, T, A> Future for RetryFuture<S, R, T, A>
where
    S: Service<Stamped<R>>,
    S::Error: Classify,
    T: Timer,
    A: FnMut(&R) -> Option<R>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (request, mut step) = (this.request, this.step);
        loop {
            match step.as_mut().project() {
                StepProjection::Trying { attempt } => match ready!(attempt.poll(context)) {
                    Ok(answer) => {
                        if request.state.context().attempts > 0 {
                            request.shared.counters.recovered();
                        }
                        return Poll::Ready(Ok(answer));
                    }
                    Err(error) => match request.failed(error.class()) {
                        Some(sleep) => {
                            request.last = Some(error);
                            step.set(Step::Waiting { sleep });
                        }
                        None => return Poll::Ready(Err(error)),
                    },
                },
                StepProjection::Waiting { sleep } => {
                    ready!(sleep.poll(context));
                    step.set(Step::Ready { limit: request.limit() });
                }
                StepProjection::Ready { limit } => {
                    ready!(request.ready(limit, context))?;
                    let Some(attempt) = request.send() else { return Poll::Pending };
                    step.set(Step::Trying { attempt });
                }
            }
        }
    }
}
