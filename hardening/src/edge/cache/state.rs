//! The answers that are kept, bounded in number and bytes.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderName, ORIGIN};

use super::key::CacheKey;
use super::rules::{Invalidate, Keep};
use crate::cache::{Lookup, TtlCache, TtlConfig};

/// Sizes and times of a [`ResponseCache`].
///
/// ```
/// use http::Request;
/// use ironlight_hardening::edge::{CacheKey, Head, ResponseCache, ResponseCacheConfig};
///
/// let small = ResponseCacheConfig { capacity: 10, max_key: 8, ..ResponseCacheConfig::default() };
/// let cache = ResponseCache::new(small);
/// assert_eq!(cache.config().capacity, 10);
/// let request = Request::get("/a-path-that-is-too-long").body(()).unwrap();
/// assert!(CacheKey::of(&Head::of(&request), cache.config()).is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseCacheConfig {
    /// The most entries; 0 counts as 1.
    pub capacity: usize,
    /// The most bytes of all entries, with keys and headers.
    pub max_bytes: usize,
    /// The most bytes of one body.
    pub max_body: usize,
    /// The most bytes of scheme, host, path, query and varying headers of one entry, with 8 bytes
    /// before each value and after each list of them.
    pub max_key: usize,
    /// The most answers at once that are copied while they go out.
    pub filling: usize,
    /// The longest time for which an answer is kept.
    pub ttl: Duration,
    /// By up to so many hundredths each entry lasts shorter.
    pub jitter: u32,
    /// The request headers that answers may depend on.
    pub vary: Vec<HeaderName>,
    /// Of the jitter.
    pub seed: u64,
}

impl Default for ResponseCacheConfig {
    /// 1,000 entries, 32 MiB, 256 KiB a body, 2 KiB a key, 64 at once going in, 300 seconds less up
    /// to 10 %; `Host`, `Accept`, `Accept-Encoding` and `Origin`.
    fn default() -> Self {
        Self {
            capacity: 1000,
            max_bytes: 32 << 20,
            max_body: 256 << 10,
            max_key: 2048,
            filling: 64,
            ttl: Duration::from_secs(300),
            jitter: 10,
            vary: vec![HOST, ACCEPT, ACCEPT_ENCODING, ORIGIN],
            seed: 0,
        }
    }
}

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// When it was asked for: it is no younger than that.
    pub(super) at: Duration,
    /// Of which generation it is; none for all.
    pub(super) generation: Option<u64>,
}

impl Stored {
    /// The bytes that it takes; about, as maps and queues have room to spare.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.as_str().len() + value.len()).sum();
        // A slot of the header map, for each header.
        let slots = self.headers.len() * 128;
        size_of::<Self>() + self.body.len() + headers + slots
    }
}

/// An entry with its weight, which is gone from the sum when the entry goes, whichever way.
#[derive(Debug)]
struct Kept {
    stored: Arc<Stored>,
    weight: usize,
    sum: Arc<AtomicUsize>,
}

