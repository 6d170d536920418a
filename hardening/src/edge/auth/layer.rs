//! Asks for a key.

use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::keys::{ApiKeys, Principal};
use crate::edge::client::Client;
use crate::edge::future::{EdgeFuture, Finish};
use crate::edge::head::Head;
use crate::edge::rejection::Rejection;
use crate::edge::request_id::RequestId;
use crate::listeners::Listeners;
use crate::stamp::Stamped;

/// The header with a key; `Authorization: Bearer` is the other.
pub const API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// Bytes of a path that an [`AuthFailure`] has; the rest is cut off.
pub const MAX_FAILURE_PATH: usize = 256;

/// Whether a key is asked for.
///
/// ```
/// use http::{Request, Response};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{Access, AnswerLayer, ApiKeys, AuthLayer, HandlerLayer};
/// use ironlight_hardening::stamp::StampLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let auth = AuthLayer::new(ApiKeys::default())
///     .access(|head| if head.is_safe() { Access::Open } else { Access::Keyed });
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(AnswerLayer)
///     .layer(auth)
///     .layer(HandlerLayer)
///     .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(()))));
/// let read = Request::get("/").body(()).unwrap();
/// assert_eq!(service.clone().oneshot(read).await.unwrap().status(), 200);
/// let write = Request::post("/").body(()).unwrap();
/// assert_eq!(service.clone().oneshot(write).await.unwrap().status(), 401);
/// // A key that is nobody's is not the same as none.
/// let wrong = Request::get("/").header("x-api-key", "Jp9uHc2eLd7fGa4n").body(()).unwrap();
/// assert_eq!(service.oneshot(wrong).await.unwrap().status(), 401);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody may ask. A key that comes along must be right all the same: whoever sends one
    /// believes to be known.
    Open,
    /// Only with a key.
    Keyed,
}

/// What was wrong with a request's key.
///
/// ```
/// use ironlight_hardening::edge::{AuthReason, Rejection};
///
/// let reason = AuthReason::Unknown;
/// assert_eq!(reason.to_string(), "the key is not valid");
/// let answer = Rejection::Unauthorized { reason }.response::<()>();
/// let challenge = r#"Bearer realm="api", error="invalid_token""#;
/// assert_eq!(answer.headers()["www-authenticate"], challenge);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthReason {
    /// There was none.
    Missing,
    /// Several, or one in another form than `Bearer` and a token.
    Malformed,
    /// Nobody's.
    Unknown,
}

impl AuthReason {
    /// The value of `WWW-Authenticate` (RFC 6750, section 3).
    pub(in crate::edge) const fn challenge(self) -> &'static str {
        match self {
            Self::Missing => r#"Bearer realm="api""#,
            Self::Malformed => r#"Bearer realm="api", error="invalid_request""#,
            Self::Unknown => r#"Bearer realm="api", error="invalid_token""#,
        }
    }
}

impl fmt::Display for AuthReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a key is needed",
            Self::Malformed => "one key is needed, as a bearer token or in X-API-Key",
            Self::Unknown => "the key is not valid",
        })
    }
}

/// A request that was refused for its key: what an audit log wants to know. The key is not in it.
///
/// ```
/// use core::time::Duration;
/// use http::{Request, Response};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{
///     AnswerLayer, ApiKeys, AuthFailure, AuthLayer, AuthReason, HandlerLayer,
/// };
/// use ironlight_hardening::stamp::StampLayer;
/// use std::sync::mpsc::channel;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (failures, told) = channel();
/// let auth = AuthLayer::new(ApiKeys::default())
///     .on_failure(move |failure| failures.send(failure.clone()).unwrap());
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(AnswerLayer)
///     .layer(auth)
///     .layer(HandlerLayer)
///     .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(()))));
/// let request = Request::get("/notes?secret").body(()).unwrap();
/// assert_eq!(service.oneshot(request).await.unwrap().status(), 401);
/// let expected = AuthFailure {
///     reason: AuthReason::Missing,
///     client: None,
///     request_id: None,
///     path: "/notes".into(),
///     at: Duration::ZERO,
/// };
/// assert_eq!(told.recv().unwrap(), expected);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthFailure {
    /// What was wrong.
    pub reason: AuthReason,
    /// Who asked, where that is known.
    pub client: Option<Client>,
    /// The request's id, where it has one.
    pub request_id: Option<RequestId>,
    /// What was asked for, up to [`MAX_FAILURE_PATH`] bytes and without its query.
    pub path: String,
    /// When, by the stamp.
    pub at: Duration,
}

type Rule = Arc<dyn Fn(&Head<'_>) -> Access + Send + Sync>;

/// Lets requests pass whose key is known, and puts their [`Principal`] into their extensions;
/// refuses the others with [`Rejection::Unauthorized`].
///
/// ```
/// use http::{Request, Response};
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{AnswerLayer, ApiKeys, AuthLayer, HandlerLayer, Principal};
/// use ironlight_hardening::stamp::StampLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let keys = ApiKeys::default();
/// keys.add("alice", "kV3xTq0bYw8mZr5s").unwrap();
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(AnswerLayer)
///     .layer(AuthLayer::new(keys).on_failure(|failure| eprintln!("{failure:?}")))
///     .layer(HandlerLayer)
///     .service(service_fn(async |request: Request<()>| {
///         assert_eq!(request.extensions().get(), Some(&Principal::new("alice")));
///         Ok::<_, std::io::Error>(Response::new(()))
///     }));
/// let request = Request::get("/").header("authorization", "Bearer kV3xTq0bYw8mZr5s");
/// let answer = service.clone().oneshot(request.body(()).unwrap()).await.unwrap();
/// assert_eq!(answer.status(), 200);
/// let answer = service.oneshot(Request::new(())).await.unwrap();
/// assert_eq!(answer.status(), 401);
/// assert_eq!(answer.headers()["www-authenticate"], r#"Bearer realm="api""#);
/// # }
/// ```
#[derive(Clone)]
pub struct AuthLayer {
    /// Without keys nobody is asked.
    keys: Option<ApiKeys>,
    rule: Rule,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    listeners: Listeners<AuthFailure>,
    failures: AtomicU64,
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("AuthLayer");
        out.field("keys", &self.keys).field("failures", &self.failures()).finish_non_exhaustive()
    }
}

