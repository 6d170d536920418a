//! The header chain: rules, memory, growth, and a day's mix.

use super::Wanted::{AtLeast, AtMost, Compared, OnTop};
use super::{Goal, MILLION, counted, each, goal};
use crate::recorded::Unit;

pub(super) const GOALS: &[Goal] = &[
    each(
        2_016,
        goal(
            "header-rules",
            "a header by all rules, one core (set for AVX-512)",
            AtMost(55.0),
            "header_batch/ironlight: all rules/generated/2016",
            &[(
                "bitcoin, proof of work and link",
                "header_batch/bitcoin: validate_pow and link/generated/2016",
            )],
        ),
    ),
    each(
        2_016,
        goal(
            "header-rules-hashing",
            "the same on top of hashing alone, on any processor",
            OnTop(25.0),
            "header_batch/ironlight: all rules/generated/2016",
            &[("hashing alone", "header_hashing/the fastest way")],
        ),
    ),
    counted(
        Unit::Bytes,
        "memory-10k",
        "10,000 headers in memory, at the peak",
        AtMost(0.8 * MILLION),
        "header_chain_memory/10,000 headers, at the peak",
        &[],
    ),
    counted(
        Unit::Bytes,
        "memory-1m",
        "1,000,000 headers in memory, at the peak",
        AtMost(64.0 * MILLION),
        "header_chain_memory/1,000,000 headers, at the peak",
        &[],
    ),
    each(
        100_000,
        goal(
            "chain-build",
            "a chain of 100,000, a header verified and taken in",
            Compared,
            "header_chain/build: ironlight",
            &[("bitcoin, Vec and HashMap", "header_chain/build: bitcoin, Vec and HashMap")],
        ),
    ),
    goal(
        "chain-reorg",
        "a reorg of 100 headers in it",
        Compared,
        "header_chain/reorg: ironlight",
        &[("bitcoin, Vec and HashMap", "header_chain/reorg: bitcoin, Vec and HashMap")],
    ),
    counted(
        Unit::Share,
        "mixed-5ms",
        "mixed workload: turns under 5 ms, as was asked for",
        AtLeast(0.978),
        "mixed/under 5 ms",
        &[],
    ),
    counted(
        Unit::Share,
        "mixed-1ms",
        "mixed workload: turns under 1 ms, as we want it",
        AtLeast(0.999),
        "mixed/under 1 ms",
        &[],
    ),
    goal(
        "control",
        "a request over the control socket, by the client",
        Compared,
        "control/tip over the socket: ironlight",
        &[
            ("a reused connection of hyper's", "control/tip over one connection: hyper"),
            ("the same bytes, echoed", "control/bytes over the socket: echo"),
        ],
    ),
];
