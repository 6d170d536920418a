//! What everybody else asks of the states.

use std::sync::{Arc, PoisonError};

use bitcoin::{Amount, BlockHash, Script};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{
    EMPTY_ROOT, Salt, StateCompressor, StateError, StateProof, WalletAccount,
};

use super::{Kept, States, claims};
use crate::wallet::claim::{Claim, ClaimVerdict, Difference};
use crate::wallet::file::{FileId, FileItem, WalletFile};
use crate::wallet::service::commands::Command;
use crate::wallet::service::handle::{Shared, WalletError, WalletHandle, off_async};
use crate::wallet::states::{NotComplete, TotalsAt, check_at_tip, script_id, sealed_at};
use crate::wallet::watch::Watched;
use crate::wallet::{BlockId, Wallet};

/// What the wallet had after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAt {
    /// The block.
    pub block: BlockId,
    /// The root of the state: two wallets with the same scripts, blocks and salt have the same.
    pub root: [u8; 32],
    /// What it had in all, and by account.
    pub totals: TotalsAt,
}

/// What a script had after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptAt {
    /// The block.
    pub block: BlockId,
    /// Its account; none where it was not paid to before.
    pub account: Option<WalletAccount>,
}

/// A script's account after a block, with the proof that it is in the state, or that it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The block.
    pub block: BlockId,
    /// What it is found by: SHA-256 of the script.
    pub key: [u8; 32],
    /// The root that it is proven against.
    pub root: [u8; 32],
    /// Whoever checks the proof needs it.
    pub salt: Salt,
    /// `proof.verify(&root, &key, &salt)` says whether the account is there.
    pub proof: StateProof<WalletAccount>,
}

/// What the last file claims, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimStatus {
    /// The claim.
    pub claim: Claim,
    /// What its scripts have together, as it claims; none where its state is lost and the file has to be
    /// imported again.
    pub balance: Option<Amount>,
    /// How many scripts it has accounts of.
    pub scripts: u32,
}

/// A wallet's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// What it says.
    pub bytes: Vec<u8>,
    /// The block whose state it has.
    pub block: BlockId,
    /// The state's root: compare it with what another wallet says.
    pub root: [u8; 32],
    /// Items that it watches.
    pub items: usize,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The block whose state the file has.
    pub block: BlockId,
    /// The root of that state.
    pub root: [u8; 32],
    /// What the requests to watch did, in the file's order.
    pub watched: Vec<Watched>,
    /// What is known of the file's state.
    pub verdict: ClaimVerdict,
}

/// The states as they answer for a block: all that is read of one is of one branch.
struct At<'a> {
    block: BlockId,
    wallet: &'a Wallet,
    own: &'a States,
    /// Which sealed height answers; none where nothing was sealed at or below the block.
    sealed: Option<BlockHeight>,
}

impl At<'_> {
    fn root(&self) -> Result<[u8; 32], StateError> {
        self.sealed.map_or(Ok(EMPTY_ROOT), |at| self.own.root_at(at))
    }

    fn account(&self, key: &[u8; 32]) -> Result<Option<WalletAccount>, StateError> {
        self.sealed.map_or(Ok(None), |at| self.own.get(key, at))
    }

    fn state(&self) -> Result<StateAt, StateError> {
        let height = self.sealed.unwrap_or(self.block.height);
        let totals = self.wallet.totals_at(height, |key| self.account(key))?;
        Ok(StateAt { block: self.block, root: self.root()?, totals })
    }

    fn prove(&self, key: [u8; 32]) -> Result<AccountProof, StateError> {
        let (block, root, salt) = (self.block, self.root()?, self.own.salt());
        let proof = match self.sealed {
            Some(at) => self.own.prove(&key, at)?,
            None => {
                let mut empty = StateCompressor::new(salt);
                empty.seal(block.height)?;
                empty.prove(&key, block.height)?
            }
        };
        Ok(AccountProof { block, key, root, salt, proof })
    }
}

/// The best chain's block at a height, as long as the wallet stays where it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Of the wallet; it was on that chain.
    tip: BlockId,
    hash: BlockHash,
}

