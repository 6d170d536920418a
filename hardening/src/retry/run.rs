//! Retries a closure: one that returns a future, or one that blocks.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use super::policy::RetryPolicy;
use super::state::{GaveUp, RecoveryContext, RetryState};
use crate::clock::{Clock, ManualClock, MonotonicClock, Timer};
use crate::error::{Classify, ErrorClass};

/// The last error, and what came before it.
///
/// ```
/// use ironlight_hardening::retry::{GaveUp, RetryPolicy, retry_blocking};
/// use ironlight_hardening::{ErrorClass, ManualClock};
///
/// let down = || Err::<(), _>(std::io::Error::from(std::io::ErrorKind::TimedOut));
/// let failed = retry_blocking(&ManualClock::default(), &RetryPolicy::QUICK, down).unwrap_err();
/// assert_eq!((failed.gave_up, failed.context.attempts), (GaveUp::Attempts, 2));
/// assert_eq!(failed.context.errors[0].class, ErrorClass::Timeout);
/// assert_eq!(failed.to_string(), "timed out (gave up at attempt 2: no attempts left)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryError<E> {
    /// The last error.
    pub error: E,
    /// Why it was not tried again.
    pub gave_up: GaveUp,
    /// All attempts.
    pub context: RecoveryContext,
}

impl<E: Classify> Classify for RetryError<E> {
    fn class(&self) -> ErrorClass {
        self.error.class()
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, gave_up, context } = self;
        write!(f, "{error} (gave up at attempt {}: {gave_up})", context.attempts)
    }
}

impl<E: core::error::Error + 'static> core::error::Error for RetryError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A clock whose thread can stand still: the blocking form of [`Timer`].
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::retry::BlockingSleep;
/// use ironlight_hardening::{Clock, ManualClock};
///
/// let clock = ManualClock::default();
/// clock.sleep_blocking(Duration::from_secs(60));
/// assert_eq!(clock.now(), Duration::from_secs(60));
/// ```
pub trait BlockingSleep: Clock {
    /// Returns when the time has passed.
    fn sleep_blocking(&self, time: Duration);

    /// Returns when the time has passed, or earlier if somebody [unparks](std::thread::Thread::unpark)
    /// the thread. A clock that cannot be interrupted sleeps for all of it.
    fn park_blocking(&self, time: Duration) {
        self.sleep_blocking(time);
    }
}

impl BlockingSleep for MonotonicClock {
    fn sleep_blocking(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn park_blocking(&self, time: Duration) {
        std::thread::park_timeout(time);
    }
}

/// Moves the clock on instead of waiting.
impl BlockingSleep for ManualClock {
    fn sleep_blocking(&self, time: Duration) {
        self.advance(time);
    }
}

/// Calls until it works or the policy gives up, and blocks the thread in between.
///
/// ```
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::retry::{RetryPolicy, retry_blocking};
/// use std::io::{Error, ErrorKind};
///
/// let mut replies = [Err(Error::from(ErrorKind::ConnectionReset)), Ok(7)].into_iter();
/// // A program brings a `MonotonicClock`, which sleeps.
/// let clock = ManualClock::default();
/// let answer = retry_blocking(&clock, &RetryPolicy::default(), || replies.next().unwrap());
/// assert_eq!(answer.unwrap(), 7);
/// ```
///
/// # Errors
/// [`RetryError`] with the last error and the earlier ones' classes.
pub fn retry_blocking<T, E: Classify>(
    clock: &impl BlockingSleep,
    policy: &RetryPolicy,
    mut operation: impl FnMut() -> Result<T, E>,
) -> Result<T, RetryError<E>> {
    let mut state = RetryState::new(policy, clock.now(), None);
    loop {
        let error = match operation() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match state.failed(policy, error.class(), clock.now()) {
            Ok(delay) => clock.sleep_blocking(delay),
            Err(gave_up) => {
                return Err(RetryError { error, gave_up, context: state.into_context() });
            }
        }
    }
}

/// Calls until it works or the policy gives up; the future ends with the answer or a
/// [`RetryError`]. The first call is made at the first poll.
///
/// ```
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::retry::{RetryPolicy, retry};
/// use std::io::{Error, ErrorKind};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let mut calls = 0;
/// let answer = retry(TokioTimer::new(), RetryPolicy::AGGRESSIVE, || {
///     calls += 1;
///     let reply = if calls < 4 { Err(Error::from(ErrorKind::ConnectionReset)) } else { Ok(7) };
///     async { reply }
/// });
/// assert_eq!(answer.await.unwrap(), 7);
/// # }
/// ```
pub fn retry<T, F, A>(timer: T, policy: RetryPolicy, operation: F) -> Retrying<T, F, A>
where
    T: Timer,
    F: FnMut() -> A,
{
    Retrying { timer, policy, operation, state: None, step: Step::Start }
}

pin_project_lite::pin_project! {
    /// The future of [`retry`].
    pub struct Retrying<T: Timer, F, A> {
        timer: T,
        policy: RetryPolicy,
        operation: F,
        state: Option<RetryState>,
        #[pin]
        step: Step<T::Sleep, A>,
    }
}

pin_project_lite::pin_project! {
    #[project = StepProjection]
    enum Step<S, A> {
        Start,
        Trying {
            #[pin]
            attempt: A,
        },
        Waiting {
            #[pin]
            sleep: S,
        },
    }
}

impl<T: Timer, F, A, O, E> Future for Retrying<T, F, A>
where
    F: FnMut() -> A,
    A: Future<Output = Result<O, E>>,
    E: Classify,
{
    type Output = Result<O, RetryError<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (policy, timer) = (&*this.policy, &*this.timer);
        let start = || RetryState::new(policy, timer.now(), None);
        loop {
            match this.step.as_mut().project() {
                StepProjection::Start => {}
                StepProjection::Waiting { sleep } => ready!(sleep.poll(context)),
                StepProjection::Trying { attempt } => {
                    let error = match ready!(attempt.poll(context)) {
                        Ok(answer) => return Poll::Ready(Ok(answer)),
                        Err(error) => error,
                    };
                    let state = this.state.get_or_insert_with(start);
                    match state.failed(policy, error.class(), timer.now()) {
                        Ok(delay) => {
                            this.step.set(Step::Waiting { sleep: timer.sleep(delay) });
                            continue;
                        }
                        Err(gave_up) => {
                            let context = core::mem::take(state.context_mut());
                            return Poll::Ready(Err(RetryError { error, gave_up, context }));
                        }
                    }
                }
            }
            this.state.get_or_insert_with(start);
            let attempt = (this.operation)();
            this.step.set(Step::Trying { attempt });
        }
    }
}

impl<T: Timer, F, A> fmt::Debug for Retrying<T, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Retrying");
        out.field("policy", &self.policy).field("state", &self.state).finish_non_exhaustive()
    }
}
