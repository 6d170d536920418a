//! What the last file claims.

use bitcoin::{Amount, BlockHash};
use ironlight_spv::compress::state::{
    ImportError, Importer, StateCompressor, StateError, WalletAccount,
};

use super::{CLAIM, ClaimStatus, Kept};
use crate::states::{StatesError, StoredStates};
use crate::wallet::Wallet;
use crate::wallet::claim::{ClaimVerdict, Comparison, Difference};
use crate::wallet::file::{FileId, WalletFile};
use crate::wallet::service::handle::{Shared, WalletError};
use crate::wallet::watch::MAX_SCRIPTS;

impl Kept {
    /// Keeps the state of a file as the claim, in place of the one before.
    ///
    /// # Errors
    /// [`StatesError`]
    pub(super) fn take_claim(&mut self, file: &WalletFile, id: FileId) -> Result<(), StatesError> {
        let mut importer = Importer::new(u32::try_from(MAX_SCRIPTS).unwrap_or(u32::MAX));
        for piece in file.state.export(file.block.height)? {
            importer.push(&piece?)?;
        }
        let mut claim = match self.claim.take() {
            Some(claim) => claim,
            None => {
                // Rows that are of no use may be left of one that was lost.
                crate::states::remove(self.store.as_ref(), CLAIM)?;
                StoredStates::open(&self.store, CLAIM, self.salt)?.0
            }
        };
        claim.import(importer, &id.0)?;
        self.claim = Some(claim);
        Ok(())
    }

    /// The claim is proven, and says so itself.
    ///
    /// # Errors
    /// [`StatesError`]
    pub(super) fn prove_claim(&mut self, root: &[u8; 32]) -> Result<(), StatesError> {
        match self.claim.as_mut() {
            // A crash after this, and before the wallet's record says so, must not refuse it.
            Some(claim) if claim.claim().is_some() => claim.mark_proven(root),
            Some(_) | None => Ok(()),
        }
    }

    /// The state that is claimed, by itself.
    fn claimed_state(&self) -> Option<Result<StateCompressor<WalletAccount>, ImportError>> {
        let claim = self.claim.as_ref()?;
        Some(copied(claim))
    }
}

fn copied(
    states: &StoredStates<WalletAccount>,
) -> Result<StateCompressor<WalletAccount>, ImportError> {
    let height = states.newest().ok_or(StateError::NothingSealed)?;
    let mut importer = Importer::new(u32::MAX);
    for piece in states.export(height)? {
        importer.push(&piece?)?;
    }
    importer.finish()
}

/// What is claimed, in short.
pub(super) fn status(wallet: &Wallet, kept: &Kept) -> Option<ClaimStatus> {
    let claim = wallet.claim()?.clone();
    let state = kept.claimed_state().and_then(Result::ok);
    let height = claim.block.height;
    let values = state.as_ref().and_then(|state| state.values(height).ok());
    let Some(values) = values else {
        return Some(ClaimStatus { claim, balance: None, scripts: 0 });
    };
    let (mut balance, mut scripts) = (0_u64, 0_u32);
    for account in values.map_while(Result::ok) {
        balance = balance.saturating_add(account.balance);
        scripts = scripts.saturating_add(1);
    }
    Some(ClaimStatus { claim, balance: Some(Amount::from_sat(balance)), scripts })
}

/// Reads the wallet with the best chain's block at the height of the claim.
fn with_best<T>(shared: &Shared, read: impl FnOnce(&Wallet, &Kept, Option<BlockHash>) -> T) -> T {
    let height = shared.read(|wallet| wallet.claim().map(|claim| claim.block.height));
    let seen = shared.seen(height.unwrap_or_default());
    shared.with_kept(|wallet, kept| read(wallet, kept, seen.and_then(|seen| seen.block(wallet))))
}

/// Whether there is an open claim that can be compared now.
pub(super) fn is_due(shared: &Shared) -> bool {
    let open =
        |wallet: &Wallet| wallet.claim().is_some_and(|claim| claim.verdict == ClaimVerdict::Open);
    shared.read(open)
        && with_best(shared, |wallet, kept, best| {
            let comparable = |claim| wallet.check_comparable(claim, best).is_ok();
            kept.claim.is_some() && wallet.claim().is_some_and(comparable)
        })
}

/// Compares the claim with what the blocks gave.
pub(super) fn compare(shared: &Shared) -> Result<Comparison, WalletError> {
    with_best(shared, |wallet, kept, best| {
        let claimed = wallet.claim().zip(kept.claimed_state());
        let (claim, state) = claimed.ok_or(WalletError::NoClaim)?;
        let state = state.map_err(StatesError::from)?;
        Ok(wallet.compare(claim, &state, best)?)
    })
}

pub(super) fn differences(shared: &Shared) -> Result<Vec<Difference>, WalletError> {
    Ok(match compare(shared)? {
        Comparison::Same => Vec::new(),
        Comparison::Differs(differences) => differences,
    })
}
