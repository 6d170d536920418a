//! Signing and verifying, as <https://www.standardwebhooks.com> says.

use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::{BadSecret, Secret};

/// The header with the message's id.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of the attempt, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with the signatures, separated by spaces.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// Secrets that can be in use at once.
pub const MAX_SECRETS: usize = 8;
/// Bytes of an id.
pub const MAX_ID: usize = 128;
/// Signatures of a request that are looked at.
const MAX_SIGNATURES: usize = 16;
/// Bytes of one signature: `v1,` and 44.
const SIGNATURE_LEN: usize = 47;

/// A message's name, the same in all attempts: receivers know by it what they had already.
///
/// Visible ASCII without a dot, for with dots the same signed bytes could be read as another id
/// and another timestamp.
///
/// ```
/// use ironlight_hardening::webhook::MessageId;
///
/// assert_eq!(MessageId::new("msg_1").unwrap().as_str(), "msg_1");
/// assert!(MessageId::new("").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    /// None when it is empty, longer than [`MAX_ID`], or has a character that an id must not have.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let fits = (1..=MAX_ID).contains(&id.len());
        let good = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
        (fits && id.bytes().all(good)).then_some(Self(id))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn mac(secret: &Secret, id: &str, timestamp: u64, payload: &[u8]) -> Option<Hmac<Sha256>> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).ok()?;
    mac.update(id.as_bytes());
    mac.update(format!(".{timestamp}.").as_bytes());
    mac.update(payload);
    Some(mac)
}

/// Signs with one secret, or with several while receivers change from one to the next.
///
/// ```
/// use ironlight_hardening::webhook::{MessageId, Signer, VerifyError, Verifier};
///
/// let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// let new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// let signer = Signer::new([old.parse().unwrap(), new.parse().unwrap()]).unwrap();
/// let id = MessageId::new("msg_1").unwrap();
/// let signature = signer.sign(&id, 1_700_000_000, b"{}");
///
/// let receiver = Verifier::new([new.parse().unwrap()]).unwrap();
/// let verify = |body| receiver.verify("msg_1", "1700000000", &signature, body, 1_700_000_100);
/// assert_eq!(verify(b"{}"), Ok(id));
/// assert_eq!(verify(b"[]"), Err(VerifyError::Signature));
/// ```
#[derive(Clone, Debug)]
pub struct Signer {
    secrets: Vec<Secret>,
}

impl Signer {
    /// Signs with each of them.
    ///
    /// # Errors
    /// [`BadSecret`] with none or more than [`MAX_SECRETS`].
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Result<Self, BadSecret> {
        let secrets: Vec<_> = secrets.into_iter().take(MAX_SECRETS + 1).collect();
        let fits = (1..=MAX_SECRETS).contains(&secrets.len());
        fits.then_some(Self { secrets }).ok_or(BadSecret)
    }

    /// The signature header's value: a signature for each secret.
    #[must_use]
    pub fn sign(&self, id: &MessageId, timestamp: u64, payload: &[u8]) -> String {
        let one = |secret| {
            let mac = mac(secret, id.as_str(), timestamp, payload)?;
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        };
        self.secrets.iter().filter_map(one).collect::<Vec<_>>().join(" ")
    }
}

/// Why a request is not believed.
///
/// See [`Signer`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The id is empty, too long or has a dot.
    Id,
    /// The timestamp is not a number of seconds.
    Timestamp,
    /// It was sent too long ago: perhaps somebody sends it again.
    TooOld,
    /// It comes from the future.
    TooNew,
    /// No signature is ours.
    Signature,
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "not a webhook id",
            Self::Timestamp => "not a webhook timestamp",
            Self::TooOld => "the webhook's timestamp is too old",
            Self::TooNew => "the webhook's timestamp is in the future",
            Self::Signature => "no signature of the webhook is right",
        })
    }
}

impl core::error::Error for VerifyError {}

/// The receivers' side. Five minutes of tolerance, in both directions.
///
/// See [`Signer`] for an example.
#[derive(Clone, Debug)]
pub struct Verifier {
    signer: Signer,
    tolerance: u64,
}

impl Verifier {
    /// Believes signatures by any of these secrets.
    ///
    /// # Errors
    /// As [`Signer::new`].
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Result<Self, BadSecret> {
        Ok(Self { signer: Signer::new(secrets)?, tolerance: 300 })
    }

    /// Another tolerance for the timestamp, in seconds.
    ///
    /// ```
    /// use ironlight_hardening::webhook::{MessageId, Signer, Verifier, VerifyError};
    ///
    /// let secret = || "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse();
    /// let signature = Signer::new(secret()).unwrap().sign(&MessageId::new("msg_1").unwrap(), 100, b"{}");
    /// let strict = Verifier::new(secret()).unwrap().with_tolerance(10);
    /// let late = strict.verify("msg_1", "100", &signature, b"{}", 111);
    /// assert_eq!(late, Err(VerifyError::TooOld));
    /// ```
    #[must_use]
    pub fn with_tolerance(self, seconds: u64) -> Self {
        Self { tolerance: seconds, ..self }
    }

    /// Verifies the three headers and the body as it came, before anything parses it. `now` in
    /// seconds since 1970. A message can come more than once: do the work for each id only once.
    ///
    /// # Errors
    /// [`VerifyError`]. Comparing takes the same time for all wrong signatures.
    pub fn verify(
        &self,
        id: &str,
        timestamp: &str,
        signatures: &str,
        payload: &[u8],
        now: u64,
    ) -> Result<MessageId, VerifyError> {
        let id = MessageId::new(id).ok_or(VerifyError::Id)?;
        let canonical = timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let sent: u64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
        // "+5" and "05" are numbers too, but not what was signed.
        if !canonical || sent.to_string() != timestamp {
            return Err(VerifyError::Timestamp);
        }
        if now.saturating_sub(sent) > self.tolerance {
            return Err(VerifyError::TooOld);
        }
        if sent.saturating_sub(now) > self.tolerance {
            return Err(VerifyError::TooNew);
        }
        let ours = |secret| mac(secret, id.as_str(), sent, payload);
        let macs: Vec<_> = self.signer.secrets.iter().filter_map(ours).collect();
        let any = signatures
            .split(' ')
            .take(MAX_SIGNATURES)
            .filter_map(decode)
            .any(|theirs| macs.iter().any(|mac| mac.clone().verify_slice(&theirs).is_ok()));
        if any { Ok(id) } else { Err(VerifyError::Signature) }
    }
}

/// A `v1` signature; other versions are skipped.
fn decode(signature: &str) -> Option<Vec<u8>> {
    let coded = signature.strip_prefix("v1,")?;
    if signature.len() != SIGNATURE_LEN {
        return None;
    }
    STANDARD.decode(coded).ok()
}
