//! A log that is posted to a server.

use std::io;

use super::chain::Chain;
use super::sink::{Sink, SinkError};
use super::verify::Verifier;

/// Posts a body to one address; bring the HTTP client that your program has.
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
pub struct HttpSink<P> {
    name: String,
    post: P,
    /// What the server has confirmed.
    confirmed: Verifier,
}

impl<P: HttpPost> HttpSink<P> {
    /// Posts nothing yet. The name is for reports.
    #[must_use]
    pub fn new(name: impl Into<String>, post: P) -> Self {
        Self { name: name.into(), post, confirmed: Verifier::new() }
    }
}

impl<P: HttpPost> Sink for HttpSink<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&mut self) -> Result<Chain, SinkError> {
        Ok(self.confirmed.chain().clone())
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        let status = self.post.post(lines).map_err(SinkError::io("post"))?;
        if !(200..300).contains(&status) {
            return Err(SinkError::Refused { status });
        }
        let known = self.confirmed.feed_all(lines, |_| ()).map_err(SinkError::io("read"))?;
        known.map_err(SinkError::Damaged)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
