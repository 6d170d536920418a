//! Polls futures by hand, in tests.

use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

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
