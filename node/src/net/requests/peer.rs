//! Requests to one peer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ironlight_hardening::stack::Outbound;
use ironlight_hardening::{Classify, Clock as _, Error, ErrorClass, Rejected, TokioTimer};
use ironlight_spv::sync::Unanswered;
use tower_layer::Layer as _;
use tower_service::Service;

use super::report::{Counts, PeerRequestReport, count};
use super::{Kind, NetworkRequests, once_ready};

/// Whose question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// This peer's own.
    First,
    /// Another peer's, which gave no answer: it is paid from the retry budget.
    Instead,
}

impl Asked {
    /// By what the sync machine says of a question.
    pub(crate) const fn retry(retry: bool) -> Self {
        if retry { Self::Instead } else { Self::First }
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer<E> {
    /// The retry budget is spent.
    #[error("too much is asked of one peer instead of another already")]
    Budget,
    /// It was not put on the line.
    #[error("not asked: {0}")]
    Refused(Rejected),
    /// None in time.
    #[error("no answer within {after:?}")]
    Late {
        /// How long was waited.
        after: Duration,
    },
    /// None of use.
    #[error(transparent)]
    Failed(E),
}

impl<E> From<Error<E>> for NoAnswer<E> {
    fn from(error: Error<E>) -> Self {
        match error {
            Error::Inner(error) => Self::Failed(error),
            Error::Rejected(Rejected::Timeout { after }) => Self::Late { after },
            Error::Rejected(rejected) => Self::Refused(rejected),
        }
    }
}

/// Where a refusal names no time.
const SOON: Duration = Duration::from_secs(1);
/// However long a breaker stays open, the peer's turn comes again after this: the floor may need it
/// by then, and to be refused once more costs nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl<E: Classify> NoAnswer<E> {
    /// What the sync machine is told.
    pub(crate) fn unanswered(&self) -> Unanswered {
        let retry_after = match self {
            Self::Refused(Rejected::CircuitOpen { retry_after }) => (*retry_after).min(LOOK_AGAIN),
            Self::Refused(Rejected::RateLimited { retry_after }) => *retry_after,
            Self::Budget | Self::Refused(_) => SOON,
            Self::Late { .. } => return Unanswered::NoAnswer,
            // It is busy, which is no fault.
            Self::Failed(error) => match error.class() {
                ErrorClass::RateLimited { retry_after } => retry_after.unwrap_or(SOON),
                ErrorClass::Temporary
                | ErrorClass::Permanent
                | ErrorClass::Timeout
                | ErrorClass::CircuitOpen
                | ErrorClass::Overloaded => return Unanswered::NoAnswer,
            },
        };
        Unanswered::Refused { retry_after }
    }

    /// How it went, for the network's figures; none where nothing was put on the line.
    fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Budget | Self::Refused(_) => None,
            Self::Late { .. } => Some(ErrorClass::Timeout),
            Self::Failed(error) => Some(error.class()),
        }
    }
}

/// Requests to a connected peer; see the [module](super). Clones share it, and when the last one
/// is dropped the peer counts as gone.
#[derive(Clone, Debug)]
pub(crate) struct PeerRequests(Arc<Peer>);

/// What requests to one peer go through, by their kind.
#[derive(Debug)]
pub(super) struct Lines {
    /// Those that are answered at once.
    pub(super) prompt: Outbound<SocketAddr, TokioTimer>,
    /// Those for filters and blocks.
    pub(super) data: Outbound<SocketAddr, TokioTimer>,
}

impl Lines {
    const fn of(&self, kind: Kind) -> &Outbound<SocketAddr, TokioTimer> {
        match kind {
            Kind::Prompt => &self.prompt,
            Kind::Data => &self.data,
        }
    }
}

#[derive(Debug)]
struct Peer {
    network: NetworkRequests,
    address: SocketAddr,
    lines: Lines,
    /// Whether we chose it, or else it called us.
    chosen: bool,
    counts: Arc<Counts>,
}

impl PeerRequests {
    pub(super) fn new(
        network: NetworkRequests,
        address: SocketAddr,
        lines: Lines,
        chosen: bool,
    ) -> Self {
        Self(Arc::new(Peer { network, address, lines, chosen, counts: Arc::default() }))
    }

    /// Asks the peer. The line puts a request out and gives the answer; where the peer is busy it
    /// is used again. Cancel safe: nothing is held for a request that nobody waits for.
    ///
    /// # Errors
    /// [`NoAnswer`], which is counted, and which the peer's breaker knows of.
    pub(crate) async fn ask<R, S>(
        &self,
        asked: Asked,
        request: R,
        line: S,
    ) -> Result<S::Response, NoAnswer<S::Error>>
    where
        R: Clone,
        S: Service<R> + Clone,
        S::Error: Classify,
    {
        self.ask_for(Kind::Prompt, asked, request, line).await
    }

