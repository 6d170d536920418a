//! What the state machine takes and gives.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use super::schedule::{BreakerConfig, Schedule};
use super::sign::{MessageId, Signer};
use super::url::HookUrl;

/// Bytes of an event type's name.
pub const MAX_EVENT_NAME: usize = 128;

/// An endpoint's number; never used again.
///
/// ```
/// use ironlight_hardening::webhook::{Dispatcher, Endpoint, Signer, WebhookConfig};
///
/// let mut hooks = Dispatcher::new(WebhookConfig::default());
/// let endpoint = Endpoint {
///     url: "https://example.com/hook".parse().unwrap(),
///     events: vec!["block.new".into()],
///     signer: Signer::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()]).unwrap(),
/// };
/// let (first, second) = (hooks.register(endpoint.clone()), hooks.register(endpoint));
/// assert_ne!(first.unwrap(), second.unwrap());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub(super) u64);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {}", self.0)
    }
}

/// Who is told, of what, and signed with what.
///
/// See [`EndpointId`] for an example.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where to.
    pub url: HookUrl,
    /// The event types; `*` means all.
    pub events: Vec<String>,
    /// With its secrets.
    pub signer: Signer,
}

/// Sizes and times.
///
/// ```
/// use ironlight_hardening::webhook::WebhookConfig;
///
/// let config = WebhookConfig { max_endpoints: 10, ..WebhookConfig::default() };
/// assert!(!config.allow_http);
/// ```
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// When attempts follow each other.
    pub schedule: Schedule,
    /// When an endpoint is left alone.
    pub breaker: BreakerConfig,
    /// Endpoints at most.
    pub max_endpoints: usize,
    /// Event types of an endpoint at most.
    pub max_events: usize,
    /// Deliveries under way or waiting at most: one for each message and endpoint.
    pub max_pending: usize,
    /// The bytes of their payloads at most; a payload counts for each endpoint.
    pub max_pending_bytes: usize,
    /// Bytes of one payload at most.
    pub max_payload: usize,
    /// Attempts under way to one endpoint at most; one while its breaker tries it again. Zero
    /// counts as one.
    pub in_flight: u32,
    /// Entries of the log at most.
    pub max_log: usize,
    /// Message ids that are remembered, so that a message is not published twice.
    pub max_ids: usize,
    /// Whether endpoints without TLS are taken.
    pub allow_http: bool,
    /// Draws the same pauses each time.
    pub seed: u64,
}

impl Default for WebhookConfig {
    /// 1,000 endpoints of 64 event types, 10,000 deliveries of 64 MiB, payloads up to 256 KiB, two
    /// attempts at once to an endpoint, 1,000 log entries, 10,000 ids, TLS only, seed 0.
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            breaker: BreakerConfig::default(),
            max_endpoints: 1_000,
            max_events: 64,
            max_pending: 10_000,
            max_pending_bytes: 64 << 20,
            max_payload: 256 << 10,
            in_flight: 2,
            max_log: 1_000,
            max_ids: 10_000,
            allow_http: false,
            seed: 0,
        }
    }
}

/// Why an endpoint is not registered.
///
/// ```
/// use ironlight_hardening::webhook::{Dispatcher, Endpoint, RegisterError, Signer, WebhookConfig};
///
/// let plain = Endpoint {
///     url: "http://example.com/hook".parse().unwrap(),
///     events: vec!["block.new".into()],
///     signer: Signer::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()]).unwrap(),
/// };
/// let refused = Dispatcher::new(WebhookConfig::default()).register(plain);
/// assert_eq!(refused.unwrap_err(), RegisterError::NotTls);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// So many are there already.
    Full {
        /// The limit.
        limit: usize,
    },
    /// No event types, too many, or one with an empty or too long name.
    Events,
    /// No TLS.
    NotTls,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { limit } => write!(f, "there are {limit} webhooks already"),
            Self::Events => f.write_str("no event types for the webhook, or too many"),
            Self::NotTls => f.write_str("a webhook must use https"),
        }
    }
}

