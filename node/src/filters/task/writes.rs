//! What the task writes, and throws away.

use std::ops::Range;

use ironlight_spv::filter::sync::FilterHeaderChange;
use ironlight_spv::{BlockHeight, HeaderChain};
use tracing::{error, warn};

use super::super::MAX_UNREAD;
use super::FilterTask;
use crate::store::filter_headers::{self, FilterEntry};
use crate::store::filters::{Held, StoredFilter};
use crate::store::{Store, StoreError, WriteBatch};
use crate::tasks::blocking;

/// Bytes of filters that are written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Filters that are written at once.
const WRITE_COUNT: usize = 1000;

impl FilterTask {
    pub(super) async fn deliver(
        &mut self,
        height: BlockHeight,
        filter: StoredFilter,
    ) -> Result<(), StoreError> {
        let end = self.unwritten_end();
        let full = self.unwritten_bytes >= WRITE_BYTES || self.unwritten.len() >= WRITE_COUNT;
        if full || height != end {
            self.write().await?;
        }
        if self.unwritten.is_empty() {
            self.unwritten_from = height;
        }
        if let StoredFilter::Filter(bytes) = &filter {
            self.unwritten_bytes = self.unwritten_bytes.saturating_add(bytes.len());
        }
        self.unwritten.push(filter);
        self.next = self.next.max(height.next());
        Ok(())
    }

    fn unwritten_end(&self) -> BlockHeight {
        self.unwritten_from.plus(u32::try_from(self.unwritten.len()).unwrap_or(u32::MAX))
    }

    /// Writes what was delivered.
    pub(super) async fn write(&mut self) -> Result<(), StoreError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let (from, filters) = (self.unwritten_from, std::mem::take(&mut self.unwritten));
        self.unwritten_bytes = 0;
        let put = move |held: &mut Held, store: &dyn Store, batch: &mut WriteBatch| {
            held.put(store, batch, from, &filters)
        };
        let gone = self.change(put).await?;
        self.forgotten(gone);
        Ok(())
    }

    /// Changes what is held, off the async threads.
    pub(super) async fn change<T: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Held, &dyn Store, &mut WriteBatch) -> Result<T, StoreError>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        self.changes = self.changes.saturating_add(1);
        let filters = self.filters.clone();
        blocking(move || filters.change(change)).await
    }

    pub(super) async fn commit(&mut self, change: FilterHeaderChange) -> Result<(), StoreError> {
        let chain = self.chain.clone();
        self.change(move |held, store, batch| {
            // No filter may be readable whose header is gone.
            if let FilterHeaderChange::Rollback { to } = &change {
                held.truncate(store, batch, to.next())?;
            }
            chain.read(|chain| write_headers(store, batch, chain, change))
        })
        .await
    }

    /// Keeps the bytes within their bound, and tells the machine what it may go on from. Whether it
    /// was told anything.
    pub(super) async fn consume(&mut self) -> Result<bool, StoreError> {
        let most = self.config.cache_bytes;
        let reader = *self.read_to.borrow();
        if self.filters.bytes() > most {
            // A rescan from below must not lose what was just fetched for it.
            let unread = reader.unwrap_or(self.next)..self.next;
            let filters = self.filters.clone();
            let prune = move || {
                filters.change(|held, store, batch| held.prune(store, batch, most, &unread))
            };
            let gone = blocking(prune).await?;
            self.changes = self.changes.saturating_add(u64::from(!gone.is_empty()));
            self.forgotten(gone);
        }
        if self.is_ahead(reader) {
            return Ok(false);
        }
        let Some(done) = self.next.minus(1).filter(|_| self.wanted_from.is_some()) else {
            return Ok(false);
        };
        let before = self.sync.status().next;
        self.with(|sync, chain, now| sync.handle_consumed(chain, done, now));
        Ok(self.sync.status().next != before)
    }

    /// Whether so much is fetched and not read that more would only have to be thrown away.
    fn is_ahead(&self, reader: Option<BlockHeight>) -> bool {
        let unread = reader.map_or(0, |read| self.next.0.saturating_sub(read.0));
        unread > MAX_UNREAD && self.filters.bytes() > self.config.cache_bytes
    }

    /// Unless whoever says so has read while it was changed.
    pub(super) async fn forget_page_of(&mut self, height: BlockHeight) -> Result<(), StoreError> {
        let filters = self.filters.clone();
        let heights = height..height.next();
        let reading = move || -> Result<_, StoreError> {
            Ok((filters.read(heights.clone())?, filters.entries(heights)?))
        };
        let (found, header) = blocking(reading).await?;
        if !found.is_empty() || self.filters.readable_to(height) == height {
            return Ok(());
        }
        if header.is_empty() {
            error!(height = height.0, "a stored filter header cannot be read: restart to mend it");
            return Ok(());
        }
        warn!(height = height.0, "stored filters cannot be read: they are fetched again");
        let forget = move |held: &mut Held, store: &dyn Store, batch: &mut WriteBatch| {
            held.forget_page_of(store, batch, height)
        };
        let gone = self.change(forget).await?;
        self.forgotten([gone]);
        Ok(())
    }

    fn forgotten(&mut self, gone: impl IntoIterator<Item = Range<BlockHeight>>) {
        for gone in gone {
            self.with(|sync, chain, now| sync.remove_cached(chain, gone, now));
        }
    }
}

/// A change of the filter headers as rows. Those whose blocks have left the best chain meanwhile are
/// stored as belonging to none: the machine takes them back as soon as it hears of the tip.
fn write_headers(
    store: &dyn Store,
    batch: &mut WriteBatch,
    chain: &HeaderChain,
    change: FilterHeaderChange,
) -> Result<(), StoreError> {
    match change {
        FilterHeaderChange::Restart { anchor } => {
            filter_headers::restart(batch, anchor.as_ref());
            Ok(())
        }
        FilterHeaderChange::Append(verified) => {
            let (first, headers) = (verified.first_height(), verified.headers());
            let last = first.plus(u32::try_from(headers.len()).unwrap_or(u32::MAX)).minus(1);
            let is_best = last.and_then(|last| chain.hash_at(last)) == verified.last_block();
            let block_at = |height| is_best.then(|| chain.hash_at(height)).flatten();
            let entries = headers.iter().zip(verified.hashes());
            let entries =
                entries.map(|(header, hash)| FilterEntry { header: *header, hash: *hash });
            let entries: Vec<FilterEntry> = entries.collect();
            filter_headers::append(store, batch, first, &entries, block_at)
        }
        FilterHeaderChange::Rollback { to } => filter_headers::rollback(store, batch, chain, to),
    }
}
