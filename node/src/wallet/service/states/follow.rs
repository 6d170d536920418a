//! The wallet's task keeps the states behind the wallet.

use std::sync::{Arc, PoisonError};

use tracing::{debug, error, warn};

use super::{Imported, Kept, claims};
use crate::states::StatesError;
use crate::store::StoreError;
use crate::tasks::blocking;
use crate::wallet::claim::{ClaimVerdict, Comparison};
use crate::wallet::file::{FileId, WalletFile};
use crate::wallet::plan::Effects;
use crate::wallet::service::handle::{Shared, WalletError};
use crate::wallet::service::task::WalletTask;
use crate::wallet::{BlockId, Wallet, WalletEvent};

/// Blocks that are sealed before commands are looked at again.
const AT_ONCE: usize = 64;

impl Shared {
    /// Changes the states; the wallet stays as it is meanwhile.
    fn change_kept<T>(&self, change: impl FnOnce(&Wallet, &mut Kept) -> T) -> T {
        self.read(|wallet| {
            change(wallet, &mut self.kept.write().unwrap_or_else(PoisonError::into_inner))
        })
    }
}

impl WalletTask {
    /// Takes back what a change makes wrong, before it is committed.
    pub(in crate::wallet::service) async fn take_back(
        &mut self,
        effects: &Effects,
    ) -> Result<(), StoreError> {
        let Some(from) = self.shared.read(|wallet| wallet.lowest_change(effects)) else {
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        let taken = blocking(move || shared.change_kept(|_, kept| kept.take_back(from))).await;
        self.or_give_up(taken, ()).await
    }

    /// Seals what the wallet has further. Whether there is more to do.
    pub(in crate::wallet::service) async fn seal(&mut self) -> Result<bool, StoreError> {
        if self.shared.with_kept(|wallet, kept| kept.due(wallet).is_none()) {
            return Ok(false);
        }
        let shared = Arc::clone(&self.shared);
        let seal = move || shared.change_kept(|wallet, kept| kept.seal(wallet, AT_ONCE));
        let sealed = blocking(seal).await;
        self.or_give_up(sealed, false).await
    }

    /// A store that fails ends the node. Whatever else is wrong is wrong in memory: what is stored is
    /// removed, so that a restart begins anew with what is right.
    async fn or_give_up<T>(
        &self,
        done: Result<T, StatesError>,
        otherwise: T,
    ) -> Result<T, StoreError> {
        let error = match done {
            Ok(done) => return Ok(done),
            Err(StatesError::Store(error)) => return Err(error),
            Err(error) => error,
        };
        error!(%error, "the wallet's states are lost until the next start");
        let shared = Arc::clone(&self.shared);
        match blocking(move || shared.change_kept(|_, kept| kept.give_up())).await {
            Ok(()) => Ok(otherwise),
            Err(StatesError::Store(error)) => Err(error),
            Err(error) => {
                error!(%error, "they cannot be removed");
                Ok(otherwise)
            }
        }
    }

    /// Compares the claim of a file with what the blocks gave, once that is known.
    pub(in crate::wallet::service) async fn decide_claim(&mut self) -> Result<(), StoreError> {
        if !claims::is_due(&self.shared) {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let verdict = match blocking(move || claims::compare(&shared)).await {
            Ok(Comparison::Same) => ClaimVerdict::Proven,
            Ok(Comparison::Differs(scripts)) => {
                ClaimVerdict::Refuted { scripts: u32::try_from(scripts.len()).unwrap_or(u32::MAX) }
            }
            Err(error) => {
                debug!(%error, "a claim cannot be compared yet");
                return Ok(());
            }
        };
        let planned = self.shared.read(|wallet| {
            let claim = wallet.claim().map(|claim| (claim.block, claim.root));
            claim.zip(wallet.plan_verdict(verdict).ok())
        });
        let Some(((block, root), planned)) = planned else { return Ok(()) };
        if verdict == ClaimVerdict::Proven {
            let shared = Arc::clone(&self.shared);
            let prove = move || shared.change_kept(|_, kept| kept.prove_claim(&root));
            match blocking(prove).await {
                Ok(()) => {}
                Err(StatesError::Store(error)) => return Err(error),
                Err(error) => warn!(%error, "the claim is proven, and cannot be marked so"),
            }
        }
        self.make(planned).await?;
        self.tell(&WalletEvent::ClaimDecided { block, verdict });
        Ok(())
    }

    /// Drops the claim.
    pub(in crate::wallet::service) async fn forget_claim(
        &mut self,
    ) -> Result<Result<BlockId, WalletError>, StoreError> {
        let planned = self.shared.read(Wallet::plan_forget_claim);
        let block = match self.answer(planned).await? {
            Ok(block) => block,
            Err(error) => return Ok(Err(error)),
        };
        // After the record: a state without one is removed at the next import, and shown to nobody.
        let shared = Arc::clone(&self.shared);
        match blocking(move || shared.change_kept(|_, kept| kept.forget_claim())).await {
            Err(StatesError::Store(error)) => Err(error),
            done => Ok(done.map(|()| block).map_err(WalletError::from)),
        }
    }

    /// Watches what a file has, and keeps its state.
    pub(in crate::wallet::service) async fn import(
        &mut self,
        file: Box<WalletFile>,
        id: FileId,
    ) -> Result<Result<Imported, WalletError>, StoreError> {
        self.begin_at_tip().await?;
        let shared = Arc::clone(&self.shared);
        // Descriptors take a while.
        let planning = move || {
            let block = claims::block(&shared);
            let planned = shared.read(|wallet| wallet.plan_import(&file, id, block));
            // First the state: a record without one would be of no use.
            let kept =
                planned.is_ok().then(|| shared.change_kept(|_, kept| kept.take_claim(&file, id)));
            let root = file.root();
            (planned, kept, file.block, root)
        };
        let (planned, kept, block, root) = blocking(planning).await;
        match kept {
            Some(Err(StatesError::Store(error))) => return Err(error),
            Some(Err(error)) => return Ok(Err(error.into())),
            Some(Ok(())) | None => {}
        }
        let watched = match self.answer(planned).await? {
            Ok(watched) => watched,
            Err(error) => return Ok(Err(error)),
        };
        if watched.iter().any(|watched| watched.scan_from.is_some()) {
            self.to_be_scanned();
        }
        let verdict = self.shared.read(|wallet| wallet.claim().map(|claim| claim.verdict));
        let verdict = verdict.unwrap_or(ClaimVerdict::Open);
        let root = root.map_err(WalletError::from);
        Ok(root.map(|root| Imported { block, root, watched, verdict }))
    }
}
