//! What is kept is opened, and nothing is believed that is not on the wallet's branch.

use std::sync::Arc;

use bitcoin::hashes::{Hash as _, sha256};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::Salt;
use tracing::warn;

use super::claims::HeldClaim;
use super::{CLAIM, Kept, OWN, States};
use crate::states::{Opening, StatesError, StoredStates};
use crate::store::Store;
use crate::wallet::Wallet;
use crate::wallet::coin::BlockId;

/// The salt of collections that begin, from a number that nobody foresees.
pub(in crate::wallet::service) fn salt(seed: u64) -> Salt {
    let seed = [&b"ironlight wallet states"[..], &seed.to_le_bytes()].concat();
    Salt::Bytes(sha256::Hash::hash(&seed).to_byte_array())
}

impl Kept {
    /// Opens what is stored of a wallet that was loaded; the notes say what was damaged. It blocks.
    ///
    /// # Errors
    /// [`StatesError`] where the store fails.
    pub(in crate::wallet) fn open(
        store: &Arc<dyn Store>,
        wallet: &Wallet,
        salt: Salt,
    ) -> Result<(Self, Vec<String>), StatesError> {
        let mut notes = Vec::new();
        let own = open(store, OWN, salt, &mut notes)?;
        let through = own.newest();
        let claim = match wallet.claim() {
            Some(_) => Some(HeldClaim::new(open(store, CLAIM, salt, &mut notes)?)?),
            None => None,
        };
        let store = Arc::clone(store);
        let mut kept = Self { store, own: Some(own), through, claim, salt };
        kept.keep_branch(wallet)?;
        kept.check_claim(wallet, &mut notes);
        notes.iter().for_each(|note| warn!("{note}"));
        Ok((kept, notes))
    }

    /// Closes both collections, as the process's end does.
    #[cfg(test)]
    pub(in crate::wallet) fn close(&mut self) {
        (self.own, self.claim) = (None, None);
    }

    /// Takes back what the wallet has not, or has of other blocks.
    fn keep_branch(&mut self, wallet: &Wallet) -> Result<(), StatesError> {
        let Some((own, newest)) = self.own.as_ref().and_then(|own| Some((own, own.newest()?)))
        else {
            return Ok(());
        };
        let blocks = wallet.changed_blocks(BlockHeight::GENESIS..=newest).map(|block| block.id);
        let mut sealed = own.sealed();
        let is_sealed = |block: &BlockId| {
            let hash: &[u8; 32] = block.hash.as_ref();
            sealed.next() == Some((block.height, &hash[..]))
        };
        let last = blocks.take_while(is_sealed).last().map(|block| block.height);
        drop(sealed);
        if last == Some(newest) {
            return Ok(());
        }
        self.take_back(last.map_or(BlockHeight::GENESIS, BlockHeight::next))
    }

    /// A state that is not the one that the wallet's record names is of no use.
    fn check_claim(&mut self, wallet: &Wallet, notes: &mut Vec<String>) {
        let Some(claim) = wallet.claim() else { return };
        if self.claimed(wallet).is_none() {
            self.claim = None;
            notes.push(format!(
                "the state that a file claimed for height {} is lost: import the file again",
                claim.block.height
            ));
        }
    }
}

/// A collection; one that cannot be read is begun anew.
fn open(
    store: &Arc<dyn Store>,
    name: &str,
    salt: Salt,
    notes: &mut Vec<String>,
) -> Result<States, StatesError> {
    match StoredStates::open(store, name, salt) {
        Ok((states, opening)) => {
            if let Opening::Cut(cut) = opening {
                notes.push(format!("the states {name}: {cut}"));
            }
            Ok(states)
        }
        Err(error @ (StatesError::Lost { .. } | StatesError::OtherKind { .. })) => {
            notes.push(error.to_string());
            crate::states::remove(store.as_ref(), name)?;
            Ok(StoredStates::open(store, name, salt)?.0)
        }
        Err(error) => Err(error),
    }
}
