//! Answers requests from a cache.

use core::fmt;
use core::future::Future;
use core::hash::Hash;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::loading::LoadingCache;
use super::shared::SharedTtlCache;
use super::ttl::TtlConfig;
use crate::stamp::Stamped;

/// Whether a response is kept.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::cache::{CachePolicy, Keep};
///
/// /// Heights, by the block that they are asked for.
/// #[derive(Clone)]
/// struct Heights;
/// impl CachePolicy<String> for Heights {
///     type Key = String;
///     type Response = u32;
///     fn key(&self, block: &String) -> Option<String> {
///         (block != "tip").then(|| block.clone())
///     }
///     fn keep(&self, height: &u32) -> Keep {
///         if *height > 0 { Keep::Full } else { Keep::For(Duration::from_secs(1)) }
///     }
/// }
/// assert_eq!(Heights.key(&"tip".into()), None);
/// assert_eq!(Heights.keep(&7), Keep::Full);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For [`TtlConfig::ttl`].
    Full,
    /// For so long at most.
    For(Duration),
    /// Only for those who wait for it now.
    No,
}

/// What may be cached, and under which key.
///
/// See [`Keep`] and [`CacheLayer`] for examples.
pub trait CachePolicy<R>: Clone + Send + 'static {
    /// What tells requests with different answers apart. It should be bounded in size.
    type Key: Hash + Eq + Clone + Send + 'static;
    /// The answer; a clone is made under a lock, so a large one belongs in an `Arc`.
    type Response: Clone + Send + 'static;

    /// The key, or none for a request that has to be carried out each time.
    fn key(&self, request: &R) -> Option<Self::Key>;

    /// Whether this response is kept.
    fn keep(&self, _response: &Self::Response) -> Keep {
        Keep::Full
    }
}

/// Answers from a cache what it can; of those who ask for the same at the same time one goes on.
///
/// Clones, and all services made of them, share the cache. A hit never waits for the inner service:
/// the service is always ready, and whether the inner one is, is asked on a miss. The age of an
/// answer is counted from the stamp of the request that brought it.
///
/// ```
/// use ironlight_hardening::cache::{CacheLayer, CachePolicy, TtlConfig};
/// use ironlight_hardening::{Error, ManualClock};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// #[derive(Clone)]
/// struct ByNumber;
/// impl CachePolicy<u32> for ByNumber {
///     type Key = u32;
///     type Response = String;
///     fn key(&self, request: &u32) -> Option<u32> {
///         Some(*request)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cache = CacheLayer::new(ByNumber, TtlConfig::default());
/// let status = cache.cache().clone();
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(cache)
///     .layer(BareLayer)
///     .service(service_fn(async |n: u32| Ok::<_, core::fmt::Error>(n.to_string())));
/// assert_eq!(service.clone().oneshot(7).await.unwrap(), "7");
/// assert_eq!(service.oneshot(7).await.unwrap(), "7");
/// assert_eq!(status.stats().hits, 1);
/// # }
/// ```
pub struct CacheLayer<R, P: CachePolicy<R>, E> {
    policy: P,
    loading: LoadingCache<P::Key, P::Response, E>,
}

impl<R, P: CachePolicy<R>, E> Clone for CacheLayer<R, P, E> {
    fn clone(&self) -> Self {
        Self { policy: self.policy.clone(), loading: self.loading.clone() }
    }
}

impl<R, P: CachePolicy<R>, E> fmt::Debug for CacheLayer<R, P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheLayer").field("loading", &self.loading).finish_non_exhaustive()
    }
}

impl<R, P: CachePolicy<R>, E: Clone + Send + 'static> CacheLayer<R, P, E> {
    /// An empty cache.
    #[must_use]
    pub fn new(policy: P, config: TtlConfig) -> Self {
        Self { policy, loading: LoadingCache::new(config) }
    }

    /// What is there, to read figures and to invalidate.
    pub const fn cache(&self) -> &SharedTtlCache<P::Key, P::Response> {
        self.loading.cache()
    }
}

