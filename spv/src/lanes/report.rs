//! Which ways of hashing are used, and the self-test that decides it.
//!
//! Invariant: no lane hashes for anyone before it has agreed with `sha2` on every header, every Merkle node and every
//! padded message of the fixed set. Full groups, padded groups, pairs and a single message all occur in it.

#[cfg(feature = "std")]
use super::portable;
use super::{Pair, Plan, Wide};
use core::fmt;

/// The ways of hashing that this module knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Way {
    /// Sixteen messages at a time in the registers of AVX-512.
    Avx512x16,
    /// Two messages at a time, interleaved, with the SHA instructions of x86.
    ShaNiX2,
    /// One message at a time by `sha2`, which every processor offers.
    Portable,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Avx512x16 => "AVX-512 x16",
            Self::ShaNiX2 => "SHA-NI x2",
            Self::Portable => "sha2",
        })
    }
}

/// What became of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It agrees with `sha2` and is used where it is the fastest.
    Used,
    /// The processor, or a build without `std`, does not offer it.
    Unavailable,
    /// It computed a wrong hash in the self-test and is switched off: the processor or the build is not to be trusted.
    Disagrees,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Used => "used",
            Self::Unavailable => "unavailable",
            Self::Disagrees => "disagrees with sha2, switched off",
        })
    }
}

/// What the self-test found.
#[derive(Clone, Debug)]
pub struct Report {
    plan: Plan,
    wide: Standing,
    pair: Standing,
}

impl Report {
    /// Every way, widest first, with its standing.
    pub fn ways(&self) -> impl Iterator<Item = (Way, Standing)> + use<> {
        [(Way::Avx512x16, self.wide), (Way::ShaNiX2, self.pair), (Way::Portable, Standing::Used)]
            .into_iter()
    }

    /// The way that hashes a long batch.
    #[must_use]
    pub fn fastest(&self) -> Way {
        self.ways()
            .find(|(_, standing)| *standing == Standing::Used)
            .map_or(Way::Portable, |(way, _)| way)
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan
    }
}

/// One line: the fastest way, then the standing of each.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header hashing by {}", self.fastest())?;
        for (n, (way, standing)) in self.ways().enumerate() {
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
    REPORT.get_or_init(|| {
        let wide = Wide::detect().map(|wide| Candidate::of(wide, Plan::only_wide(wide)));
        let pair = Pair::detect().map(|pair| Candidate::of(pair, Plan::only_pair(pair)));
        Report::after_self_test(wide, pair)
    })
}

/// The ways that this build offers: without `std`, only the portable one.
#[cfg(not(feature = "std"))]
#[must_use]
pub fn report() -> &'static Report {
    static REPORT: Report = Report {
        plan: Plan::of(Wide::detect(), Pair::detect()),
        wide: Standing::Unavailable,
        pair: Standing::Unavailable,
    };
    &REPORT
}

/// A made-up header: arrays do not implement `AsRef` to themselves.
#[cfg(any(test, feature = "std"))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample(pub(super) [u8; 80]);

#[cfg(any(test, feature = "std"))]
impl AsRef<[u8; 80]> for Sample {
    fn as_ref(&self) -> &[u8; 80] {
        &self.0
    }
}

/// A kind of lanes, and how it hashes.
#[cfg(feature = "std")]
pub(super) struct Candidate<L> {
    pub(super) lanes: L,
    pub(super) headers: Hasher<Sample>,
    pub(super) nodes: Hasher<[u8; 64]>,
    pub(super) padded: Hasher<[u8; 128]>,
}

#[cfg(feature = "std")]
pub(super) type Hasher<M> = std::boxed::Box<dyn Fn(&[M], &mut [[u8; 32]])>;

#[cfg(feature = "std")]
impl<L> Candidate<L> {
    fn of(lanes: L, plan: Plan) -> Self {
        Self {
            lanes,
            headers: std::boxed::Box::new(move |i, o| plan.hash(i, Sample::as_ref, o)),
            nodes: std::boxed::Box::new(move |i, o| plan.hash(i, |node| node, o)),
            padded: std::boxed::Box::new(move |i, o| plan.hash_padded(i, o)),
        }
    }
}

#[cfg(feature = "std")]
impl Report {
    /// Tests each candidate and plans with those that agree.
    pub(super) fn after_self_test(
        wide: Option<Candidate<Wide>>,
        pair: Option<Candidate<Pair>>,
    ) -> Self {
        let (wide, wide_standing) = judge(wide);
        let (pair, pair_standing) = judge(pair);
        Self { plan: Plan::of(wide, pair), wide: wide_standing, pair: pair_standing }
    }
}

/// Gives the lanes back only if they compute what `sha2` does, of every kind of message.
#[cfg(feature = "std")]
pub(super) fn judge<L>(candidate: Option<Candidate<L>>) -> (Option<L>, Standing) {
    let Some(Candidate { lanes, headers: hash_headers, nodes: hash_nodes, padded }) = candidate
    else {
        return (None, Standing::Unavailable);
    };
    let headers = fixed_set();
    let mut digests = [[0; 32]; FIXED_SET_LEN];
    hash_headers(&headers, &mut digests);
    let headers_agree = headers.iter().map(|header| portable::hash_header(&header.0)).eq(digests);

    let nodes = headers.map(|header| core::array::from_fn(|at| header.0[at + 16]));
    let mut digests = [[0; 32]; FIXED_SET_LEN];
    hash_nodes(&nodes, &mut digests);
    let nodes_agree = nodes.iter().map(portable::hash_node).eq(digests);

    let messages = headers.map(|header| portable::padded::<80, 128>(&header.0));
    let mut digests = [[0; 32]; FIXED_SET_LEN];
    padded(&messages, &mut digests);
    let padded_agree = messages.iter().map(portable::hash_blocks).eq(digests);

    if headers_agree && nodes_agree && padded_agree {
        (Some(lanes), Standing::Used)
    } else {
        (None, Standing::Disagrees)
    }
}

/// Two full groups of sixteen, and an odd rest for a padded group, pairs and a single message.
#[cfg(feature = "std")]
const FIXED_SET_LEN: usize = 2 * 16 + 7;

/// The same pseudo-random headers in every run (xorshift64), so that a failure can be repeated.
#[cfg(feature = "std")]
fn fixed_set() -> [Sample; FIXED_SET_LEN] {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut headers = [Sample([0; 80]); FIXED_SET_LEN];
    for place in headers.iter_mut().flat_map(|header| header.0.as_chunks_mut::<8>().0) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *place = state.to_le_bytes();
    }
    headers
}
