//! The paths whose instructions are counted. Each makes its input first and is given back as work that is
//! done once, so that what callgrind sees of it is the path alone.

mod accounts;
mod hardening;
mod headers;
mod proofs;

use std::hint::black_box;

/// What is done once, under the eyes of callgrind.
pub(crate) type Work = Box<dyn FnMut()>;

/// A path: its name in the file of figures, what it does, and what makes its work, if it can.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) does: &'static str,
    pub(crate) make: fn() -> Option<Work>,
    /// Whether this processor takes the path that the figure is of.
    pub(crate) here: fn() -> bool,
}

pub(crate) const PATHS: [Path; 20] = [
    path("header_verify", "2,016 headers verified by all rules", headers::verify),
    path("codec_encode", "2,016 headers encoded", headers::encode),
    path("codec_decode", "2,016 headers decoded", headers::decode),
    path("snapshot_import", "2 periods unpacked, verified and applied", headers::import),
    path("log_append", "2,016 block hashes appended to RFC 6962's log", headers::append),
    path("sync_pages", "6,000 headers through presync and redownload", headers::sync),
    path("merkle_root", "the root of 4,096 txids", proofs::root),
    path("merkle_proof", "64 proofs of depth 12 checked", proofs::check),
    Path {
        here: proofs::by_avx2,
        ..path(
            "filter_match",
            "10,000 scripts matched, their hashes by AVX2",
            proofs::match_scripts,
        )
    },
    path("filter_hash", "10,000 scripts hashed, by plain code", proofs::hash_scripts),
    path("account_seal", "100 changes of 10,000 accounts sealed", accounts::seal),
    path("account_get", "1,000 accounts read at a height", accounts::get),
    path("outbound_call", "1,000 calls through the outbound stack", hardening::outbound),
    path("limiter", "10,000 grants, of 1,000 keys", hardening::limiter),
    path("breaker", "10,000 permits and successes", hardening::breaker),
    path("breaker_failed", "the same with a failure in the window", hardening::breaker_failed),
    path("cache_hit", "10,000 hits of a shared cache", hardening::cache),
    path("latency_recorded", "10,000 latencies recorded", hardening::latency),
    path("retry_closure", "10,000 closures that need no retry", hardening::retry),
    path("audit_append", "1,000 events encoded and chained", hardening::audit),
];

const fn path(name: &'static str, does: &'static str, make: fn() -> Option<Work>) -> Path {
    Path { name, does, make, here: || true }
}

/// The function that callgrind counts in: the parent names it.
pub(crate) const COUNTED: &str = "counted_once";

/// Never inlined, nor its call of the work made its last: callgrind goes by entering and leaving it.
#[inline(never)]
pub(crate) fn counted_once(work: &mut dyn FnMut()) {
    work();
    black_box(());
}
