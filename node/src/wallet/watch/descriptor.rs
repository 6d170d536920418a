//! Output descriptors: read, checked, and derived into scripts.
//!
//! `miniscript` reads and derives them. What it would panic on is refused before: it derives without
//! looking whether a key is already as deep as BIP32 goes.

use std::str::FromStr as _;

use bitcoin::bip32::{ChildNumber, DerivationPath, Xpub};
use bitcoin::secp256k1::{Secp256k1, VerifyOnly};
use bitcoin::{NetworkKind, ScriptBuf};
use ironlight_spv::Network;
use miniscript::descriptor::checksum::desc_checksum;
use miniscript::descriptor::{DescriptorPublicKey, DescriptorXKey, Wildcard};
use miniscript::{
    Descriptor, ForEachKey as _, TranslateErr, TranslatePk as _, Translator, translate_hash_clone,
};

use super::error::kind_name;
use super::{WatchError, kind_of};

/// The longest text that is read: room for 100 keys.
const MAX_BYTES: usize = 16 * 1024;
/// Paths of a `<0;1;..>` that are watched.
const MAX_PATHS: usize = 16;
/// Base58 of a private key (WIF): 51 characters for an uncompressed one, else 52.
const WIF_LENGTHS: [usize; 2] = [51, 52];
/// Words of a seed phrase (BIP39), the fewest.
const SEED_WORDS: usize = 12;
/// A run of letters and digits longer than this does not get into a message.
const LONGEST_WORD: usize = 16;
/// The longest reason in a message.
const MAX_REASON: usize = 200;

/// A descriptor without private keys, one for each of its paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchedDescriptor {
    text: String,
    paths: Vec<Descriptor<DescriptorPublicKey>>,
    ranged: bool,
}

impl WatchedDescriptor {
    pub(super) fn parse(text: &str, network: Network) -> Result<Self, WatchError> {
        if text.len() > MAX_BYTES {
            return Err(WatchError::DescriptorTooLong { bytes: text.len(), limit: MAX_BYTES });
        }
        refuse_private(text)?;
        check_checksum(text)?;
        let no = |reason: String| WatchError::Descriptor { reason: without_keys(&reason) };
        let descriptor = Descriptor::<DescriptorPublicKey>::from_str(text)
            .map_err(|error| no(error.to_string()))?;
        descriptor.sanity_check().map_err(|error| no(error.to_string()))?;
        check_keys(&descriptor, network)?;
        let canonical = descriptor.to_string();
        let ranged = descriptor.has_wildcard();
        let paths = descriptor.into_single_descriptors().map_err(|error| no(error.to_string()))?;
        if paths.len() > MAX_PATHS {
            return Err(WatchError::TooManyPaths { paths: paths.len(), limit: MAX_PATHS });
        }
        let paths = paths.iter().map(shortened).collect::<Result<_, _>>()?;
        let parsed = Self { text: canonical, paths, ranged };
        // What cannot be derived shows here and not in the middle of a scan.
        for keychain in 0..parsed.keychains() {
            parsed.derive(keychain, 0, 1)?;
        }
        Ok(parsed)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_ranged(&self) -> bool {
        self.ranged
    }

    pub(super) fn keychains(&self) -> u8 {
        u8::try_from(self.paths.len()).unwrap_or(u8::MAX)
    }

    pub(super) fn derive(
        &self,
        keychain: u8,
        from: u32,
        to: u32,
    ) -> Result<Vec<ScriptBuf>, WatchError> {
        let Some(path) = self.paths.get(usize::from(keychain)) else { return Ok(Vec::new()) };
        let secp = Secp256k1::verification_only();
        let to = if self.ranged { to } else { to.min(1) };
        (from..to).map(|index| script(path, &secp, index)).collect()
    }
}

/// The same scripts from keys that have taken their path already, so that each index takes one step
/// and not all of them.
fn shortened(
    path: &Descriptor<DescriptorPublicKey>,
) -> Result<Descriptor<DescriptorPublicKey>, WatchError> {
    let mut steps = TakeSteps(Secp256k1::verification_only());
    path.translate_pk(&mut steps).map_err(|error| match error {
        TranslateErr::TranslatorErr(error) => error,
        TranslateErr::OuterError(error) => {
            WatchError::Descriptor { reason: without_keys(&error.to_string()) }
        }
    })
}

struct TakeSteps(Secp256k1<VerifyOnly>);

impl Translator<DescriptorPublicKey, DescriptorPublicKey, WatchError> for TakeSteps {
    fn pk(&mut self, key: &DescriptorPublicKey) -> Result<DescriptorPublicKey, WatchError> {
        match key {
            DescriptorPublicKey::XPub(key) => {
                let xkey = key.xkey.derive_pub(&self.0, &key.derivation_path);
                let xkey =
                    xkey.map_err(|error| WatchError::Descriptor { reason: error.to_string() })?;
                let (origin, derivation_path) = (None, DerivationPath::master());
                let wildcard = key.wildcard;
                Ok(DescriptorPublicKey::XPub(DescriptorXKey {
                    origin,
                    xkey,
                    derivation_path,
                    wildcard,
                }))
            }
            DescriptorPublicKey::Single(_) | DescriptorPublicKey::MultiXPub(_) => Ok(key.clone()),
        }
    }

