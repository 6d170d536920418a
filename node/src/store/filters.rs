//! Compact filters on disk: pages of 16 heights, and which heights are held.
//!
//! Filters are a cache: each can be fetched again, and each proves itself against its filter header
//! when it is read. So damage costs no more than what is damaged: a page that cannot be read counts
//! as not held, and where the list of what is held cannot be read, all is forgotten.
//!
//! Invariant: every height of [`Held`] has its filter in the page of that height; one batch changes
//! both. What an attacker can grow: the bytes are bounded by whoever calls [`Held::prune`].

use std::collections::BTreeMap;
use std::ops::Range;

use ironlight_spv::BlockHeight;

use super::{Store, StoreError, Table, WriteBatch, checksum};

/// From where on filters turned out wrong that somebody has looked at and not looked at again.
const VOID_KEY: &[u8] = b"filters_void";
/// Heights in a page. On mainnet a page is some 320 KB, and each new block rewrites one.
const PAGE: u32 = 16;
/// Which heights are held.
const HELD_KEY: &[u8] = b"filters_held";
/// Ranges that do not touch each other; where there would be more, the lowest goes.
const MAX_RANGES: usize = 64;

/// A filter as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredFilter {
    /// Its bytes.
    Filter(Vec<u8>),
    /// Peers disagree and nothing decides: the block has to be looked at itself.
    Undecided,
}

impl StoredFilter {
    /// No filter is empty: its count alone takes a byte (BIP158). So nothing stands for undecided.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Filter(bytes) => bytes,
            Self::Undecided => &[],
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.is_empty() { Self::Undecided } else { Self::Filter(bytes.to_vec()) }
    }
}

/// Which heights are held, and how many bytes their pages have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// From the first height of each range to the one after its last.
    ranges: BTreeMap<u32, u32>,
    bytes: u64,
}

