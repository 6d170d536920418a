//! One or two requests under way.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use tower_service::Service;

use super::layer::{HedgeBudget, HedgeStatus};
use crate::clock::Timer;
use crate::stamp::Stamped;

pin_project_lite::pin_project! {
    /// The future of [`Hedge`](super::Hedge). Dropped, it drops what is under way.
    pub struct HedgeFuture<S, R, T, B>
    where
        S: Service<Stamped<R>>,
        T: Timer,
    {
        #[pin]
        first: Option<S::Future>,
        #[pin]
        second: Option<S::Future>,
        // For the second request, until it begins or is given up.
        spare: Option<(S, Stamped<R>)>,
        // When it is time for it.
        starts: Duration,
        #[pin]
        sleep: Option<T::Sleep>,
        slept: bool,
        timer: T,
        budget: B,
        status: HedgeStatus,
    }
}

impl<S: Service<Stamped<R>>, R, T: Timer, B> fmt::Debug for HedgeFuture<S, R, T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hedged = self.second.is_some();
        f.debug_struct("HedgeFuture").field("hedged", &hedged).finish_non_exhaustive()
    }
}

impl<S, R, T, B> HedgeFuture<S, R, T, B>
where
    S: Service<Stamped<R>>,
    T: Timer,
    B: HedgeBudget,
{
    pub(super) fn new(
        first: S::Future,
        spare: Option<(S, Stamped<R>)>,
        starts: Duration,
        timer: T,
        budget: B,
        status: HedgeStatus,
    ) -> Self {
        let first = Some(first);
        let (second, sleep, slept) = (None, None, false);
        Self { first, second, spare, starts, sleep, slept, timer, budget, status }
    }

    /// The answer, when it is there. An error only when nothing else is under way.
    fn poll_running(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        if let Some(first) = this.first.as_mut().as_pin_mut()
            && let Poll::Ready(done) = first.poll(context)
        {
            this.first.set(None);
            if done.is_ok() || this.second.is_none() {
                this.second.set(None);
                return Poll::Ready(done);
            }
        }
        if let Some(second) = this.second.as_mut().as_pin_mut()
            && let Poll::Ready(done) = second.poll(context)
        {
            this.second.set(None);
            if done.is_ok() || this.first.is_none() {
                if done.is_ok() {
                    this.status.count_won();
                }
                this.first.set(None);
                return Poll::Ready(done);
            }
        }
        Poll::Pending
    }

    /// Begins the second request when it is time, the service is ready and the budget allows it.
    fn poll_spare(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some((service, stamped)) = this.spare.as_mut() else { return Poll::Pending };
        if !*this.slept {
            if this.sleep.is_none() {
                let left = this.starts.saturating_sub(this.timer.now());
                this.sleep.set(Some(this.timer.sleep(left)));
            }
            if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                ready!(sleep.poll(context));
            }
            this.sleep.set(None);
            *this.slept = true;
        }
        let is_ready = ready!(service.poll_ready(context)).is_ok();
        let now = this.timer.now();
        let in_time = stamped.deadline.is_none_or(|deadline| now < deadline);
        let allowed = is_ready && in_time && {
            let allowed = this.budget.take(now);
            if !allowed {
                this.status.count_over_budget();
            }
            allowed
        };
        let spare = this.spare.take().filter(|_| allowed);
        let Some((mut service, stamped)) = spare else { return Poll::Pending };
        this.status.count_hedged(now);
        this.second.set(Some(service.call(Stamped { at: now, ..stamped })));
        Poll::Ready(())
    }
}

impl<S, R, T, B> Future for HedgeFuture<S, R, T, B>
where
    S: Service<Stamped<R>>,
    T: Timer,
    B: HedgeBudget,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Poll::Ready(done) = self.as_mut().poll_running(context) {
                *self.project().spare = None;
                return Poll::Ready(done);
            }
            ready!(self.as_mut().poll_spare(context));
        }
    }
}
