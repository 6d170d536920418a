//! Compact filters, and the blocks that they lead to.

use std::ops::Range;

use ironlight_spv::BlockHeight;
use serde::{Deserialize, Serialize};

use crate::blocks::{BlocksReport, Fetched};
use crate::filters::{CheckedFilters, FilterFault, Filters};

/// How compact filters stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiltersDto {
    /// The highest filter header that is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<u32>,
    /// The lowest height that filters are wanted from; none where nobody wants any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_from: Option<u32>,
    /// The next height whose filter will be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
    /// All is there up to the tip, and every peer that answers was compared.
    pub synced: bool,
    /// The heights that are held.
    pub held: Vec<HeightsDto>,
    /// Bytes that these take on disk.
    pub bytes: u64,
    /// Peers that serve filters.
    pub peers: usize,
    /// Blocks of which peers have different filters and nothing decides; these are looked into.
    pub undecided: usize,
    /// Disputes that are being settled.
    pub disputes: usize,
}

/// Heights that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeightsDto {
    /// The first.
    pub from: u32,
    /// The last.
    pub to: u32,
}

impl HeightsDto {
    /// Of heights that are not empty.
    pub(in crate::api) const fn of(heights: &Range<BlockHeight>) -> Self {
        Self { from: heights.start.0, to: heights.end.0.saturating_sub(1) }
    }
}

impl FiltersDto {
    pub(in crate::api) fn of(filters: &Filters) -> Self {
        let status = filters.status().borrow().clone();
        let height = |height: BlockHeight| height.0;
        Self {
            headers: status.headers.map(height),
            wanted_from: status.wanted_from.map(height),
            next: status.next.map(height),
            synced: status.synced,
            held: filters.held().iter().map(HeightsDto::of).collect(),
            bytes: filters.bytes(),
            peers: status.peers,
            undecided: status.undecided,
            disputes: status.disputes,
        }
    }
}

/// What a check of stored filters found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiltersCheckDto {
    /// The heights that were looked at.
    pub heights: HeightsDto,
    /// Filters that are those that their headers commit to.
    pub sound: u32,
    /// Of these, filters that were compared with their blocks and have all that these say they must.
    pub with_block: u32,
    /// Of these, filters that were rebuilt from their blocks, every script known.
    pub rebuilt: u32,
    /// Blocks whose filters are undecided.
    pub undecided: u32,
    /// Heights of which nothing is held.
    pub missing: u32,
    /// Blocks that were wanted and could not be had.
    pub without_block: u32,
    /// Filters that are wrong.
    pub wrong: u32,
    /// What is wrong with them, at most 100.
    pub faults: Vec<FilterFaultDto>,
    /// Where to go on: one answer is about so many heights at most; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u32>,
}

/// A filter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterFaultDto {
    /// Its height.
    pub height: u32,
    /// What is wrong with it.
    pub fault: String,
}

impl FiltersCheckDto {
    pub(in crate::api) fn of(checked: &CheckedFilters, next: Option<BlockHeight>) -> Self {
        let fault = |(height, fault): &(BlockHeight, FilterFault)| FilterFaultDto {
            height: height.0,
            fault: fault.to_string(),
        };
        Self {
            heights: HeightsDto::of(&checked.heights),
            sound: checked.sound,
            with_block: checked.with_block,
            rebuilt: checked.rebuilt,
            undecided: checked.undecided,
            missing: checked.missing,
            without_block: checked.without_block,
            wrong: checked.wrong,
            faults: checked.faults.iter().map(fault).collect(),
            next: next.map(|height| height.0),
        }
    }
}

/// Blocks that were fetched since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlocksDto {
    /// For this node.
    pub own: u64,
    /// Their bytes.
    pub own_bytes: u64,
    /// Because light nodes asked.
    pub for_others: u64,
    /// Their bytes.
    pub for_others_bytes: u64,
    /// Blocks that are kept in memory.
    pub kept: usize,
    /// The memory that these take.
    pub kept_bytes: usize,
}

impl BlocksDto {
    pub(in crate::api) const fn of(report: &BlocksReport) -> Self {
        let BlocksReport { own, strangers, kept: (kept, kept_bytes) } = *report;
        let (Fetched { blocks, bytes }, kept) = (own, kept.len);
        Self {
            own: blocks,
            own_bytes: bytes,
            for_others: strangers.blocks,
            for_others_bytes: strangers.bytes,
            kept,
            kept_bytes,
        }
    }
}
