//! When it is time for a batch.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

/// The size of batches follows how long they take.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::batch::{Adaptive, BatchConfig, Batcher};
///
/// let adaptive = Some(Adaptive { min_items: 1, target: Duration::from_millis(10) });
/// let mut batcher = Batcher::<u32>::new(BatchConfig { adaptive, ..BatchConfig::default() });
/// let before = batcher.stats().batch_size;
/// batcher.done(before, Duration::from_secs(1), true);
/// assert!(batcher.stats().batch_size <= before, "that took too long");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    /// No smaller than this; also where it begins. 0 counts as 1.
    pub min_items: usize,
    /// A full batch that takes no longer lets batches grow by an eighth; one that takes longer, or
    /// fails, halves them.
    pub target: Duration,
}

/// When it is time for a batch, and how much may wait.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::batch::{BatchConfig, Batcher, PushError, Reason};
///
/// let config = BatchConfig { max_items: 2, queue_items: 3, ..BatchConfig::default() };
/// let mut batcher = Batcher::new(config);
/// for item in ["one", "two", "three"] {
///     batcher.push(item, 5, Duration::ZERO).unwrap();
/// }
/// let refused = batcher.push("four", 5, Duration::ZERO).unwrap_err();
/// assert_eq!(refused, PushError::Full("four"));
/// let batch = batcher.take(Duration::ZERO).unwrap();
/// assert_eq!((batch.items, batch.reason), (vec!["one", "two"], Reason::Items));
/// assert_eq!(batcher.stats().refused, 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchConfig {
    /// So many items are a full batch. 0 counts as 1.
    pub max_items: usize,
    /// So many bytes are a full batch.
    pub max_bytes: usize,
    /// No item waits longer for its batch to be begun, as long as batches are taken in time.
    pub max_age: Duration,
    /// The most items that wait.
    pub queue_items: usize,
    /// The most bytes that wait.
    pub queue_bytes: usize,
    /// With this, a full batch may be smaller than `max_items`.
    pub adaptive: Option<Adaptive>,
}

impl Default for BatchConfig {
    /// 100 items, 1 MiB or a second; 10,000 items and 64 MiB wait; of fixed size.
    fn default() -> Self {
        Self {
            max_items: 100,
            max_bytes: 1 << 20,
            max_age: Duration::from_secs(1),
            queue_items: 10_000,
            queue_bytes: 64 << 20,
            adaptive: None,
        }
    }
}

/// Why it was not taken into the queue; the item is given back.
///
/// See [`BatchConfig`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError<T> {
    /// There is no room now.
    Full(T),
    /// There never is room for so many bytes.
    TooLarge(T),
    /// Nothing is taken any more.
    Closed(T),
}

impl<T> PushError<T> {
    /// The item.
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::TooLarge(item) | Self::Closed(item) => item,
        }
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the queue is full",
            Self::TooLarge(_) => "larger than the whole queue",
            Self::Closed(_) => "the queue is closed",
        })
    }
}

impl<T: fmt::Debug> core::error::Error for PushError<T> {}

/// Why it was time.
///
/// See [`BatchConfig`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Enough items.
    Items,
    /// Enough bytes.
    Bytes,
    /// The oldest item waited long enough.
    Age,
    /// Asked for, or nothing more will come.
    Flush,
}

/// What is done together.
///
/// See [`BatchConfig`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// The items, the oldest first; never empty.
    pub items: Vec<T>,
    /// Their bytes.
    pub bytes: usize,
    /// Why it was time.
    pub reason: Reason,
    /// How long the oldest waited.
    pub waited: Duration,
}

/// What went through.
///
/// See [`BatchConfig`] for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchStats {
    /// Items that wait now.
    pub items_waiting: usize,
    /// Bytes that wait now.
    pub bytes_waiting: usize,
    /// So many items are a full batch now.
    pub batch_size: usize,
    /// Items that were taken into the queue.
    pub pushed: u64,
    /// Items that were refused.
    pub refused: u64,
    /// Items that left in a batch.
    pub taken: u64,
    /// Batches that left.
    pub batches: u64,
    /// Batches that were reported as failed.
    pub failed_batches: u64,
}

#[derive(Clone, Debug)]
struct Waiting<T> {
    item: T,
    bytes: usize,
    since: Duration,
}

/// A bounded queue that knows when it is time for a batch.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::batch::{BatchConfig, Batcher, Reason};
///
/// let second = Duration::from_secs(1);
/// let mut batcher = Batcher::new(BatchConfig { max_items: 2, ..BatchConfig::default() });
/// batcher.push("a", 1, Duration::ZERO).unwrap();
/// assert_eq!(batcher.take(Duration::ZERO), None);
/// assert_eq!(batcher.due_at(), Some(second));
/// let batch = batcher.take(second).unwrap();
/// assert_eq!((batch.items, batch.reason), (vec!["a"], Reason::Age));
/// batcher.push("b", 1, second).unwrap();
/// batcher.push("c", 1, second).unwrap();
/// assert_eq!(batcher.take(second).unwrap().reason, Reason::Items);
/// ```
#[derive(Clone, Debug)]
pub struct Batcher<T> {
    config: BatchConfig,
    queue: VecDeque<Waiting<T>>,
    stats: BatchStats,
    /// What was pushed before this many has to go.
    flush_until: u64,
    closed: bool,
}

