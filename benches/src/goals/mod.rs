//! The goals, and what is compared without one: data, in one place. The report judges by it, README and docs quote it.

mod chain;
mod hardening;
mod proofs;
mod states;
mod sync;

use crate::recorded::Unit;

/// What has to hold of a value of ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// No more than so much.
    AtMost(f64),
    /// No less than so much.
    AtLeast(f64),
    /// No more than so many times the first peer's.
    TimesTheirs(f64),
    /// No more than so much on top of the first value beside it.
    OnTop(f64),
    /// Nothing: there is no goal, and the report says how it compares.
    Compared,
}

/// A value of ours and what has to hold of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// Its name in the file of reasons.
    pub key: &'static str,
    /// What it is about, in words.
    pub what: &'static str,
    /// What all values count.
    pub unit: Unit,
    /// What has to hold.
    pub wanted: Wanted,
    /// The id of our value.
    pub ours: &'static str,
    /// What is measured beside it: names and ids. The first is what ours is compared with.
    pub beside: &'static [(&'static str, &'static str)],
    /// All values are divided by it: the operations of one iteration.
    pub operations: u32,
}

const fn goal(
    key: &'static str,
    what: &'static str,
    wanted: Wanted,
    ours: &'static str,
    beside: &'static [(&'static str, &'static str)],
) -> Goal {
    counted(Unit::Nanoseconds, key, what, wanted, ours, beside)
}

const fn counted(
    unit: Unit,
    key: &'static str,
    what: &'static str,
    wanted: Wanted,
    ours: &'static str,
    beside: &'static [(&'static str, &'static str)],
) -> Goal {
    Goal { key, what, unit, wanted, ours, beside, operations: 1 }
}

const fn each(operations: u32, goal: Goal) -> Goal {
    Goal { operations, ..goal }
}

const MILLION: f64 = 1e6;

/// All of them, in the order of the report.
#[must_use]
pub fn all() -> Vec<Goal> {
    [chain::GOALS, sync::GOALS, proofs::GOALS, states::GOALS, hardening::GOALS].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Wanted::{OnTop, TimesTheirs};
    use super::*;

    #[test]
    fn keys_are_unique_and_what_is_relative_has_something_beside_it() {
        let all = all();
        let keys: BTreeSet<_> = all.iter().map(|goal| goal.key).collect();
        assert_eq!(keys.len(), all.len());
        for goal in all {
            let relative = matches!(goal.wanted, TimesTheirs(_) | OnTop(_));
            assert!(!relative || !goal.beside.is_empty(), "{}", goal.key);
            assert!(goal.operations > 0, "{}", goal.key);
        }
    }
}
