//! The hardening crate.

use super::Wanted::{AtMost, Compared};
use super::{Goal, counted, goal};
use crate::recorded::Unit;

pub(super) const GOALS: &[Goal] = &[
    goal(
        "breaker",
        "circuit breaker: permit and result, the time given",
        AtMost(20.0),
        "hardening_breaker/ironlight, failures in a row and rate",
        &[
            ("failsafe, both, its default", "hardening_breaker/failsafe, both, its default"),
            ("failsafe, failures in a row", "hardening_breaker/failsafe, failures in a row"),
            ("recloser, the last 100 calls", "hardening_breaker/recloser, the last 100 calls"),
        ],
    ),
    goal(
        "breaker-calls",
        "the same by the last 100 calls",
        AtMost(20.0),
        "hardening_breaker/ironlight, the last 100 calls",
        &[("recloser", "hardening_breaker/recloser, the last 100 calls")],
    ),
    goal(
        "breaker-failed",
        "the same while a failure is in the window",
        AtMost(20.0),
        "hardening_breaker/ironlight, failures in a row and rate, failed",
        &[("failsafe", "hardening_breaker/failsafe, success rate, failed")],
    ),
    goal(
        "breaker-layer",
        "circuit breaker as a tower layer, the clock read",
        Compared,
        "hardening_breaker/ironlight, layer with stamp",
        &[("tower-resilience", "hardening_breaker/tower-resilience, layer")],
    ),
    goal(
        "limiter",
        "limit by key, 1,000 keys, the time given",
        AtMost(40.0),
        "hardening_limiter/ironlight, keyed",
        &[("governor", "hardening_limiter/governor, keyed")],
    ),
    goal(
        "limiter-clock",
        "the same with its own clock read",
        Compared,
        "hardening_limiter/ironlight, keyed, clock",
        &[("governor", "hardening_limiter/governor, keyed, clock")],
    ),
    goal(
        "cache-hit",
        "cache hit, one thread: LruCache",
        AtMost(20.0),
        "hardening_cache/ironlight, LruCache",
        &[("lru under a mutex", "hardening_cache/lru under a mutex")],
    ),
    goal(
        "cache-hit-shared",
        "cache hit: SharedLruCache",
        AtMost(20.0),
        "hardening_cache/ironlight, SharedLruCache",
        &[("quick_cache", "hardening_cache/quick_cache"), ("moka", "hardening_cache/moka")],
    ),
    goal(
        "cache-hit-ttl",
        "cache hit: SharedTtlCache",
        AtMost(20.0),
        "hardening_cache/ironlight, SharedTtlCache",
        &[
            ("quick_cache, nothing ages", "hardening_cache/quick_cache"),
            ("moka", "hardening_cache/moka"),
        ],
    ),
    goal(
        "stack",
        "the whole outbound stack, answered at once",
        AtMost(100.0),
        "hardening_stack/ironlight, all outbound layers",
        &[
            ("tower, without a breaker", "hardening_stack/tower, without a breaker"),
            ("tower-resilience", "hardening_stack/tower-resilience"),
        ],
    ),
    counted(
        Unit::Bytes,
        "stack-memory",
        "allocated for such a request",
        AtMost(0.0),
        "hardening_stack_memory/ironlight",
        &[
            ("tower, without a breaker", "hardening_stack_memory/tower, without a breaker"),
            ("tower-resilience", "hardening_stack_memory/tower-resilience"),
        ],
    ),
    goal(
        "retry",
        "a closure that needs no retry",
        Compared,
        "hardening_retry/ironlight, blocking",
        &[("backon", "hardening_retry/backon, blocking")],
    ),
    goal(
        "monitor",
        "a latency recorded",
        Compared,
        "hardening_monitor/ironlight, sliding, with exact extremes",
        &[(
            "hdrhistogram under a mutex",
            "hardening_monitor/hdrhistogram under a mutex, not sliding",
        )],
    ),
    goal(
        "audit-file",
        "audit: emit at p99, 10,000 a second, a file",
        AtMost(1_000.0),
        "hardening_audit/ironlight, file, 10000 a second, p99",
        &[
            (
                "a channel and a thread",
                "hardening_audit/a channel and a writing thread, 10000 a second, p99",
            ),
            ("reading the clock", "hardening_audit/the clock alone, 10000 a second, p99"),
        ],
    ),
    goal(
        "audit-http-down",
        "the same with an HTTP sink that is down",
        AtMost(1_000.0),
        "hardening_audit/ironlight, HTTP down, then a file, 10000 a second, p99",
        &[(
            "a channel and a thread",
            "hardening_audit/a channel and a writing thread, 10000 a second, p99",
        )],
    ),
    goal(
        "audit-file-slowly",
        "audit: emit at p99, 1,000 a second, a file",
        AtMost(1_000.0),
        "hardening_audit/ironlight, file, 1000 a second, p99",
        &[
            (
                "a channel and a thread",
                "hardening_audit/a channel and a writing thread, 1000 a second, p99",
            ),
            ("reading the clock", "hardening_audit/the clock alone, 1000 a second, p99"),
        ],
    ),
    goal(
        "audit-http-down-slowly",
        "the same with an HTTP sink that is down",
        AtMost(1_000.0),
        "hardening_audit/ironlight, HTTP down, then a file, 1000 a second, p99",
        &[(
            "a channel and a thread",
            "hardening_audit/a channel and a writing thread, 1000 a second, p99",
        )],
    ),
];
