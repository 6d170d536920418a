//! Time as an argument: nothing in this crate reads a clock.

use core::fmt;
use core::time::Duration;

/// Seconds since 1970 as headers carry them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u32);

impl UnixTime {
    /// The latest time that a header can carry. Verifying with it switches the rule against
    /// headers from the future off: right for headers that were accepted once already.
    pub const MAX: Self = Self(u32::MAX);

    /// This time plus some seconds, saturating.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The two clocks that a running node stamps events with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, for rules about header times. It may jump.
    pub unix: UnixTime,
    /// Time since the node started, for deadlines. It never goes back.
    pub elapsed: Duration,
}
