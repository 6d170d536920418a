//! Chain work, added up header by header.

use bitcoin::{CompactTarget, Work};

/// The work that one header with these bits stands for; the bits were checked before.
pub(crate) fn work_of(bits: CompactTarget) -> Work {
    bitcoin::Target::from_compact(bits).to_work()
}

/// A total that grows. The last header's work is kept: dividing is dear, and bits change rarely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkSum {
    pub(crate) total: Work,
    bits: CompactTarget,
    unit: Work,
}

impl WorkSum {
    /// A total so far.
    pub(crate) fn from(total: Work) -> Self {
        // No header has these bits: the first one's work is computed.
        Self { total, bits: CompactTarget::default(), unit: crate::params::no_work() }
    }

    /// Adds a header with these bits, and gives the new total.
    #[inline]
    pub(crate) fn add(&mut self, bits: CompactTarget) -> Work {
        if self.bits != bits {
            self.bits = bits;
            self.unit = work_of(bits);
        }
        self.total = self.total + self.unit;
        self.total
    }
}
