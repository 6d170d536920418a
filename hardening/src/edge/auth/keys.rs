//! The keys.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Bytes that a key has at least: 16 characters of base64 are 96 bits, which nobody tries out.
pub const MIN_KEY: usize = 16;
/// Bytes that a key has at most; a longer one is not looked at.
pub const MAX_KEY: usize = 512;
/// How many keys there can be: each request is compared with all of them.
pub const MAX_API_KEYS: usize = 1024;

/// Whose key a request came with: in the extensions of requests behind authentication.
///
/// ```
/// use ironlight_hardening::edge::Principal;
///
/// assert_eq!(Principal::new("alice").as_str(), "alice");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key is not taken.
///
/// ```
/// use ironlight_hardening::edge::{ApiKeys, BadKey};
///
/// let keys = ApiKeys::default();
/// assert_eq!(keys.add("alice", "too-short"), Err(BadKey::Form));
/// keys.add("alice", "kV3xTq0bYw8mZr5s").unwrap();
/// assert_eq!(keys.add("bob", "kV3xTq0bYw8mZr5s"), Err(BadKey::Known));
/// assert_eq!(BadKey::Form.to_string(), "a key is 16 to 512 visible ASCII characters");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadKey {
    /// Too short, too long, or not of visible ASCII characters.
    Form,
    /// It is there already, under this or another name.
    Known,
    /// There are [`MAX_API_KEYS`].
    TooMany,
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => write!(f, "a key is {MIN_KEY} to {MAX_KEY} visible ASCII characters"),
            Self::Known => f.write_str("the key is there already"),
            Self::TooMany => write!(f, "there are {MAX_API_KEYS} keys already"),
        }
    }
}

impl core::error::Error for BadKey {}

/// The keys that are accepted now. Clones share them, and changes hold for the next request.
///
/// To rotate, add a second key under the same name, hand it out, and then remove the first.
///
/// ```
/// use ironlight_hardening::edge::ApiKeys;
///
/// let keys = ApiKeys::default();
/// keys.add("alice", "kV3xTq0bYw8mZr5s").unwrap();
/// keys.add("alice", "Jp9uHc2eLd7fGa4n").unwrap();
/// assert_eq!(keys.whose(b"Jp9uHc2eLd7fGa4n").unwrap().as_str(), "alice");
/// assert!(keys.remove("kV3xTq0bYw8mZr5s"));
/// assert_eq!(keys.whose(b"kV3xTq0bYw8mZr5s"), None);
/// ```
#[derive(Clone, Default)]
pub struct ApiKeys(Arc<RwLock<Vec<Key>>>);

struct Key {
    digest: [u8; 32],
    principal: Principal,
}

/// How many there are; neither names nor digests.
impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys").field("len", &self.len()).finish()
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

impl ApiKeys {
    /// One more key of this name.
    ///
    /// # Errors
    /// [`BadKey`]; nothing changes then.
    pub fn add(&self, name: &str, key: &str) -> Result<(), BadKey> {
        let good = key.bytes().all(|byte| byte.is_ascii_graphic());
        if !good || !(MIN_KEY..=MAX_KEY).contains(&key.len()) {
            return Err(BadKey::Form);
        }
        let digest = digest(key.as_bytes());
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().any(|known| known.digest == digest) {
            return Err(BadKey::Known);
        }
        if keys.len() >= MAX_API_KEYS {
            return Err(BadKey::TooMany);
        }
        keys.push(Key { digest, principal: Principal::new(name) });
        Ok(())
    }

    /// Takes one key out, and says whether it was there.
    pub fn remove(&self, key: &str) -> bool {
        let digest = digest(key.as_bytes());
        self.remove_where(|known| known.digest == digest) > 0
    }

    /// Takes all keys of a name out, and says how many.
    pub fn remove_all_of(&self, name: &str) -> usize {
        self.remove_where(|known| known.principal.as_str() == name)
    }

    fn remove_where(&self, gone: impl Fn(&Key) -> bool) -> usize {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = keys.len();
        keys.retain(|key| !gone(key));
        before - keys.len()
    }

    /// Whose key it is, if anybody's. How long it takes depends on the length of what is
    /// presented and on the number of keys.
    #[must_use]
    pub fn whose(&self, presented: &[u8]) -> Option<Principal> {
        if presented.len() > MAX_KEY {
            return None;
        }
        let digest = digest(presented);
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // To the end, whatever was found.
        let same = |key: &&Key| bool::from(key.digest.ct_eq(&digest));
        keys.iter().filter(same).fold(None, |_, key| Some(&key.principal)).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none, so that everybody is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
