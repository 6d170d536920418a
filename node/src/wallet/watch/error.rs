//! Why something is not watched.

use bitcoin::NetworkKind;
use ironlight_spv::Network;
use thiserror::Error;

use super::WatchId;
use crate::wallet::label::NameError;

/// Why a request to watch something was refused. Nothing has changed then. No message holds a key
/// that was given: what looks like one is left out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The account or label is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The text is no address.
    #[error("this is no address ({reason})")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The address belongs to another network.
    #[error("the address {address} is not one of {network}")]
    AddressNetwork {
        /// The address.
        address: String,
        /// The network of this node.
        network: Network,
    },
    /// The text is no script in hexadecimal.
    #[error("this is no script in hexadecimal ({reason})")]
    ScriptHex {
        /// What is wrong with it.
        reason: String,
    },
    /// No filter holds such a script, so it can never be found.
    #[error("a script that {why} is in no block filter, so it cannot be watched")]
    Unfindable {
        /// What it does.
        why: &'static str,
    },
    /// A script over the size that can be spent.
    #[error("the script has {bytes} bytes; over {limit} no output can be spent")]
    ScriptTooLong {
        /// Its size.
        bytes: usize,
        /// The limit (Core, `script.h`, `MAX_SCRIPT_SIZE`).
        limit: usize,
    },
    /// The descriptor holds a private key.
    #[error(
        "the descriptor holds a private key, which this node must not have: give the one with \
         public keys (Bitcoin Core: `listdescriptors`, without `true`). Where others may have seen \
         what you typed, move the coins to new keys"
    )]
    PrivateKey,
    /// The text is no descriptor that can be watched.
    #[error("this is no descriptor that can be watched ({reason})")]
    Descriptor {
        /// What is wrong with it, without anything that could be a key.
        reason: String,
    },
    /// The text is too long for a descriptor.
    #[error("the descriptor has {bytes} bytes, at most {limit} are read")]
    DescriptorTooLong {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The checksum is that of another text.
    #[error(
        "the checksum of the descriptor is {found}, its text gives {expected}: look for a typing mistake"
    )]
    Checksum {
        /// What stands behind `#`.
        found: String,
        /// What should.
        expected: String,
    },
    /// Its keys are those of another kind of network.
    #[error("the descriptor has keys of {found}, {network} needs those of {}", kind(*network))]
    DescriptorNetwork {
        /// What it has.
        found: &'static str,
        /// The network of this node.
        network: Network,
    },
    /// It asks for private keys to derive its scripts.
    #[error(
        "the descriptor has a hardened step behind a public key ({at}): only the private key could take it"
    )]
    Hardened {
        /// Where.
        at: &'static str,
    },
    /// It has more paths than are watched.
    #[error("the descriptor has {paths} paths, at most {limit} are watched")]
    TooManyPaths {
        /// How many it has.
        paths: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The gap limit is out of range.
    #[error("a gap limit of {found} is outside of 1 to {limit}")]
    GapLimit {
        /// What was asked for.
        found: u32,
        /// The highest.
        limit: u32,
    },
    /// There would be too many scripts.
    #[error(
        "{watched} scripts are watched and this adds {added}, over the {limit} that fit: remove an item or lower the gap limit"
    )]
    TooManyScripts {
        /// How many are watched.
        watched: usize,
        /// How many would come.
        added: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No item has this number.
    #[error("nothing is watched under the number {id}: `watch list` shows what is")]
    Unknown {
        /// The number.
        id: WatchId,
    },
}

/// The kind of keys that a network has.
pub(super) fn kind(network: Network) -> &'static str {
    kind_name(super::kind_of(network))
}

/// The kind of keys, for people.
pub(super) const fn kind_name(kind: NetworkKind) -> &'static str {
    match kind {
        NetworkKind::Main => "mainnet (xpub)",
        NetworkKind::Test => "test networks (tpub)",
    }
}
