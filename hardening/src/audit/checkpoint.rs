//! Signed statements of how long a log was and what stood in it, to be kept where whoever can
//! change the log cannot change them.
//!
//! The form is the signed note of Go's checksum database with the body of a transparency log's
//! checkpoint (C2SP `signed-note` and `tlog-checkpoint`), so that other tools can read it:
//!
//! ```text
#![doc = include_str!("vector.note")]
//! ```
//!
//! These are the origin, the number of records, the root of the tree (base64), the time in
//! milliseconds since 1970 and, after an empty line, the origin again and in base64 the key's id of
//! 4 bytes and its Ed25519 signature of the lines above the empty one. This one is the
//! checkpoint of the three records in [`super::record`], signed with the seed of 32 bytes `0x07`.
//!
//! The line `next` is there where the key evolves: this checkpoint is the last that this key signs,
//! and the key named there signs the next one. The secret of a key that has signed is erased from
//! memory (and from what [`CheckpointKey::seed`] was saved to, if the caller overwrites it), so
//! that whoever breaks in later cannot sign another past; what a disk or the swap space still hold
//! is beyond this. Each next seed is the SHA-256 of `ironlight-audit-evolve\n` and the one before.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::hash::Hash;

/// The longest note that is read, in bytes.
pub const MAX_NOTE: usize = 4_096;

/// How long a log was and what stood in it; signed, or read from a note whose signature is right.
///
/// See [`verify_checkpoints`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log; one line, without spaces or `+`.
    pub origin: String,
    /// The number of records.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The key that signs the next checkpoint, where keys evolve.
    pub next: Option<PublicKey>,
}

/// The public half of a key.
///
/// See [`verify_checkpoints`] for an example.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hash(self.0))
    }
}

/// Why a note is not a checkpoint of this log.
///
/// See [`verify_checkpoints`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It does not have the form.
    Malformed,
    /// It is about another log.
    OtherOrigin,
    /// It was not signed with this key.
    WrongSignature,
    /// It says that the log was shorter than in the one before.
    Shrunk,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a checkpoint",
            Self::OtherOrigin => "a checkpoint of another log",
            Self::WrongSignature => "the checkpoint was not signed with this key",
            Self::Shrunk => "the log is shorter than in the checkpoint before",
        })
    }
}

impl core::error::Error for CheckpointError {}

/// Signs checkpoints.
///
/// ```
/// use ironlight_hardening::audit::{CheckpointKey, Hash, verify_checkpoint};
///
/// let mut key = CheckpointKey::new([7; 32], "node-7.example/audit");
/// let note = key.sign(5, Hash::ZERO, 1_767_225_600_000);
/// let checkpoint = verify_checkpoint(&note, "node-7.example/audit", key.public()).unwrap();
/// assert_eq!((checkpoint.size, checkpoint.root), (5, Hash::ZERO));
/// ```
pub struct CheckpointKey {
    key: SigningKey,
    origin: String,
    evolves: bool,
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointKey").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl CheckpointKey {
    /// A key from 32 secret random bytes. In the origin everything but printable ASCII, and spaces
    /// and `+`, become `_`.
    #[must_use]
    pub fn new(seed: [u8; 32], origin: &str) -> Self {
        let plain = |c: char| if c.is_ascii_graphic() && c != '+' { c } else { '_' };
        let mut origin: String = origin.chars().take(256).map(plain).collect();
        if origin.is_empty() {
            origin.push('_');
        }
        Self { key: SigningKey::from_bytes(&seed), origin, evolves: false }
    }

    /// Each checkpoint is signed with a key of its own, and its secret is erased afterwards.
    #[must_use]
    pub fn evolving(mut self) -> Self {
        self.evolves = true;
        self
    }

    /// The key that verifies the next checkpoint.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }

    /// The secret that signs the next checkpoint, to go on with after a restart.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Signs, as a note; then, if it evolves, forgets the secret that signed.
    pub fn sign(&mut self, size: u64, root: Hash, at: u64) -> String {
        let mut next = self.evolves.then(|| evolved(&self.key));
        let mut text = format!("{}\n{size}\n{}\nat {at}\n", self.origin, STANDARD.encode(root.0));
        if let Some(next) = &next {
            let public = STANDARD.encode(next.verifying_key().as_bytes());
            text.push_str(&format!("next {public}\n"));
        }
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let id = key_id(&self.origin, self.public());
        let signed = STANDARD.encode([id.as_slice(), &signature].concat());
        if let Some(next) = next.take() {
            // The old key erases itself when it is dropped.
            self.key = next;
        }
        format!("{text}\n\u{2014} {} {signed}\n", self.origin)
    }
}

fn evolved(key: &SigningKey) -> SigningKey {
    let mut old = key.to_bytes();
    let mut seed = Hash::of(&[b"ironlight-audit-evolve\n", &old]).0;
    let next = SigningKey::from_bytes(&seed);
    old.fill(0);
    seed.fill(0);
    // So that the compiler does not leave the erasing out.
    core::hint::black_box((&old, &seed));
    next
}

/// The signed note's key id: the first four bytes of SHA-256(name, line feed, 0x01, key).
fn key_id(origin: &str, key: PublicKey) -> [u8; 4] {
    let [a, b, c, d, ..] = Hash::of(&[origin.as_bytes(), b"\n\x01", &key.0]).0;
    [a, b, c, d]
}

