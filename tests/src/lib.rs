//! What the journeys stand on: a real Bitcoin Core, the program `ironlight` as a process, and a
//! throttled wire between the two.
//!
//! Everything here talks to loopback only. A failure is a panic that says what was expected.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::wildcard_enum_match_arm,
    reason = "a test's support: a panic is the failure of the test"
)]

mod core;
mod daemon;
mod door;
mod fake;
mod filter_liar;
mod signer;
mod stranger;
mod wire;

pub use self::core::BitcoinCore;
pub use daemon::Daemon;
pub use fake::{Behaviour, FakeNode};
pub use filter_liar::{FilterLiar, FilterLie, TrueFilter, Truth, Without, filter_without};
pub use signer::{Signer, Spendable};
pub use stranger::Stranger;
pub use wire::Wire;

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Where a file of real Bitcoin data is: in the folder that `IRONLIGHT_TEST_DATA` names, else in
/// `../shared/data` beside the workspace.
#[must_use]
pub fn real_data(name: &str) -> PathBuf {
    let folder = std::env::var_os("IRONLIGHT_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    folder.join(name)
}

/// A port of loopback that is free right now.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits for a condition, asking again every few milliseconds.
pub fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
