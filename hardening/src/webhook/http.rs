//! What a client has to do: nothing but one request to one address.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use super::sign::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use super::types::{Job, Message};
use super::url::HookUrl;

/// One POST.
///
/// The client must connect to [`Self::address`] and to nothing else: it was checked. It must not
/// resolve the name, not follow redirects and not use a proxy. TLS, where asked for, is with
/// [`HookUrl::host`] as the server's name.
///
/// ```
/// use ironlight_hardening::webhook::HttpRequest;
///
/// // What a client writes, to `request.address` and nowhere else:
/// fn head(request: &HttpRequest) -> String {
///     let mut head = format!("POST {} HTTP/1.1\r\n", request.url.path());
///     head += &format!("host: {}\r\n", request.url.authority());
///     for (name, value) in &request.headers {
///         head += &format!("{name}: {value}\r\n");
///     }
///     head + &format!("content-length: {}\r\n\r\n", request.body().len())
/// }
/// # let _ = head;
/// ```
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Where to connect to.
    pub address: SocketAddr,
    /// Scheme, `Host` header and path.
    pub url: HookUrl,
    /// Headers besides `Host` and `Content-Length`; no value has a line break.
    pub headers: [(&'static str, String); 4],
    /// Its payload is the body.
    pub message: Arc<Message>,
}

impl HttpRequest {
    /// Signs the job's message for this second.
    pub(super) fn new(job: &Job, url: HookUrl, address: SocketAddr, unix: u64) -> Self {
        let message = Arc::clone(&job.message);
        let signature = job.target.signer.sign(&message.id, unix, &message.payload);
        let headers = [
            ("content-type", "application/json".to_owned()),
            (ID_HEADER, message.id.to_string()),
            (TIMESTAMP_HEADER, unix.to_string()),
            (SIGNATURE_HEADER, signature),
        ];
        Self { address, url, headers, message }
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.message.payload
    }
}

/// The head of an answer; nobody needs its body, so do not read much of it.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The `Retry-After` header, if there is one: see [`parse_retry_after`].
    pub retry_after: Option<Duration>,
    /// The `Location` header, if there is one.
    pub location: Option<String>,
}

/// Reads a `Retry-After` header of seconds. The other form, a date, is not understood: it needs
/// two clocks that agree.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::webhook::parse_retry_after;
///
/// assert_eq!(parse_retry_after("120"), Some(Duration::from_secs(120)));
/// assert_eq!(parse_retry_after("soon"), None);
/// ```
#[must_use]
pub fn parse_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(value.parse().unwrap_or(u64::MAX)))
}

/// An HTTP client. Dropping the future must end the request.
///
/// Any function of a request that gives such a future is one: the [module](super) has an example.
pub trait HttpSend: Send + Sync {
    /// The request under way.
    type Future: Future<Output = Result<HttpResponse, Self::Error>> + Send;
    /// Why there is no answer.
    type Error: fmt::Display + Send;

    /// Makes the request.
    fn send(&self, request: HttpRequest) -> Self::Future;
}

impl<F, Fut, E> HttpSend for F
where
    F: Fn(HttpRequest) -> Fut + Send + Sync,
    Fut: Future<Output = Result<HttpResponse, E>> + Send,
    E: fmt::Display + Send,
{
    type Future = Fut;
    type Error = E;

    fn send(&self, request: HttpRequest) -> Fut {
        self(request)
    }
}

/// Finds the addresses of a name, as `tokio::net::lookup_host` does. Any
/// `Fn(String, u16) -> Future` is one.
///
/// Any function of host and port that gives such a future is one: the [module](super) has an example.
pub trait Resolve: Send + Sync {
    /// The question under way.
    type Future: Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Asks.
    fn resolve(&self, host: String, port: u16) -> Self::Future;
}

impl<F, Fut> Resolve for F
where
    F: Fn(String, u16) -> Fut + Send + Sync,
    Fut: Future<Output = io::Result<Vec<SocketAddr>>> + Send,
{
    type Future = Fut;

    fn resolve(&self, host: String, port: u16) -> Fut {
        self(host, port)
    }
}