impl AuthLayer {
    /// Asks everybody for one of these keys. Without any, everybody is refused.
    #[must_use]
    pub fn new(keys: ApiKeys) -> Self {
        Self { keys: Some(keys), rule: Arc::new(|_| Access::Keyed), shared: Arc::default() }
    }

    /// Asks nobody, and looks at no key.
    #[must_use]
    pub fn off() -> Self {
        Self { keys: None, rule: Arc::new(|_| Access::Open), shared: Arc::default() }
    }

    /// Which requests need a key.
    #[must_use]
    pub fn access(self, rule: impl Fn(&Head<'_>) -> Access + Send + Sync + 'static) -> Self {
        Self { rule: Arc::new(rule), ..self }
    }

    /// Calls the listener at each refusal, in the request's own task: it must not block. If it
    /// panics, the refusal stands.
    #[must_use]
    pub fn on_failure(self, listener: impl Fn(&AuthFailure) + Send + Sync + 'static) -> Self {
        self.shared.listeners.add(Arc::new(listener));
        self
    }

    /// How many were refused.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    fn judge(&self, head: &Head<'_>) -> Result<Option<Principal>, AuthReason> {
        let Some(keys) = &self.keys else { return Ok(None) };
        match presented(head.headers)? {
            Some(key) => keys.whose(key).map(Some).ok_or(AuthReason::Unknown),
            None => match (self.rule)(head) {
                Access::Open => Ok(None),
                Access::Keyed => Err(AuthReason::Missing),
            },
        }
    }

    fn refuse<B>(&self, stamped: &Stamped<Request<B>>, reason: AuthReason) -> Rejection {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        let head = Head::of(&stamped.request);
        let path = head.path();
        let cut = path.floor_char_boundary(MAX_FAILURE_PATH);
        self.shared.listeners.tell(&AuthFailure {
            reason,
            client: head.extensions.get().copied(),
            request_id: head.extensions.get().cloned(),
            path: path.get(..cut).unwrap_or_default().into(),
            at: stamped.at,
        });
        Rejection::Unauthorized { reason }
    }
}

/// The one key that came with it. With several it is not clear who asks, and what is before or
/// behind us may choose another than we do.
fn presented(headers: &HeaderMap) -> Result<Option<&[u8]>, AuthReason> {
    let plain = headers.get_all(API_KEY_HEADER).iter().map(|value| Ok(value.as_bytes()));
    let bearer = headers.get_all(AUTHORIZATION).iter().map(|value| bearer(value.as_bytes()));
    let mut all = plain.chain(bearer);
    let first = all.next().transpose()?;
    if all.next().is_some() { Err(AuthReason::Malformed) } else { Ok(first) }
}

/// The token of `Bearer token`; the scheme in any case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Result<&[u8], AuthReason> {
    let (scheme, rest) = value.split_at_checked(6).ok_or(AuthReason::Malformed)?;
    let token = rest.trim_ascii();
    let apart = rest.first() == Some(&b' ');
    if scheme.eq_ignore_ascii_case(b"bearer") && apart && !token.is_empty() {
        return Ok(token);
    }
    Err(AuthReason::Malformed)
}

impl<S> Layer<S> for AuthLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, layer: self.clone() }
    }
}

/// The service of [`AuthLayer`].
///
/// See [`AuthLayer`] for an example.
#[derive(Clone, Debug)]
pub struct Authenticated<S> {
    inner: S,
    layer: AuthLayer,
}

impl<S, B, D> Service<Stamped<Request<B>>> for Authenticated<S>
where
    S: Service<Stamped<Request<B>>, Response = Response<D>>,
    S::Error: From<Rejection>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future, Unchanged>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut stamped: Stamped<Request<B>>) -> Self::Future {
        match self.layer.judge(&Head::of(&stamped.request)) {
            Ok(principal) => {
                let extensions = stamped.request.extensions_mut();
                match principal {
                    Some(principal) => extensions.insert(principal),
                    // Where this layer is off, another may have found out.
                    None if self.layer.keys.is_none() => None,
                    None => extensions.remove(),
                };
                EdgeFuture::runs(self.inner.call(stamped), Unchanged)
            }
            Err(reason) => EdgeFuture::known(Err(self.layer.refuse(&stamped, reason).into())),
        }
    }
}

/// What [`Authenticated`] does with an answer: nothing.
///
/// See [`AuthLayer`] for an example.
#[derive(Clone, Copy, Debug)]
pub struct Unchanged;

impl<I> Finish<I> for Unchanged {
    type Output = I;

    fn finish(self, done: I) -> I {
        done
    }
}
