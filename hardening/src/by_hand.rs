//! Polls futures by hand, in tests.

use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

pub(crate) fn poll_now<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// What a future gives at once.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match poll_now(future) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it was not ready"),
    }
}

/// Ends when it is polled for the second time.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if core::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Polls once; whether it ended.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

/// Makes a future, polls it so often, a step of tokio's paused time apart, drops it and looks at
/// what is left; with no poll, then with one, and so on until it comes to its end. How many polls
/// that takes.
pub(crate) async fn dropped_after_each_poll<S, F: Future>(
    step: Duration,
    mut make: impl FnMut() -> (S, F),
    mut look: impl FnMut(S),
) -> usize {
    for polls in 0..200 {
        let (seen, future) = make();
        let mut future = Box::pin(future);
        let mut ended = false;
        for _ in 0..polls {
            assert!(!ended, "it ended sooner than the last time");
            ended = poll_once(future.as_mut()).await;
            tokio::time::advance(step).await;
        }
        drop(future);
        look(seen);
        if ended {
            return polls;
        }
    }
    panic!("it does not end");
}