    translate_hash_clone!(DescriptorPublicKey, DescriptorPublicKey, WatchError);
}

fn script(
    path: &Descriptor<DescriptorPublicKey>,
    secp: &Secp256k1<VerifyOnly>,
    index: u32,
) -> Result<ScriptBuf, WatchError> {
    let derived = path.derived_descriptor(secp, index);
    let derived = derived.map_err(|error| WatchError::Descriptor { reason: error.to_string() })?;
    Ok(derived.script_pubkey())
}

/// Refuses a text that holds what looks like a private key, valid or mistyped.
pub(super) fn refuse_private(text: &str) -> Result<(), WatchError> {
    let mut parts = text.split(|c: char| !c.is_ascii_alphanumeric());
    if parts.any(is_private) || is_seed_phrase(text) {
        return Err(WatchError::PrivateKey);
    }
    Ok(())
}

fn is_private(part: &str) -> bool {
    // xprv and tprv (BIP32), yprv, zprv and so on (SLIP132).
    let extended = part.as_bytes().get(1..4).is_some_and(|tag| tag.eq_ignore_ascii_case(b"prv"));
    let wif = WIF_LENGTHS.contains(&part.len()) && part.starts_with(['5', '9', 'K', 'L', 'c']);
    extended || wif
}

fn is_seed_phrase(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
    words.clone().count() >= SEED_WORDS && words.all(is_word)
}

/// A message of a library that may repeat what was typed: no long word of it, nothing but
/// printable ASCII, and not too much.
pub(super) fn without_keys(message: &str) -> String {
    let printable = message.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' });
    let mut clean = String::new();
    let mut word = String::new();
    for c in printable.chain([' ']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        if word.len() > LONGEST_WORD {
            clean.push_str("..");
        } else {
            clean.push_str(&word);
        }
        word.clear();
        clean.push(c);
    }
    clean.truncate(MAX_REASON);
    clean.trim_end().to_owned()
}

fn check_checksum(text: &str) -> Result<(), WatchError> {
    if let Some(c) = text.chars().find(|c| !matches!(c, ' '..='~')) {
        let reason = format!("the character {c:?} never stands in one");
        return Err(WatchError::Descriptor { reason });
    }
    let Some((body, found)) = text.split_once('#') else { return Ok(()) };
    let expected = desc_checksum(body)
        .map_err(|error| WatchError::Descriptor { reason: without_keys(&error.to_string()) })?;
    if found == expected {
        return Ok(());
    }
    Err(WatchError::Checksum { found: without_keys(found), expected })
}

/// Every key is of the right kind of network, and can be derived without its private key.
fn check_keys(
    descriptor: &Descriptor<DescriptorPublicKey>,
    network: Network,
) -> Result<(), WatchError> {
    let mut verdict = Ok(());
    descriptor.for_each_key(|key| {
        verdict = check_key(key, network);
        verdict.is_ok()
    });
    verdict
}

fn check_key(key: &DescriptorPublicKey, network: Network) -> Result<(), WatchError> {
    match key {
        DescriptorPublicKey::Single(_) => Ok(()),
        DescriptorPublicKey::XPub(key) => check_extended(
            &key.xkey,
            std::slice::from_ref(&key.derivation_path),
            key.wildcard,
            network,
        ),
        DescriptorPublicKey::MultiXPub(key) => {
            check_extended(&key.xkey, key.derivation_paths.paths(), key.wildcard, network)
        }
    }
}

fn check_extended(
    key: &Xpub,
    paths: &[DerivationPath],
    wildcard: Wildcard,
    network: Network,
) -> Result<(), WatchError> {
    check_kind(key.network, network)?;
    if matches!(wildcard, Wildcard::Hardened) {
        return Err(WatchError::Hardened { at: "its `*`" });
    }
    for path in paths {
        let steps: &[ChildNumber] = path.as_ref();
        if steps.iter().any(ChildNumber::is_hardened) {
            return Err(WatchError::Hardened { at: "its path" });
        }
        // BIP32: a depth is one byte. One more for the index.
        if usize::from(key.depth) + steps.len() + 1 > usize::from(u8::MAX) {
            let reason = "its path is deeper than keys can be derived".to_owned();
            return Err(WatchError::Descriptor { reason });
        }
    }
    Ok(())
}

fn check_kind(found: NetworkKind, network: Network) -> Result<(), WatchError> {
    if found == kind_of(network) {
        return Ok(());
    }
    Err(WatchError::DescriptorNetwork { found: kind_name(found), network })
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
mod tests;
