//! The keys that the devnet mines to, and signing with them.
//!
//! Deterministic keys of a sandbox: whoever knows the seed has the coins. Four kinds of script, as
//! they are common on Bitcoin's own network.

mod spend;

use std::collections::HashMap;

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::key::TapTweak as _;
use bitcoin::secp256k1::{All, Keypair, Message, Secp256k1, SecretKey};
use bitcoin::sighash::{
    EcdsaSighashType, P2wpkhError, Prevouts, SighashCache, TapSighashType, TaprootError,
};
use bitcoin::{
    CompressedPublicKey, Script, ScriptBuf, Transaction, TxOut, Witness, ecdsa, script, taproot,
};

pub use spend::{Input, MAX_FEE_RATE, Plan};

/// Keys of each kind of script.
const KEYS_A_KIND: usize = 16;

/// How an output of the wallet is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScriptKind {
    /// Key hash in the script, signature in the input.
    P2pkh,
    /// Key hash as a witness program (BIP141, BIP143).
    P2wpkh,
    /// The same inside a script hash (BIP141).
    P2shP2wpkh,
    /// Taproot, spent by its key (BIP341, BIP86).
    P2tr,
}

impl ScriptKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::P2pkh, Self::P2wpkh, Self::P2shP2wpkh, Self::P2tr];

    /// Virtual bytes of an input of this kind, rounded up.
    #[must_use]
    pub const fn input_vsize(self) -> u64 {
        match self {
            Self::P2pkh => 149,
            Self::P2wpkh => 69,
            Self::P2shP2wpkh => 92,
            Self::P2tr => 58,
        }
    }
}

