//! What the task is told to do.

use bitcoin::Txid;
use ironlight_spv::BlockHeight;
use tokio::sync::oneshot;

use super::handle::WalletError;
use super::states::Imported;
use crate::wallet::broadcast::Submitted;
use crate::wallet::file::{FileId, WalletFile};
use crate::wallet::watch::{WatchId, WatchRequest, Watched};
use crate::wallet::{BlockId, Unwatched};

/// Where the answer goes; whoever does not wait for it misses it.
pub(super) type Answer<T> = oneshot::Sender<Result<T, WalletError>>;

#[derive(Debug)]
pub(super) enum Command {
    Watch { request: WatchRequest, answer: Answer<Watched> },
    Unwatch { id: WatchId, answer: Answer<Unwatched> },
    Rescan { which: Option<WatchId>, from: BlockHeight, answer: Answer<()> },
    Broadcast { bytes: Vec<u8>, apart: bool, answer: Answer<Submitted> },
    Forget { txid: Txid, answer: Answer<bool> },
    ForgetClaim { answer: Answer<BlockId> },
    Import { file: Box<WalletFile>, id: FileId, answer: Answer<Imported> },
}
