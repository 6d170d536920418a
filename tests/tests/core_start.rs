//! Starting from a trusted block, with damage on disk, and beside another process, against a real
//! Bitcoin Core.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a panic is the test's failure, and figures are printed"
)]

use std::path::Path;
use std::time::Duration;

use ironlight_tests::{BitcoinCore, Daemon};

const LIMIT: Duration = Duration::from_secs(30);

fn status(data_dir: &Path) -> serde_json::Value {
    let directory = data_dir.display().to_string();
    let arguments = ["status", "--json", "--network", "regtest", "--data-dir", &directory];
    serde_json::from_slice(&Daemon::command(&arguments).stdout).unwrap()
}

#[test]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
fn a_trusted_start_and_its_context_come_from_peers() {
    let mut core = BitcoinCore::start(&[]);
    let tip = core.mine(3000);
    let start = format!("2500:{}", core.hash_at(2500));
    let address = core.address().to_string();
    let data_dir = tempfile::tempdir().unwrap();
    let options = ["--connect", &address, "--start-point", &start];
    let mut daemon = Daemon::start(data_dir.path(), &options);
    daemon.reaches(&tip, LIMIT);
    let basis = status(data_dir.path())["basis"].as_str().unwrap().to_owned();
    assert!(basis.contains("trusted start") && basis.contains("2500"), "{basis}");
    assert!(!basis.contains("not applied"), "the context was fetched: {basis}");
    assert!(daemon.stop().success());

    let tip = core.mine(5);
    let mut daemon = Daemon::start(data_dir.path(), &options);
    assert_eq!(daemon.line("chain opened", LIMIT)["height"], 3000);
    daemon.reaches(&tip, LIMIT);
}

#[test]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
fn a_damaged_database_is_mended_without_help() {
    let mut core = BitcoinCore::start(&[]);
    let tip = core.mine(9000);
    let address = core.address().to_string();
    for (backend, file) in [("sled", "store.sled/db"), ("redb", "store.redb")] {
        let data_dir = tempfile::tempdir().unwrap();
        let options = ["--connect", &address, "--store", backend];
        let mut daemon = Daemon::start(data_dir.path(), &options);
        daemon.reaches(&tip, LIMIT);
        assert!(daemon.stop().success());

        let path = data_dir.path().join("regtest").join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[used / 2..used / 2 + 4096].fill(0xa5);
        std::fs::write(&path, bytes).unwrap();

        let mut daemon = Daemon::start(data_dir.path(), &options);
        let height = daemon.line("chain opened", LIMIT)["height"].as_u64().unwrap();
        println!("{backend}: opened at height {height} after damage");
        if height < 9000 {
            daemon.reaches(&tip, LIMIT);
        }
        assert!(daemon.stop().success());
    }
}

#[test]
#[ignore = "needs Bitcoin Core (BITCOIND_EXE)"]
fn one_process_a_data_directory_and_the_second_is_told_so() {
    let mut core = BitcoinCore::start(&[]);
    let tip = core.mine(10);
    let address = core.address().to_string();
    let data_dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(data_dir.path(), &["--connect", &address]);
    daemon.reaches(&tip, LIMIT);
    let directory = data_dir.path().display().to_string();
    let second = Daemon::command(&[
        "run",
        "--network",
        "regtest",
        "--data-dir",
        &directory,
        "--connect",
        &address,
    ]);
    let error = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(error.contains("in use by another process"), "{error}");
    let header = Daemon::command(&[
        "header",
        "7",
        "--json",
        "--network",
        "regtest",
        "--data-dir",
        &directory,
    ]);
    let header: serde_json::Value = serde_json::from_slice(&header.stdout).unwrap();
    assert_eq!(header["hash"], core.hash_at(7));
    assert_eq!(header["confirmations"], 4);
    assert!(daemon.stop().success(), "Ctrl-C's sibling drains in order");
}
