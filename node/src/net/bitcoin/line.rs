//! Where a request goes out to a peer, and how its answer is known.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use ironlight_hardening::{Classify, ErrorClass};
use tokio::sync::{mpsc, oneshot};
use tower_service::Service;

use super::connection::{Leash, ToWriter, WhyClose};
use super::message::Outbound;

/// Answers to `getheaders` that may be awaited at once.
const MAX_AWAITED: usize = 16;

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

/// Requests for headers that wait for some, the oldest first. Bitcoin's protocol does not say which
/// request an answer belongs to.
#[derive(Debug, Default)]
pub(super) struct Awaited(Mutex<VecDeque<oneshot::Sender<()>>>);

impl Awaited {
    /// A request goes out. Beyond [`MAX_AWAITED`] the oldest is waited for no more.
    pub(super) fn expect(&self, answered: oneshot::Sender<()>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_AWAITED {
            waiting.pop_front();
        }
        waiting.push_back(answered);
    }

    /// Headers have come: whether they were asked for. They answer the oldest request that somebody
    /// still waits for; a peer that let one go by and answers the next is not silent.
    pub(super) fn arrived(&self) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let asked_for = !waiting.is_empty();
        while let Some(answered) = waiting.pop_front() {
            if answered.send(()).is_ok() {
                break;
            }
        }
        asked_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_answer_the_oldest_request_that_is_waited_for() {
        let awaited = Awaited::default();
        assert!(!awaited.arrived(), "nobody asked");
        let (given_up, _) = oneshot::channel();
        let (first, mut first_answer) = oneshot::channel();
        let (second, mut second_answer) = oneshot::channel();
        [given_up, first, second].into_iter().for_each(|answered| awaited.expect(answered));
        assert!(awaited.arrived());
        assert!(first_answer.try_recv().is_ok() && second_answer.try_recv().is_err());
        assert!(awaited.arrived() && second_answer.try_recv().is_ok());
        assert!(!awaited.arrived());
    }

    #[test]
    fn no_more_than_sixteen_are_waited_for() {
        let awaited = Awaited::default();
        let mut answers: Vec<_> = (0..20)
            .map(|_| {
                let (answered, answer) = oneshot::channel();
                awaited.expect(answered);
                answer
            })
            .collect();
        let dropped = answers.iter_mut().filter_map(|answer| answer.try_recv().err());
        let closed = dropped.filter(|error| *error == oneshot::error::TryRecvError::Closed);
        assert_eq!(closed.count(), 4);
        assert_eq!((0..20).filter(|_| awaited.arrived()).count(), 16);
    }
}
