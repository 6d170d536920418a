//! Account states.

use super::Wanted::{AtMost, Compared, TimesTheirs};
use super::{Goal, counted, goal};
use crate::recorded::Unit;

pub(super) const GOALS: &[Goal] = &[
    counted(
        Unit::Share,
        "states-size",
        "100 heights of 100,000 accounts, 1 % changed each, as a share of plain copies",
        AtMost(0.05),
        "state_memory/100 heights, share of plain copies",
        &[],
    ),
    goal(
        "states-get",
        "an account at a random height",
        AtMost(5_000.0),
        "state/get: ironlight",
        &[("jmt, values without the tree", "state/get: jmt, values without the tree")],
    ),
    goal(
        "states-seal",
        "1,000 changes of 100,000 accounts sealed",
        TimesTheirs(0.2),
        "state/seal: ironlight",
        &[
            ("jmt", "state/seal: jmt"),
            ("sparse-merkle-tree, hashes", "state/seal: sparse-merkle-tree, hashes"),
        ],
    ),
    goal(
        "states-prove",
        "an account and its proof at the newest height",
        Compared,
        "state/get and prove: ironlight",
        &[
            ("jmt", "state/get and prove: jmt"),
            ("sparse-merkle-tree, a hash", "state/get and prove: sparse-merkle-tree, a hash"),
        ],
    ),
    counted(
        Unit::Bytes,
        "states-million",
        "1,000,000 accounts sealed at once, peak of memory",
        Compared,
        "state_memory/1,000,000 accounts, at the peak",
        &[],
    ),
];
