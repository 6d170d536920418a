//! What is asked of an allocator that counts.

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

#[cfg(feature = "program")]
impl MemoryProbe for peak_alloc::PeakAlloc {
    fn current(&self) -> u64 {
        self.current_usage() as u64
    }

    fn peak(&self) -> u64 {
        self.peak_usage() as u64
    }

    fn reset_peak(&self) {
        self.reset_peak_usage();
    }
}
