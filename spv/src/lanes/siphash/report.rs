//! Which ways of SipHash are used, and the self-test that decides it.
//!
//! Invariant: no lane hashes for anyone before it has agreed with the portable way on every message of the fixed set.

use super::super::Standing;
use super::{Avx2, Avx512, Lanes};
use core::fmt;

/// The ways of hashing that this module knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Way {
    /// Eight messages at a time in one register of AVX-512.
    Avx512x8,
    /// Eight messages at a time in two registers of AVX2.
    Avx2x8,
    /// One message at a time in plain code, which every processor runs.
    Portable,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Avx512x8 => "AVX-512 x8",
            Self::Avx2x8 => "AVX2 x8",
            Self::Portable => "portable",
        })
    }
}

/// What the self-test found.
#[derive(Clone, Debug)]
pub struct Report {
    avx512: (Option<Avx512>, Standing),
    avx2: (Option<Avx2>, Standing),
}

impl Report {
    /// Every way, widest first, with its standing.
    pub fn ways(&self) -> impl Iterator<Item = (Way, Standing)> + use<> {
        let avx512 = (Way::Avx512x8, self.avx512.1);
        [avx512, (Way::Avx2x8, self.avx2.1), (Way::Portable, Standing::Used)].into_iter()
    }

    /// The way that hashes.
    #[must_use]
    pub fn fastest(&self) -> Way {
        self.ways()
            .find(|(_, standing)| *standing == Standing::Used)
            .map_or(Way::Portable, |(way, _)| way)
    }

    pub(super) fn fastest_lanes(&self) -> Lanes {
        match (self.avx512.0, self.avx2.0) {
            (Some(lanes), _) => Lanes::Avx512(lanes),
            (None, Some(lanes)) => Lanes::Avx2(lanes),
            (None, None) => Lanes::Portable,
        }
    }

    pub(super) fn lanes_of(&self, way: Way) -> Option<Lanes> {
        match way {
            Way::Avx512x8 => self.avx512.0.map(Lanes::Avx512),
            Way::Avx2x8 => self.avx2.0.map(Lanes::Avx2),
            Way::Portable => Some(Lanes::Portable),
        }
    }
}

/// One line: the fastest way, then the standing of each.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter hashing by {}", self.fastest())?;
        for (n, (way, standing)) in self.ways().enumerate() {
            let standing = match standing {
                Standing::Used => "used",
                Standing::Unavailable => "unavailable",
                Standing::Disagrees => "disagrees with the portable way, switched off",
            };
            write!(f, "{}{way}: {standing}", if n == 0 { " (" } else { ", " })?;
        }
        f.write_str(")")
    }
}

/// The ways that this processor offers and what their self-test found. The first call runs it (some microseconds).
#[cfg(feature = "std")]
#[must_use]
pub fn report() -> &'static Report {
    static REPORT: std::sync::OnceLock<Report> = std::sync::OnceLock::new();
    REPORT.get_or_init(self_test::run)
}

/// The ways that this build offers: without `std`, only the portable one.
#[cfg(not(feature = "std"))]
#[must_use]
pub fn report() -> &'static Report {
    static REPORT: Report =
        Report { avx512: (None, Standing::Unavailable), avx2: (None, Standing::Unavailable) };
    &REPORT
}

#[cfg(feature = "std")]
pub(super) mod self_test {
    use super::super::{Avx2, Avx512, Key, LANES, Row, portable};
    use super::{Report, Standing};
    use core::num::NonZeroUsize;

    /// The blocks of the longest message of the fixed set.
    const LONGEST: usize = 6;
    /// Groups of each length.
    const GROUPS: usize = 3;

    #[cfg(target_arch = "x86_64")]
    pub(in super::super) fn run() -> Report {
        let avx512 = judge(Avx512::detect(), Avx512::hash);
        Report { avx512, avx2: judge(Avx2::detect(), Avx2::hash) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(in super::super) fn run() -> Report {
        Report { avx512: judge(None, Avx512::hash), avx2: judge(None, Avx2::hash) }
    }

    /// Gives the lanes back only if they compute what the portable way does.
    pub(in super::super) fn judge<L: Copy>(
        lanes: Option<L>,
        hash: impl Fn(L, Key, &[Row], NonZeroUsize, &mut [Row]),
    ) -> (Option<L>, Standing) {
        let Some(lanes) = lanes else {
            return (None, Standing::Unavailable);
        };
        let (key, rows) = fixed_set();
        let agrees = |blocks: usize| {
            let (Some(each), Some(rows)) = (NonZeroUsize::new(blocks), rows.get(..GROUPS * blocks))
            else {
                return false;
            };
            let (mut found, mut right) = ([[0; LANES]; GROUPS], [[1; LANES]; GROUPS]);
            hash(lanes, key, rows, each, &mut found);
            portable::hash_groups(key, rows, each, &mut right);
            found == right
        };
        if (1..=LONGEST).all(agrees) {
            (Some(lanes), Standing::Used)
        } else {
            (None, Standing::Disagrees)
        }
    }

    /// The same pseudo-random key and blocks in every run (xorshift64), so that a failure can be repeated.
    fn fixed_set() -> (Key, [Row; GROUPS * LONGEST]) {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut rows = [[0; LANES]; GROUPS * LONGEST];
        rows.as_flattened_mut().fill_with(&mut next);
        (Key { k0: next(), k1: next() }, rows)
    }
}
