//! Why a file is no wallet.

use ironlight_spv::compress::state::{ImportError, StateError};
use ironlight_spv::{BlockHeight, Network};
use thiserror::Error;

use crate::wallet::label::NameError;
use crate::wallet::watch::WatchError;

/// Why a file was refused, or cannot be written. Places count bytes from the file's begin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is no wallet file at all.
    #[error("it does not begin as a wallet file does: `ironlight wallet export` makes one")]
    NoWallet,
    /// It has a later form.
    #[error("it has version {got} of the form, this program knows version {known}")]
    Version {
        /// Its version.
        got: u16,
        /// What is known.
        known: u16,
    },
    /// It is of another network.
    #[error("it is of the network with the magic {}, not of {network}", crate::store::hex(got))]
    Network {
        /// Its network's magic.
        got: [u8; 4],
        /// The one that was asked for.
        network: Network,
    },
    /// It is larger than any can be.
    #[error("it has {bytes} bytes, at most {limit} are taken")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// More items than a file may have.
    #[error("a file has at most {limit} watched items, not {count}")]
    TooManyItems {
        /// How many it has.
        count: usize,
        /// How many may be.
        limit: usize,
    },
    /// Its items ask for more scripts than a file may.
    #[error(
        "the items of a file ask for at most {limit} scripts in all, not for {scripts} or more"
    )]
    TooManyScripts {
        /// How many they ask for, up to the first item that is too much.
        scripts: usize,
        /// How many they may.
        limit: usize,
    },
    /// It ends too early.
    #[error("it ends inside what begins at byte {at}")]
    Truncated {
        /// Where that begins.
        at: usize,
    },
    /// An item cannot be watched.
    #[error("item {index}, at byte {at}, cannot be watched")]
    Item {
        /// Which, from 1.
        index: u32,
        /// Where it begins.
        at: usize,
        /// Why.
        source: ItemFault,
    },
    /// Two items watch the same for the same account.
    #[error("item {index}, at byte {at}, watches what one before it does")]
    Twice {
        /// The second, from 1.
        index: u32,
        /// Where it begins.
        at: usize,
    },
    /// The state cannot be read.
    #[error("the state at byte {at}")]
    State {
        /// Where the state begins; the cause counts from there.
        at: usize,
        /// Why.
        source: ImportError,
    },
    /// The state is of another height than the file.
    #[error("the state at byte {at} is of height {got}, the file of {expected}")]
    StateHeight {
        /// Where the state begins.
        at: usize,
        /// The height of the state.
        got: BlockHeight,
        /// That of the file.
        expected: BlockHeight,
    },
    /// What is there is not what was written.
    #[error("the checksum at byte {at} does not fit: the file is damaged")]
    Checksum {
        /// Where it begins.
        at: usize,
    },
    /// Something follows the end.
    #[error("bytes follow its end at byte {at}")]
    Trailing {
        /// Where they begin.
        at: usize,
    },
    /// There is no state to write.
    #[error("there is no state to write")]
    NoState(#[from] StateError),
}

/// Why an item cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ItemFault {
    /// It ends too early, or has no known form.
    #[error("its bytes are no item")]
    Form,
    /// Its account or label is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Its counts of derived scripts are those of no item.
    #[error("it does not have as many derived scripts of each keychain as can be")]
    Derived,
    /// A descriptor in another form than the canonical one.
    #[error("it is not in its canonical form")]
    NotCanonical,
}
