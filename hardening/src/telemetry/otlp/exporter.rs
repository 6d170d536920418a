//! The queue, and the thread that empties it.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use tracing::Dispatch;
use tracing::dispatcher::with_default;

use super::Ended;
use super::json::encode;
use crate::retry::{Backoff, BackoffConfig};

/// Posts a body to a collector (`/v1/traces`); bring the HTTP client that your program has.
///
/// ```
/// use ironlight_hardening::telemetry::SpanPost;
/// use std::io::{Error, ErrorKind, Result};
///
/// /// The status that a client of yours got, if it got any.
/// struct Client(Option<u16>);
///
/// impl SpanPost for Client {
///     fn post(&mut self, json: &[u8]) -> Result<u16> {
///         assert!(!json.is_empty());
///         self.0.ok_or_else(|| Error::from(ErrorKind::ConnectionRefused))
///     }
/// }
///
/// assert_eq!(Client(Some(200)).post(b"{}").unwrap(), 200);
/// assert_eq!(Client(None).post(b"{}").unwrap_err().kind(), ErrorKind::ConnectionRefused);
/// ```
pub trait SpanPost: Send {
    /// Posts JSON (`application/json`) and returns the status of the answer. It should give up after
    /// some seconds: until then nothing else is sent.
    ///
    /// # Errors
    /// If there was no answer.
    fn post(&mut self, json: &[u8]) -> io::Result<u16>;
}

/// How spans are sent.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::telemetry::OtlpConfig;
///
/// let config = OtlpConfig { every: Duration::from_secs(1), ..OtlpConfig::new("node") };
/// assert_eq!((config.service.as_str(), config.queue, config.batch), ("node", 2_048, 512));
/// ```
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// The name of the program, `service.name`.
    pub service: String,
    /// So many spans may wait; further ones are lost, and counted.
    pub queue: usize,
    /// So many are sent at once.
    pub batch: usize,
    /// Fewer are sent after so long.
    pub every: Duration,
    /// Without an answer, and for 429, 502, 503 and 504, they are sent again, so often in all.
    pub attempts: u32,
    /// The pauses between them.
    pub backoff: BackoffConfig,
    /// How long [`OtlpExporter::shutdown`] waits.
    pub shutdown_timeout: Duration,
}

