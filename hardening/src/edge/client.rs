//! Finds out who asks.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::task::{Context, Poll};
use std::sync::Arc;

use http::{Extensions, Request};
use tower_layer::Layer;
use tower_service::Service;

use super::forwarded::TrustedProxies;
use crate::rate_limit::IpKey;
use crate::stamp::Stamped;

/// The other end of the connection, put into the request's extensions by the server. Where yours
/// has a type of its own for it, see [`ClientLayer::with_peer`].
///
/// ```
/// use http::Request;
/// use ironlight_hardening::edge::{ClientLayer, PeerAddr, TrustedProxies};
///
/// let layer = ClientLayer::new(TrustedProxies::default());
/// let peer = PeerAddr("192.0.2.7:4711".parse().unwrap());
/// let request = Request::get("/").extension(peer).body(()).unwrap();
/// assert_eq!(layer.client(&request).unwrap().address, peer.0.ip());
/// assert_eq!(layer.client(&Request::new(())), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Who asks: in the extensions of requests behind [`ClientLayer`].
///
/// ```
/// use http::Request;
/// use ironlight_hardening::edge::{Client, ClientLayer, PeerAddr, TrustedProxies};
///
/// let layer = ClientLayer::new(TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]));
/// let request = Request::get("/")
///     .header("x-forwarded-for", "192.0.2.7")
///     .extension(PeerAddr("10.0.0.1:443".parse().unwrap()));
/// let expected = Client {
///     address: "192.0.2.7".parse().unwrap(),
///     peer: "10.0.0.1".parse().unwrap(),
///     by_proxy: true,
/// };
/// assert_eq!(layer.client(&request.body(()).unwrap()), Some(expected));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The caller's address, as far as trusted proxies tell.
    pub address: IpAddr,
    /// The other end of the connection: the caller, or the nearest proxy.
    pub peer: IpAddr,
    /// Whether the peer is a trusted proxy, and so its other headers are believed too.
    pub by_proxy: bool,
}

/// Whose limit it is.
///
/// ```
/// use core::net::IpAddr;
/// use ironlight_hardening::edge::ClientKey;
///
/// let key = |address: &str| ClientKey::Address(address.parse::<IpAddr>().unwrap().into());
/// assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
/// assert_ne!(key("192.0.2.7"), key("192.0.2.8"));
/// assert_eq!(key("192.0.2.7").to_string(), "192.0.2.7");
/// assert_eq!(ClientKey::Unknown.to_string(), "unknown");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientKey {
    /// IPv4 as it is, IPv6 by its /64.
    Address(IpKey),
    /// Everybody without an address, together.
    Unknown,
}

impl ClientKey {
    /// Of a request that [`ClientLayer`] has seen; else [`Unknown`](Self::Unknown).
    ///
    /// ```
    /// use http::Extensions;
    /// use ironlight_hardening::edge::ClientKey;
    ///
    /// assert_eq!(ClientKey::of(&Extensions::new()), ClientKey::Unknown);
    /// ```
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        let client = extensions.get::<Client>();
        client.map_or(Self::Unknown, |client| Self::Address(client.address.into()))
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(key) => key.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

type PeerOf = Arc<dyn Fn(&Extensions) -> Option<SocketAddr> + Send + Sync>;

/// Puts a [`Client`] into each request whose peer is known. One that is there already, and so from
/// somewhere else, is taken out.
///
/// ```
/// use http::Request;
/// use ironlight_hardening::ManualClock;
/// use ironlight_hardening::edge::{Client, ClientLayer, PeerAddr, TrustedProxies};
/// use ironlight_hardening::stamp::{BareLayer, StampLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let proxies = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
/// let service = ServiceBuilder::new()
///     .layer(StampLayer::new(ManualClock::default()))
///     .layer(ClientLayer::new(proxies))
///     .layer(BareLayer)
///     .service(service_fn(async |request: Request<()>| {
///         Ok::<_, std::io::Error>(request.extensions().get::<Client>().copied())
///     }));
/// let request = Request::get("/").header("x-forwarded-for", "192.0.2.7");
/// let request = request.extension(PeerAddr("10.0.0.1:443".parse().unwrap())).body(()).unwrap();
/// let client = service.oneshot(request).await.unwrap().unwrap();
/// assert_eq!((client.address.to_string().as_str(), client.by_proxy), ("192.0.2.7", true));
/// # }
/// ```
#[derive(Clone)]
pub struct ClientLayer {
    proxies: Arc<TrustedProxies>,
    peer: PeerOf,
}

impl fmt::Debug for ClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer").field("proxies", &self.proxies).finish_non_exhaustive()
    }
}

impl ClientLayer {
    /// Believes these proxies. The peer is a [`PeerAddr`] in the extensions.
    #[must_use]
    pub fn new(proxies: TrustedProxies) -> Self {
        let peer = |extensions: &Extensions| extensions.get::<PeerAddr>().map(|peer| peer.0);
        Self { proxies: Arc::new(proxies), peer: Arc::new(peer) }
    }

    /// Finds the peer in another way, such as axum's `ConnectInfo<SocketAddr>`. Without an answer
    /// the request has no [`Client`].
    #[must_use]
    pub fn with_peer(
        self,
        peer: impl Fn(&Extensions) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        Self { peer: Arc::new(peer), ..self }
    }

    /// Who asks.
    #[must_use]
    pub fn client<B>(&self, request: &Request<B>) -> Option<Client> {
        let peer = (self.peer)(request.extensions())?.ip().to_canonical();
        let address = self.proxies.client(peer, request.headers());
        Some(Client { address, peer, by_proxy: self.proxies.trusts(peer) })
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = WithClient<S>;

    fn layer(&self, inner: S) -> WithClient<S> {
        WithClient { inner, layer: self.clone() }
    }
}

/// The service of [`ClientLayer`].
///
/// See [`ClientLayer`] for an example.
#[derive(Clone, Debug)]
pub struct WithClient<S> {
    inner: S,
    layer: ClientLayer,
}

impl<S, B> Service<Stamped<Request<B>>> for WithClient<S>
where
    S: Service<Stamped<Request<B>>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut stamped: Stamped<Request<B>>) -> S::Future {
        let client = self.layer.client(&stamped.request);
        let extensions = stamped.request.extensions_mut();
        match client {
            Some(client) => extensions.insert(client),
            None => extensions.remove(),
        };
        self.inner.call(stamped)
    }
}