    /// The same for filters and blocks, which may take
    /// [`data_timeout`](super::RequestConfig::data_timeout): the line is to give up where nothing
    /// comes for [`attempt_timeout`](Self::attempt_timeout). Cancel safe.
    ///
    /// # Errors
    /// [`NoAnswer`], as for [`ask`](Self::ask).
    pub(crate) async fn ask_data<R, S>(
        &self,
        asked: Asked,
        request: R,
        line: S,
    ) -> Result<S::Response, NoAnswer<S::Error>>
    where
        R: Clone,
        S: Service<R> + Clone,
        S::Error: Classify,
    {
        self.ask_for(Kind::Data, asked, request, line).await
    }

    async fn ask_for<R, S>(
        &self,
        kind: Kind,
        asked: Asked,
        request: R,
        line: S,
    ) -> Result<S::Response, NoAnswer<S::Error>>
    where
        R: Clone,
        S: Service<R> + Clone,
        S::Error: Classify,
    {
        let shared = &self.0.network.shared;
        let began = shared.timer.now();
        let answer = if shared.is_guarded() {
            self.ask_guarded(kind, asked, request, self.counted(line), began).await
        } else {
            once_ready(self.counted(line), request).await.map_err(NoAnswer::Failed)
        };
        self.note(began, &answer);
        answer
    }

    async fn ask_guarded<R, S>(
        &self,
        kind: Kind,
        asked: Asked,
        request: R,
        line: S,
        now: Duration,
    ) -> Result<S::Response, NoAnswer<S::Error>>
    where
        R: Clone,
        S: Service<R> + Clone,
        S::Error: Classify,
    {
        let Peer { network, address, lines, chosen, .. } = &*self.0;
        let (shared, outbound) = (&network.shared, lines.of(kind));
        if *chosen {
            shared.keep_floor(&outbound.breaker, kind, now);
        }
        if let Some(retry_after) = outbound.breaker.refuses(now) {
            // Before anything is paid for it.
            return Err(NoAnswer::Refused(Rejected::CircuitOpen { retry_after }));
        }
        match asked {
            Asked::First => shared.budget.deposit(),
            Asked::Instead if shared.budget.try_withdraw() => count(&network.counts.retried),
            Asked::Instead => return Err(NoAnswer::Budget),
        }
        let key = |_: &R| Some(*address);
        let again = |request: &R| Some(request.clone());
        let guarded = outbound.layer(key, again).layer(line);
        Ok(once_ready(guarded, request).await?)
    }

    fn counted<S>(&self, line: S) -> Counted<S> {
        let of_network = Arc::clone(&self.0.network.counts);
        Counted { line, of_network, of_peer: Arc::clone(&self.0.counts) }
    }

    fn note<T, E: Classify>(&self, began: Duration, answer: &Result<T, NoAnswer<E>>) {
        let Peer { network, counts, .. } = &*self.0;
        let now = network.shared.timer.now();
        let record = |outcome| network.operation.record(now.saturating_sub(began), outcome, now);
        let counters: fn(&Counts) -> &std::sync::atomic::AtomicU64 = match answer {
            Ok(_) => {
                record(Ok(()));
                |counts| &counts.answered
            }
            Err(error) => match error.class() {
                Some(class) => {
                    record(Err(class));
                    |counts| &counts.failed
                }
                None => |counts| &counts.refused,
            },
        };
        count(counters(counts));
        count(counters(&network.counts));
    }

    /// How long it has for an answer, or for the next piece of one.
    pub(crate) fn attempt_timeout(&self) -> Duration {
        self.0.lines.prompt.attempt_timeout
    }

    /// How requests to it go.
    pub(crate) fn report(&self) -> PeerRequestReport {
        self.0.counts.peer_report(self.0.lines.prompt.breaker.state())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.chosen {
            return;
        }
        let mut chosen = self.network.shared.chosen();
        if let Some(at) = chosen.iter().position(|peer| peer.address == self.address) {
            chosen.swap_remove(at);
        }
    }
}

/// Counts what is put on the line.
#[derive(Clone)]
struct Counted<S> {
    line: S,
    of_network: Arc<Counts>,
    of_peer: Arc<Counts>,
}

impl<S: Service<R>, R> Service<R> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.line.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        count(&self.of_network.sent);
        count(&self.of_peer.sent);
        self.line.call(request)
    }
}
