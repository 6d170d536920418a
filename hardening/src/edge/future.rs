//! The one future of all layers here: refused at once, or the inner answer with something added.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// What a layer does with what the inner service gave.
///
/// ```
/// use ironlight_hardening::edge::{Finish, Unchanged};
///
/// assert_eq!(Unchanged.finish("an answer"), "an answer");
///
/// struct Shout;
/// impl Finish<&str> for Shout {
///     type Output = String;
///
///     fn finish(self, done: &str) -> String {
///         done.to_uppercase()
///     }
/// }
/// assert_eq!(Shout.finish("an answer"), "AN ANSWER");
/// ```
pub trait Finish<I> {
    /// What the layer gives.
    type Output;

    /// Adds its part.
    fn finish(self, done: I) -> Self::Output;
}

pin_project_lite::pin_project! {
    /// The future of a layer of the edge. Dropped, it drops the inner call first, then what the
    /// layer holds.
    pub struct EdgeFuture<F, X>
    where
        F: Future,
        X: Finish<F::Output>,
    {
        #[pin]
        state: State<F, X>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProjection]
    enum State<F, X>
    where
        F: Future,
        X: Finish<F::Output>,
    {
        Runs {
            #[pin]
            inner: F,
            finish: Option<X>,
        },
        Known {
            output: Option<X::Output>,
        },
    }
}

impl<F: Future, X: Finish<F::Output>> EdgeFuture<F, X> {
    pub(super) const fn runs(inner: F, finish: X) -> Self {
        Self { state: State::Runs { inner, finish: Some(finish) } }
    }

    /// The inner service is not called.
    pub(super) const fn known(output: X::Output) -> Self {
        Self { state: State::Known { output: Some(output) } }
    }
}

impl<F: Future, X: Finish<F::Output>> fmt::Debug for EdgeFuture<F, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = matches!(self.state, State::Runs { .. });
        f.debug_struct("EdgeFuture").field("runs", &runs).finish_non_exhaustive()
    }
}

impl<F: Future, X: Finish<F::Output>> Future for EdgeFuture<F, X> {
    type Output = X::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let output = match self.project().state.project() {
            StateProjection::Runs { inner, finish } => {
                let done = ready!(inner.poll(context));
                finish.take().map(|finish| finish.finish(done))
            }
            StateProjection::Known { output } => output.take(),
        };
        // Only one who polls after the end finds none.
        output.map_or(Poll::Pending, Poll::Ready)
    }
}