impl<T> Batcher<T> {
    /// Nothing waits.
    #[must_use]
    pub fn new(config: BatchConfig) -> Self {
        let most = config.max_items.max(1);
        let batch_size = config.adaptive.map_or(most, |adaptive| adaptive.min_items.clamp(1, most));
        let stats = BatchStats { batch_size, ..BatchStats::default() };
        Self { config, queue: VecDeque::new(), stats, flush_until: 0, closed: false }
    }

    /// Puts an item of so many bytes at the end of the queue.
    ///
    /// # Errors
    /// [`PushError`] with the item, where it cannot be taken.
    pub fn push(&mut self, item: T, bytes: usize, now: Duration) -> Result<(), PushError<T>> {
        let refused = if self.closed {
            PushError::Closed(item)
        } else if bytes > self.config.queue_bytes {
            PushError::TooLarge(item)
        } else if !self.has_room(bytes) {
            PushError::Full(item)
        } else {
            self.queue.push_back(Waiting { item, bytes, since: now });
            self.stats.bytes_waiting += bytes;
            self.stats.pushed += 1;
            return Ok(());
        };
        self.stats.refused += 1;
        Err(refused)
    }

    /// Whether there is room for an item of so many bytes.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        let room = self.config.queue_bytes.saturating_sub(self.stats.bytes_waiting);
        bytes <= room && self.queue.len() < self.config.queue_items.max(1)
    }

    /// Why it is time for a batch, if it is.
    #[must_use]
    pub fn ready(&self, now: Duration) -> Option<Reason> {
        let oldest = self.queue.front()?;
        if self.queue.len() >= self.stats.batch_size {
            Some(Reason::Items)
        } else if self.stats.bytes_waiting >= self.config.max_bytes {
            Some(Reason::Bytes)
        } else if self.closed || self.stats.taken < self.flush_until {
            Some(Reason::Flush)
        } else if now >= oldest.since.saturating_add(self.config.max_age) {
            Some(Reason::Age)
        } else {
            None
        }
    }

    /// When it is time at the latest, if nothing more comes; none where nothing waits.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
        let oldest = self.queue.front()?;
        let at = oldest.since.saturating_add(self.config.max_age);
        Some(if self.ready(Duration::ZERO).is_some() { Duration::ZERO } else { at })
    }

    /// Takes a batch, if it is time for one. Call it until there is none.
    pub fn take(&mut self, now: Duration) -> Option<Batch<T>> {
        let reason = self.ready(now)?;
        let waited = now.saturating_sub(self.queue.front()?.since);
        let (mut count, mut bytes) = (0, 0_usize);
        for waiting in self.queue.iter().take(self.stats.batch_size) {
            let sum = bytes.saturating_add(waiting.bytes);
            if count > 0 && sum > self.config.max_bytes {
                break;
            }
            (count, bytes) = (count + 1, sum);
        }
        let items: Vec<T> = self.queue.drain(..count).map(|waiting| waiting.item).collect();
        self.stats.bytes_waiting -= bytes;
        self.stats.taken += u64::try_from(count).unwrap_or(u64::MAX);
        self.stats.batches += 1;
        Some(Batch { items, bytes, reason, waited })
    }

    /// Tells how a batch went, for the adaptive size. One that was not full says nothing about the
    /// size if it went well.
    pub fn done(&mut self, items: usize, took: Duration, well: bool) {
        self.stats.failed_batches += u64::from(!well);
        let Some(adaptive) = self.config.adaptive else { return };
        let most = self.config.max_items.max(1);
        let size = self.stats.batch_size;
        let next = if !well || took > adaptive.target {
            size / 2
        } else if items >= size {
            size.saturating_add((size / 8).max(1))
        } else {
            size
        };
        self.stats.batch_size = next.clamp(adaptive.min_items.clamp(1, most), most);
    }

    /// What waits now has to go, however little it is.
    pub fn flush(&mut self) {
        self.flush_until = self.stats.pushed;
    }

    /// Nothing more is taken, and what waits has to go.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::batch::{BatchConfig, Batcher, PushError, Reason};
    ///
    /// let mut batcher = Batcher::new(BatchConfig::default());
    /// batcher.push("one", 3, Duration::ZERO).unwrap();
    /// assert_eq!(batcher.ready(Duration::ZERO), None);
    /// batcher.close();
    /// assert_eq!(batcher.ready(Duration::ZERO), Some(Reason::Flush), "what was accepted still leaves");
    /// let refused = batcher.push("two", 3, Duration::ZERO).unwrap_err();
    /// assert_eq!(refused, PushError::Closed("two"));
    /// assert_eq!(refused.into_item(), "two");
    /// ```
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing more is taken.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The figures.
    #[must_use]
    pub fn stats(&self) -> BatchStats {
        BatchStats { items_waiting: self.queue.len(), ..self.stats }
    }
}