impl core::error::Error for RegisterError {}

/// Why a message is not published; nobody is told then.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// Its payload has more bytes than this.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Too much waits already.
    Full,
    /// A message of that id was published before.
    Duplicate,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "a webhook payload of more than {limit} bytes"),
            Self::Full => f.write_str("too many webhook deliveries wait already"),
            Self::Duplicate => f.write_str("a message of that id was published before"),
        }
    }
}

impl core::error::Error for PublishError {}

/// What is told.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its name, the same in all attempts and for all endpoints.
    pub id: MessageId,
    /// What happened.
    pub event: String,
    /// The body.
    pub payload: Vec<u8>,
}

/// An attempt that is to be made. Give it back to `finish` or `abandon`.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Debug)]
pub struct Job {
    pub(super) delivery: u64,
    pub(super) endpoint: EndpointId,
    pub(super) epoch: u64,
    /// Which attempt it is, from 1 on.
    pub attempt: u32,
    /// What to send.
    pub message: Arc<Message>,
    /// Where to, and how to sign it.
    pub target: Arc<Endpoint>,
}

impl Job {
    /// Whose it is.
    #[must_use]
    pub const fn endpoint(&self) -> EndpointId {
        self.endpoint
    }
}

/// What to do now.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Debug)]
pub enum Next {
    /// This attempt.
    Send(Job),
    /// Nothing until then, unless something is published or finished.
    WaitUntil(Duration),
    /// Nothing, unless something is published or finished.
    Idle,
}

/// How an attempt ended.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint answered.
    Status {
        /// With this.
        code: u16,
        /// When it wants the next attempt, from now.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    Timeout,
    /// No connection, or a broken one.
    Unreachable,
    /// Its address must not be connected to, or a redirect must not be followed.
    Refused,
}

impl Outcome {
    /// Any 2xx; all else is a failure.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Status { code: 200..=299, .. })
    }
}

/// What became of a delivery.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The endpoint has it.
    Delivered,
    /// It is tried again then, or later while the endpoint is left alone.
    Retry {
        /// Since the clock's start.
        at: Duration,
    },
    /// That was the last attempt.
    Exhausted,
    /// The endpoint answered 410 and is disabled.
    Gone,
    /// The endpoint was disabled or removed.
    Dropped,
}

/// One line of the delivery log.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When, since the clock's start.
    pub at: Duration,
    /// Whose it was.
    pub endpoint: EndpointId,
    /// Which message.
    pub message: MessageId,
    /// The attempt, from 1 on; for what was dropped, the number made.
    pub attempt: u32,
    /// How it ended; none where no attempt was made, as for what was dropped.
    pub outcome: Option<Outcome>,
    /// What follows.
    pub fate: Fate,
}

/// What was counted.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookStats {
    /// Deliveries that were begun.
    pub published: u64,
    /// Messages that were not taken.
    pub refused: u64,
    /// Attempts that ended.
    pub attempts: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Deliveries that failed at their last attempt.
    pub exhausted: u64,
    /// Deliveries of endpoints that are disabled or removed.
    pub dropped: u64,
    /// Times that a breaker opened.
    pub breaks: u64,
    /// Log entries that had to go for newer ones.
    pub log_lost: u64,
    /// Deliveries that wait or are under way.
    pub pending: usize,
    /// The bytes of their payloads.
    pub pending_bytes: usize,
}

/// How an endpoint is doing.
///
/// See [`Dispatcher`](super::Dispatcher) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Whether it is told anything.
    pub enabled: bool,
    /// Failures in a row.
    pub failures: u32,
    /// It is left alone until then, since the clock's start; zero for never.
    pub paused_until: Duration,
    /// Attempts under way.
    pub in_flight: u32,
    /// Deliveries that wait.
    pub waiting: usize,
}
