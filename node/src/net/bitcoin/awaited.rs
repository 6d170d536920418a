//! What was asked of a peer and is not answered yet.
//!
//! Bitcoin's protocol has no numbers for requests: an answer belongs to the request that it fits.
//! `headers` say nothing of which, so they answer the oldest; all else names a block.
//!
//! Invariant: what is waited for when the connection ends is waited for no more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::gathered::{Gathered, Told};
use super::message::Inbound;
use crate::net::data::Query;

/// Answers to `getheaders` that may be awaited at once.
const MAX_AWAITED: usize = 16;

/// Requests to a peer that wait for their answers. The line and the connection share it.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    waiting: Mutex<Waiting>,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The connection has ended.
    over: bool,
    /// The oldest first.
    headers: VecDeque<oneshot::Sender<()>>,
    data: Gathered,
}

/// A message, once it has been compared with what was asked for.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Whether it answers something.
    pub(super) asked_for: bool,
    /// What is left of it to be handled.
    pub(super) rest: Option<Inbound>,
}

impl Awaited {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for headers goes out. Beyond [`MAX_AWAITED`] the oldest is waited for no more.
    pub(super) fn expect_headers(&self, answered: oneshot::Sender<()>) {
        let mut waiting = self.waiting();
        if waiting.over {
            return;
        }
        if waiting.headers.len() >= MAX_AWAITED {
            waiting.headers.pop_front();
        }
        waiting.headers.push_back(answered);
    }

    /// Another request goes out.
    pub(super) fn expect(&self, query: Query, told: Told) {
        let mut waiting = self.waiting();
        if !waiting.over {
            waiting.data.expect(query, told);
        }
    }

    /// A message has come.
    pub(super) fn arrived(&self, message: Inbound) -> Arrived {
        if let Inbound::Headers(_) = &message {
            let asked_for = self.headers_arrived();
            return Arrived { asked_for, rest: Some(message) };
        }
        let arrived = self.waiting().data.arrived(message);
        if arrived.asked_for {
            self.progress.note();
        }
        arrived
    }

    /// Headers have come: whether they were asked for. They answer the oldest request that somebody
    /// still waits for; a peer that let one go by and answers the next is not silent.
    fn headers_arrived(&self) -> bool {
        let mut waiting = self.waiting();
        let asked_for = !waiting.headers.is_empty();
        while let Some(answered) = waiting.headers.pop_front() {
            if answered.send(()).is_ok() {
                break;
            }
        }
        asked_for
    }

    /// Somebody waits no more: what was gathered for it is let go.
    pub(super) fn given_up(&self) {
        self.waiting().data.forget_given_up();
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting();
        let ended = std::mem::replace(&mut *waiting, Waiting { over: true, ..Waiting::default() });
        ended.data.end();
    }

    /// When the last piece came of what may be an answer.
    pub(super) const fn progress(&self) -> &Progress {
        &self.progress
    }
}

/// When something came last that may be an answer to what takes long: a block, a filter, or a piece
/// of one. Clones share it.
#[derive(Clone, Debug)]
pub struct Progress {
    start: Instant,
    last_micros: Arc<AtomicU64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { start: Instant::now(), last_micros: Arc::default() }
    }
}

impl Progress {
    /// Something came.
    pub fn note(&self) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_micros.store(micros, Ordering::Relaxed);
    }

    /// When something came last; its own beginning before that.
    #[must_use]
    pub fn last(&self) -> Instant {
        self.start + Duration::from_micros(self.last_micros.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Inbound {
        Inbound::Headers(Vec::new())
    }

    #[tokio::test]
    async fn headers_answer_the_oldest_request_that_is_waited_for() {
        let awaited = Awaited::default();
        assert!(!awaited.arrived(headers()).asked_for, "nobody asked");
        let (given_up, _) = oneshot::channel();
        let (first, mut first_answer) = oneshot::channel();
        let (second, mut second_answer) = oneshot::channel();
        [given_up, first, second].into_iter().for_each(|answered| awaited.expect_headers(answered));
        assert!(awaited.arrived(headers()).asked_for);
        assert!(first_answer.try_recv().is_ok() && second_answer.try_recv().is_err());
        assert!(awaited.arrived(headers()).asked_for && second_answer.try_recv().is_ok());
        assert!(!awaited.arrived(headers()).asked_for);
    }

    #[tokio::test]
    async fn no_more_than_sixteen_are_waited_for() {
        let awaited = Awaited::default();
        let mut answers: Vec<_> = (0..20)
            .map(|_| {
                let (answered, answer) = oneshot::channel();
                awaited.expect_headers(answered);
                answer
            })
            .collect();
        let dropped = answers.iter_mut().filter_map(|answer| answer.try_recv().err());
        let closed = dropped.filter(|error| *error == oneshot::error::TryRecvError::Closed);
        assert_eq!(closed.count(), 4);
        assert_eq!((0..20).filter(|_| awaited.arrived(headers()).asked_for).count(), 16);
    }

    #[tokio::test]
    async fn nothing_is_waited_for_after_the_end() {
        let awaited = Awaited::default();
        let (before, mut before_answer) = oneshot::channel();
        let (after, mut after_answer) = oneshot::channel();
        awaited.expect_headers(before);
        awaited.end();
        awaited.expect_headers(after);
        let closed = Err(oneshot::error::TryRecvError::Closed);
        assert_eq!((before_answer.try_recv(), after_answer.try_recv()), (closed.clone(), closed));
    }
}
