//! The wallet's states in the store, and what the last file claims.
//!
//! They follow behind the wallet: what a change makes wrong is taken back before the change is
//! committed, and what it adds is sealed after it. So a crash leaves states that are right and end
//! earlier, never wrong ones; how far they are right is known at all times ([`Kept::reach`]), and
//! nothing is answered above it.
//!
//! What grows: a row for each block that touched a watched script, which costs a fee each, and one
//! claim.

mod ask;
mod claims;
mod follow;
mod open;

use std::sync::Arc;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Change, Salt, WalletAccount};

pub(in crate::wallet::service) use open::salt;

pub use ask::{AccountProof, ClaimStatus, Exported, Imported, ScriptAt, StateAt};

use claims::HeldClaim;

use super::handle::WalletError;
use crate::states::{StatesError, StoredStates};
use crate::store::Store;
use crate::wallet::Wallet;
use crate::wallet::states::check_height;

/// The collection of the wallet's own states.
const OWN: &str = "node.wallet";
/// The collection of the last file's.
const CLAIM: &str = "node.claim";

type States = StoredStates<WalletAccount>;

/// See the [module](self).
pub(in crate::wallet) struct Kept {
    store: Arc<dyn Store>,
    /// None where memory was damaged: a restart begins them anew.
    own: Option<States>,
    /// Up to where they are right; nothing is sealed above.
    through: Option<BlockHeight>,
    /// What the last file claims; none where there was no file, or its rows are lost.
    claim: Option<HeldClaim>,
    /// Of collections that begin. Somebody may watch scripts that strangers chose, who could make them so
    /// that their hashes, and thus their paths in the tree, are alike; with a salt they cannot.
    salt: Salt,
}

impl Kept {
    /// Whether there is nothing to wait for before the next start.
    pub(in crate::wallet) const fn is_lost(&self) -> bool {
        self.own.is_none()
    }

    /// Up to which height there are answers.
    pub(in crate::wallet) fn reach(&self, wallet: &Wallet) -> Option<BlockHeight> {
        self.own.as_ref()?;
        let (through, complete) = (self.through?, wallet.complete_to()?);
        Some(through.min(complete))
    }

    /// The states, and which sealed height answers for a height; none of them where nothing was sealed at
    /// or below it.
    ///
    /// # Errors
    /// [`WalletError::NotComplete`], [`WalletError::StatesLost`].
    pub(in crate::wallet) fn at(
        &self,
        wallet: &Wallet,
        height: BlockHeight,
    ) -> Result<(&States, Option<BlockHeight>), WalletError> {
        let own = self.own.as_ref().ok_or(WalletError::StatesLost)?;
        check_height(self.reach(wallet), height)?;
        let sealed = own.newest().map(|newest| newest.min(height));
        Ok((own, sealed.filter(|at| own.oldest().is_some_and(|oldest| oldest <= *at))))
    }

    /// Takes back what is sealed from a height on.
    ///
    /// # Errors
    /// [`StatesError`]
    pub(in crate::wallet) fn take_back(&mut self, from: BlockHeight) -> Result<(), StatesError> {
        let below = from.minus(1);
        let through = self.through.filter(|through| *through >= from);
        if through.is_some() {
            self.through = below;
        }
        let Some(own) = self.own.as_mut() else { return Ok(()) };
        if own.newest().is_none_or(|newest| newest < from) {
            return Ok(());
        }
        match below.filter(|below| own.oldest().is_some_and(|oldest| oldest <= *below)) {
            Some(below) => own.rollback(below),
            None => self.begin_anew(),
        }
    }

    fn begin_anew(&mut self) -> Result<(), StatesError> {
        let salt = self.own.take().map_or(self.salt, |own| own.salt());
        self.through = None;
        crate::states::remove(self.store.as_ref(), OWN)?;
        let (own, _new) = StoredStates::open(&self.store, OWN, salt)?;
        self.own = Some(own);
        Ok(())
    }

    /// Removes what cannot be kept, so that no later start believes it.
    fn give_up(&mut self) -> Result<(), StatesError> {
        (self.own, self.through) = (None, None);
        crate::states::remove(self.store.as_ref(), OWN)
    }

    /// Up to which height there is something to seal.
    pub(super) fn due(&self, wallet: &Wallet) -> Option<BlockHeight> {
        self.own.as_ref()?;
        let is_new =
            |complete: &BlockHeight| self.through.is_none_or(|through| through < *complete);
        wallet.complete_to().filter(is_new)
    }

    /// Seals what the wallet has further, at most so many blocks. Whether there is more.
    ///
    /// # Errors
    /// [`StatesError`]; what was sealed before it is.
    pub(in crate::wallet) fn seal(
        &mut self,
        wallet: &Wallet,
        limit: usize,
    ) -> Result<bool, StatesError> {
        let Some(complete) = self.due(wallet) else { return Ok(false) };
        let Some(own) = self.own.as_mut() else { return Ok(false) };
        let from = self.through.map_or(BlockHeight::GENESIS, BlockHeight::next);
        for (done, block) in wallet.changed_blocks(from..=complete).enumerate() {
            if done == limit {
                return Ok(true);
            }
            let newest = own.newest();
            let before = |key: &[u8; 32]| match newest {
                Some(newest) => own.get(key, newest),
                None => Ok(None),
            };
            let accounts = block.accounts(before)?;
            let height = block.id.height;
            own.seal(height, accounts.into_iter().map(Change::Put), block.id.hash.as_ref())?;
            self.through = Some(height);
        }
        self.through = Some(complete);
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
