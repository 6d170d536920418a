//! What moved from one run to another, and whether more than the runs move by themselves.
//!
//! Noise is what the rounds of a run show: from the least to the largest of them, as a share of
//! their median. Of two runs the larger noise counts, and never less than [`LEAST_NOISE`]; where a
//! run has one round only nothing is known, and [`UNKNOWN_NOISE`] is taken. A metric moved when its
//! medians differ by more than that.

use super::Report;
use super::result::{Round, ScenarioResult};
use super::text::{bytes, percent, quantity, time};

/// Rounds follow each other at once, so they do not show what changes from minute to minute, nor where
/// another build's code lies in memory.
const LEAST_NOISE: f64 = 0.10;
/// Taken where there is one round only.
const UNKNOWN_NOISE: f64 = 0.25;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Operations a second.
    Throughput,
    /// The median of samples.
    Median,
    /// The 99th percentile of samples.
    P99,
    /// The peak of memory.
    Memory,
    /// The share of samples of a millisecond or longer. Compared as such, since a share of almost
    /// all hardly moves however much the rest does.
    OverMillisecond,
}

impl Metric {
    const ALL: [Self; 5] =
        [Self::Throughput, Self::Median, Self::P99, Self::Memory, Self::OverMillisecond];

    /// What it is, in a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "operations a second",
            Self::Median => "latency p50",
            Self::P99 => "latency p99",
            Self::Memory => "peak memory",
            Self::OverMillisecond => "share of 1 ms or more",
        }
    }

    /// A value of it, with its unit.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "medians of whole numbers, to be shown; `as` saturates"
        )]
        let whole = value as u64;
        match self {
            Self::Throughput => quantity(value),
            Self::Median | Self::P99 => time(whole),
            Self::Memory => bytes(Some(whole)),
            Self::OverMillisecond => percent(value),
        }
    }

    fn of(self, round: &Round) -> Option<f64> {
        match self {
            Self::Throughput => Some(round.operations_per_second),
            Self::Median => Some(round.p50_ns as f64),
            Self::P99 => Some(round.p99_ns as f64),
            Self::Memory => round.peak_bytes.map(|bytes| bytes as f64),
            Self::OverMillisecond => Some(1.0 - round.under_1ms),
        }
    }

    const fn more_is_better(self) -> bool {
        match self {
            Self::Throughput => true,
            Self::Median | Self::P99 | Self::Memory | Self::OverMillisecond => false,
        }
    }
}

/// Whether a metric moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not more than it does by itself.
    WithinNoise,
    /// To the better.
    Better,
    /// To the worse.
    Worse,
}

/// One metric of one scenario, in both runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The scenario.
    pub scenario: String,
    /// The metric.
    pub metric: Metric,
    /// The median of the first run's rounds.
    pub before: f64,
    /// The median of the second run's.
    pub after: f64,
    /// By how much it moves by itself, in percent.
    pub noise_percent: f64,
    /// Whether it moved.
    pub verdict: Verdict,
}

impl Change {
    /// By how much it changed, in percent of what it was.
    #[must_use]
    pub fn percent(&self) -> f64 {
        100.0 * moved(self.before, self.after)
    }
}

/// What two runs have in common, and what not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// What makes the two hard to compare: other machines, other counts, scenarios of one only.
    pub notes: Vec<String>,
    /// All metrics that both have.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Those outside of the noise.
    pub fn moved(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict != Verdict::WithinNoise)
    }
}

/// Compares a run with an earlier one.
#[must_use]
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let mut comparison = Comparison { notes: machines(before, after), changes: Vec::new() };
    for first in &before.results {
        let Some(second) = after.find(&first.name) else {
            comparison.notes.push(format!("{} is in the first run only", first.name));
            continue;
        };
        if (first.count, first.seed) != (second.count, second.seed) {
            comparison.notes.push(format!(
                "{}: count {} and seed {}, then count {} and seed {}",
                first.name, first.count, first.seed, second.count, second.seed
            ));
        }
        let changes = Metric::ALL.into_iter().filter_map(|metric| change(metric, first, second));
        comparison.changes.extend(changes);
    }
    let new = after.results.iter().filter(|result| before.find(&result.name).is_none());
    comparison.notes.extend(new.map(|new| format!("{} is in the second run only", new.name)));
    comparison
}

fn machines(before: &Report, after: &Report) -> Vec<String> {
    let (one, other) = (&before.machine, &after.machine);
    let same =
        (&one.system, &one.processor, one.cores) == (&other.system, &other.processor, other.cores);
    let mut notes = Vec::new();
    if !same {
        notes.push("the runs were made on different machines".to_owned());
    }
    if one.is_busy() || other.is_busy() {
        notes.push("other work was going on during a run".to_owned());
    }
    notes
}

fn change(metric: Metric, before: &ScenarioResult, after: &ScenarioResult) -> Option<Change> {
    let (first, second) = (Spread::of(metric, before)?, Spread::of(metric, after)?);
    let noise = first.noise.max(second.noise).max(LEAST_NOISE);
    let by = moved(first.median, second.median);
    let verdict = if by.abs() <= noise {
        Verdict::WithinNoise
    } else if (by > 0.0) == metric.more_is_better() {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    Some(Change {
        scenario: before.name.clone(),
        metric,
        before: first.median,
        after: second.median,
        noise_percent: 100.0 * noise,
        verdict,
    })
}

/// As a share of what it was; from nothing to something is all of it.
fn moved(before: f64, after: f64) -> f64 {
    if before > 0.0 { (after - before) / before } else { f64::from(after > before) }
}

struct Spread {
    median: f64,
    /// As a share of the median.
    noise: f64,
}

impl Spread {
    fn of(metric: Metric, result: &ScenarioResult) -> Option<Self> {
        let mut values: Vec<f64> =
            result.rounds.iter().filter_map(|round| metric.of(round)).collect();
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        let (least, most) = (*values.first()?, *values.last()?);
        let noise = match values.len() {
            1 => UNKNOWN_NOISE,
            _ if median > 0.0 => (most - least) / median,
            _ => 1.0,
        };
        Some(Self { median, noise })
    }
}
