//! Answers that need not be made again.
//!
//! Purpose: `GET` and `HEAD` are answered from memory where nothing has changed. What is kept is
//! found by method, scheme, host, path, query, the [`Principal`](super::Principal) and the headers
//! in [`ResponseCacheConfig::vary`]; nothing else of a request may shape an answer that is kept, and
//! an answer whose `Vary` names more is not kept.
//!
//! Never kept: errors and all but 200; what a cookie came with, or a key that nobody was found
//! for; answers with `Set-Cookie`, `no-store`, `no-cache`, a part of something (`Range`), or
//! trailers; `private` ones where nobody is known. A request with a body is never answered from
//! here: the body is not part of the key.
//!
//! How long: as the handler says by a [`Freshness`] among its answer's extensions, or by
//! `Cache-Control: max-age` less the answer's `Age`, else as the layer's rule says, but not at all
//! with `Expires` or `Pragma`; never longer than [`ResponseCacheConfig::ttl`]. What a write changes is taken out when the write is over, also
//! when nobody waited for its end. What began before that is not put in after it. What callers say
//! of caching is not heeded: else they choose what we compute.
//!
//! What an attacker can grow: entries up to [`ResponseCacheConfig::capacity`] and bytes up to
//! [`ResponseCacheConfig::max_bytes`]; beside it, answers on their way out that are to be kept, up to
//! [`ResponseCacheConfig::filling`] of [`ResponseCacheConfig::max_body`] bytes each. With ever new
//! queries anybody can drive useful entries out; that costs each time what it would cost without a
//! cache, so limit what may be asked.
//!
//! Those who ask for the same before it is there all go on to the handler; the bulkhead behind this
//! bounds how many do so at once.

mod fill;
mod key;
mod layer;
mod rules;
mod state;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

pub use fill::Tee;
pub use key::CacheKey;
pub use layer::{CACHE_HEADER, CacheFinish, ResponseCacheLayer, ResponseCached};
pub use rules::{Freshness, Invalidate};
pub use state::{ResponseCache, ResponseCacheConfig, ResponseCacheStats};
