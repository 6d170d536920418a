//! Why a verb of the handle failed.

use bitcoin::Txid;

use crate::chain::Stopped;
use crate::proven::ProofError;
#[cfg(feature = "wallet")]
use crate::store::StoreError;
#[cfg(feature = "wallet")]
use crate::wallet::broadcast::SubmitError;
#[cfg(feature = "wallet")]
use crate::wallet::fees::NoEstimate;
#[cfg(feature = "wallet")]
use crate::wallet::service::WalletError;
#[cfg(feature = "wallet")]
use crate::wallet::watch::WatchError;
#[cfg(feature = "wallet")]
use crate::wallet::{LoadError, PlanError};

/// Why it is not known whether a transaction is confirmed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// There is no proof, and no proof of the contrary.
    #[error("whether {txid} is confirmed is not known: {source}")]
    NoProof {
        /// The transaction.
        txid: Txid,
        /// Why not.
        source: ProofError,
    },
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why the wallet did not do what it was asked for: `E` says what is wrong with the request.
#[cfg(feature = "wallet")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailed<E: std::error::Error + 'static> {
    /// The request cannot be done as it is.
    #[error(transparent)]
    Refused(E),
    /// The store failed: the node stops.
    #[error(transparent)]
    Store(StoreError),
    /// A stored row of the wallet cannot be used.
    #[error(transparent)]
    Row(LoadError),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// An error that this verb does not have: a bug.
    #[error("{0}: this is a bug, report it")]
    Unexpected(Box<WalletError>),
}

/// Why something is not watched.
#[cfg(feature = "wallet")]
pub type WatchFailed = CallFailed<WatchError>;
/// Why something is watched still.
#[cfg(feature = "wallet")]
pub type UnwatchFailed = CallFailed<WatchError>;
/// Why blocks are not looked at again.
#[cfg(feature = "wallet")]
pub type RescanFailed = CallFailed<PlanError>;
/// Why a transaction is not brought to the network.
#[cfg(feature = "wallet")]
pub type BroadcastFailed = CallFailed<SubmitError>;
/// Why there is no estimate.
#[cfg(feature = "wallet")]
pub type FeeRateFailed = CallFailed<NoEstimate>;

#[cfg(feature = "wallet")]
impl<E: std::error::Error + 'static> CallFailed<E> {
    /// Sorts an error of the wallet; `refusal` finds the one that the verb has.
    pub(super) fn of(
        error: WalletError,
        refusal: fn(WalletError) -> Result<E, WalletError>,
    ) -> Self {
        match refusal(error) {
            Ok(refused) => Self::Refused(refused),
            Err(WalletError::Stopped(stopped)) => Self::Stopped(stopped),
            Err(WalletError::Store(StoreError::Closed)) => Self::Stopped(Stopped),
            Err(WalletError::Store(error)) => Self::Store(error),
            Err(WalletError::Load(error)) => Self::Row(error),
            Err(
                other @ (WalletError::Watch(_)
                | WalletError::Submit(_)
                | WalletError::Plan(_)
                | WalletError::NoEstimate(_)
                | WalletError::NotComplete(_)
                | WalletError::Behind(_)
                | WalletError::StatesLost
                | WalletError::States(_)
                | WalletError::File(_)
                | WalletError::Import(_)
                | WalletError::NotComparable(_)
                | WalletError::NoClaim),
            ) => Self::Unexpected(Box::new(other)),
        }
    }
}
