//! What a state tree can hold, and how it is written.
//!
//! A value is written as the fields that differ from those of a value before, under a byte that
//! says which: small where an account changes often and little. Written whole, it is its key and
//! the difference from the blank value of that key, all of whose fields are zero.
//!
//! ```text
//! whole      = key 32 | difference from the blank value
//! difference = fields u8 | [field ...], lowest flag first
//! Account       = 1: balance number | 2: nonce number | 4: code hash 32 | 8: storage root 32
//! WalletAccount = 1: balance number | 2: coins hash 32 | 4: transactions number
//! number     = seven bits a byte, lowest first, 0x80 where more follow, no needless byte
//! ```
//! Invariant: one value has one form against one value before; decoding refuses all others. What
//! an attacker can grow: nothing, a value is at most [`StateValue::MAX_LEN`] bytes.

use alloc::vec::Vec;
use core::fmt;

/// An account that a state tree can hold.
pub trait StateValue: Clone + Eq {
    /// Tells kinds of values apart in everything that is written down.
    const KIND: u8;
    /// The longest encoding. The tree takes kinds of at most [`LARGEST`].
    const MAX_LEN: usize;
    /// All fields at their full width: what a plain copy takes.
    const PLAIN_LEN: usize;

    /// The value of this key whose fields are all zero.
    fn blank(key: [u8; 32]) -> Self;

    /// What it is found by.
    fn key(&self) -> &[u8; 32];

    /// Writes the fields that differ from a value before, of the same key.
    fn encode_delta(&self, before: &Self, bytes: &mut Vec<u8>);

    /// The value, given the one before.
    ///
    /// # Errors
    /// [`ValueError`] where the bytes are not what [`encode_delta`](Self::encode_delta) writes.
    fn decode_delta(before: &Self, bytes: &[u8]) -> Result<Self, ValueError>;

    /// Writes the value whole.
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.key());
        self.encode_delta(&Self::blank(*self.key()), bytes);
    }

    /// Reads a whole value.
    ///
    /// # Errors
    /// [`ValueError`] where the bytes are not what [`encode`](Self::encode) writes.
    fn decode(bytes: &[u8]) -> Result<Self, ValueError> {
        let (key, delta) = bytes.split_first_chunk::<32>().ok_or(ValueError::Truncated)?;
        Self::decode_delta(&Self::blank(*key), delta)
    }
}

/// The longest encoding of any kind of value.
pub const LARGEST: usize = 4_000;

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueError {
    /// The bytes end inside a field.
    Truncated,
    /// A flag for a field that this kind does not have.
    UnknownField {
        /// All flags.
        fields: u8,
    },
    /// A field is written that did not change, or a number with a needless byte.
    NotCanonical,
    /// A number does not fit its field.
    TooLarge,
    /// Bytes follow the last field.
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the value ends inside a field"),
            Self::UnknownField { fields } => write!(f, "unknown fields among {fields:#04x}"),
            Self::NotCanonical => f.write_str("the value is not in its shortest form"),
            Self::TooLarge => f.write_str("a number of the value does not fit its field"),
            Self::TrailingBytes { count } => write!(f, "{count} bytes follow the value"),
        }
    }
}

impl core::error::Error for ValueError {}

/// An account of an account chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it is found by, such as the hash of its address.
    pub key: [u8; 32],
    /// What it owns, in the smallest unit.
    pub balance: u128,
    /// How many transactions it sent.
    pub nonce: u64,
    /// The hash of its code.
    pub code_hash: [u8; 32],
    /// The root of its storage.
    pub storage_root: [u8; 32],
}

impl StateValue for Account {
    const KIND: u8 = 1;
    const MAX_LEN: usize = 32 + 1 + 19 + 10 + 32 + 32;
    const PLAIN_LEN: usize = 32 + 16 + 8 + 32 + 32;

    fn blank(key: [u8; 32]) -> Self {
        Self { key, balance: 0, nonce: 0, code_hash: [0; 32], storage_root: [0; 32] }
    }

    fn key(&self) -> &[u8; 32] {
        &self.key
    }

    fn encode_delta(&self, before: &Self, bytes: &mut Vec<u8>) {
        let mut fields = Writer::new(bytes);
        fields.number(1, self.balance, before.balance);
        fields.number(2, self.nonce.into(), before.nonce.into());
        fields.hash(4, &self.code_hash, &before.code_hash);
        fields.hash(8, &self.storage_root, &before.storage_root);
    }

    fn decode_delta(before: &Self, bytes: &[u8]) -> Result<Self, ValueError> {
        let mut fields = Reader::new(bytes, 15)?;
        let value = Self {
            key: before.key,
            balance: fields.number(1, before.balance)?,
            nonce: fields.number(2, before.nonce)?,
            code_hash: fields.hash(4, &before.code_hash)?,
            storage_root: fields.hash(8, &before.storage_root)?,
        };
        fields.end().map(|()| value)
    }
}

