//! What a peer says of filters: the truth, or one of many lies.

use std::collections::BTreeMap;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, Block, BlockHash, ScriptBuf, TxOut};
use ironlight_spv::filter::sync::{FilterAnswer, FilterRequest, ServedFilter};

use super::ledger::{Entry, Ledger, filter_of};

/// What a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// It tells the truth.
    None,
    /// Its filters lack what concerns the wallet, and its headers fit them.
    Omits,
    /// Only where an output is spent, which nobody can prove.
    OmitsSpends,
    /// The same, and its filters of blocks below the wallet's birthday differ, too.
    OmitsEverywhere,
    /// It has more in its filters than there is, in every block.
    Adds,
    /// The truth up to a height, then it omits.
    OmitsLate,
    /// Its checkpoints are true, its headers are not.
    FlipsAfterCheckpoint,
    /// Some of its headers are made up: there is no filter for them.
    WrongHeader,
    /// Its headers are true, its filters are not.
    WrongFilter,
    /// It omits, and its blocks are made up so as to put the truth in the wrong.
    FalseBlock,
    /// It omits, and never answers what could prove that.
    HidesFilters,
    /// It never answers.
    Silent,
    /// It answers headers, and no filters.
    StallsFilters,
    /// Its answers have not what was asked for.
    Garbage,
}

/// All lies.
pub const LIES: [Lie; 13] = [
    Lie::Omits,
    Lie::OmitsSpends,
    Lie::OmitsEverywhere,
    Lie::Adds,
    Lie::OmitsLate,
    Lie::FlipsAfterCheckpoint,
    Lie::WrongHeader,
    Lie::WrongFilter,
    Lie::FalseBlock,
    Lie::HidesFilters,
    Lie::Silent,
    Lie::StallsFilters,
    Lie::Garbage,
];

/// What is claimed of one block.
#[derive(Clone, Debug)]
struct Claim {
    filter: Option<Vec<u8>>,
    hash: FilterHash,
    header: FilterHeader,
}

/// A chain of filters as liars tell it: the same for all that tell the same lie.
#[derive(Debug, Default)]
pub struct Story {
    claims: BTreeMap<BlockHash, Claim>,
}

impl Story {
    /// What a lie makes of the blocks of a ledger.
    #[must_use]
    pub fn new(ledger: &Ledger, lie: Lie, from: u32) -> Self {
        let mut story = Self::default();
        for entry in &ledger.entries {
            let parent = entry.parent.and_then(|parent| ledger.entries.get(parent));
            let before = parent.and_then(|parent| story.claims.get(&parent.hash));
            let before = before.map_or(FilterHeader::all_zeros(), |claim| claim.header);
            let (filter, hash) = told(ledger, entry, lie, from);
            let header = hash.filter_header(&before);
            story.claims.insert(entry.hash, Claim { filter, hash, header });
        }
        story
    }
}

/// The filter and hash that a lie makes of a block.
fn told(ledger: &Ledger, entry: &Entry, lie: Lie, from: u32) -> (Option<Vec<u8>>, FilterHash) {
    let without = || {
        let told = entry.elements().filter(|script| !ledger.watched.contains(script));
        filter_of(&entry.block, told)
    };
    let more = || {
        let extra = ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::hash(&entry.height.to_le_bytes()));
        filter_of(&entry.block, entry.elements().chain([&extra]))
    };
    let filter = match lie {
        Lie::Omits | Lie::HidesFilters | Lie::FlipsAfterCheckpoint if entry.pays => without(),
        Lie::FalseBlock if entry.pays => {
            let block = framing(&entry.block);
            let outputs = block.txdata.iter().flat_map(|transaction| &transaction.output);
            let scripts = outputs.map(|output| &output.script_pubkey);
            filter_of(&block, scripts.filter(|script| !script.is_op_return()))
        }
        Lie::OmitsLate if entry.pays && entry.height >= from => without(),
        Lie::OmitsSpends if entry.only_spends => without(),
        Lie::OmitsEverywhere if entry.pays => without(),
        Lie::OmitsEverywhere if entry.height % 977 == 5 && entry.block.txdata.len() > 1 => more(),
        Lie::Adds if entry.height >= from => more(),
        Lie::WrongHeader if entry.pays => {
            return (None, FilterHash::hash(entry.hash.as_byte_array()));
        }
        Lie::None
        | Lie::Omits
        | Lie::OmitsSpends
        | Lie::OmitsEverywhere
        | Lie::Adds
        | Lie::OmitsLate
        | Lie::FlipsAfterCheckpoint
        | Lie::WrongHeader
        | Lie::WrongFilter
        | Lie::FalseBlock
        | Lie::HidesFilters
        | Lie::Silent
        | Lie::StallsFilters
        | Lie::Garbage => return (Some(entry.filter.clone()), entry.filter_hash),
    };
    let hash = FilterHash::hash(&filter);
    (Some(filter), hash)
}

