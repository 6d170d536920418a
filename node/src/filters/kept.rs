//! What is stored, for those who read it, and how the task is told what is wanted.

#[cfg(feature = "daemon")]
mod check;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bitcoin::BlockHash;
use bitcoin::bip158::FilterHeader;
use bitcoin::hashes::Hash as _;
use ironlight_spv::BlockHeight;
use tokio::sync::{mpsc, watch};

use crate::chain::Stopped;
use crate::store::filter_headers::FilterEntry;
use crate::store::filters::{Held, StoredFilter, load_void};
use crate::store::{Store, StoreError, WriteBatch, filter_headers};

#[cfg(feature = "daemon")]
pub(crate) use check::{CheckedFilters, FilterFault};

/// Commands that may wait for the task.
const COMMANDS: usize = 16;

/// What the task is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Filters are wanted, all of them.
    Want {
        /// The lowest height that matters: those up to `next` were looked at. Should they turn out
        /// wrong, that has to be known.
        lowest: BlockHeight,
        /// The first that is wanted.
        next: BlockHeight,
    },
    /// What is stored of this height cannot be read.
    Lost(BlockHeight),
}

/// How filters stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FiltersStatus {
    /// The tip whose branch the stored filters are of; none before the first, and while a change of it is
    /// being followed.
    pub tip: Option<BlockHash>,
    /// The next height that will be there.
    pub next: Option<BlockHeight>,
    /// The highest filter header that is stored.
    pub headers: Option<BlockHeight>,
    /// The lowest height that filters are wanted from.
    pub wanted_from: Option<BlockHeight>,
    /// All is there up to the tip, and every peer that answers was compared.
    pub synced: bool,
    /// Peers that serve filters.
    pub peers: usize,
    /// Blocks whose filters are undecided.
    pub undecided: usize,
    /// Disputes that are being settled.
    pub disputes: usize,
    /// Counts changes of what is stored.
    pub changes: u64,
}

/// Reads stored filters and says which are wanted. Clones share it.
#[derive(Clone)]
pub struct Filters(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    held: RwLock<Held>,
    /// Heights that were readable and turned out wrong.
    void: Mutex<Option<Range<BlockHeight>>>,
    /// What the wallet has looked at: everything below this height. None where nobody reads.
    read_to: watch::Sender<Option<BlockHeight>>,
    status: watch::Sender<FiltersStatus>,
    commands: mpsc::Sender<Command>,
}

impl std::fmt::Debug for Filters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filters").field("status", &*self.0.status.borrow()).finish_non_exhaustive()
    }
}

