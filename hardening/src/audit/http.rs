//! A log that is posted to a server.

use core::time::Duration;
use std::io;

use super::chain::Chain;
use super::sink::{Sink, SinkError};
use super::verify::Verifier;
use crate::chance::fresh_seed;
use crate::circuit_breaker::{BreakerConfig, CircuitBreaker, Outcome};
use crate::clock::{Clock, MonotonicClock};
use crate::error::{Classify, Rejected};

/// Posts a body to one address; bring the HTTP client that your program has.
///
/// Where operators name the address, or a name service does, let an
/// [`AddressGuard`](crate::AddressGuard) look at what the name stands for before each connection, and
/// follow no redirects: a log must not be posted to whoever answers for a name.
///
/// ```
/// use ironlight_hardening::audit::{HttpPost, HttpSink, Sink};
///
/// /// A client of yours, with a time-out; this one only counts.
/// struct Client(usize);
/// impl HttpPost for Client {
///     fn post(&mut self, lines: &[u8]) -> std::io::Result<u16> {
///         self.0 += lines.len();
///         Ok(204)
///     }
/// }
/// assert_eq!(HttpSink::new("collector", Client(0)).name(), "collector");
/// ```
pub trait HttpPost: Send {
    /// Posts lines of JSON (`application/x-ndjson`) and returns the status of the answer. It should
    /// give up after some seconds: until then nothing else is written.
    ///
    /// # Errors
    /// If there was no answer.
    fn post(&mut self, lines: &[u8]) -> io::Result<u16>;
}

/// Posts each batch of a log, and offers it again until the answer is 200 to 299.
///
/// Without an answer, and for 408, 429 and 500 to 599, the same lines are posted again as often as
/// [`AuditConfig::attempts`](super::AuditConfig::attempts) says; any other answer gives the sink up
/// at once. The server may get lines twice, when its answer was lost, and knows them by index and
/// hash.
///
/// After five posts in a row without an answer, or with 408 or 500 to 599, a circuit breaker opens:
/// for 10 s, then for longer, up to a minute, nothing is posted and the sink does not open, so that a
/// log without another sink waits and one with another goes on there. Afterwards one batch tries.
/// Other refusals (429, or what gives the sink up) the breaker counts neither as failures nor as
/// successes.
///
/// Its log begins with this sink, at record 0: give each start of the program a name of its own in
/// [`AuditConfig::name`](super::AuditConfig::name).
///
/// ```
/// use ironlight_hardening::audit::{
///     AuditConfig, AuditLog, Event, EventKind, HttpPost, HttpSink, MemorySink,
/// };
///
/// struct Away;
/// impl HttpPost for Away {
///     fn post(&mut self, _lines: &[u8]) -> std::io::Result<u16> {
///         Ok(410)
///     }
/// }
/// let fallback = MemorySink::default();
/// let log = AuditLog::start(
///     AuditConfig::default(),
///     vec![Box::new(HttpSink::new("collector", Away)), Box::new(fallback.clone())],
/// )
/// .unwrap();
/// log.emit(Event::new(EventKind::Start)).unwrap();
/// log.shutdown();
/// assert!(fallback.lines().contains("collector: refused with status 410"));
/// ```
#[derive(Debug)]
pub struct HttpSink<P, C = MonotonicClock> {
    name: String,
    post: P,
    /// What the server has confirmed.
    confirmed: Verifier,
    breaker: CircuitBreaker,
    clock: C,
}

impl<P: HttpPost> HttpSink<P> {
    /// Posts nothing yet. The name is for reports.
    #[must_use]
    pub fn new(name: impl Into<String>, post: P) -> Self {
        let config = BreakerConfig {
            failure_percent: None,
            open_for: Duration::from_secs(10),
            open_at_most: Duration::from_secs(60),
            half_open_permits: 1,
            successes_to_close: 1,
            ..BreakerConfig::default()
        };
        let breaker = CircuitBreaker::new(config, fresh_seed());
        let (confirmed, clock) = (Verifier::new(), MonotonicClock::new());
        Self { name: name.into(), post, confirmed, breaker, clock }
    }
}

impl<P, C: Clock> HttpSink<P, C> {
    /// With another breaker. The clock is the one that is used with it elsewhere.
    #[must_use]
    pub fn with_breaker<D: Clock>(self, breaker: CircuitBreaker, clock: D) -> HttpSink<P, D> {
        let Self { name, post, confirmed, .. } = self;
        HttpSink { name, post, confirmed, breaker, clock }
    }

    /// Its breaker, for status and listeners.
    #[must_use]
    pub const fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }
}

fn left_alone(rejected: Rejected) -> SinkError {
    SinkError::io("post")(io::Error::other(rejected))
}

impl<P: HttpPost, C: Clock> Sink for HttpSink<P, C> {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&mut self) -> Result<Chain, SinkError> {
        match self.breaker.refuses(self.clock.now()) {
            Some(retry_after) => Err(left_alone(Rejected::CircuitOpen { retry_after })),
            None => Ok(self.confirmed.chain().clone()),
        }
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        let permit = self.breaker.permit(self.clock.now()).map_err(left_alone)?;
        let posted = match self.post.post(lines) {
            Ok(200..300) => Ok(()),
            Ok(status) => Err(SinkError::Refused { status }),
            Err(source) => Err(SinkError::io("post")(source)),
        };
        let outcome =
            posted.as_ref().map_or_else(|error| error.class().into(), |()| Outcome::Success);
        permit.finish(outcome, self.clock.now());
        posted?;
        let known = self.confirmed.feed_all(lines, |_| ()).map_err(SinkError::io("read"))?;
        known.map_err(SinkError::Damaged)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
