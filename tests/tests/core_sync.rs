//! The node follows a real Bitcoin Core: a long chain, reorgs, a restart, kills at any moment.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic is the test's failure, and figures are printed"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use ironlight_tests::{BitcoinCore, Daemon, Wire, eventually};

const LIMIT: Duration = Duration::from_secs(30);

fn run(data_dir: &Path, wire: &Wire, backend: &str) -> Daemon {
    let address = wire.address().to_string();
    Daemon::start(data_dir, &["--connect", &address, "--store", backend])
}

#[test]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
fn follows_a_chain_its_reorgs_and_asks_after_a_restart_only_for_what_is_new() {
    let mut core = BitcoinCore::start(&[]);
    let tip = core.mine(10_000);
    let data_dir = tempfile::tempdir().unwrap();
    let wire = Wire::to(core.address(), 0);
    let mut daemon = run(data_dir.path(), &wire, "sled");
    let started = Instant::now();
    daemon.reaches(&tip, LIMIT);
    println!("10,000 headers in {:.2} s, start included", started.elapsed().as_secs_f64());
    for depth in [1, 6, 150] {
        let tip = core.reorg(depth);
        let reorg = daemon.reaches(&tip, LIMIT);
        assert_eq!(reorg["message"], "new tip after a reorg");
        assert_eq!(reorg["disconnected"], depth, "blocks taken off");
    }
    assert!(daemon.stop().success());

    let before = wire.bytes_from_peer();
    let tip = core.mine(3);
    let mut daemon = run(data_dir.path(), &wire, "sled");
    let opened = daemon.line("chain opened", LIMIT);
    assert_eq!(opened["height"], 10_003, "nothing was lost");
    daemon.reaches(&tip, LIMIT);
    let bytes = wire.bytes_from_peer() - before;
    println!("the restart received {bytes} bytes");
    assert!(bytes < 10_000, "the restart asked for what it had: {bytes} bytes");
}

/// Kills the node at twenty different heights of a sync that lasts at least five seconds.
fn survives_kills(core: &BitcoinCore, tip: &str, backend: &str) {
    // A full message of 2,000 headers takes a quarter of a second.
    let wire = Wire::to(core.address(), 640_000);
    let full_message = 2000 * 81;
    let data_dir = tempfile::tempdir().unwrap();
    let mut heights = vec![0u64];
    let mut kills = 0u32;
    while heights.len() <= 20 {
        kills += 1;
        assert!(kills <= 80, "{backend}: only {heights:?} after {kills} kills");
        let before = wire.bytes_from_peer();
        let mut daemon = run(data_dir.path(), &wire, backend);
        eventually("a message came through", LIMIT, || {
            wire.bytes_from_peer() - before > full_message
        });
        // From before the commit, through it, to after it: a few milliseconds decide, more on a busy machine.
        std::thread::sleep(Duration::from_millis(u64::from(kills % 24)));
        let published = daemon.lines().iter().rev().find_map(|line| {
            let fields = &line["fields"];
            (fields["message"] == "new tip").then(|| fields["height"].as_u64()).flatten()
        });
        daemon.kill();

        let mut daemon = run(data_dir.path(), &wire, backend);
        let height = daemon.line("chain opened", LIMIT)["height"].as_u64().unwrap();
        daemon.kill();
        let last = heights[heights.len() - 1];
        assert!(height >= published.unwrap_or(last), "{backend}: a published tip was lost");
        if height > last {
            heights.push(height);
        }
    }
    println!("{backend}: {kills} kills, stored heights {:?}", &heights[1..]);
    let mut daemon = run(data_dir.path(), &wire, backend);
    daemon.reaches(tip, LIMIT);
    assert!(daemon.stop().success());
    let directory = data_dir.path().display().to_string();
    let arguments = ["store", "check", "--network", "regtest", "--data-dir", &directory];
    let check = Daemon::command(&arguments);
    assert!(check.status.success(), "{backend}: {}", String::from_utf8_lossy(&check.stderr));
}

#[test]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
fn resumes_by_itself_after_twenty_kills_on_each_backend() {
    let mut core = BitcoinCore::start(&[]);
    let tip = core.mine(44_000);
    let wire = Wire::to(core.address(), 640_000);
    let data_dir = tempfile::tempdir().unwrap();
    let started = Instant::now();
    run(data_dir.path(), &wire, "redb").reaches(&tip, LIMIT);
    let undisturbed = started.elapsed();
    println!("undisturbed, the throttled sync takes {:.2} s", undisturbed.as_secs_f64());
    assert!(undisturbed >= Duration::from_secs(5), "the wire is not slow enough");
    for backend in ["sled", "redb"] {
        survives_kills(&core, &tip, backend);
    }
}
