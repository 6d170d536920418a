//! How a log is kept.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::checkpoint::CheckpointKey;
use super::observer::{Observer, Written};
use super::policy::Policy;
use super::queue::QueueConfig;
use crate::retry::BackoffConfig;

/// When checkpoints are signed, and with which key.
///
/// The [module](super) has an example.
pub struct CheckpointConfig {
    /// Signs them.
    pub key: CheckpointKey,
    /// One at least this often, also when nothing was written: that nothing happened is a
    /// statement too.
    pub every: Duration,
    /// And one after so many records.
    pub records: u64,
    /// Called with each note, in the observers' thread: to send it where whoever can change the
    /// log cannot change it. When another sink takes over, its log's checkpoints continue the
    /// series; each sink keeps only its own.
    pub export: Vec<Export>,
    /// Called, where the key evolves, with the seed of the next key, after the checkpoint was kept
    /// and before anything else is signed: to save it over the old one.
    pub save_seed: Option<SaveSeed>,
}

/// See [`CheckpointConfig::export`].
pub type Export = Box<dyn Fn(&str) + Send + Sync>;
/// See [`CheckpointConfig::save_seed`].
pub type SaveSeed = Box<dyn Fn(&[u8; 32]) + Send + Sync>;

impl CheckpointConfig {
    /// Every minute and every 10,000 records; exported nowhere yet.
    #[must_use]
    pub fn new(key: CheckpointKey) -> Self {
        let every = Duration::from_secs(60);
        Self { key, every, records: 10_000, export: Vec::new(), save_seed: None }
    }
}

impl fmt::Debug for CheckpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointConfig")
            .field("key", &self.key)
            .field("every", &self.every)
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

/// How a log is kept.
///
/// The [module](super) has an example.
pub struct AuditConfig {
    /// The log's name, which stands in its segments.
    pub name: String,
    /// How much may wait.
    pub queue: QueueConfig,
    /// How long the writer gathers events before it writes, unless the queue is half full. What is
    /// gathered is lost when the process is killed.
    pub gather: Duration,
    /// How often what was written is made to survive a power cut.
    pub flush_every: Duration,
    /// How often a sink is tried before it is given up for the next one.
    pub attempts: u32,
    /// The pauses between them.
    pub backoff: BackoffConfig,
    /// How long [`AuditLog::shutdown`](super::AuditLog::shutdown) waits.
    pub shutdown_timeout: Duration,
    /// Judges events before they are written.
    pub policy: Option<Arc<dyn Policy>>,
    /// See what was written, with their names.
    pub observers: Vec<(&'static str, Observer)>,
    /// Signs checkpoints.
    pub checkpoints: Option<CheckpointConfig>,
    /// The time in milliseconds since 1970.
    pub clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Default for AuditConfig {
    /// A log named `audit`, gathered for 2 ms and flushed every second, with 5 attempts and pauses
    /// from 50 ms to 5 s, 5 s to shut down, neither policy, observers nor checkpoints, and the
    /// system's clock.
    fn default() -> Self {
        let backoff =
            BackoffConfig { base: Duration::from_millis(50), cap: Duration::from_secs(5) };
        Self {
            name: "audit".to_owned(),
            queue: QueueConfig::default(),
            gather: Duration::from_millis(2),
            flush_every: Duration::from_secs(1),
            attempts: 5,
            backoff,
            shutdown_timeout: Duration::from_secs(5),
            policy: None,
            observers: Vec::new(),
            checkpoints: None,
            clock: Arc::new(system_time),
        }
    }
}

impl AuditConfig {
    /// Adds an observer. It runs in a thread of its own, where it may fail or panic: that is
    /// counted and written down. One that hangs only keeps the other observers waiting.
    #[must_use]
    pub fn with_observer(
        mut self,
        name: &'static str,
        observer: impl Fn(&Written) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.observers.push((name, Box::new(observer)));
        self
    }
}

impl fmt::Debug for AuditConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditConfig")
            .field("name", &self.name)
            .field("queue", &self.queue)
            .field("gather", &self.gather)
            .field("flush_every", &self.flush_every)
            .field("attempts", &self.attempts)
            .field("checkpoints", &self.checkpoints)
            .finish_non_exhaustive()
    }
}

fn system_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
