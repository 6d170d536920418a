//! Reads stored filters again and says what is wrong with them.
//!
//! Nothing is believed for being stored: each filter has to be the one that its filter header commits
//! to, with the filter header below it, and to make sense to its end. That the filter headers are the
//! right ones only blocks can say; where one is given, its filter is judged by it.

use std::ops::Range;
use std::sync::Arc;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, ScriptBuf};
use ironlight_spv::BlockHeight;
use ironlight_spv::filter::evidence::{BlockEvidence, EvidenceError, FilterVerdict};
use ironlight_spv::filter::{Filter, FilterError, FilterKey};

use super::Filters;
use crate::blocks::VerifiedBlock;
use crate::store::StoreError;
use crate::store::filter_headers::FilterEntry;
use crate::store::filters::StoredFilter;

/// Faults that are named; further ones of the same check are left out.
const MAX_FAULTS: usize = 100;

/// What is wrong with a stored filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FilterFault {
    /// It is said to be held, and cannot be read.
    #[error("the stored filter cannot be read")]
    Unreadable,
    /// Nothing commits to it.
    #[error("no filter header is stored for it, or none for the block below")]
    NoHeader,
    /// The header commits to another one.
    #[error("it gives the filter header {got}, stored is {expected}")]
    OtherHeader {
        /// What is stored.
        expected: FilterHeader,
        /// What follows from the filter.
        got: FilterHeader,
    },
    /// It makes no sense, though its header commits to it.
    #[error("it cannot be decoded to its end: {0}")]
    Malformed(#[from] FilterError),
    /// Its block says that it must have a script.
    #[error("it lacks the script {script:x} of its block")]
    Omits {
        /// The script.
        script: ScriptBuf,
    },
    /// Its block gives another one.
    #[error("its block gives a filter with the hash {expected}")]
    NotTheFilter {
        /// That one's hash.
        expected: FilterHash,
    },
    /// The block is no evidence.
    #[error("its block proves nothing: {0}")]
    Evidence(EvidenceError),
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedFilters {
    /// The heights that were looked at.
    pub(crate) heights: Range<BlockHeight>,
    /// Filters that are those that their headers commit to.
    pub(crate) sound: u32,
    /// Of these, those that were judged by their blocks.
    pub(crate) with_block: u32,
    /// Of these, those that were rebuilt from their blocks.
    pub(crate) rebuilt: u32,
    /// Blocks whose filters are undecided.
    pub(crate) undecided: u32,
    /// Heights of which nothing is held.
    pub(crate) missing: u32,
    /// Blocks that were wanted and could not be had.
    pub(crate) without_block: u32,
    /// Filters that are wrong.
    pub(crate) wrong: u32,
    /// What is wrong with them, at most [`MAX_FAULTS`].
    pub(crate) faults: Vec<(BlockHeight, FilterFault)>,
}

impl CheckedFilters {
    /// Nothing yet.
    pub(crate) const fn from(height: BlockHeight) -> Self {
        Self {
            heights: height..height,
            sound: 0,
            with_block: 0,
            rebuilt: 0,
            undecided: 0,
            missing: 0,
            without_block: 0,
            wrong: 0,
            faults: Vec::new(),
        }
    }

    /// Adds what is stored of the next height.
    fn add(
        &mut self,
        height: BlockHeight,
        stored: Stored,
        judge: impl FnOnce(&[u8]) -> Result<Judged, FilterFault>,
    ) {
        self.heights.end = height.next();
        let judged = match stored {
            Stored::Missing => {
                self.missing += 1;
                return;
            }
            Stored::Filter(StoredFilter::Undecided) => {
                self.undecided += 1;
                return;
            }
            Stored::Unreadable => Err(FilterFault::Unreadable),
            Stored::Filter(StoredFilter::Filter(bytes)) => judge(&bytes),
        };
        match judged {
            Ok(judged) => {
                self.sound += 1;
                self.with_block += u32::from(!matches!(judged, Judged::Not));
                self.rebuilt += u32::from(matches!(judged, Judged::Rebuilt));
            }
            Err(fault) => self.fault(height, fault),
        }
    }

    fn fault(&mut self, height: BlockHeight, fault: FilterFault) {
        self.wrong += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push((height, fault));
        }
    }
}