/// What a light wallet knows of one script of Bitcoin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletAccount {
    /// SHA-256 of the script, what the account is found by.
    pub script_id: [u8; 32],
    /// The sum of its unspent outputs, in satoshi.
    pub balance: u64,
    /// A hash that commits to its unspent outputs; of which bytes, the wallet says.
    pub coins_hash: [u8; 32],
    /// How many transactions touched it.
    pub transactions: u32,
}

impl StateValue for WalletAccount {
    const KIND: u8 = 2;
    const MAX_LEN: usize = 32 + 1 + 10 + 32 + 5;
    const PLAIN_LEN: usize = 32 + 8 + 32 + 4;

    fn blank(key: [u8; 32]) -> Self {
        Self { script_id: key, balance: 0, coins_hash: [0; 32], transactions: 0 }
    }

    fn key(&self) -> &[u8; 32] {
        &self.script_id
    }

    fn encode_delta(&self, before: &Self, bytes: &mut Vec<u8>) {
        let mut fields = Writer::new(bytes);
        fields.number(1, self.balance.into(), before.balance.into());
        fields.hash(2, &self.coins_hash, &before.coins_hash);
        fields.number(4, self.transactions.into(), before.transactions.into());
    }

    fn decode_delta(before: &Self, bytes: &[u8]) -> Result<Self, ValueError> {
        let mut fields = Reader::new(bytes, 7)?;
        let value = Self {
            script_id: before.script_id,
            balance: fields.number(1, before.balance)?,
            coins_hash: fields.hash(2, &before.coins_hash)?,
            transactions: fields.number(4, before.transactions)?,
        };
        fields.end().map(|()| value)
    }
}

/// Writes what changed, and sets its flag.
struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    flags_at: usize,
}

impl<'a> Writer<'a> {
    fn new(bytes: &'a mut Vec<u8>) -> Self {
        let flags_at = bytes.len();
        bytes.push(0);
        Self { bytes, flags_at }
    }

    fn set(&mut self, flag: u8) {
        if let Some(flags) = self.bytes.get_mut(self.flags_at) {
            *flags |= flag;
        }
    }

    fn number(&mut self, flag: u8, now: u128, before: u128) {
        if now == before {
            return;
        }
        self.set(flag);
        let mut rest = now;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                return self.bytes.push(low);
            }
            self.bytes.push(low | 0x80);
        }
    }

    fn hash(&mut self, flag: u8, now: &[u8; 32], before: &[u8; 32]) {
        if now != before {
            self.set(flag);
            self.bytes.extend_from_slice(now);
        }
    }
}

/// Reads what changed, and takes the rest from before.
struct Reader<'a> {
    flags: u8,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], known: u8) -> Result<Self, ValueError> {
        let (&flags, bytes) = bytes.split_first().ok_or(ValueError::Truncated)?;
        if flags & !known == 0 {
            Ok(Self { flags, bytes })
        } else {
            Err(ValueError::UnknownField { fields: flags })
        }
    }

    fn number<T: TryFrom<u128> + Eq>(&mut self, flag: u8, before: T) -> Result<T, ValueError> {
        if self.flags & flag == 0 {
            return Ok(before);
        }
        let number = T::try_from(self.varint()?).map_err(|_| ValueError::TooLarge)?;
        if number == before { Err(ValueError::NotCanonical) } else { Ok(number) }
    }

    fn varint(&mut self) -> Result<u128, ValueError> {
        let (mut number, mut shift) = (0u128, 0);
        loop {
            let (&byte, rest) = self.bytes.split_first().ok_or(ValueError::Truncated)?;
            self.bytes = rest;
            let part = u128::from(byte & 0x7f);
            // The nineteenth byte has room for two bits.
            if shift > 126 || (shift == 126 && part > 3) {
                return Err(ValueError::TooLarge);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                let needless = byte == 0 && shift > 0;
                return if needless { Err(ValueError::NotCanonical) } else { Ok(number) };
            }
            shift += 7;
        }
    }

    fn hash(&mut self, flag: u8, before: &[u8; 32]) -> Result<[u8; 32], ValueError> {
        if self.flags & flag == 0 {
            return Ok(*before);
        }
        let (hash, rest) = self.bytes.split_first_chunk::<32>().ok_or(ValueError::Truncated)?;
        self.bytes = rest;
        if hash == before { Err(ValueError::NotCanonical) } else { Ok(*hash) }
    }

    fn end(self) -> Result<(), ValueError> {
        match self.bytes.len() {
            0 => Ok(()),
            count => Err(ValueError::TrailingBytes { count }),
        }
    }
}