/// Reads a note, and verifies its signature.
///
/// # Errors
/// [`CheckpointError`] without [`CheckpointError::Shrunk`].
///
/// ```
/// use ironlight_hardening::audit::{CheckpointKey, Hash, verify_checkpoint};
///
/// let mut key = CheckpointKey::new([7; 32], "node-7.example/audit");
/// let note = key.sign(1_024, Hash::of(&[b"root"]), 1_767_225_600_123);
/// let made = verify_checkpoint(&note, "node-7.example/audit", key.public()).unwrap();
/// assert_eq!(made.size, 1_024);
/// ```
pub fn verify_checkpoint(
    note: &str,
    origin: &str,
    key: PublicKey,
) -> Result<Checkpoint, CheckpointError> {
    let (text, signature) = split(note).ok_or(CheckpointError::Malformed)?;
    let checkpoint = parse(text).ok_or(CheckpointError::Malformed)?;
    if checkpoint.origin != origin {
        return Err(CheckpointError::OtherOrigin);
    }
    let wrong = CheckpointError::WrongSignature;
    let (id, signature) = signature.split_first_chunk::<4>().ok_or(wrong)?;
    let signature = Signature::from_slice(signature).map_err(|_| wrong)?;
    let public = VerifyingKey::from_bytes(&key.0).map_err(|_| wrong)?;
    if *id != key_id(origin, key) || public.verify_strict(text.as_bytes(), &signature).is_err() {
        return Err(wrong);
    }
    Ok(checkpoint)
}

/// Reads the notes of a log one after the other, from the one that the given key signed on. Where
/// keys evolve, each names the key of the next. The same key may sign twice, when there was no time
/// to forget it between.
///
/// ```
/// use ironlight_hardening::audit::{
///     CheckpointError, CheckpointKey, Hash, split_notes, verify_checkpoints,
/// };
///
/// let mut key = CheckpointKey::new([7; 32], "node-7.example/audit").evolving();
/// let public = key.public();
/// let file = key.sign(1, Hash::ZERO, 0) + &key.sign(5, Hash::ZERO, 1);
/// let verified = |origin| verify_checkpoints(split_notes(&file), origin, public);
/// assert_eq!(verified("node-7.example/audit").unwrap()[1].size, 5);
/// assert_eq!(verified("node-8.example/audit").unwrap_err(), (0, CheckpointError::OtherOrigin));
/// ```
///
/// # Errors
/// The index of the first note that is wrong, and why.
pub fn verify_checkpoints<'a>(
    notes: impl IntoIterator<Item = &'a str>,
    origin: &str,
    first: PublicKey,
) -> Result<Vec<Checkpoint>, (usize, CheckpointError)> {
    let (mut made, mut key) = (Vec::<Checkpoint>::new(), first);
    for (i, note) in notes.into_iter().enumerate() {
        let successor = made.last().and_then(|last| last.next);
        let by_successor =
            successor.and_then(|next| verify_checkpoint(note, origin, next).ok().zip(Some(next)));
        let (read, signer) = match by_successor {
            Some(found) => found,
            None => (verify_checkpoint(note, origin, key).map_err(|error| (i, error))?, key),
        };
        if made.last().is_some_and(|last| last.size > read.size) {
            return Err((i, CheckpointError::Shrunk));
        }
        key = signer;
        made.push(read);
    }
    Ok(made)
}

/// The single notes of a file that has one after the other; what follows the last whole one is left
/// out.
///
/// See [`verify_checkpoints`] for an example.
pub fn split_notes(mut file: &str) -> impl Iterator<Item = &str> {
    core::iter::from_fn(move || {
        let signature = file.find("\n\u{2014} ")? + 1;
        let (_, from_there) = file.split_at_checked(signature)?;
        let (note, rest) = file.split_at_checked(signature + from_there.find('\n')? + 1)?;
        file = rest;
        Some(note)
    })
}

/// The text that is signed, and the signature's bytes with the key id.
fn split(note: &str) -> Option<(&str, Vec<u8>)> {
    if note.len() > MAX_NOTE {
        return None;
    }
    let end = note.find("\n\n")? + 1;
    let (text, rest) = note.split_at_checked(end)?;
    let signed = rest.strip_prefix("\n\u{2014} ")?.strip_suffix('\n')?;
    let (name, signed) = signed.split_once(' ')?;
    (text.lines().next()? == name).then_some((text, STANDARD.decode(signed).ok()?))
}

fn parse(text: &str) -> Option<Checkpoint> {
    let mut lines = text.lines();
    let origin = lines.next()?.to_owned();
    let size = number(lines.next()?)?;
    let root = Hash(STANDARD.decode(lines.next()?).ok()?.try_into().ok()?);
    let at = number(lines.next()?.strip_prefix("at ")?)?;
    let next = match lines.next() {
        Some(line) => {
            let key = STANDARD.decode(line.strip_prefix("next ")?).ok()?;
            Some(PublicKey(key.try_into().ok()?))
        }
        None => None,
    };
    lines.next().is_none().then_some(Checkpoint { origin, size, root, at, next })
}

fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