impl Kept {
    fn new(stored: Stored, weight: usize, sum: &Arc<AtomicUsize>) -> Self {
        sum.fetch_add(weight, Ordering::Relaxed);
        Self { stored: Arc::new(stored), weight, sum: Arc::clone(sum) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

/// When a lookup that found nothing was: what comes of it is put in only if nothing was taken out
/// since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) at: Duration,
    epoch: u64,
    generation: u64,
}

/// The figures of a [`ResponseCache`]. The counters start with it and never go back.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty, Full};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{HandlerLayer, ResponseCache, ResponseCacheLayer};
/// use ironlight_hardening::stamp::StampLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cache = ResponseCache::new(Default::default());
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(ResponseCacheLayer::new(cache.clone()))
///     .layer(HandlerLayer)
///     .service(service_fn(async |_: Request<Empty<Bytes>>| {
///         Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from("7")))
///     }));
/// for path in ["/a", "/a", "/b"] {
///     let request = Request::get(path).body(Empty::new()).unwrap();
///     let answer = service.clone().oneshot(request).await.unwrap();
///     answer.into_body().collect().await.unwrap();
/// }
/// assert_eq!(cache.invalidate_prefix("/b"), 1);
/// let stats = cache.stats();
/// assert_eq!((stats.misses, stats.hits, stats.stored), (2, 1, 2));
/// assert_eq!((stats.entries, stats.invalidations), (1, 1));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseCacheStats {
    /// Entries now.
    pub entries: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Requests that were answered from here.
    pub hits: u64,
    /// Requests that could have been.
    pub misses: u64,
    /// Answers put in.
    pub stored: u64,
    /// Answers that were too large, or came after something was taken out.
    pub refused: u64,
    /// Entries that made room.
    pub evictions: u64,
    /// Entries that writes, or you, took out.
    pub invalidations: u64,
}

/// Answers for many threads, under one lock that is held for a lookup only. Clones share them.
///
/// ```
/// use ironlight_hardening::edge::{ResponseCache, ResponseCacheConfig};
///
/// let cache = ResponseCache::new(ResponseCacheConfig::default());
/// // A new tip: what holds only until then is not given out any more.
/// cache.next_generation();
/// assert_eq!(cache.invalidate_prefix("/notes"), 0);
/// assert_eq!(cache.stats().bytes, 0);
/// ```
#[derive(Clone)]
pub struct ResponseCache {
    state: Arc<Mutex<State>>,
    config: Arc<ResponseCacheConfig>,
    filling: Arc<AtomicUsize>,
}

struct State {
    entries: TtlCache<CacheKey, Kept>,
    bytes: Arc<AtomicUsize>,
    generation: u64,
    counts: ResponseCacheStats,
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl ResponseCache {
    /// Empty.
    #[must_use]
    pub fn new(config: ResponseCacheConfig) -> Self {
        let entries = TtlCache::new(TtlConfig {
            capacity: config.capacity,
            ttl: config.ttl,
            jitter: config.jitter,
            // An answer that may be wrong is no answer.
            stale: Duration::ZERO,
            seed: config.seed,
            ..TtlConfig::default()
        });
        let state = State {
            entries,
            bytes: Arc::default(),
            generation: 0,
            counts: ResponseCacheStats::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            config: Arc::new(config),
            filling: Arc::default(),
        }
    }

    /// The sizes and times.
    #[must_use]
    pub fn config(&self) -> &ResponseCacheConfig {
        &self.config
    }

    /// What holds only [until the next](super::Freshness::UntilNext) is not given out any more.
    pub fn next_generation(&self) {
        self.lock().generation += 1;
    }

    /// Takes out what is found under paths (with their queries) that begin so, and says how many.
    /// Looks at all keys. What is on its way in is not put in.
    pub fn invalidate_prefix(&self, prefix: &str) -> usize {
        self.lock().entries.invalidate_where(|key| key.target().starts_with(prefix))
    }

    /// Takes everything out and says how many it was. What is on its way in is not put in.
    pub fn clear(&self) -> usize {
        self.lock().entries.clear()
    }

    pub(super) fn invalidate(&self, what: &Invalidate) {
        let _taken_out = match what {
            Invalidate::Nothing => 0,
            Invalidate::Prefix(prefix) => self.invalidate_prefix(prefix),
            Invalidate::All => self.clear(),
        };
    }

    /// The figures.
    #[must_use]
    pub fn stats(&self) -> ResponseCacheStats {
        let state = self.lock();
        let inner = state.entries.stats();
        ResponseCacheStats {
            entries: inner.len,
            bytes: state.bytes.load(Ordering::Relaxed),
            evictions: inner.evictions,
            invalidations: inner.invalidations,
            ..state.counts
        }
    }

    /// What is there at `now`, or what is needed to put it in.
    pub(super) fn look(&self, key: &CacheKey, now: Duration) -> Result<Arc<Stored>, Begun> {
        let mut state = self.lock();
        let generation = state.generation;
        let found = match state.entries.get(key, now) {
            Lookup::Fresh(kept) => Some(Arc::clone(&kept.stored)),
            Lookup::Stale { .. } | Lookup::Negative | Lookup::Missing => None,
        };
        let of_now = |stored: &Arc<Stored>| stored.generation.is_none_or(|of| of == generation);
        if let Some(stored) = found.filter(of_now) {
            state.counts.hits += 1;
            return Ok(stored);
        }
        state.counts.misses += 1;
        Err(Begun { at: now, epoch: state.entries.epoch(), generation })
    }

    /// Puts an answer in, if it fits and still holds; the oldest make room.
    pub(super) fn put(
        &self,
        key: CacheKey,
        headers: HeaderMap,
        body: Bytes,
        keep: Keep,
        begun: Begun,
    ) -> bool {
        let generation = keep.until_next.then_some(begun.generation);
        let stored = Stored { headers, body, at: begun.at, generation };
        let weight = key.size() + stored.size();
        let mut state = self.lock();
        let passed = keep.until_next && state.generation != begun.generation;
        let fits = weight <= self.config.max_bytes && stored.body.len() <= self.config.max_body;
        if passed || !fits || state.entries.epoch() != begun.epoch {
            state.counts.refused += 1;
            return false;
        }
        let room = self.config.max_bytes - weight;
        while state.bytes.load(Ordering::Relaxed) > room && state.entries.evict_oldest().is_some() {
        }
        let kept = Kept::new(stored, weight, &state.bytes);
        let _evicted = state.entries.insert_for(key, kept, keep.ttl, begun.at);
        state.counts.stored += 1;
        true
    }

    pub(super) fn count_refused(&self) {
        self.lock().counts.refused += 1;
    }

    /// A place among those that are copied while they go out; none where there are enough.
    pub(super) fn place(&self) -> Option<FillPlace> {
        let most = self.config.filling;
        let more = |filling: usize| (filling < most).then_some(filling + 1);
        let taken = self.filling.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| FillPlace(Arc::clone(&self.filling)))
    }

    /// How many answers are copied now.
    #[must_use]
    pub fn filling(&self) -> usize {
        self.filling.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Free again when dropped.
#[derive(Debug)]
pub(super) struct FillPlace(Arc<AtomicUsize>);

impl Drop for FillPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
