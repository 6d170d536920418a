//! To sync within a time and a number of bytes.

#[cfg(feature = "wallet")]
use ironlight_spv::BlockHeight;
use ironlight_spv::ChainTip;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::NodeHandle;
use crate::chain::Stopped;
use crate::net::BytesByPurpose;
use crate::net::suspend::{Silence, Suspension};

/// How far the node came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncProgress {
    /// The tip of the best chain.
    pub tip: ChainTip,
    /// The last block that was looked at for all that is watched.
    #[cfg(feature = "wallet")]
    pub scanned: Option<BlockHeight>,
    /// Bytes that it took, by what they were for. Of libp2p's connections, what is read and not
    /// understood yet counts as [`Other`](crate::net::Purpose::Other).
    pub bytes: BytesByPurpose,
}

/// What became of a sync with limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum SyncOutcome {
    /// The headers are as far as the peers know, and all that is watched was looked for up to the tip.
    Synced(SyncProgress),
    /// The time was over before.
    DeadlinePassed(SyncProgress),
    /// The bytes were spent before. The node is suspended.
    BudgetSpent(SyncProgress),
    /// The node was suspended meanwhile.
    Suspended(SyncProgress),
}

impl SyncOutcome {
    /// How far it came, whatever ended it.
    #[must_use]
    pub const fn progress(&self) -> &SyncProgress {
        match self {
            Self::Synced(progress)
            | Self::DeadlinePassed(progress)
            | Self::BudgetSpent(progress)
            | Self::Suspended(progress) => progress,
        }
    }
}

/// Takes the limits off again, whatever happens, and suspends what was suspended before.
struct Limited<'a> {
    suspension: &'a Suspension,
    before: Option<Silence>,
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        if self.before.is_some() {
            self.suspension.suspend(Silence::Asked);
        }
        self.suspension.allow(None);
    }
}

impl NodeHandle {
    /// Syncs headers, and what is watched, until a moment at the latest, and with so many bytes at
    /// most, received and sent together; none for no limit. A suspended node is resumed for it and
    /// suspended again afterwards. Once the bytes are spent all connections are closed, and the node is
    /// suspended whatever it was before; a later call goes on from there.
    ///
    /// Bytes are counted by message: each connection may finish the one that it is receiving. What the
    /// system has received and the node has not read is not counted.
    ///
    /// Of several calls at once each waits for the one before. Cancel safe: given up, the limits are gone,
    /// and the node is suspended if it was before.
    ///
    /// # Errors
    /// [`Stopped`]
    pub async fn sync_until(
        &self,
        deadline: impl Into<Instant> + Send,
        bytes: Option<u64>,
    ) -> Result<SyncOutcome, Stopped> {
        let deadline = deadline.into();
        let before = self.bytes().await;
        let Ok(_turn) = timeout_at(deadline, self.0.turn.lock()).await else {
            return Ok(SyncOutcome::DeadlinePassed(self.progress(&before).await));
        };
        let before = self.bytes().await;
        let suspension = self.suspension();
        let limited = Limited { suspension, before: suspension.silence() };
        if limited.before.is_some() {
            // Else what was true before it fell silent would be taken for the news.
            self.silent().await?;
        }
        suspension.allow(bytes);
        suspension.resume();
        let outcome = tokio::select! {
            biased;
            synced = self.all_synced() => synced.map(|()| SyncOutcome::Synced as Outcome),
            why = suspension.suspended() => Ok(match why {
                Silence::Spent => SyncOutcome::BudgetSpent as Outcome,
                Silence::Asked => SyncOutcome::Suspended,
            }),
            () = sleep_until(deadline) => Ok(SyncOutcome::DeadlinePassed as Outcome),
        };
        drop(limited);
        let outcome = outcome?;
        if self.is_suspended() {
            self.silent().await?;
        }
        Ok(outcome(self.progress(&before).await))
    }

    async fn all_synced(&self) -> Result<(), Stopped> {
        #[cfg(feature = "wallet")]
        {
            self.wallet().synced().await.map(drop)
        }
        #[cfg(not(feature = "wallet"))]
        {
            self.headers_synced().await.map(drop)
        }
    }

    async fn progress(&self, before: &BytesByPurpose) -> SyncProgress {
        SyncProgress {
            tip: self.tip(),
            #[cfg(feature = "wallet")]
            scanned: self.wallet().status().tip.map(|block| block.height),
            bytes: self.bytes().await.since(before),
        }
    }
}

type Outcome = fn(SyncProgress) -> SyncOutcome;
