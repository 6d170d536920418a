//! What had to hold, and figures that a scenario has of its own.

use core::fmt::{self, Display};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// What had to hold, and whether it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Its name, the same from run to run.
    pub name: String,
    /// What is wanted, in words.
    pub wanted: String,
    /// What was found, in words.
    pub got: String,
    /// Whether it holds.
    pub met: bool,
}

impl Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, got {}", self.name, self.wanted, self.got)
    }
}

impl Bound {
    /// The two have to be equal.
    #[must_use]
    pub fn equal<T: PartialEq + Display>(name: &str, wanted: &T, got: &T) -> Self {
        Self::judged(name, wanted, got, wanted == got)
    }

    /// No more than so much, in a unit.
    #[must_use]
    pub fn at_most<T: PartialOrd + Display>(name: &str, most: &T, got: &T, unit: &str) -> Self {
        let wanted = format_args!("at most {most}{unit}");
        Self::judged(name, &wanted, &format_args!("{got}{unit}"), got <= most)
    }

    /// No less than so much, in a unit.
    #[must_use]
    pub fn at_least<T: PartialOrd + Display>(name: &str, least: &T, got: &T, unit: &str) -> Self {
        let wanted = format_args!("at least {least}{unit}");
        Self::judged(name, &wanted, &format_args!("{got}{unit}"), got >= least)
    }

    /// No longer than so much time.
    #[must_use]
    pub fn within(name: &str, most: Duration, got: Duration) -> Self {
        let wanted = format_args!("{most:?} at most");
        Self::judged(name, &wanted, &format_args!("{got:?}"), got <= most)
    }

    /// At least this share, both from 0 to 1; shown in percent.
    #[must_use]
    pub fn at_least_share(name: &str, least: f64, got: f64) -> Self {
        let wanted = format_args!("at least {} %", least * 100.0);
        Self::judged(name, &wanted, &format_args!("{:.3} %", got * 100.0), got >= least)
    }

    /// Judged already.
    #[must_use]
    pub fn judged(name: &str, wanted: &dyn Display, got: &dyn Display, met: bool) -> Self {
        Self { name: name.to_owned(), wanted: wanted.to_string(), got: got.to_string(), met }
    }
}

/// A figure that a scenario has beside those that all have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
}

impl Figure {
    /// How much of what.
    #[must_use]
    pub fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned() }
    }
}

/// What a scenario watched over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// What it is.
    pub name: String,
    /// Of what.
    pub unit: String,
    /// Oldest first. A scenario keeps as many as it has decided beforehand.
    pub points: Vec<CurvePoint>,
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Since the start of the round, in nanoseconds.
    pub at_ns: u64,
    /// How much.
    pub value: f64,
}

/// From when on something was in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Since the start of the round, in nanoseconds.
    pub at_ns: u64,
    /// The state from then on.
    pub state: String,
}
