//! Taking a verified batch in: extend, keep a side branch, or change over to it.

use bitcoin::Work;

use super::HeaderChain;
use super::batch::{HeaderRun, StaleBatch, TipChange, VerifiedBatch};
use super::work::WorkSum;
use crate::header::{Header, IndexedHeader};

impl HeaderChain {
    /// Makes room for so many headers in all, which spares a long chain's index its growing. It takes about 11
    /// bytes for each at once, so a stranger's number wants a bound.
    pub fn reserve(&mut self, headers: usize) {
        self.spine.reserve(headers);
    }

    /// Takes a verified batch in.
    ///
    /// # Errors
    /// [`StaleBatch`] where the chain has changed since the batch was verified, or is another one;
    /// nothing happens.
    pub fn apply(&mut self, batch: VerifiedBatch) -> Result<TipChange, StaleBatch> {
        if batch.revision != self.revision || batch.made_on != self.tip.hash {
            return Err(StaleBatch);
        }
        if batch.is_empty() {
            return Ok(TipChange::Unchanged);
        }
        self.revision += 1;
        match &batch.change {
            TipChange::Unchanged => self.apply_side(&batch.side),
            TipChange::Extended { connected } => {
                self.spine.extend(connected, self.tip.work.total);
            }
            TipChange::Reorg { fork_point, disconnected, connected } => {
                for (_, hash, _) in connected.iter() {
                    self.forks.remove(&hash);
                }
                for (_, hash, _) in disconnected.iter().rev() {
                    self.spine.pop(&hash);
                }
                self.spine.extend(connected, fork_point.work);
                self.keep_on_side(fork_point.work, disconnected);
            }
        }
        match batch.change {
            TipChange::Unchanged => self.last_side = Some(batch.end),
            TipChange::Extended { .. } | TipChange::Reorg { .. } => self.tip = batch.end,
        }
        self.forks.enforce_bound();
        Ok(batch.change)
    }

    fn keep_on_side(&mut self, parent_work: Work, run: &HeaderRun) {
        let mut work = WorkSum::from(parent_work);
        for (height, hash, header) in run.iter() {
            let entry = IndexedHeader {
                header: *header,
                hash,
                height,
                work: work.add(header.compact_target()),
            };
            self.forks.insert(&entry);
        }
    }

    fn apply_side(&mut self, side: &HeaderRun) {
        let parent = side.headers().first().map(Header::prev_hash);
        let known = parent.and_then(|parent| self.find(&parent));
        let Some((parent, _)) = known else { return };
        self.keep_on_side(parent.work, side);
    }
}
