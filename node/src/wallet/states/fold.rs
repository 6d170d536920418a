//! From coins to accounts, block by block.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::{OutPoint, Script, Txid};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    Salt, StateCompressor, StateError, StateValue, WalletAccount,
};

use crate::wallet::Wallet;
use crate::wallet::coin::{BlockId, Coin, Place};
use crate::wallet::ledger::Ledger;

/// What an account is found by: SHA-256 of its script.
#[must_use]
pub fn script_id(script: &Script) -> [u8; 32] {
    sha256::Hash::hash(script.as_bytes()).to_byte_array()
}

/// Something that happens to a script's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Made { outpoint: OutPoint, value: u64, position: u32, coinbase: bool },
    Spent { outpoint: OutPoint, value: u64, by: Txid },
}

impl Event {
    fn hash_into(&self, engine: &mut sha256::HashEngine) {
        let (tag, outpoint) = match self {
            Self::Made { outpoint, .. } => (0, outpoint),
            Self::Spent { outpoint, .. } => (1, outpoint),
        };
        engine.input(&[tag]);
        engine.input(outpoint.txid.as_byte_array());
        engine.input(&outpoint.vout.to_le_bytes());
        match self {
            Self::Made { value, position, coinbase, .. } => {
                engine.input(&value.to_le_bytes());
                engine.input(&position.to_le_bytes());
                engine.input(&[u8::from(*coinbase)]);
            }
            Self::Spent { by, .. } => engine.input(by.as_byte_array()),
        }
    }
}

/// What a block does to one script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Touched {
    events: Vec<Event>,
    transactions: u32,
    /// The last transaction that was counted.
    last: Option<Place>,
}

/// A block that changes something for the scripts that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::wallet) struct Block {
    /// Which.
    pub(in crate::wallet) id: BlockId,
    scripts: BTreeMap<[u8; 32], Touched>,
}

impl Block {
    /// What the accounts that it touches are after it, given what they were before.
    pub(in crate::wallet) fn accounts<E>(
        &self,
        mut before: impl FnMut(&[u8; 32]) -> Result<Option<WalletAccount>, E>,
    ) -> Result<Vec<WalletAccount>, E> {
        let height = self.id.height;
        let after = |(key, touched): (&[u8; 32], &Touched)| {
            let before = before(key)?.unwrap_or_else(|| WalletAccount::blank(*key));
            Ok(touched.after(before, height))
        };
        self.scripts.iter().map(after).collect()
    }

    fn add(&mut self, coin: &Coin, place: Place, event: Event) {
        let touched = self.scripts.entry(script_id(&coin.script)).or_default();
        touched.events.push(event);
        if touched.last.replace(place) != Some(place) {
            touched.transactions = touched.transactions.saturating_add(1);
        }
    }
}

impl Touched {
    fn after(&self, before: WalletAccount, height: BlockHeight) -> WalletAccount {
        let mut engine = sha256::Hash::engine();
        engine.input(&before.coins_hash);
        engine.input(&height.0.to_le_bytes());
        let mut balance = before.balance;
        for event in &self.events {
            event.hash_into(&mut engine);
            balance = match event {
                Event::Made { value, .. } => balance.saturating_add(*value),
                Event::Spent { value, .. } => balance.saturating_sub(*value),
            };
        }
        WalletAccount {
            script_id: before.script_id,
            balance,
            coins_hash: sha256::Hash::from_engine(engine).to_byte_array(),
            transactions: before.transactions.saturating_add(self.transactions),
        }
    }
}

/// The blocks of these heights that change something, ascending; coins that do not count are passed
/// over. What is looked at are the transactions of these heights, and no others.
pub(in crate::wallet) fn blocks<'a>(
    ledger: &'a Ledger,
    heights: RangeInclusive<BlockHeight>,
    counts: impl Fn(&Coin) -> bool + 'a,
) -> impl Iterator<Item = Block> + 'a {
    let first = Place { height: *heights.start(), position: 0 };
    let last = Place { height: *heights.end(), position: u32::MAX };
    // An empty range must not reach the map, which panics on it.
    let entries = (first <= last).then(|| ledger.entries().range(first..=last));
    let mut entries = entries.into_iter().flatten().peekable();
    std::iter::from_fn(move || {
        loop {
            let (place, entry) = entries.peek()?;
            let id = BlockId { height: place.height, hash: entry.block };
            let mut block = Block { id, scripts: BTreeMap::new() };
            while let Some((place, entry)) = entries.next_if(|(at, _)| at.height == id.height) {
                add_transaction(&mut block, ledger, (*place, entry.txid), &counts);
            }
            if !block.scripts.is_empty() {
                return Some(block);
            }
        }
    })
}

fn add_transaction(
    block: &mut Block,
    ledger: &Ledger,
    (place, txid): (Place, Txid),
    counts: &impl Fn(&Coin) -> bool,
) {
    // Two old coinbases can have one id (BIP30): only the coin of this place is meant.
    let here = |coin: &Coin| coin.spent.is_some_and(|spend| spend.place == place);
    for (outpoint, coin) in ledger.spent_by(&txid).filter(|(_, coin)| here(coin) && counts(coin)) {
        let (outpoint, value) = (*outpoint, coin.value.to_sat());
        block.add(coin, place, Event::Spent { outpoint, value, by: txid });
    }
    let made = ledger.made_by(txid).filter(|(_, coin)| coin.made == place && counts(coin));
    for (outpoint, coin) in made {
        let (value, position, coinbase) = (coin.value.to_sat(), place.position, coin.coinbase);
        block.add(coin, place, Event::Made { outpoint: *outpoint, value, position, coinbase });
    }
}

/// All accounts at a height, from nothing: linear in transactions.
pub(in crate::wallet) fn accounts_at(
    ledger: &Ledger,
    height: BlockHeight,
    counts: impl Fn(&Coin) -> bool,
) -> BTreeMap<[u8; 32], WalletAccount> {
    let mut accounts: BTreeMap<[u8; 32], WalletAccount> = BTreeMap::new();
    for block in blocks(ledger, BlockHeight::GENESIS..=height, counts) {
        let known = |key: &[u8; 32]| Ok::<_, std::convert::Infallible>(accounts.get(key).cloned());
        let Ok(changed) = block.accounts(known);
        accounts.extend(changed.into_iter().map(|account| (account.script_id, account)));
    }
    accounts
}

/// The state at one height, by itself, under a salt.
///
/// # Errors
/// [`StateError::Full`], which so few accounts do not reach.
pub(in crate::wallet) fn sealed_at(
    ledger: &Ledger,
    height: BlockHeight,
    salt: Salt,
    counts: impl Fn(&Coin) -> bool,
) -> Result<StateCompressor<WalletAccount>, StateError> {
    let mut states = StateCompressor::new(salt);
    accounts_at(ledger, height, counts).into_values().for_each(|account| states.put(account));
    states.seal(height)?;
    Ok(states)
}

impl Wallet {
    /// The blocks of these heights in which something changes for a watched script, ascending.
    pub(in crate::wallet) fn changed_blocks(
        &self,
        heights: RangeInclusive<BlockHeight>,
    ) -> impl Iterator<Item = Block> + '_ {
        blocks(&self.ledger, heights, |_| true)
    }
}