impl Held {
    /// What a store holds; nothing where the list is missing or damaged.
    ///
    /// # Errors
    /// [`StoreError`] where the store itself fails.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let Some(stored) = store.get(Table::Meta, HELD_KEY)? else { return Ok(Self::default()) };
        let payload = checksum::open(Table::Meta, HELD_KEY, &stored).ok();
        if let Some(held) = payload.and_then(Self::decode) {
            return Ok(held);
        }
        let mut batch = WriteBatch::new();
        Self::default().forget_all(&mut batch);
        store.commit(batch)?;
        Ok(Self::default())
    }

    /// The ranges of heights, ascending; they do not touch.
    pub fn ranges(&self) -> impl Iterator<Item = Range<BlockHeight>> + '_ {
        self.ranges.iter().map(|(from, to)| BlockHeight(*from)..BlockHeight(*to))
    }

    /// Bytes of all pages.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first height from this one on that is not held.
    #[must_use]
    pub fn end_of(&self, height: BlockHeight) -> BlockHeight {
        let before = self.ranges.range(..=height.0).next_back();
        before.map_or(height, |(_, to)| BlockHeight(*to).max(height))
    }

    /// Adds to a batch what keeps the filters of heights that follow each other. Gives the heights of
    /// pages that go because there would be too many ranges.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails; then nothing is changed.
    pub fn put(
        &mut self,
        store: &dyn Store,
        batch: &mut WriteBatch,
        first: BlockHeight,
        filters: &[StoredFilter],
    ) -> Result<Vec<Range<BlockHeight>>, StoreError> {
        let mut held = self.clone();
        let mut height = first.0;
        let mut rest = filters;
        while !rest.is_empty() {
            let page = height / PAGE;
            let here = usize::try_from((page + 1) * PAGE - height).unwrap_or(usize::MAX);
            let (new, after) = rest.split_at(here.min(rest.len()));
            let mut content = held.page(store, page)?;
            for filter in new {
                content.insert(height, filter.clone());
                height = height.saturating_add(1);
            }
            held.bytes = held.bytes.saturating_sub(size(store, page)?);
            held.bytes = held.bytes.saturating_add(write(batch, page, &content));
            rest = after;
        }
        held.add(first.0, height);
        let mut gone = Vec::new();
        while held.ranges.len() > MAX_RANGES {
            let is_new = |page: &u32| (first.0 / PAGE..=height / PAGE).contains(page);
            let lowest = held.ranges.keys().map(|from| from / PAGE).find(|page| !is_new(page));
            let Some(page) = lowest else { break };
            held.drop_page(store, batch, page)?;
            gone.push(heights_of(page));
        }
        held.record(batch);
        *self = held;
        Ok(gone)
    }

    /// Adds to a batch what forgets all from a height on.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails; then nothing is changed.
    pub fn truncate(
        &mut self,
        store: &dyn Store,
        batch: &mut WriteBatch,
        from: BlockHeight,
    ) -> Result<(), StoreError> {
        let mut held = self.clone();
        let page = from.0 / PAGE;
        for later in held.pages_from(page) {
            held.bytes = held.bytes.saturating_sub(size(store, later)?);
        }
        let mut content = held.page(store, page)?;
        content.retain(|height, _| *height < from.0);
        batch.delete_from(Table::Filters, key(page));
        held.remove(from.0, u32::MAX);
        if !content.is_empty() {
            held.bytes = held.bytes.saturating_add(write(batch, page, &content));
        }
        held.record(batch);
        *self = held;
        Ok(())
    }

    /// Adds to a batch what forgets pages, the lowest first, until at most `most` bytes are held. Pages
    /// with heights of `keep` stay, even if more bytes are held then. Gives the heights of those that
    /// go.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails; then nothing is changed.
    pub fn prune(
        &mut self,
        store: &dyn Store,
        batch: &mut WriteBatch,
        most: u64,
        keep: &Range<BlockHeight>,
    ) -> Result<Vec<Range<BlockHeight>>, StoreError> {
        let (mut held, mut gone) = (self.clone(), Vec::<Range<BlockHeight>>::new());
        for page in held.pages_from(0) {
            let heights = heights_of(page);
            let is_kept = heights.start < keep.end && keep.start < heights.end;
            if held.bytes > most && !is_kept {
                held.drop_page(store, batch, page)?;
                match gone.last_mut() {
                    Some(last) if last.end == heights.start => last.end = heights.end,
                    _ => gone.push(heights),
                }
            }
        }
        if !gone.is_empty() {
            held.record(batch);
            *self = held;
        }
        Ok(gone)
    }

    /// Adds to a batch what forgets the page of a height, and gives the heights of that.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails; then nothing is changed.
    pub fn forget_page_of(
        &mut self,
        store: &dyn Store,
        batch: &mut WriteBatch,
        height: BlockHeight,
    ) -> Result<Range<BlockHeight>, StoreError> {
        let page = height.0 / PAGE;
        self.drop_page(store, batch, page)?;
        self.record(batch);
        Ok(heights_of(page))
    }

    /// Adds to a batch what forgets every filter.
    pub fn forget_all(mut self, batch: &mut WriteBatch) -> Self {
        batch.delete_from(Table::Filters, Vec::new());
        self.ranges.clear();
        self.bytes = 0;
        self.record(batch);
        self
    }

    /// The filters of heights that follow each other, as far as they are held and readable.
    ///
    /// # Errors
    /// [`StoreError`] where the store itself fails.
    pub fn read(
        &self,
        store: &dyn Store,
        heights: Range<BlockHeight>,
    ) -> Result<Vec<StoredFilter>, StoreError> {
        let end = self.end_of(heights.start).min(heights.end).0;
        let mut found = Vec::new();
        let mut height = heights.start.0;
        while height < end {
            let mut page = self.page(store, height / PAGE)?;
            let page_end = ((height / PAGE + 1) * PAGE).min(end);
            while height < page_end {
                let Some(filter) = page.remove(&height) else { return Ok(found) };
                found.push(filter);
                height += 1;
            }
        }
        Ok(found)
    }

    /// What a page holds; nothing where it is not there or damaged.
    fn page(
        &self,
        store: &dyn Store,
        page: u32,
    ) -> Result<BTreeMap<u32, StoredFilter>, StoreError> {
        let Some(stored) = store.get(Table::Filters, &key(page))? else {
            return Ok(BTreeMap::new());
        };
        let payload = checksum::open(Table::Filters, &key(page), &stored).ok();
        let mut content =
            payload.and_then(|payload| decode_page(page, payload)).unwrap_or_default();
        content.retain(|height, _| self.end_of(BlockHeight(*height)).0 > *height);
        Ok(content)
    }

    fn drop_page(
        &mut self,
        store: &dyn Store,
        batch: &mut WriteBatch,
        page: u32,
    ) -> Result<(), StoreError> {
        self.bytes = self.bytes.saturating_sub(size(store, page)?);
        batch.delete(Table::Filters, key(page));
        self.remove(page * PAGE, (page + 1) * PAGE);
        Ok(())
    }

    fn pages_from(&self, page: u32) -> Vec<u32> {
        let ranges = self.ranges.iter().filter(|(_, to)| **to > page * PAGE);
        let mut pages: Vec<u32> =
            ranges.flat_map(|(from, to)| (from / PAGE).max(page)..=(to - 1) / PAGE).collect();
        pages.dedup();
        pages
    }

    /// Joins a range with those that it touches.
    fn add(&mut self, mut from: u32, mut to: u32) {
        let touching: Vec<(u32, u32)> = self
            .ranges
            .range(..=to)
            .filter(|(_, end)| **end >= from)
            .map(|(from, to)| (*from, *to))
            .collect();
        for (old_from, old_to) in touching {
            self.ranges.remove(&old_from);
            (from, to) = (from.min(old_from), to.max(old_to));
        }
        self.ranges.insert(from, to);
    }

    fn remove(&mut self, from: u32, to: u32) {
        let ranges = std::mem::take(&mut self.ranges);
        for (old_from, old_to) in ranges {
            if old_from < from.min(old_to) {
                self.ranges.insert(old_from, old_to.min(from));
            }
            if old_to > to.max(old_from) {
                self.ranges.insert(old_from.max(to), old_to);
            }
        }
    }

    fn record(&self, batch: &mut WriteBatch) {
        let mut payload = self.bytes.to_le_bytes().to_vec();
        for (from, to) in &self.ranges {
            payload.extend_from_slice(&from.to_le_bytes());
            payload.extend_from_slice(&to.to_le_bytes());
        }
        batch.put(Table::Meta, HELD_KEY, checksum::seal(Table::Meta, HELD_KEY, &payload));
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let (bytes, ranges) = payload.split_first_chunk()?;
        let (ranges, []) = ranges.as_chunks::<8>() else { return None };
        let read = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
            (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]))
        };
        let ranges: BTreeMap<u32, u32> = ranges.iter().map(read).collect();
        let sound = ranges.len() <= MAX_RANGES && ranges.iter().all(|(from, to)| from < to);
        sound.then(|| Self { ranges, bytes: u64::from_le_bytes(*bytes) })
    }
}

