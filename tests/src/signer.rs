//! Keys that pay: what a wallet beside the node would hold.

use bitcoin::bip32::{ChildNumber, DerivationPath, Xpriv, Xpub};
use bitcoin::secp256k1::{All, Message, Secp256k1};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, CompressedPublicKey, NetworkKind, OutPoint, ScriptBuf, Sequence, Transaction,
    TxIn, TxOut, Witness, absolute,
};

/// Pay-to-witness-public-key-hash keys of one account, in the order of their derivation.
#[derive(Debug)]
pub struct Signer {
    secp: Secp256k1<All>,
    account: Xpriv,
}

/// A coin that a [`Signer`] can spend.
#[derive(Clone, Debug)]
pub struct Spendable {
    /// Which.
    pub outpoint: OutPoint,
    /// How much.
    pub value: Amount,
    /// The derivation index of its key.
    pub index: u32,
}

impl Signer {
    /// Keys that follow from a seed.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        let account = Xpriv::new_master(NetworkKind::Test, &[seed; 32]).unwrap();
        Self { secp: Secp256k1::new(), account }
    }

    /// The descriptor of all its scripts, with public keys only.
    #[must_use]
    pub fn descriptor(&self) -> String {
        format!("wpkh({}/*)", Xpub::from_priv(&self.secp, &self.account))
    }

    fn key(&self, index: u32) -> Xpriv {
        let path = DerivationPath::from(vec![ChildNumber::from(index)]);
        self.account.derive_priv(&self.secp, &path).unwrap()
    }

    /// The script of an index.
    #[must_use]
    pub fn script(&self, index: u32) -> ScriptBuf {
        let public = self.key(index).to_priv().public_key(&self.secp);
        ScriptBuf::new_p2wpkh(&CompressedPublicKey(public.inner).wpubkey_hash())
    }

    /// The address of an index.
    #[must_use]
    pub fn address(&self, index: u32) -> String {
        let script = self.script(index);
        Address::from_script(&script, bitcoin::Network::Regtest).unwrap().to_string()
    }

    /// A signed transaction that may be replaced (BIP125).
    #[must_use]
    pub fn spend(&self, coins: &[Spendable], output: Vec<TxOut>) -> Transaction {
        let input = coins.iter().map(|coin| TxIn {
            previous_output: coin.outpoint,
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            ..TxIn::default()
        });
        let (version, lock_time) = (Version::TWO, absolute::LockTime::ZERO);
        let mut signed = Transaction { version, lock_time, input: input.collect(), output };
        for (place, coin) in coins.iter().enumerate() {
            let key = self.key(coin.index).private_key;
            let mut cache = SighashCache::new(&signed);
            let kind = EcdsaSighashType::All;
            let script = self.script(coin.index);
            let hash = cache.p2wpkh_signature_hash(place, &script, coin.value, kind).unwrap();
            let signature = self.secp.sign_ecdsa(&Message::from(hash), &key);
            let signature = bitcoin::ecdsa::Signature { signature, sighash_type: kind };
            let public = key.public_key(&self.secp);
            signed.input[place].witness = Witness::p2wpkh(&signature, &public);
        }
        signed
    }
}
