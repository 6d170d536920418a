//! A cache that knows how to wait for what is being loaded.

use core::fmt;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use core::time::Duration;

use super::flight::SingleFlight;
use super::layer::Keep;
use super::shared::SharedTtlCache;
use super::ttl::{Lookup, TtlConfig};

type Load<V, E> = Pin<Box<dyn Future<Output = Result<Option<V>, E>> + Send>>;

/// A [`SharedTtlCache`] and a [`SingleFlight`] for what is not in it. Clones share both.
///
/// A hit allocates nothing. Of those who find nothing one loads, the others wait for it. Of those
/// who find a stale value one loads and waits, the others have the stale value at once; if loading
/// fails, the one has it too.
///
/// What was being loaded when something was invalidated is given to those who waited for it, but
/// not put in; whoever asks after the invalidation gets what was loaded after it.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::cache::{LoadingCache, TtlConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let names = LoadingCache::<u32, String, String>::new(TtlConfig::default());
/// let none = names.get(1, Duration::ZERO, || async { Ok(None) }).await;
/// assert_eq!(none, Ok(None), "that there is none is remembered too");
/// assert_eq!(names.cache().stats().len, 1);
/// # }
/// ```
pub struct LoadingCache<K: Hash + Eq, V, E> {
    cache: SharedTtlCache<K, V>,
    /// By key and epoch: what began before an invalidation is not joined after it.
    flights: SingleFlight<(K, u64), Load<V, E>>,
}

impl<K: Hash + Eq, V, E> Clone for LoadingCache<K, V, E> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), flights: self.flights.clone() }
    }
}

impl<K: Hash + Eq, V, E> fmt::Debug for LoadingCache<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadingCache")
            .field("cache", &self.cache)
            .field("flights", &self.flights)
            .finish()
    }
}

impl<K, V, E> LoadingCache<K, V, E>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + 'static,
    E: Clone + Send + 'static,
{
    /// Empty.
    #[must_use]
    pub fn new(config: TtlConfig) -> Self {
        Self { cache: SharedTtlCache::new(config), flights: SingleFlight::new() }
    }

    /// What is there, to read figures and to invalidate.
    pub const fn cache(&self) -> &SharedTtlCache<K, V> {
        &self.cache
    }

    /// The value at `now`, loaded if need be; none is an answer too, and is kept for
    /// [`TtlConfig::negative_ttl`].
    ///
    /// # Errors
    /// Of loading; nothing is kept then. All who waited for it get the same.
    pub async fn get<W>(
        &self,
        key: K,
        now: Duration,
        mut load: impl FnMut() -> W,
    ) -> Result<Option<V>, E>
    where
        W: Future<Output = Result<Option<V>, E>> + Send + 'static,
    {
        let began = match self.look(&key, now) {
            Ok(found) => return Ok(found),
            Err(began) => began,
        };
        let load = || {
            let loading = load();
            async move { loading.await.map(|value| (value, Keep::Full)) }
        };
        self.load(key, began, load).await
    }

    /// What is there, or what is needed to load it.
    pub(super) fn look(&self, key: &K, now: Duration) -> Result<Option<V>, Began<V>> {
        let (found, epoch) = self.cache.get_at(key, now);
        match found {
            Lookup::Fresh(value) | Lookup::Stale { value, renew: false } => Ok(Some(value)),
            Lookup::Negative => Ok(None),
            Lookup::Stale { value, renew: true } => {
                Err(Began { at: now, epoch, stale: Some(value) })
            }
            Lookup::Missing => Err(Began { at: now, epoch, stale: None }),
        }
    }

    pub(super) async fn load<W>(
        &self,
        key: K,
        began: Began<V>,
        mut load: impl FnMut() -> W,
    ) -> Result<Option<V>, E>
    where
        W: Future<Output = Result<(Option<V>, Keep), E>> + Send + 'static,
    {
        let Began { at, epoch, stale } = began;
        let (cache, same_key) = (self.cache.clone(), key.clone());
        let make = move || {
            // Another may have loaded it between our lookup and now.
            match cache.peek(&same_key, at) {
                Lookup::Fresh(value) => return ready(Ok(Some(value))),
                Lookup::Negative => return ready(Ok(None)),
                Lookup::Stale { .. } | Lookup::Missing => {}
            }
            let (loading, cache, key) = (load(), cache.clone(), same_key.clone());
            Box::pin(async move {
                let (loaded, keep) = loading.await?;
                let ttl = match keep {
                    Keep::No => return Ok(loaded),
                    Keep::Full => None,
                    Keep::For(ttl) => Some(ttl),
                };
                // Aged from when it was asked for: it is no younger than that.
                cache.insert_at(key, loaded.clone(), ttl, at, epoch);
                Ok(loaded)
            }) as Load<V, E>
        };
        match (self.flights.run((key, epoch), make).await, stale) {
            (Err(_), Some(stale)) => Ok(Some(stale)),
            (loaded, _) => loaded,
        }
    }
}

fn ready<V: Send + 'static, E: Send + 'static>(loaded: Result<Option<V>, E>) -> Load<V, E> {
    Box::pin(core::future::ready(loaded))
}

/// A lookup that has to be followed by loading.
#[derive(Debug)]
pub(super) struct Began<V> {
    at: Duration,
    epoch: u64,
    stale: Option<V>,
}