impl Seen {
    /// The block, if the wallet is on its branch still.
    pub(super) fn block(self, wallet: &Wallet) -> Option<BlockHash> {
        (wallet.tip() == Some(self.tip)).then_some(self.hash)
    }
}

impl Shared {
    /// The best chain's block at a height, where the wallet is on that chain. Chain and wallet are taken in
    /// the order in which whoever follows a reorg takes them.
    pub(super) fn seen(&self, height: BlockHeight) -> Option<Seen> {
        self.chain.read(|chain| {
            let tip = self.read(Wallet::tip)?;
            let on_chain = chain.hash_at(tip.height) == Some(tip.hash);
            let hash = chain.hash_at(height).filter(|_| on_chain)?;
            Some(Seen { tip, hash })
        })
    }

    /// Reads the states, and the wallet that they are of.
    pub(in crate::wallet::service) fn with_kept<T>(
        &self,
        read: impl FnOnce(&Wallet, &Kept) -> T,
    ) -> T {
        // The wallet first, always: whoever seals takes both.
        self.read(|wallet| read(wallet, &self.kept.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Asks the states of a height whose block is on the best chain, as the wallet is.
    fn ask<T>(
        &self,
        height: BlockHeight,
        ask: impl FnOnce(&At<'_>) -> Result<T, WalletError>,
    ) -> Result<T, WalletError> {
        let seen = self.seen(height);
        self.with_kept(|wallet, kept| {
            let (own, sealed) = kept.at(wallet, height)?;
            let hash = seen.and_then(|seen| seen.block(wallet));
            let hash = hash.ok_or_else(|| NotComplete { height, complete: kept.reach(wallet) })?;
            ask(&At { block: BlockId { height, hash }, wallet, own, sealed })
        })
    }
}

impl WalletHandle {
    /// Up to which height the wallet's history is complete and sealed: every script was looked for up to
    /// there. None where it is nowhere.
    #[must_use]
    pub fn complete_to(&self) -> Option<BlockHeight> {
        self.0.complete_to()
    }

    /// Waits until the history is complete and sealed up to a height. Cancel safe.
    ///
    /// # Errors
    /// [`WalletError::StatesLost`] where that will not be before the next start;
    /// [`WalletError::Stopped`].
    pub async fn complete(&self, height: BlockHeight) -> Result<(), WalletError> {
        let status = self.when(|status| status.answer_at(height).is_some()).await?;
        status.answer_at(height).unwrap_or(Ok(()))
    }

    /// What the wallet had after the block of a height. Linear in the scripts that are watched: about
    /// 4 us each.
    ///
    /// # Errors
    /// [`WalletError::NotComplete`] above [`complete_to`](Self::complete_to);
    /// [`WalletError::StatesLost`].
    pub fn state_at(&self, height: BlockHeight) -> Result<StateAt, WalletError> {
        self.0.ask(height, |at| Ok(at.state()?))
    }

    /// The same, and what one script had after the same block.
    ///
    /// # Errors
    /// As [`state_at`](Self::state_at).
    pub fn state_and_account_at(
        &self,
        script: &Script,
        height: BlockHeight,
    ) -> Result<(StateAt, Option<WalletAccount>), WalletError> {
        let key = script_id(script);
        self.0.ask(height, |at| Ok((at.state()?, at.account(&key)?)))
    }

    /// What a script had after the block of a height.
    ///
    /// # Errors
    /// As [`state_at`](Self::state_at).
    pub fn account_at(
        &self,
        script: &Script,
        height: BlockHeight,
    ) -> Result<ScriptAt, WalletError> {
        let key = script_id(script);
        self.0.ask(height, |at| Ok(ScriptAt { block: at.block, account: at.account(&key)? }))
    }

    /// The same with its proof, which says as well that a script had nothing.
    ///
    /// # Errors
    /// As [`state_at`](Self::state_at).
    pub fn prove_at(
        &self,
        script: &Script,
        height: BlockHeight,
    ) -> Result<AccountProof, WalletError> {
        let key = script_id(script);
        self.0.ask(height, |at| Ok(at.prove(key)?))
    }

    /// What the last file that was imported claims, and what became of it.
    #[must_use]
    pub fn claim(&self) -> Option<ClaimStatus> {
        self.0.with_kept(claims::status)
    }

    /// What the last file claims of a script at its height; nothing of it is verified before the
    /// claim is proven.
    #[must_use]
    pub fn claimed(&self, script: &Script) -> Option<WalletAccount> {
        let key = script_id(script);
        self.0.with_kept(|wallet, kept| {
            let (claim, held) = kept.claimed(wallet)?;
            held.states.get(&key, claim.block.height).ok().flatten()
        })
    }

    /// Drops the claim of the last file, whatever became of it, and says of which block it was; what the
    /// file brought is watched on. Given up, it may have been done or not.
    ///
    /// # Errors
    /// [`WalletError::NoClaim`] where there is none.
    pub async fn forget_claim(&self) -> Result<BlockId, WalletError> {
        self.tell(|answer| Command::ForgetClaim { answer }).await
    }

    /// In which scripts the last file differs from what the blocks gave; none where it does not. Linear in
    /// the wallet's transactions. Cancel safe.
    ///
    /// # Errors
    /// [`WalletError::NotComparable`] where that cannot be told yet.
    pub async fn claim_differences(&self) -> Result<Vec<Difference>, WalletError> {
        let shared = Arc::clone(&self.0);
        off_async(move || claims::differences(&shared)).await
    }

    /// The wallet as one file: what it watches, and what it had after the block of a height, or of
    /// the tip. Cancel safe.
    ///
    /// # Errors
    /// [`WalletError::Behind`] without a height, where the history is not complete up to the tip;
    /// [`WalletError`]
    pub async fn export(&self, height: Option<BlockHeight>) -> Result<Exported, WalletError> {
        let shared = Arc::clone(&self.0);
        off_async(move || shared.export(height)).await
    }

    /// Watches what a file has, and keeps its state as a claim until the blocks were looked at. A file is
    /// checked whole before anything is changed. The same file again changes nothing but what
    /// is missing. Given up, it may have been done or not.
    ///
    /// # Errors
    /// [`WalletError::File`] where it is no wallet file of this network; [`WalletError::Import`] where
    /// it is refused.
    pub async fn import(&self, bytes: Vec<u8>) -> Result<Imported, WalletError> {
        let params = self.0.chain.read(|chain| chain.params().clone());
        let decoded = off_async(move || Ok(WalletFile::decode(&bytes, &params)?)).await;
        let (file, id): (WalletFile, FileId) = decoded?;
        let file = Box::new(file);
        self.tell(|answer| Command::Import { file, id, answer }).await
    }
}

impl Shared {
    pub(in crate::wallet::service) fn complete_to(&self) -> Option<BlockHeight> {
        self.with_kept(|wallet, kept| kept.reach(wallet))
    }

    fn export(&self, height: Option<BlockHeight>) -> Result<Exported, WalletError> {
        let complete = self.read(Wallet::complete_to);
        let height = match height {
            Some(height) => height,
            None => check_at_tip(complete, self.chain.tip().height)?,
        };
        let seen = self.seen(height);
        let file = self.with_kept(|wallet, kept| {
            let own = kept.own.as_ref().ok_or(WalletError::StatesLost)?;
            wallet.check_complete(height)?;
            let hash = seen.and_then(|seen| seen.block(wallet));
            let hash = hash.ok_or(NotComplete { height, complete })?;
            let state = sealed_at(&wallet.ledger, height, own.salt(), |_| true)?;
            let (block, items) =
                (BlockId { height, hash }, wallet.watches().map(FileItem::of).collect());
            Ok::<_, WalletError>(WalletFile { block, items, state })
        })?;
        let params = self.chain.read(|chain| chain.params().clone());
        let (bytes, root) = (file.encode(&params)?, file.root()?);
        Ok(Exported { bytes, block: file.block, root, items: file.items.len() })
    }
}
