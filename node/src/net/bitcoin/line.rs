//! Where a request goes out to a peer, and how its answer is known.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ironlight_hardening::{Classify, ErrorClass};
use tokio::sync::{mpsc, oneshot};
use tower_service::Service;

use super::connection::{Leash, ToWriter, WhyClose};
use super::message::Outbound;

/// A peer's line for requests for headers: one is in its queue at once, and answered when headers
/// come, which go to the node by themselves.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) outbox: mpsc::Sender<ToWriter>,
    /// A peer whose queue is full does not read.
    pub(super) leash: Leash,
}

/// The connection ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection ended before an answer came")]
pub(super) struct LineClosed;

impl Classify for LineClosed {
    fn class(&self) -> ErrorClass {
        ErrorClass::Temporary
    }
}

/// Ends with the answer.
#[derive(Debug)]
pub(super) struct Answer(oneshot::Receiver<()>);

impl Future for Answer {
    type Output = Result<(), LineClosed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(answered.map_err(|_dropped| LineClosed))
    }
}

impl Service<Outbound> for Line {
    type Response = ();
    type Error = LineClosed;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LineClosed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Outbound) -> Answer {
        let (answered, answer) = oneshot::channel();
        if self.outbox.try_send(ToWriter::Ask(message, answered)).is_err() {
            self.leash.pull(WhyClose::NotReading);
        }
        Answer(answer)
    }
}
