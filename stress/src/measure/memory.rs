//! What is asked of an allocator that counts.

#[cfg(feature = "program")]
use std::alloc::GlobalAlloc;
#[cfg(feature = "program")]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "program")]
use cap::Cap;
#[cfg(feature = "program")]
use peakmem_alloc::{PeakMemAlloc, PeakMemAllocTrait as _};

/// Bytes that the program has asked its allocator for. The program or the test brings it, since a
/// process has one allocator; the library never sets one.
pub trait MemoryProbe: Sync {
    /// Bytes handed out and not given back, now.
    fn current(&self) -> u64;

    /// The most of them at once, since the last [`reset_peak`](Self::reset_peak).
    fn peak(&self) -> u64;

    /// The peak begins anew, at what is handed out now.
    fn reset_peak(&self);
}

/// What two counters say of one allocator: one of them has no peak that can begin anew, the other no
/// more than the peak.
///
/// ```
/// use std::alloc::System;
///
/// use cap::Cap;
/// use ironlight_stress::measure::{Counts, MemoryProbe};
/// use peakmem_alloc::PeakMemAlloc;
///
/// static PEAK: PeakMemAlloc<System> = PeakMemAlloc::new(System);
/// #[global_allocator]
/// static ALLOCATED: Cap<&PeakMemAlloc<System>> = Cap::new(&PEAK, usize::MAX);
/// static COUNTS: Counts<System> = Counts::new(&ALLOCATED, &PEAK);
///
/// COUNTS.reset_peak();
/// drop(vec![0u8; 1_000_000]);
/// assert!(COUNTS.peak() >= COUNTS.current() + 1_000_000);
/// ```
#[cfg(feature = "program")]
#[derive(Debug)]
pub struct Counts<A: GlobalAlloc + 'static> {
    allocated: &'static Cap<&'static PeakMemAlloc<A>>,
    /// Above what was handed out when it began.
    peak: &'static PeakMemAlloc<A>,
    began_at: AtomicU64,
}

#[cfg(feature = "program")]
impl<A: GlobalAlloc + 'static> Counts<A> {
    /// Of the program's allocator, and of what it goes through.
    pub const fn new(
        allocated: &'static Cap<&'static PeakMemAlloc<A>>,
        peak: &'static PeakMemAlloc<A>,
    ) -> Self {
        Self { allocated, peak, began_at: AtomicU64::new(0) }
    }
}

#[cfg(feature = "program")]
impl<A: GlobalAlloc + Sync + 'static> MemoryProbe for Counts<A> {
    fn current(&self) -> u64 {
        self.allocated.allocated() as u64
    }

    fn peak(&self) -> u64 {
        self.began_at.load(Ordering::Relaxed) + self.peak.get_peak_memory() as u64
    }

    fn reset_peak(&self) {
        self.peak.reset_peak_memory();
        self.began_at.store(self.current(), Ordering::Relaxed);
    }
}