/// Why a transaction could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// An input without a key of the wallet's.
    #[error("input {index} is not the wallet's to sign")]
    NoKey {
        /// Its place.
        index: usize,
    },
    /// What is to be signed for a legacy input.
    #[error("legacy input: {0}")]
    Legacy(#[from] bitcoin::transaction::InputsIndexError),
    /// What is to be signed for a witness input.
    #[error("witness input: {0}")]
    Witness(#[from] P2wpkhError),
    /// What is to be signed for a taproot input.
    #[error("taproot input: {0}")]
    Taproot(#[from] TaprootError),
}

#[derive(Debug)]
struct OwnKey {
    kind: ScriptKind,
    /// Tweaked for taproot.
    pair: Keypair,
    public: CompressedPublicKey,
    script: ScriptBuf,
}

/// The devnet's keys.
pub struct Wallet {
    secp: Secp256k1<All>,
    keys: Vec<OwnKey>,
    by_script: HashMap<ScriptBuf, usize>,
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wallet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Wallet {
    /// The keys of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let secp = Secp256k1::new();
        let kinds = ScriptKind::ALL.iter().cycle().take(KEYS_A_KIND * ScriptKind::ALL.len());
        let keys: Vec<OwnKey> =
            (0u64..).zip(kinds).map(|(index, kind)| own_key(&secp, seed, index, *kind)).collect();
        let by_script =
            keys.iter().enumerate().map(|(index, key)| (key.script.clone(), index)).collect();
        Self { secp, keys, by_script }
    }

    /// A script of the wallet's; each number stands for one, and neighbours differ in kind.
    #[must_use]
    pub fn script(&self, number: u64) -> ScriptBuf {
        let keys = u64::try_from(self.keys.len()).unwrap_or(u64::MAX);
        let index = usize::try_from(number.checked_rem(keys).unwrap_or(0)).unwrap_or(0);
        self.keys.get(index).map(|key| key.script.clone()).unwrap_or_default()
    }

    /// The key of a script.
    #[must_use]
    pub fn key_of(&self, script: &Script) -> Option<usize> {
        self.by_script.get(script).copied()
    }

    /// The kind of script that a key has.
    #[must_use]
    pub fn kind(&self, key: usize) -> Option<ScriptKind> {
        self.keys.get(key).map(|key| key.kind)
    }

    /// Signs every input; `spent` are the outputs that they spend, in order.
    ///
    /// # Errors
    /// [`SignError`], with nothing signed.
    pub fn sign(&self, transaction: &mut Transaction, spent: &[TxOut]) -> Result<(), SignError> {
        let mut cache = SighashCache::new(&*transaction);
        let mut signed = Vec::with_capacity(spent.len());
        for (index, output) in spent.iter().enumerate() {
            let key = self.key_of(&output.script_pubkey).and_then(|key| self.keys.get(key));
            let key = key.ok_or(SignError::NoKey { index })?;
            signed.push(self.sign_input(&mut cache, index, key, output, spent)?);
        }
        for (input, (script_sig, witness)) in transaction.input.iter_mut().zip(signed) {
            (input.script_sig, input.witness) = (script_sig, witness);
        }
        Ok(())
    }

    fn sign_input(
        &self,
        cache: &mut SighashCache<&Transaction>,
        index: usize,
        key: &OwnKey,
        output: &TxOut,
        spent: &[TxOut],
    ) -> Result<(ScriptBuf, Witness), SignError> {
        let all = EcdsaSighashType::All;
        match key.kind {
            ScriptKind::P2pkh => {
                let hash = cache.legacy_signature_hash(index, &key.script, all.to_u32())?;
                let script = script::Builder::new()
                    .push_slice(self.ecdsa(key, hash.to_byte_array()).serialize())
                    .push_slice(key.public.to_bytes());
                Ok((script.into_script(), Witness::new()))
            }
            ScriptKind::P2wpkh | ScriptKind::P2shP2wpkh => {
                let program = ScriptBuf::new_p2wpkh(&key.public.wpubkey_hash());
                let hash = cache.p2wpkh_signature_hash(index, &program, output.value, all)?;
                let signature = self.ecdsa(key, hash.to_byte_array());
                let script = match script::PushBytesBuf::try_from(program.into_bytes()) {
                    Ok(program) if key.kind == ScriptKind::P2shP2wpkh => {
                        script::Builder::new().push_slice(program).into_script()
                    }
                    Ok(_) | Err(_) => ScriptBuf::new(),
                };
                Ok((script, Witness::p2wpkh(&signature, &key.public.0)))
            }
            ScriptKind::P2tr => {
                let sighash_type = TapSighashType::Default;
                let prevouts = Prevouts::All(spent);
                let hash =
                    cache.taproot_key_spend_signature_hash(index, &prevouts, sighash_type)?;
                let message = Message::from_digest(hash.to_byte_array());
                let signature = self.secp.sign_schnorr_no_aux_rand(&message, &key.pair);
                let signature = taproot::Signature { signature, sighash_type };
                Ok((ScriptBuf::new(), Witness::p2tr_key_spend(&signature)))
            }
        }
    }

    fn ecdsa(&self, key: &OwnKey, digest: [u8; 32]) -> ecdsa::Signature {
        let message = Message::from_digest(digest);
        let signature = self.secp.sign_ecdsa(&message, &key.pair.secret_key());
        ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All }
    }
}

fn own_key(secp: &Secp256k1<All>, seed: u64, index: u64, kind: ScriptKind) -> OwnKey {
    let pair = secret(seed, index).keypair(secp);
    let public = CompressedPublicKey(pair.public_key());
    let plain = |script| OwnKey { kind, pair, public, script };
    match kind {
        ScriptKind::P2pkh => plain(ScriptBuf::new_p2pkh(&public.pubkey_hash())),
        ScriptKind::P2wpkh => plain(ScriptBuf::new_p2wpkh(&public.wpubkey_hash())),
        ScriptKind::P2shP2wpkh => {
            let program = ScriptBuf::new_p2wpkh(&public.wpubkey_hash());
            plain(ScriptBuf::new_p2sh(&program.script_hash()))
        }
        ScriptKind::P2tr => {
            let tweaked = pair.tap_tweak(secp, None);
            let (output_key, _parity) = tweaked.public_parts();
            let script = ScriptBuf::new_p2tr_tweaked(output_key);
            OwnKey { kind, pair: tweaked.to_keypair(), public, script }
        }
    }
}

/// A hash of seed and number. About one in 2^128 is no key; then the next hash is taken.
fn secret(seed: u64, index: u64) -> SecretKey {
    let mut engine = sha256::Hash::engine();
    engine.input(b"ironlight devnet key");
    engine.input(&seed.to_le_bytes());
    engine.input(&index.to_le_bytes());
    let mut digest = sha256::Hash::from_engine(engine);
    loop {
        if let Ok(key) = SecretKey::from_slice(digest.as_byte_array()) {
            return key;
        }
        digest = sha256::Hash::hash(digest.as_byte_array());
    }
}

#[cfg(test)]
mod tests;
