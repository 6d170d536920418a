//! What one scenario found, in all its rounds.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::bound::{Bound, Curve, Figure, StateChange};
use crate::measure::{Tally, Timeline};

/// What one scenario found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// The scenario.
    pub name: String,
    /// What it does.
    pub does: String,
    /// What one operation is.
    pub operation: String,
    /// What one sample of latency is the time of.
    pub sample: String,
    /// How much was asked for, in the scenario's own unit.
    pub count: u64,
    /// The seed.
    pub seed: u64,
    /// Operations of all rounds.
    pub operations: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// The share that did not fail, from 0 to 1.
    pub success_rate: f64,
    /// How long was measured, all rounds together.
    pub duration_ns: u64,
    /// Operations over that time.
    pub operations_per_second: f64,
    /// How long samples took, those of all rounds.
    pub latency: Latency,
    /// The most bytes handed out at once in any round, above what there was when it began,
    /// preparation counted; none where the allocator does not count.
    pub peak_bytes: Option<u64>,
    /// Errors by class, by name.
    pub errors: Vec<ErrorCount>,
    /// What had to hold. Of a bound that all rounds have, the round that broke it, else the last.
    pub bounds: Vec<Bound>,
    /// The scenario's own figures, of the last round.
    pub figures: Vec<Figure>,
    /// Each round by itself: how far they lie apart is the noise.
    pub rounds: Vec<Round>,
    /// The last round over its time.
    pub series: Series,
    /// The states that something went through in the last round.
    pub states: Vec<StateChange>,
    /// What the scenario watched over time in the last round. Earlier reports do not have it.
    #[serde(default)]
    pub curves: Vec<Curve>,
}

/// How often errors of a class came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// The class.
    pub class: String,
    /// Operations that failed with it.
    pub count: u64,
}

/// How long samples took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many there are.
    pub samples: u64,
    /// Their mean, in nanoseconds.
    pub mean_ns: u64,
    /// Half of them took at most so long.
    pub p50_ns: u64,
    /// Nine of ten.
    pub p90_ns: u64,
    /// 99 of a hundred.
    pub p99_ns: u64,
    /// 999 of a thousand.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The share that took less than a millisecond, from 0 to 1.
    pub under_1ms: f64,
    /// The share that took less than five milliseconds.
    pub under_5ms: f64,
}

/// One round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Operations over the time that was measured.
    pub operations_per_second: f64,
    /// Half of its samples took at most so long.
    pub p50_ns: u64,
    /// 99 of a hundred.
    pub p99_ns: u64,
    /// The share of samples under a millisecond.
    pub under_1ms: f64,
    /// The most bytes above what there was when it began.
    pub peak_bytes: Option<u64>,
}

/// A round over its time, in slots of equal width.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// How long a slot is, in nanoseconds.
    pub width_ns: u64,
    /// The slots, at most 128.
    pub slots: Vec<SeriesSlot>,
}

/// What ended in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesSlot {
    /// Operations.
    pub operations: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// The most bytes handed out that were seen.
    pub memory: u64,
    /// The mean of its samples' latencies; 0 where it has none. Earlier reports do not have it.
    #[serde(default)]
    pub mean_ns: u64,
    /// The longest of them.
    #[serde(default)]
    pub longest_ns: u64,
}

impl ScenarioResult {
    /// The bounds that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &Bound> {
        self.bounds.iter().filter(|bound| !bound.met)
    }

    /// The value of a figure of the scenario's own.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

impl Latency {
    /// Of what was counted.
    #[must_use]
    pub fn of(tally: &Tally) -> Self {
        let Some(took) = &tally.took else { return Self::default() };
        let at = |quantile| took.value_at_quantile(quantile);
        Self {
            samples: took.len(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a mean of numbers up to an hour's nanoseconds is one, and `as` saturates"
            )]
            mean_ns: took.mean() as u64,
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: took.max(),
            under_1ms: tally.share_under(Duration::from_millis(1)),
            under_5ms: tally.share_under(Duration::from_millis(5)),
        }
    }
}

impl From<&Timeline> for Series {
    fn from(timeline: &Timeline) -> Self {
        let slot = |slot: &crate::measure::Slot| SeriesSlot {
            operations: slot.operations,
            failed: slot.failed,
            memory: slot.memory,
            mean_ns: slot.took_ns.checked_div(slot.samples).unwrap_or(0),
            longest_ns: slot.longest_ns,
        };
        Self {
            width_ns: nanos(timeline.width()),
            slots: timeline.slots().iter().map(slot).collect(),
        }
    }
}

/// Nanoseconds; saturates after 584 years.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// So many in that time, a second; 0 where no time passed.
pub(crate) fn a_second(operations: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { operations as f64 / seconds } else { 0.0 }
}