impl Filters {
    /// Over a store, with what the task hears commands by. It blocks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) fn open(
        store: Arc<dyn Store>,
    ) -> Result<(Self, mpsc::Receiver<Command>), StoreError> {
        let held = RwLock::new(Held::load(store.as_ref())?);
        let void = load_void(store.as_ref())?.map(|from| from..BlockHeight(u32::MAX));
        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (read_to, status) = (watch::Sender::new(None), watch::Sender::default());
        let shared = Shared { store, held, void: Mutex::new(void), read_to, status, commands };
        Ok((Self(Arc::new(shared)), commands_in))
    }

    /// The tip whose branch the stored filters are of. As long as it does not change, what is read
    /// is of one branch.
    pub(crate) fn tip(&self) -> Option<BlockHash> {
        self.0.status.borrow().tip
    }

    /// Waits until all filters that are wanted are there, up to a tip of the best chain, and every peer
    /// that answers was compared. It waits on where none are wanted. Cancel safe.
    ///
    /// # Errors
    /// [`Stopped`] where the node stops before.
    pub async fn synced(&self) -> Result<FiltersStatus, Stopped> {
        let mut status = self.status();
        let closed = self.0.commands.closed();
        tokio::select! {
            found = status.wait_for(|status| status.synced) => {
                found.map(|status| status.clone()).map_err(|_closed| Stopped)
            }
            () = closed => Err(Stopped),
        }
    }

    /// How filters stand, and when that changes.
    pub fn status(&self) -> watch::Receiver<FiltersStatus> {
        self.0.status.subscribe()
    }

    /// Filters are wanted from `next` on; those from `lowest` up to it were looked at. Cancel safe; it
    /// does nothing where the task has ended.
    pub(crate) async fn want(&self, lowest: BlockHeight, next: BlockHeight) {
        let _ = self.0.commands.send(Command::Want { lowest: lowest.min(next), next }).await;
    }

    /// What is stored of this height cannot be read, and is to be forgotten. Cancel safe; it does nothing
    /// where the task has ended.
    pub(crate) async fn lost(&self, height: BlockHeight) {
        let _ = self.0.commands.send(Command::Lost(height)).await;
    }

    /// The same for who cannot wait: told again at the next attempt where there is no room.
    #[cfg(feature = "libp2p")]
    pub(crate) fn may_be_lost(&self, height: BlockHeight) {
        let _ = self.0.commands.try_send(Command::Lost(height));
    }

    /// The wallet has looked at everything below this height, or reads no more.
    pub(crate) fn read_to(&self, height: Option<BlockHeight>) {
        // Who says the same again must not wake the task, which may wake who says it.
        self.0.read_to.send_if_modified(|old| std::mem::replace(old, height) != height);
    }

    pub(super) fn reader(&self) -> watch::Receiver<Option<BlockHeight>> {
        self.0.read_to.subscribe()
    }

    /// Heights that were readable and turned out wrong, or are undecided now; asked once, they are
    /// the caller's to look at again, and to record so ([`forget_void`](crate::store::filters::forget_void)).
    pub(crate) fn take_void(&self) -> Option<Range<BlockHeight>> {
        self.0.void.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The first of these heights, with one more.
    pub(super) fn void_from(&self, height: BlockHeight) -> BlockHeight {
        let void = self.0.void.lock().unwrap_or_else(PoisonError::into_inner);
        void.as_ref().map_or(height, |void| void.start.min(height))
    }

    /// Call it once the first of them is recorded
    /// ([`record_void`](crate::store::filters::record_void)).
    pub(super) fn add_void(&self, heights: Range<BlockHeight>) {
        let mut void = self.0.void.lock().unwrap_or_else(PoisonError::into_inner);
        *void = Some(match void.take() {
            None => heights,
            Some(old) => old.start.min(heights.start)..old.end.max(heights.end),
        });
    }

    /// The ranges of heights that can be read.
    #[must_use]
    pub fn held(&self) -> Vec<Range<BlockHeight>> {
        self.read_held(|held| held.ranges().collect())
    }

    /// Bytes of stored filters.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.read_held(Held::bytes)
    }

    /// The first height from this one on that cannot be read.
    pub(crate) fn readable_to(&self, height: BlockHeight) -> BlockHeight {
        self.read_held(|held| held.end_of(height))
    }

    fn read_held<T>(&self, read: impl FnOnce(&Held) -> T) -> T {
        read(&self.0.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Filters of heights that follow each other, as far as they are there; each has proved itself
    /// by its stored header. It blocks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) fn read(
        &self,
        heights: Range<BlockHeight>,
    ) -> Result<Vec<StoredFilter>, StoreError> {
        let store = self.0.store.as_ref();
        let held = self.read_held(Held::clone);
        let mut found = held.read(store, heights.clone())?;
        let headers = self.headers_around(heights)?;
        let sound = found.iter().zip(headers.windows(2)).take_while(|(filter, pair)| {
            let [before, header] = pair else { return false };
            match filter {
                StoredFilter::Filter(bytes) => filter_header(bytes, before) == *header,
                StoredFilter::Undecided => true,
            }
        });
        let sound = sound.count();
        found.truncate(sound);
        Ok(found)
    }

    /// The filter header before the first height, and those of all heights.
    fn headers_around(&self, heights: Range<BlockHeight>) -> Result<Vec<FilterHeader>, StoreError> {
        let store = self.0.store.as_ref();
        let before = heights.start.minus(1);
        let zero = before.is_none().then(FilterHeader::all_zeros);
        let entries = filter_headers::read(store, before.unwrap_or_default()..heights.end)?;
        Ok(zero.into_iter().chain(entries.iter().map(|entry| entry.header)).collect())
    }

    /// Filter headers and hashes of heights that follow each other, as far as they are stored. It
    /// blocks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) fn entries(
        &self,
        heights: Range<BlockHeight>,
    ) -> Result<Vec<FilterEntry>, StoreError> {
        filter_headers::read(self.0.store.as_ref(), heights)
    }

    /// Changes what is held and the store, as one commit. It blocks.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Held, &dyn Store, &mut WriteBatch) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let store = self.0.store.as_ref();
        let (mut held, mut batch) = (self.read_held(Held::clone), WriteBatch::new());
        let done = change(&mut held, store, &mut batch)?;
        if !batch.is_empty() {
            store.commit(batch)?;
        }
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(done)
    }

    /// Nobody knows of which branch the stored filters are, until the next status.
    pub(super) fn hide_tip(&self) {
        self.0.status.send_if_modified(|status| status.tip.take().is_some());
    }

    pub(super) fn publish(&self, status: FiltersStatus) {
        self.0.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }
}

/// The header of a filter (BIP157, "Filter Headers").
fn filter_header(filter: &[u8], before: &FilterHeader) -> FilterHeader {
    bitcoin::bip158::FilterHash::hash(filter).filter_header(before)
}