impl<S, R, P: CachePolicy<R>, E> Layer<S> for CacheLayer<R, P, E> {
    type Service = Cached<S, R, P, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Cached { inner, layer: self.clone() }
    }
}

/// The service of [`CacheLayer`].
///
/// See [`CacheLayer`] for an example.
pub struct Cached<S, R, P: CachePolicy<R>, E> {
    inner: S,
    layer: CacheLayer<R, P, E>,
}

impl<S: Clone, R, P: CachePolicy<R>, E> Clone for Cached<S, R, P, E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, R, P: CachePolicy<R>, E> fmt::Debug for Cached<S, R, P, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl<S, R, P> Service<Stamped<R>> for Cached<S, R, P, S::Error>
where
    S: Service<Stamped<R>, Response = P::Response, Error: Clone + Send + 'static>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: Clone + Send + 'static,
    P: CachePolicy<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = CachedFuture<S, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stamped: Stamped<R>) -> Self::Future {
        let kind = match self.layer.policy.key(&stamped.request) {
            None => Kind::Pass { call: Called::new(self.inner.clone(), stamped) },
            Some(key) => match self.layer.loading.look(&key, stamped.at) {
                Ok(found) => Kind::Found { found },
                Err(began) => {
                    let (policy, inner) = (self.layer.policy.clone(), self.inner.clone());
                    let ask = move || {
                        let call = Called::new(inner.clone(), stamped.clone());
                        let policy = policy.clone();
                        async move {
                            let response = call.await?;
                            let keep = policy.keep(&response);
                            Ok((Some(response), keep))
                        }
                    };
                    let loading = self.layer.loading.clone();
                    let load = async move { loading.load(key, began, ask).await };
                    Kind::Load { load: Box::pin(load) }
                }
            },
        };
        CachedFuture { kind }
    }
}

type Loading<T, E> = Pin<Box<dyn Future<Output = Result<Option<T>, E>> + Send>>;

pin_project_lite::pin_project! {
    /// The future of [`Cached`]. Only a miss allocates.
    pub struct CachedFuture<S, R>
    where
        S: Service<Stamped<R>>,
    {
        #[pin]
        kind: Kind<S, R>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProjection]
    enum Kind<S, R>
    where
        S: Service<Stamped<R>>,
    {
        Found { found: Option<S::Response> },
        Pass { #[pin] call: Called<S, R> },
        Load { load: Loading<S::Response, S::Error> },
    }
}

impl<S: Service<Stamped<R>>, R> fmt::Debug for CachedFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedFuture").finish_non_exhaustive()
    }
}

impl<S: Service<Stamped<R>>, R> Future for CachedFuture<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let found = match self.project().kind.project() {
            KindProjection::Found { found } => found.take(),
            KindProjection::Pass { call } => return call.poll(context),
            KindProjection::Load { load } => match ready!(load.as_mut().poll(context)) {
                Ok(found) => found,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        // A layer puts no negative entries in, so only one who polls after the end finds none.
        found.map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
    }
}

pin_project_lite::pin_project! {
    /// Waits until the service is ready, and calls it.
    #[project = CalledProjection]
    #[project_replace = CalledReplacement]
    enum Called<S, R>
    where
        S: Service<Stamped<R>>,
    {
        Waits { service: S, request: Option<Stamped<R>> },
        Runs { #[pin] future: S::Future },
    }
}

impl<S: Service<Stamped<R>>, R> Called<S, R> {
    const fn new(service: S, request: Stamped<R>) -> Self {
        Self::Waits { service, request: Some(request) }
    }
}

impl<S: Service<Stamped<R>>, R> Future for Called<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let future = match self.as_mut().project() {
                CalledProjection::Runs { future } => return future.poll(context),
                CalledProjection::Waits { service, request } => {
                    ready!(service.poll_ready(context))?;
                    let Some(request) = request.take() else { return Poll::Pending };
                    service.call(request)
                }
            };
            self.as_mut().project_replace(Self::Runs { future });
        }
    }
}
