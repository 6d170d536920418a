//! Filters of blocks that are at hand, bit for bit those of every other node (BIP158, "Block Filters").

use alloc::vec::Vec;

use bitcoin::{Block, Script};

use super::gcs::{checked_count, range, reduced};
use super::{Filter, FilterError, FilterKey};
use crate::lanes::siphash;

/// The scripts of a block's outputs that its filter must have: all but empty ones and those that begin with
/// `OP_RETURN`, in the block's order and as often as they occur. A filter that lacks one is not the block's.
pub fn output_elements(block: &Block) -> impl Iterator<Item = &Script> {
    let outputs = block.txdata.iter().flat_map(|transaction| &transaction.output);
    let scripts = outputs.map(|output| output.script_pubkey.as_script());
    scripts.filter(|script| !script.is_empty() && !script.is_op_return())
}

impl Filter {
    /// The filter of a block, given the scripts of the outputs that it spends, in any order.
    ///
    /// # Errors
    /// [`FilterError::TooManyElements`], which no valid block gives.
    pub fn of_block<'a>(
        block: &'a Block,
        spent: impl IntoIterator<Item = &'a Script>,
    ) -> Result<Self, FilterError> {
        // An OP_RETURN counts here: it was spent, whatever it says.
        let spent = spent.into_iter().filter(|script| !script.is_empty());
        let elements = output_elements(block).chain(spent).map(Script::as_bytes);
        Self::of_elements(FilterKey::new(block.block_hash()), elements)
    }

    fn of_elements<'a>(
        key: FilterKey,
        elements: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, FilterError> {
        let hashed = elements.map(|element| (siphash::hash(key.sip(), element), element));
        let mut hashed: Vec<(u64, &[u8])> = hashed.collect();
        // Mapping hashes below the range keeps their order, so one sort is for duplicates and for values.
        hashed.sort_unstable();
        hashed.dedup();
        let count = checked_count(u64::try_from(hashed.len()).unwrap_or(u64::MAX))?;
        let range = range(count);
        let values: Vec<u64> = hashed.iter().map(|(hash, _)| reduced(*hash, range)).collect();
        Ok(Self::encode(key, count, &values))
    }
}
