//! What the handle has of the wallet; the rest is on [`WalletHandle`].

use bitcoin::Transaction;
use ironlight_spv::BlockHeight;

use super::NodeHandle;
use super::error::{
    BroadcastFailed, CallFailed, FeeRateFailed, RescanFailed, UnwatchFailed, WatchFailed,
};
use crate::wallet::broadcast::Submitted;
use crate::wallet::fees::FeeEstimate;
use crate::wallet::service::{WalletError, WalletHandle};
use crate::wallet::watch::{WatchId, WatchRequest, Watched};
use crate::wallet::{AccountName, Balance, HistoryPage, Place, Unwatched, Utxo};

impl NodeHandle {
    /// The wallet itself, for what has no method here.
    #[must_use]
    pub fn wallet(&self) -> &WalletHandle {
        &self.parts().services.wallet
    }

    /// Watches an address, a script or a descriptor; see [`WalletHandle::watch`]. Given up, it may have
    /// been done or not; doing it again changes nothing.
    ///
    /// # Errors
    /// [`WatchFailed`]
    pub async fn watch(&self, request: WatchRequest) -> Result<Watched, WatchFailed> {
        self.wallet().watch(request).await.map_err(|error| CallFailed::of(error, watch))
    }

    /// Watches something no more. Given up, it may have been done or not.
    ///
    /// # Errors
    /// [`UnwatchFailed`]
    pub async fn unwatch(&self, id: WatchId) -> Result<Unwatched, UnwatchFailed> {
        self.wallet().unwatch(id).await.map_err(|error| CallFailed::of(error, watch))
    }

    /// What an account has, or all of them together.
    #[must_use]
    pub fn balance(&self, account: Option<&AccountName>) -> Balance {
        self.wallet().balance(account)
    }

    /// Unspent coins of an account, or of all, in the order of the chain.
    #[must_use]
    pub fn utxos(&self, account: Option<&AccountName>) -> Vec<Utxo> {
        self.wallet().utxos(account)
    }

    /// Confirmed transactions of an account, or of all, the newest first: at most `limit` of those
    /// before a place.
    #[must_use]
    pub fn history(
        &self,
        account: Option<&AccountName>,
        before: Option<Place>,
        limit: usize,
    ) -> HistoryPage {
        self.wallet().history(account, before, limit)
    }

    /// Brings a transaction to the network until it is in a block, over restarts too; see
    /// [`WalletHandle::broadcast`]. Given up, it may have been done or not; doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// [`BroadcastFailed`]
    pub async fn broadcast(&self, transaction: &Transaction) -> Result<Submitted, BroadcastFailed> {
        let submitted = self.wallet().broadcast(transaction).await;
        submitted.map_err(|error| {
            CallFailed::of(error, |error| {
                if let WalletError::Submit(refused) = error { Ok(refused) } else { Err(error) }
            })
        })
    }

    /// What a transaction should pay to be in a block soon; see [`WalletHandle::fee_rate`]. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`FeeRateFailed`]
    pub async fn fee_rate(&self, target: u16) -> Result<FeeEstimate, FeeRateFailed> {
        self.wallet().fee_rate(target).await.map_err(|error| {
            CallFailed::of(error, |error| {
                if let WalletError::NoEstimate(none) = error { Ok(none) } else { Err(error) }
            })
        })
    }

    /// Looks at blocks again from a height on, for one item or all, in the background. Given up, it may
    /// have been done or not.
    ///
    /// # Errors
    /// [`RescanFailed`]
    pub async fn rescan(
        &self,
        which: Option<WatchId>,
        from: BlockHeight,
    ) -> Result<(), RescanFailed> {
        self.wallet().rescan(which, from).await.map_err(|error| {
            CallFailed::of(error, |error| {
                if let WalletError::Plan(refused) = error { Ok(refused) } else { Err(error) }
            })
        })
    }
}

fn watch(error: WalletError) -> Result<crate::wallet::watch::WatchError, WalletError> {
    if let WalletError::Watch(refused) = error { Ok(refused) } else { Err(error) }
}
