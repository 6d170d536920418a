//! Who may ask: keys with names, compared in constant time.
//!
//! A key comes in `Authorization: Bearer` or in `X-API-Key`, once. What is kept of it is its SHA-256
//! digest, and digests are compared with all keys to the end, so that how long it takes tells
//! nothing about any of them. Keys are long random texts, not passwords: see [`MIN_KEY`].

mod keys;
mod layer;
#[cfg(test)]
mod tests;

pub use keys::{ApiKeys, BadKey, MAX_API_KEYS, MAX_KEY, MIN_KEY, Principal};
pub use layer::{
    API_KEY_HEADER, Access, AuthFailure, AuthLayer, AuthReason, Authenticated, MAX_FAILURE_PATH,
    Unchanged,
};