/// What a block says of its filter.
enum Judged {
    /// No block was given.
    Not,
    /// It has all that the block says that it must have.
    Unrefuted,
    /// It is the block's: all scripts are known.
    Rebuilt,
}

impl Filters {
    /// Checks the filters of further heights, and adds what it finds. `block` gives blocks that are at
    /// hand. It blocks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) fn check(
        &self,
        checked: &mut CheckedFilters,
        end: BlockHeight,
        block: impl Fn(BlockHeight) -> Option<Arc<VerifiedBlock>>,
        chain: impl Fn(BlockHeight) -> Option<BlockHash>,
    ) -> Result<(), StoreError> {
        while checked.heights.end < end {
            let height = checked.heights.end;
            let run = self.stored(height..end)?;
            let entries = self.entries_around(height, run.len())?;
            for (offset, stored) in run.into_iter().enumerate() {
                let at = checked.heights.end;
                let around = entries.get(offset).zip(entries.get(offset + 1));
                checked.add(at, stored, |bytes| {
                    proves_itself(bytes, around)?;
                    makes_sense(bytes, chain(at))?;
                    judge(bytes, block(at).as_deref())
                });
            }
        }
        Ok(())
    }

    /// What is stored of heights that follow each other: at least of the first.
    fn stored(&self, heights: Range<BlockHeight>) -> Result<Vec<Stored>, StoreError> {
        let held = self.read_held(Clone::clone);
        let found = held.read(self.0.store.as_ref(), heights.clone())?;
        if !found.is_empty() {
            return Ok(found.into_iter().map(Stored::Filter).collect());
        }
        Ok(match held.end_of(heights.start) == heights.start {
            true => vec![Stored::Missing],
            false => vec![Stored::Unreadable],
        })
    }

    /// The filter header before a height, all zeros before genesis, and those of so many heights.
    fn entries_around(
        &self,
        height: BlockHeight,
        count: usize,
    ) -> Result<Vec<FilterEntry>, StoreError> {
        let end = height.plus(u32::try_from(count).unwrap_or(u32::MAX));
        let zero = FilterEntry { header: FilterHeader::all_zeros(), hash: FilterHash::all_zeros() };
        let before = height.minus(1);
        let entries = self.entries(before.unwrap_or_default()..end)?;
        Ok(before.is_none().then_some(zero).into_iter().chain(entries).collect())
    }
}

/// What a height has.
enum Stored {
    Missing,
    Unreadable,
    Filter(StoredFilter),
}

fn proves_itself(
    filter: &[u8],
    around: Option<(&FilterEntry, &FilterEntry)>,
) -> Result<(), FilterFault> {
    let (before, entry) = around.ok_or(FilterFault::NoHeader)?;
    let (expected, got) = (entry.header, super::filter_header(filter, &before.header));
    if got == expected { Ok(()) } else { Err(FilterFault::OtherHeader { expected, got }) }
}

fn makes_sense(filter: &[u8], block: Option<BlockHash>) -> Result<(), FilterFault> {
    let Some(block) = block else { return Err(FilterFault::NoHeader) };
    Ok(Filter::decode(FilterKey::new(block), filter.to_vec())?.check()?)
}

fn judge(filter: &[u8], block: Option<&VerifiedBlock>) -> Result<Judged, FilterFault> {
    let Some(block) = block else { return Ok(Judged::Not) };
    let evidence = BlockEvidence::new(block.header(), block.block(), &[]);
    match evidence.map_err(FilterFault::Evidence)?.judge(filter) {
        FilterVerdict::Proved => Ok(Judged::Rebuilt),
        FilterVerdict::Unrefuted { .. } => Ok(Judged::Unrefuted),
        FilterVerdict::Malformed(error) => Err(error.into()),
        FilterVerdict::Omits { script } => Err(FilterFault::Omits { script }),
        FilterVerdict::NotTheFilter { expected } => Err(FilterFault::NotTheFilter { expected }),
    }
}

#[cfg(test)]
mod tests {
    use ironlight_spv::generate::Miner;
    use ironlight_spv::{HeaderChain, Network, Params, UnixTime};

    use super::*;
    use crate::store::filters::Held;
    use crate::store::{MemoryStore, Store, Table, WriteBatch, filter_headers};

