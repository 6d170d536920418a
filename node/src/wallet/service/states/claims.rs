//! What the last file claims.

use bitcoin::{Amount, BlockHash};
use ironlight_spv::compress::state::Importer;

use super::{CLAIM, ClaimStatus, Kept, States};
use crate::chain::Phase;
use crate::states::{StatesError, StoredStates};
use crate::wallet::Wallet;
use crate::wallet::claim::{Claim, ClaimBlock, ClaimVerdict, Comparison, Difference};
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
        if let Some(held) = self.claim.as_mut() {
            // An import that fails leaves them as they were.
            held.states.import(importer, &id.0)?;
            held.totals = Totals::of(&held.states)?;
            return Ok(());
        }
        // Rows that are of no use may be left of one that was lost.
        crate::states::remove(self.store.as_ref(), CLAIM)?;
        let mut states = StoredStates::open(&self.store, CLAIM, self.salt)?.0;
        states.import(importer, &id.0)?;
        self.claim = Some(HeldClaim::new(states)?);
        Ok(())
    }

    /// Removes the state of a claim that is forgotten.
    ///
    /// # Errors
    /// [`StatesError`]
    pub(super) fn forget_claim(&mut self) -> Result<(), StatesError> {
        self.claim = None;
        crate::states::remove(self.store.as_ref(), CLAIM)
    }

    /// The wallet's claim with its state: the only way to it. Between the commit of a new state and
    /// that of its record they are of two files, and then there is none.
    pub(super) fn claimed<'a>(&'a self, wallet: &'a Wallet) -> Option<(&'a Claim, &'a HeldClaim)> {
        let (claim, held) = wallet.claim().zip(self.claim.as_ref())?;
        let height = claim.block.height;
        let is_its =
            held.states.newest() == Some(height) && held.states.root_at(height) == Ok(claim.root);
        is_its.then_some((claim, held))
    }

    /// The claim is proven, and says so itself.
    ///
    /// # Errors
    /// [`StatesError`]
    pub(super) fn prove_claim(&mut self, root: &[u8; 32]) -> Result<(), StatesError> {
        match self.claim.as_mut() {
            // A crash after this, and before the wallet's record says so, must not refuse it.
            Some(held) if held.states.claim().is_some() => held.states.mark_proven(root),
            Some(_) | None => Ok(()),
        }
    }
}

/// The state of a file, and what it adds up to.
pub(super) struct HeldClaim {
    pub(super) states: States,
    totals: Totals,
}

/// Added up once, since everybody who asks is told.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    balance: Amount,
    scripts: u32,
}

impl HeldClaim {
    pub(super) fn new(states: States) -> Result<Self, StatesError> {
        let totals = Totals::of(&states)?;
        Ok(Self { states, totals })
    }
}

impl Totals {
    fn of(states: &States) -> Result<Self, StatesError> {
        let Some(height) = states.newest() else { return Ok(Self::default()) };
        let (mut balance, mut scripts) = (0_u64, 0_u32);
        for account in states.values(height)? {
            balance = balance.saturating_add(account?.balance);
            scripts = scripts.saturating_add(1);
        }
        Ok(Self { balance: Amount::from_sat(balance), scripts })
    }
}

/// What is claimed, in short.
pub(super) fn status(wallet: &Wallet, kept: &Kept) -> Option<ClaimStatus> {
    let claim = wallet.claim()?.clone();
    let totals = kept.claimed(wallet).map(|(_, held)| held.totals);
    let (balance, scripts) = (totals.map(|of| of.balance), totals.map_or(0, |of| of.scripts));
    Some(ClaimStatus { claim, balance, scripts })
}

/// What a new file may do with the claim that there is.
pub(super) fn block(shared: &Shared) -> ClaimBlock {
    let Some(claimed) = shared.read(|wallet| wallet.claim().map(|claim| claim.block)) else {
        return ClaimBlock::Expected;
    };
    let synced = shared.chain.status().phase == Phase::Synced;
    match shared.chain.read(|chain| chain.hash_at(claimed.height)) {
        Some(best) if best == claimed.hash => ClaimBlock::Expected,
        None if !synced => ClaimBlock::Expected,
        Some(_) | None => ClaimBlock::Elsewhere,
    }
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
            let comparable = |claim: &Claim| wallet.check_comparable(claim, best).is_ok();
            kept.claimed(wallet).is_some_and(|(claim, _)| comparable(claim))
        })
}

/// Compares the claim with what the blocks gave.
pub(super) fn compare(shared: &Shared) -> Result<Comparison, WalletError> {
    with_best(shared, |wallet, kept, best| {
        let (claim, held) = kept.claimed(wallet).ok_or(WalletError::NoClaim)?;
        let state = held.states.compressor();
        state.verify().map_err(StatesError::from)?;
        Ok(wallet.compare(claim, state, best)?)
    })
}

pub(super) fn differences(shared: &Shared) -> Result<Vec<Difference>, WalletError> {
    Ok(match compare(shared)? {
        Comparison::Same => Vec::new(),
        Comparison::Differs(differences) => differences,
    })
}
