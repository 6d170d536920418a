//! What signatures are made with.

use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Fewest bytes of a secret that the standard allows.
pub const MIN_SECRET: usize = 24;
/// Most bytes of a secret that the standard allows.
pub const MAX_SECRET: usize = 64;

/// A signing secret of 24 to 64 bytes, written `whsec_` and base64. Its `Debug` does not show it.
///
/// ```
/// use ironlight_hardening::webhook::Secret;
///
/// let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
/// assert!(!format!("{secret:?}").contains("MfKQ"));
/// assert!("whsec_c2hvcnQ=".parse::<Secret>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Not a secret: `whsec_` and the base64 of 24 to 64 bytes were expected. It does not repeat what
/// it was given.
///
/// ```
/// use ironlight_hardening::webhook::{BadSecret, Secret};
///
/// assert_eq!(Secret::from_bytes(b"too short").unwrap_err(), BadSecret);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSecret;

impl fmt::Display for BadSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a secret: whsec_ and base64 of {MIN_SECRET} to {MAX_SECRET} bytes")
    }
}

impl core::error::Error for BadSecret {}

impl Secret {
    /// Takes the bytes themselves; they must be random.
    ///
    /// # Errors
    /// [`BadSecret`] when they are too few or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSecret> {
        let fits = (MIN_SECRET..=MAX_SECRET).contains(&bytes.len());
        fits.then(|| Self(bytes.to_vec())).ok_or(BadSecret)
    }

    /// As it is handed to the receiver: `whsec_` and base64.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl core::str::FromStr for Secret {
    type Err = BadSecret;

    /// The prefix may be missing, as in the reference libraries.
    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let coded = text.strip_prefix("whsec_").unwrap_or(text);
        // 64 bytes take 88 characters; a longer text is not worth decoding.
        if coded.len() > 88 {
            return Err(BadSecret);
        }
        Self::from_bytes(&STANDARD.decode(coded).map_err(|_| BadSecret)?)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