impl OtlpConfig {
    /// 2,048 may wait, 512 are sent at once, or every 5 s, as OpenTelemetry has it; 3 attempts with
    /// pauses from 0.5 s to 5 s, and 5 s to shut down.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(5));
        Self {
            service: service.into(),
            queue: 2_048,
            batch: 512,
            every: Duration::from_secs(5),
            attempts: 3,
            backoff: BackoffConfig { base, cap },
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

/// What became of the spans, in all.
///
/// ```
/// use ironlight_hardening::telemetry::{
///     OtlpConfig, OtlpExporter, OtlpLayer, OtlpStatus, SpanPost,
/// };
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// struct Refuses;
/// impl SpanPost for Refuses {
///     fn post(&mut self, _json: &[u8]) -> std::io::Result<u16> {
///         Ok(400)
///     }
/// }
/// let exporter = OtlpExporter::start(OtlpConfig::new("node"), Refuses).unwrap();
/// let subscriber = tracing_subscriber::registry().with(OtlpLayer::new(exporter.clone(), 7));
/// tracing::subscriber::with_default(subscriber, || {
///     tracing::info_span!("in time").in_scope(|| ());
///     assert!(exporter.shutdown());
///     tracing::info_span!("too late").in_scope(|| ());
/// });
/// let expected = OtlpStatus { failed: 1, lost: 1, ..OtlpStatus::default() };
/// assert_eq!(exporter.status(), expected);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OtlpStatus {
    /// Those that the collector took.
    pub exported: u64,
    /// Those that came while too many waited, or after the end.
    pub lost: u64,
    /// Those that the collector did not take.
    pub failed: u64,
    /// Those that wait.
    pub waiting: usize,
}

struct State {
    queue: VecDeque<Ended>,
    status: OtlpStatus,
    closing: bool,
    flush_wanted: bool,
    /// Those that are being sent.
    in_hand: u64,
    ended: bool,
}

struct Shared {
    config: OtlpConfig,
    state: Mutex<State>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes all who wait for it.
    done: Condvar,
}

/// Sends spans from a thread of its own. Clones share it; the thread ends with
/// [`shutdown`](Self::shutdown), or some time after the last clone is gone.
///
/// ```
/// use ironlight_hardening::telemetry::{OtlpConfig, OtlpExporter, OtlpLayer, SpanPost};
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// struct Print;
/// impl SpanPost for Print {
///     fn post(&mut self, json: &[u8]) -> std::io::Result<u16> {
///         assert!(json.starts_with(b"{\"resourceSpans\":["));
///         Ok(200)
///     }
/// }
/// let exporter = OtlpExporter::start(OtlpConfig::new("node"), Print).unwrap();
/// let subscriber = tracing_subscriber::registry().with(OtlpLayer::new(exporter.clone(), 7));
/// tracing::subscriber::with_default(subscriber, || {
///     tracing::info_span!("sync", height = 7_u64).in_scope(|| ());
/// });
/// assert!(exporter.shutdown());
/// assert_eq!(exporter.status().exported, 1);
/// ```
#[derive(Clone)]
pub struct OtlpExporter(Arc<Handle>);

struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpExporter").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl OtlpExporter {
    /// Starts the thread. Spans and events of [`SpanPost::post`] go to no subscriber.
    ///
    /// # Errors
    /// If the system has no thread.
    pub fn start(config: OtlpConfig, post: impl SpanPost + 'static) -> io::Result<Self> {
        let state = State {
            queue: VecDeque::new(),
            status: OtlpStatus::default(),
            closing: false,
            flush_wanted: false,
            in_hand: 0,
            ended: false,
        };
        let (work, done) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { config, state: Mutex::new(state), work, done });
        let ours = Arc::clone(&shared);
        // Not traced itself: each post would make spans that have to be posted. Not by a dispatch of
        // a `NoSubscriber`, which callsites would have to ask on all threads.
        let run = move || with_default(&Dispatch::none(), || ours.run(post));
        thread::Builder::new().name("otlp".to_owned()).spawn(run)?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Never waits for the collector.
    pub(super) fn export(&self, span: Ended) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        if state.closing || state.queue.len() >= shared.config.queue {
            state.status.lost += 1;
            return;
        }
        state.queue.push_back(span);
        let full = state.queue.len() >= shared.config.batch;
        drop(state);
        if full {
            shared.work.notify_one();
        }
    }

    /// Waits until all that ended before was sent or given up; whether it was, in time.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        let shared = &self.0.0;
        shared.lock().flush_wanted = true;
        shared.work.notify_one();
        shared.wait(timeout, |state| !state.ended && (state.in_hand > 0 || !state.queue.is_empty()))
    }

    /// Takes no more spans, sends those that wait, each once, and waits for that as long as
    /// configured; whether it was done in time.
    pub fn shutdown(&self) -> bool {
        self.0.0.close();
        self.0.0.wait(self.0.0.config.shutdown_timeout, |state| !state.ended)
    }

    /// What became of the spans.
    #[must_use]
    pub fn status(&self) -> OtlpStatus {
        let state = self.0.0.lock();
        OtlpStatus { waiting: state.queue.len(), ..state.status }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// Waits while it is so; whether it came to an end in time.
    fn wait(&self, timeout: Duration, is_so: impl Fn(&State) -> bool) -> bool {
        let waited = self.done.wait_timeout_while(self.lock(), timeout, |state| is_so(state));
        !is_so(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn run(&self, mut post: impl SpanPost) {
        while let Some(spans) = self.next() {
            let sent = spans.is_empty() || self.send(&mut post, &spans);
            let count = spans.len() as u64;
            let mut state = self.lock();
            state.in_hand = 0;
            *(if sent { &mut state.status.exported } else { &mut state.status.failed }) += count;
            drop(state);
            self.done.notify_all();
        }
        self.lock().ended = true;
        self.done.notify_all();
    }

    /// What is to be sent next; none at the end.
    fn next(&self) -> Option<Vec<Ended>> {
        let batch = self.config.batch.max(1);
        let waits =
            |state: &mut State| state.queue.len() < batch && !state.closing && !state.flush_wanted;
        let waited = self.work.wait_timeout_while(self.lock(), self.config.every, waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.queue.is_empty() && state.closing {
            return None;
        }
        let count = batch.min(state.queue.len());
        let spans: Vec<Ended> = state.queue.drain(..count).collect();
        state.in_hand = spans.len() as u64;
        state.flush_wanted &= !state.queue.is_empty();
        Some(spans)
    }

    fn send(&self, post: &mut impl SpanPost, spans: &[Ended]) -> bool {
        let body = encode(&self.config.service, spans);
        let seed = spans.first().map_or(0, |span| span.context.span_id());
        let mut backoff = Backoff::new(self.config.backoff, seed);
        for tried in 1.. {
            // A client that panics has not sent them; the next batch may do better.
            let posted = catch_unwind(AssertUnwindSafe(|| post.post(body.as_bytes())));
            let again = match posted {
                Ok(Ok(200..300)) => return true,
                Ok(Ok(status)) => matches!(status, 429 | 502..=504),
                Ok(Err(_)) => true,
                Err(_) => false,
            };
            if !again || tried >= self.config.attempts || self.pause(backoff.next_delay()) {
                return false;
            }
        }
        false
    }

    /// A pause; it ends when all comes to its end. Whether it does.
    fn pause(&self, time: Duration) -> bool {
        let waited = self.work.wait_timeout_while(self.lock(), time, |state| !state.closing);
        waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }
}
