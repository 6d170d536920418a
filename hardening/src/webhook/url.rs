//! Where an endpoint is: just enough of a URL, and nothing that two readers understand
//! differently.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// Bytes of a URL.
pub const MAX_URL: usize = 2048;

/// `http` or `https`, a host, perhaps a port, a path. No user, no fragment, no other characters
/// than visible ASCII without backslash.
///
/// ```
/// use ironlight_hardening::webhook::HookUrl;
///
/// let url: HookUrl = "https://example.com:8443/hook?from=us".parse().unwrap();
/// assert_eq!((url.host(), url.port(), url.is_tls()), ("example.com", 8443, true));
/// assert_eq!(url.path(), "/hook?from=us");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookUrl {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// Not a URL for a webhook.
///
/// ```
/// use ironlight_hardening::webhook::{BadUrl, HookUrl};
///
/// assert_eq!("ftp://example.com".parse::<HookUrl>().unwrap_err(), BadUrl);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadUrl;

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a URL for a webhook: http or https, a host, no user, no fragment")
    }
}

impl core::error::Error for BadUrl {}

impl HookUrl {
    /// Whether it is `https`.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host's name, or its address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as an address, where it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port, by the scheme where none is named.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, from `/` on.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The `Host` header's value.
    #[must_use]
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// Where a `Location` leads: a whole URL, or a path on the same host.
    pub(super) fn join(&self, location: &str) -> Result<Self, BadUrl> {
        if location.starts_with('/') && !location.starts_with("//") {
            check_path(location)?;
            return Ok(Self { path: location.to_owned(), ..self.clone() });
        }
        location.parse()
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

fn check_path(path: &str) -> Result<(), BadUrl> {
    let good = |byte: u8| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#';
    (path.len() <= MAX_URL && path.bytes().all(good)).then_some(()).ok_or(BadUrl)
}

impl FromStr for HookUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        check_path(text)?;
        let (tls, rest) = match text.split_once("://").ok_or(BadUrl)? {
            (scheme, rest) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            (scheme, rest) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err(BadUrl),
        };
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(cut).ok_or(BadUrl)?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(BadUrl)?;
                host.parse::<core::net::Ipv6Addr>().map_err(|_| BadUrl)?;
                (
                    host,
                    if port.is_empty() {
                        None
                    } else {
                        Some(port.strip_prefix(':').ok_or(BadUrl)?)
                    },
                )
            }
            None => authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p))),
        };
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_v6 = authority.starts_with('[');
        if host.is_empty() || host.len() > 253 || !(is_v6 || host.bytes().all(name)) {
            return Err(BadUrl);
        }
        let port = match port {
            None => default_port(tls),
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|&port| port != 0).ok_or(BadUrl)?
            }
            Some(_) => return Err(BadUrl),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, host: host.to_ascii_lowercase(), port, path })
    }
}

impl fmt::Display for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}
