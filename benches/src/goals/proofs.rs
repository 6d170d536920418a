//! Merkle proofs, compact filters, and the log of headers.

use super::Wanted::{AtMost, Compared, TimesTheirs};
use super::{Goal, each, goal};

pub(super) const GOALS: &[Goal] = &[
    goal(
        "merkle-root",
        "the Merkle root of 4,096 txids",
        TimesTheirs(0.3),
        "merkle/root: ironlight",
        &[
            ("bitcoin", "merkle/root: bitcoin"),
            ("rs_merkle", "merkle/root: rs_merkle, which builds its tree"),
        ],
    ),
    goal(
        "merkle-proof",
        "a proof of depth 12 checked alone",
        AtMost(1_600.0),
        "merkle/proof: ironlight",
        &[
            ("rs_merkle", "merkle/proof: rs_merkle"),
            ("bitcoin, BIP37", "merkle/proof: bitcoin, BIP37"),
        ],
    ),
    each(
        64,
        goal(
            "merkle-proofs-64",
            "a proof of depth 12 checked with 63 others",
            AtMost(600.0),
            "merkle/64 proofs: ironlight",
            &[("rs_merkle", "merkle/64 proofs: rs_merkle")],
        ),
    ),
    each(
        1_024,
        goal(
            "merkle-proofs-1024",
            "a proof of depth 12 checked with 1,023 others",
            AtMost(600.0),
            "merkle/1,024 proofs: ironlight",
            &[("rs_merkle", "merkle/1,024 proofs: rs_merkle")],
        ),
    ),
    goal(
        "filter-match-none",
        "10,000 scripts against a filter of 5,000 elements, none in it",
        TimesTheirs(0.35),
        "filter_match/ironlight/10000/none",
        &[("bitcoin", "filter_match/bitcoin/10000/none")],
    ),
    goal(
        "filter-match-late",
        "the same, the last one in it",
        TimesTheirs(0.35),
        "filter_match/ironlight/10000/late",
        &[("bitcoin", "filter_match/bitcoin/10000/late")],
    ),
    each(
        100_000,
        goal(
            "log-append",
            "the root of a log of 100,000 headers, a header",
            Compared,
            "header_log/root: ironlight",
            &[(
                "rs_merkle, which builds its tree",
                "header_log/root: rs_merkle, which builds its tree",
            )],
        ),
    ),
    goal(
        "log-prove",
        "a proof that one of 100,000 headers is in the log, made",
        Compared,
        "header_log/prove: ironlight, from the leaves",
        &[("rs_merkle, from its tree", "header_log/prove: rs_merkle, from its tree")],
    ),
    goal(
        "log-verify",
        "the same proof checked",
        Compared,
        "header_log/verify: ironlight",
        &[("rs_merkle", "header_log/verify: rs_merkle")],
    ),
];
