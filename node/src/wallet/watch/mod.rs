//! What is watched: addresses, scripts, and descriptors with as many scripts as their gap limit
//! asks for.
//!
//! Invariant: an item's scripts are those of its indices from 0 up to its derived count, for each of
//! its keychains; the count never shrinks. No two items have the same target and account.
//!
//! Who can make it grow: the operator, and whoever pays to addresses near the end of a gap. Both
//! stop at [`MAX_SCRIPTS`].

mod descriptor;
mod error;
mod index;
mod target;
mod watched;

use std::fmt;

use bitcoin::NetworkKind;
use ironlight_spv::{BlockHeight, Network};

pub use error::WatchError;
pub use index::{ScriptIndex, ScriptOwner};
pub use target::{TargetView, WatchTarget};
pub(crate) use watched::WatchedItems;

use super::label::{AccountName, Label};

/// Scripts that are watched at most, of all items together. Matching and memory (about 200 bytes
/// a script) stay small below it.
pub const MAX_SCRIPTS: usize = 100_000;

/// The highest gap limit.
pub const MAX_GAP_LIMIT: u32 = 10_000;

/// The gap limit where none is given (BIP44).
pub const DEFAULT_GAP_LIMIT: u32 = 20;

/// The highest index of a derivation without the private key (BIP32).
pub const MAX_INDEX: u32 = 0x7fff_ffff;

/// Which item: counts from 1 and is never used twice in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u32);

impl fmt::Display for WatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of a descriptor's paths: 0, or its place in `<0;1>` (BIP389).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keychain(pub u8);

/// Unused scripts that are watched behind the last used one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapLimit(u32);

impl GapLimit {
    /// A gap limit.
    ///
    /// # Errors
    /// [`WatchError::GapLimit`] outside of 1 to [`MAX_GAP_LIMIT`].
    pub fn new(scripts: u32) -> Result<Self, WatchError> {
        if (1..=MAX_GAP_LIMIT).contains(&scripts) {
            Ok(Self(scripts))
        } else {
            Err(WatchError::GapLimit { found: scripts, limit: MAX_GAP_LIMIT })
        }
    }

    /// How many scripts.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for GapLimit {
    fn default() -> Self {
        Self(DEFAULT_GAP_LIMIT)
    }
}

/// What somebody wants watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRequest {
    /// What.
    pub target: WatchTarget,
    /// Counted under which name.
    pub account: AccountName,
    /// What it is to its owner.
    pub label: Label,
    /// The first block in which it can appear; blocks below are not looked at for it.
    pub birthday: BlockHeight,
    /// For ranged descriptors.
    pub gap_limit: GapLimit,
}

impl WatchRequest {
    /// Watches a target in the account `default` from a height on.
    #[must_use]
    pub fn new(target: WatchTarget, birthday: BlockHeight) -> Self {
        Self {
            target,
            account: AccountName::default(),
            label: Label::default(),
            birthday,
            gap_limit: GapLimit::default(),
        }
    }

    /// Scripts of each keychain that it asks for.
    pub(crate) fn scripts(&self) -> u32 {
        if self.target.is_ranged() { self.gap_limit.get() } else { 1 }
    }
}

/// Something that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchItem {
    /// Its number.
    pub id: WatchId,
    /// What.
    pub target: WatchTarget,
    /// Counted under which name.
    pub account: AccountName,
    /// What it is to its owner.
    pub label: Label,
    /// The first block in which it can appear.
    pub birthday: BlockHeight,
    /// For ranged descriptors.
    pub gap_limit: GapLimit,
    /// Scripts derived of each keychain: indices 0 up to, not including, this.
    pub derived: Vec<u32>,
}

impl WatchItem {
    /// Its keychains.
    pub fn keychains(&self) -> impl Iterator<Item = Keychain> + use<> {
        (0..self.target.keychains()).map(Keychain)
    }

    /// Scripts derived of a keychain.
    #[must_use]
    pub fn count(&self, keychain: Keychain) -> u32 {
        self.derived.get(usize::from(keychain.0)).copied().unwrap_or(0)
    }

    /// The places of all its scripts.
    pub(crate) fn owners(&self) -> impl Iterator<Item = ScriptOwner> {
        self.keychains().flat_map(move |keychain| {
            let place = move |index| ScriptOwner { watch: self.id, keychain, index };
            (0..self.count(keychain)).map(place)
        })
    }

    /// Scripts that it has, of all its keychains.
    #[must_use]
    pub fn scripts(&self) -> usize {
        let counts = self.derived.iter().map(|count| usize::try_from(*count).unwrap_or(usize::MAX));
        counts.fold(0, usize::saturating_add)
    }
}

/// What a request to watch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchChange {
    /// It is watched from now on.
    Added,
    /// It was watched before, in the same way.
    Unchanged,
    /// It was watched before; its label, an earlier birthday or a higher gap limit is new.
    Updated,
}

/// The answer to a request to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its number.
    pub id: WatchId,
    /// What the request did.
    pub change: WatchChange,
    /// Scripts that were added.
    pub added_scripts: usize,
    /// Where blocks have to be scanned for it, from which height on.
    pub scan_from: Option<BlockHeight>,
}

/// The kind of keys and addresses that a network has.
pub(crate) const fn kind_of(network: Network) -> NetworkKind {
    match network {
        Network::Mainnet => NetworkKind::Main,
        Network::Testnet3 | Network::Testnet4 | Network::Signet | Network::Regtest => {
            NetworkKind::Test
        }
    }
}

/// The network as the `bitcoin` crate names it.
pub(crate) const fn in_bitcoin_crate(network: Network) -> bitcoin::Network {
    match network {
        Network::Mainnet => bitcoin::Network::Bitcoin,
        Network::Testnet3 => bitcoin::Network::Testnet,
        Network::Testnet4 => bitcoin::Network::Testnet4,
        Network::Signet => bitcoin::Network::Signet,
        Network::Regtest => bitcoin::Network::Regtest,
    }
}