/// A peer's answer; none where it does not answer.
#[must_use]
pub fn answer(
    ledger: &Ledger,
    story: &Story,
    lie: Lie,
    request: &FilterRequest,
) -> Option<FilterAnswer> {
    if lie == Lie::Silent {
        return None;
    }
    let entry =
        |hash: &BlockHash| ledger.by_hash.get(hash).and_then(|number| ledger.entries.get(*number));
    match request {
        FilterRequest::Checkpoints { stop, .. } => {
            let truth = matches!(lie, Lie::FlipsAfterCheckpoint);
            let mut headers: Vec<_> = ancestors(ledger, entry(stop)?)
                .filter(|entry| entry.height > 0 && entry.height.is_multiple_of(1000))
                .filter_map(|entry| {
                    let claimed = story.claims.get(&entry.hash)?.header;
                    Some(if truth { entry.filter_header } else { claimed })
                })
                .collect();
            headers.reverse();
            Some(FilterAnswer::Checkpoints(headers))
        }
        FilterRequest::Headers { start, stop, .. } => {
            let mut claims: Vec<_> = ancestors(ledger, entry(stop)?)
                .take_while(|entry| entry.height >= start.0)
                .filter_map(|entry| story.claims.get(&entry.hash).map(|claim| claim.hash))
                .collect();
            claims.reverse();
            if lie == Lie::Garbage {
                claims.pop();
            }
            let below = ancestors(ledger, entry(stop)?).find(|entry| entry.height + 1 == start.0);
            let previous = below.and_then(|below| story.claims.get(&below.hash));
            let previous = previous.map_or(FilterHeader::all_zeros(), |claim| claim.header);
            Some(FilterAnswer::Headers { previous, hashes: claims })
        }
        FilterRequest::Filters { start, stop, .. } => {
            filters(ledger, story, lie, start.0, entry(stop)?)
        }
        FilterRequest::Block { hash, .. } => {
            let entry = entry(hash)?;
            let block =
                if lie == Lie::FalseBlock { framing(&entry.block) } else { entry.block.clone() };
            Some(FilterAnswer::Block(Box::new(block)))
        }
        other => unreachable!("a request that peers do not know: {other:?}"),
    }
}

fn filters(
    ledger: &Ledger,
    story: &Story,
    lie: Lie,
    start: u32,
    stop: &Entry,
) -> Option<FilterAnswer> {
    if lie == Lie::StallsFilters {
        return None;
    }
    let entries = ancestors(ledger, stop).take_while(|entry| entry.height >= start);
    let mut filters = Vec::new();
    for entry in entries {
        let filter = story.claims.get(&entry.hash)?.filter.clone()?;
        let false_filter = || told(ledger, entry, Lie::Omits, 0).0.unwrap_or_default();
        let filter = match lie {
            Lie::WrongFilter => false_filter(),
            Lie::HidesFilters if entry.pays => return None,
            Lie::None
            | Lie::Omits
            | Lie::OmitsSpends
            | Lie::OmitsEverywhere
            | Lie::Adds
            | Lie::OmitsLate
            | Lie::FlipsAfterCheckpoint
            | Lie::WrongHeader
            | Lie::FalseBlock
            | Lie::HidesFilters
            | Lie::Silent
            | Lie::StallsFilters
            | Lie::Garbage => filter,
        };
        filters.push(ServedFilter { block_hash: entry.hash, filter });
    }
    filters.reverse();
    Some(FilterAnswer::Filters(filters))
}

fn ancestors<'a>(ledger: &'a Ledger, from: &'a Entry) -> impl Iterator<Item = &'a Entry> {
    std::iter::successors(Some(from), |entry| ledger.entries.get(entry.parent?))
}

/// A block under a true header that has nothing but a coinbase, with an output that no true filter
/// has.
fn framing(block: &Block) -> Block {
    let mut block = block.clone();
    block.txdata.truncate(1);
    if let Some(coinbase) = block.txdata.first_mut() {
        let script = ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::hash(b"frame"));
        coinbase.output.push(TxOut { value: Amount::ZERO, script_pubkey: script });
    }
    block
}
