//! Answers that need not be found again.
//!
//! | type | what it is |
//! |---|---|
//! | [`LruCache`], [`SharedLruCache`] | the least recently used entry makes room; alone, or for many threads |
//! | [`TtlCache`], [`SharedTtlCache`] | entries also age: fresh, then stale, then gone; "there is none" is an entry too |
//! | [`SingleFlight`] | of those who want the same at the same time, one does the work |
//! | [`LoadingCache`] | the last two together |
//! | [`CacheLayer`] | that before a service |
//!
//! The shared caches are cut into shards with a lock each, chosen by a hash with a random seed, so
//! that no one can aim at one shard. Each shard evicts for itself: with few entries a shard, what
//! is evicted is not exactly the oldest of all. A hit costs a hash, a lock and a clone of the
//! value; nothing is tidied up by it. What has expired goes when it is looked up, when room is
//! needed, or when [`remove_expired`](SharedTtlCache::remove_expired) is called.
//!
//! What an attacker can grow: entries, up to the capacity; how large keys and values are is for the
//! caller to bound. Flights, as many as callers that wait.
//!
//! ```
//! use core::time::Duration;
//! use ironlight_hardening::cache::{LoadingCache, TtlConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let names = LoadingCache::<u32, String, String>::new(TtlConfig::default());
//! let now = Duration::from_secs(7);
//! for _ in 0..3 {
//!     let name = names.get(1, now, || async { Ok(Some("one".into())) }).await;
//!     assert_eq!(name, Ok(Some("one".into())));
//! }
//! let stats = names.cache().stats();
//! assert_eq!((stats.misses, stats.hits, stats.len), (1, 2, 1));
//! # }
//! ```

mod flight;
mod layer;
mod loading;
mod lru;
mod shared;
mod stats;
mod ttl;

#[cfg(test)]
mod flight_tests;
#[cfg(test)]
mod layer_tests;
#[cfg(test)]
mod model_tests;

pub use flight::{Joined, SingleFlight};
pub use layer::{CacheLayer, CachePolicy, Cached, CachedFuture, Keep};
pub use loading::LoadingCache;
pub use lru::LruCache;
pub use shared::{SharedLruCache, SharedTtlCache};
pub use stats::CacheStats;
pub use ttl::{Lookup, TtlCache, TtlConfig};