    /// A filter of a block without any script.
    const EMPTY: &[u8] = &[0];
    const TIP: u32 = 40;

    /// Filters that are stored from genesis on, those of some heights as given, with the headers of
    /// what `claimed` says.
    fn stored(filters: &[(u32, &[u8])], claimed: &[(u32, &[u8])]) -> (Filters, HeaderChain) {
        let params = Params::new(Network::Regtest);
        let headers = Miner::new(1).run(&params.genesis, TIP as usize, 60);
        let mut chain = HeaderChain::new(params);
        let batch = chain.verify(&headers, UnixTime(u32::MAX)).unwrap();
        chain.apply(batch).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let of = |list: &[(u32, &[u8])], height: u32| {
            let found = list.iter().find(|(at, _)| *at == height);
            found.map_or(EMPTY, |(_, bytes)| bytes).to_vec()
        };
        let mut before = FilterHeader::all_zeros();
        let entries = (0..=TIP).map(|height| {
            let bytes = of(claimed, height);
            before = super::super::filter_header(&bytes, &before);
            FilterEntry { header: before, hash: FilterHash::hash(&bytes) }
        });
        let entries: Vec<FilterEntry> = entries.collect();
        let mut batch = WriteBatch::new();
        let store_ref = store.as_ref();
        filter_headers::append(store_ref, &mut batch, BlockHeight(0), &entries, |height| {
            chain.hash_at(height)
        })
        .unwrap();
        let filters = (0..=TIP).map(|height| StoredFilter::Filter(of(filters, height)));
        let filters: Vec<StoredFilter> = filters.collect();
        Held::default().put(store_ref, &mut batch, BlockHeight(0), &filters).unwrap();
        store.commit(batch).unwrap();
        let (filters, _commands) = Filters::open(store).unwrap();
        (filters, chain)
    }

    fn check((filters, chain): &(Filters, HeaderChain), end: u32) -> CheckedFilters {
        let mut checked = CheckedFilters::from(BlockHeight(0));
        let hash_at = |height| chain.hash_at(height);
        filters.check(&mut checked, BlockHeight(end), |_| None, hash_at).unwrap();
        checked
    }

    #[test]
    fn filters_that_are_as_they_were_verified_are_sound() {
        let checked = check(&stored(&[], &[]), TIP + 10);
        assert_eq!((checked.sound, checked.missing, checked.wrong), (TIP + 1, 9, 0));
        assert_eq!((checked.with_block, checked.heights.end), (0, BlockHeight(TIP + 10)));
    }

    #[test]
    fn a_filter_that_is_not_its_headers_is_named() {
        let checked = check(&stored(&[(20, &[0, 0])], &[]), TIP + 1);
        assert_eq!((checked.sound, checked.wrong), (TIP, 1));
        let [(BlockHeight(20), FilterFault::OtherHeader { expected, got })] =
            checked.faults.as_slice()
        else {
            panic!("{checked:?}")
        };
        assert_ne!(expected, got);
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_named_though_its_header_commits_to_it() {
        let broken: &[(u32, &[u8])] = &[(7, &[3])];
        let checked = check(&stored(broken, broken), TIP + 1);
        assert!(
            matches!(checked.faults.as_slice(), [(BlockHeight(7), FilterFault::Malformed(_))]),
            "{checked:?}"
        );
    }

    #[test]
    fn a_page_that_is_gone_is_not_called_missing() {
        let stored = stored(&[], &[]);
        let mut batch = WriteBatch::new();
        batch.delete(Table::Filters, 1_u32.to_be_bytes().to_vec());
        stored.0.0.store.commit(batch).unwrap();
        let checked = check(&stored, TIP + 1);
        assert_eq!((checked.missing, checked.wrong), (0, 16));
        assert_eq!(checked.faults.first(), Some(&(BlockHeight(16), FilterFault::Unreadable)));
    }

    #[test]
    fn many_faults_are_counted_and_some_are_named() {
        let (mut checked, height) = (CheckedFilters::from(BlockHeight(0)), BlockHeight(0));
        for _ in 0..MAX_FAULTS + 5 {
            checked.add(height, Stored::Unreadable, |_| Ok(Judged::Not));
        }
        assert_eq!((checked.wrong, checked.faults.len()), (105, MAX_FAULTS));
    }
}