/// Adds to a batch that filters from a height on turned out wrong.
pub fn record_void(batch: &mut WriteBatch, from: BlockHeight) {
    let value = checksum::seal(Table::Meta, VOID_KEY, &from.0.to_le_bytes());
    batch.put(Table::Meta, VOID_KEY, value);
}

/// Adds to a batch that they were looked at again.
pub fn forget_void(batch: &mut WriteBatch) {
    batch.delete(Table::Meta, VOID_KEY);
}

/// The height that was recorded; the lowest there is where the record is damaged.
///
/// # Errors
/// [`StoreError`] where the store itself fails.
pub fn load_void(store: &dyn Store) -> Result<Option<BlockHeight>, StoreError> {
    let Some(stored) = store.get(Table::Meta, VOID_KEY)? else { return Ok(None) };
    let payload = checksum::open(Table::Meta, VOID_KEY, &stored).ok();
    let from = payload.and_then(|payload| payload.try_into().ok()).map(u32::from_le_bytes);
    Ok(Some(BlockHeight(from.unwrap_or(0))))
}

/// The first height after the page of a height. Whoever reads whole pages reads none twice.
#[cfg(feature = "libp2p")]
pub(crate) fn page_end(height: BlockHeight) -> BlockHeight {
    heights_of(height.0 / PAGE).end
}

fn heights_of(page: u32) -> Range<BlockHeight> {
    BlockHeight(page * PAGE)..BlockHeight(page * PAGE).plus(PAGE)
}

fn key(page: u32) -> Vec<u8> {
    page.to_be_bytes().to_vec()
}

/// Bytes of a page as stored; 0 where it is not there.
fn size(store: &dyn Store, page: u32) -> Result<u64, StoreError> {
    let stored = store.get(Table::Filters, &key(page))?;
    Ok(stored.map_or(0, |stored| u64::try_from(stored.len()).unwrap_or(u64::MAX)))
}

/// Writes a page: of each filter the height, the length, and the bytes. Says how long it is.
fn write(batch: &mut WriteBatch, page: u32, content: &BTreeMap<u32, StoredFilter>) -> u64 {
    let mut payload = Vec::new();
    for (height, filter) in content {
        let bytes = filter.bytes();
        payload.extend_from_slice(&height.to_le_bytes());
        payload.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        payload.extend_from_slice(bytes);
    }
    let value = checksum::seal(Table::Filters, &key(page), &payload);
    let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
    batch.put(Table::Filters, key(page), value);
    length
}

fn decode_page(page: u32, mut payload: &[u8]) -> Option<BTreeMap<u32, StoredFilter>> {
    let mut content = BTreeMap::new();
    while !payload.is_empty() {
        let (height, rest) = payload.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let height = u32::from_le_bytes(*height);
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        if height / PAGE != page {
            return None;
        }
        content.insert(height, StoredFilter::from_bytes(bytes));
        payload = rest;
    }
    Some(content)
}

#[cfg(test)]
#[path = "filters_tests.rs"]
mod tests;
