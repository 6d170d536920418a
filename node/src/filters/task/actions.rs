//! What the machine wants done.

use ironlight_spv::BlockHeight;
use ironlight_spv::filter::sync::{FilterAction, FilterEvent, FilterSync, Revision};
use tracing::{debug, info, warn};

use super::FilterTask;
use crate::store::filters::{Held, StoredFilter, record_void};
use crate::store::{Store, StoreError, WriteBatch};

impl FilterTask {
    /// Does all that the machine wants done.
    pub(super) async fn act(&mut self) -> Result<(), StoreError> {
        loop {
            while let Some(action) = self.sync.poll() {
                self.take(action).await?;
            }
            self.write().await?;
            if self.consume().await? {
                continue;
            }
            // What was written or thrown away may have made the machine follow a reorg: nobody may be told of
            // what it takes back.
            match self.sync.poll() {
                Some(action) => self.take(action).await?,
                None => return Ok(()),
            }
        }
    }

    async fn take(&mut self, action: FilterAction) -> Result<(), StoreError> {
        match action {
            FilterAction::Ask { peer, id, request, retry } => self.ask(peer, id, &request, retry),
            FilterAction::Commit(change) => {
                self.write().await?;
                self.commit(change).await?;
                self.with(FilterSync::handle_committed);
            }
            FilterAction::Filter { height, filter, .. } => {
                self.deliver(height, StoredFilter::Filter(filter.into_bytes())).await?;
            }
            FilterAction::Cached { heights } => {
                self.write().await?;
                self.next = heights.end;
            }
            FilterAction::Undecided { height, late, .. } => {
                self.deliver(height, StoredFilter::Undecided).await?;
                if late {
                    // Whoever looks again must find it.
                    self.write().await?;
                    let from = self.filters.void_from(height);
                    let record = move |_: &mut Held, _: &dyn Store, batch: &mut WriteBatch| {
                        record_void(batch, from);
                        Ok(())
                    };
                    self.change(record).await?;
                    self.filters.add_void(height..height.next());
                }
            }
            FilterAction::Misbehaved { peer, offence } => {
                warn!(peer = peer.0, %offence, "peer misbehaved");
                if let Some(entry) = self.known.get(&peer) {
                    entry.line.misbehaved(offence.offence());
                }
            }
            FilterAction::Event(event) => {
                // What it may take back is among what was delivered before it.
                self.write().await?;
                self.report(&event).await?;
            }
            // The enum grows; a new action must not pass unseen.
            other => debug!(?other, "an action that this node does not know"),
        }
        Ok(())
    }

    async fn report(&mut self, event: &FilterEvent) -> Result<(), StoreError> {
        match event {
            FilterEvent::Synced { height, peers } => {
                info!(height = height.0, peers, "filters are there up to the tip");
            }
            FilterEvent::Revised { from, why } => {
                let from = *from;
                info!(from = from.0, ?why, "filters are fetched again");
                self.next = self.next.min(from);
                // The wallet sees a reorg by itself.
                let is_void = *why != Revision::Reorg;
                let void_from = self.filters.void_from(from);
                let truncate = move |held: &mut Held, store: &dyn Store, batch: &mut WriteBatch| {
                    if is_void {
                        record_void(batch, void_from);
                    }
                    held.truncate(store, batch, from)
                };
                self.change(truncate).await?;
                if is_void {
                    self.filters.add_void(from..BlockHeight(u32::MAX));
                }
            }
            FilterEvent::Disputed { peer, height } => {
                warn!(peer = peer.0, height = height.0, "a peer has another filter");
            }
            FilterEvent::Settled { height, settlement } => {
                info!(height = height.0, ?settlement, "a dispute about a filter is settled");
            }
            FilterEvent::Stalled { peer } => {
                debug!(peer = peer.0, "no filters in time; asking another");
            }
            FilterEvent::Lapsed { peer } => {
                warn!(peer = peer.0, "a peer took back what it said of filters; asked again later");
            }
            _ => debug!(?event, "an event that this node does not know"),
        }
        Ok(())
    }
}
