//! The demo as its users run it: what it prints has to be there, and to agree with itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic is the test's failure"
)]

use std::path::Path;
use std::process::Output;

use ironlight_tests::Daemon;

/// Its output, after a run that has to end well.
fn demo(flags: &[&str]) -> String {
    let output = Daemon::command(&[&["demo", "--once", "--headers", "600"], flags].concat());
    let text = stdout(&output);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    text
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What stands between two parts of a line that has both.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let found = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(before)?;
        rest.split_once(after).map(|(part, _)| part)
    });
    found.unwrap_or_else(|| panic!("no {before:?} .. {after:?} in\n{text}"))
}

/// The part of the output from a title on, up to the next empty line.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let found = text.split("\n\n").find(|section| section.contains(title));
    found.unwrap_or_else(|| panic!("no section {title:?} in\n{text}"))
}

/// A node's row of the table: its columns, apart by two spaces or more.
fn row<'a>(text: &'a str, node: &str) -> Vec<&'a str> {
    let table = section(text, "What every node had from whom");
    let row = table.lines().find(|line| line.trim_start().starts_with(node));
    let row = row.unwrap_or_else(|| panic!("no row of {node} in\n{text}"));
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// The last tip that the full node told of, and its height.
fn devnet_tip(text: &str) -> (&str, u32) {
    let told = text.lines().filter_map(|line| line.split_once("devnet  tip ")).next_back();
    let (hash, height) = told.unwrap().1.split_once(" at height ").unwrap();
    (hash, height.parse().unwrap())
}

fn ends_on_the_full_nodes_tip(text: &str, nodes: usize) {
    let (hash, height) = devnet_tip(text);
    let passed = format!("demo passed: {nodes} nodes on tip {hash} at height {height}, in ");
    assert!(text.lines().last().unwrap().starts_with(&passed), "{passed}\n{text}");
}

#[test]
fn light_nodes_sync_from_each_other_follow_a_reorg_and_come_back() {
    let text = demo(&[]);

    let synced = section(&text, "All sync to ");
    let hash = between(synced, "All sync to ", ".");
    assert!(text.contains(&format!("devnet  tip {hash} at height 600")), "{text}");
    for source in ["devnet (bitcoin)", "node1 (libp2p tcp)", "node2 (libp2p quic)"] {
        let headers = between(synced, ": ", &format!(" headers from {source}"));
        assert!(headers.parse::<u32>().unwrap() >= 600, "{text}");
    }

    let reorg = section(&text, "A reorg");
    assert!(reorg.contains("3 blocks off, 4 on, above height 597"), "{text}");
    for node in ["node1", "node2", "node3"] {
        assert!(reorg.contains(&format!("{node}   on it after ")), "{text}");
    }

    let restart = section(&text, "node3 stops");
    assert!(restart.contains("SIGTERM at height 601"), "{text}");
    assert!(restart.contains("found its chain up to height 601"), "{text}");
    assert!(restart.contains("headers from node2 (libp2p quic)"), "{text}");

    let payment = section(&text, "A payment to an address that node2 watches");
    assert!(payment.contains("node2   saw 123456 sat at height 607"), "{text}");
    assert!(payment.contains("reorg: 2 blocks off, 3 on, above height 605"), "{text}");
    let (_, again) = payment.split_once("found it again at height ").unwrap();
    let again: u32 = again.lines().next().unwrap().parse().unwrap();
    assert!((606..=608).contains(&again), "{text}");
    assert_eq!(payment.matches("proved it").count(), 2, "{text}");

    assert_eq!(devnet_tip(&text).1, 608);
    ends_on_the_full_nodes_tip(&text, 3);
    for node in ["node2", "node3"] {
        let cells = row(&text, node);
        let (bitcoin, libp2p) = (cells[3], cells[4]);
        assert_eq!(bitcoin, "-", "{cells:?}");
        let (received, sent) = libp2p.split_once(" / ").unwrap();
        assert!(received.contains("kB") && sent != "0 B", "{cells:?}");
    }
    let data = Path::new(between(&text, "data and logs in ", " (removed at the end)"));
    assert!(!data.exists(), "{}", data.display());
}

#[test]
fn attacks_are_met_and_everybody_ends_on_the_full_nodes_tip() {
    let directory = tempfile::tempdir().unwrap();
    let text = demo(&["--attack", "--data-dir", &directory.path().display().to_string()]);

    let lies = section(&text, "two of them lie");
    assert!(lies.contains("the hash does not meet the header's own target"), "{text}");
    assert!(lies.contains("breaks rule difficulty: bits are 2000ffff where 207fffff are required"));
    assert_eq!(lies.matches("peer left: misbehaved: InvalidHeader").count(), 2, "{text}");
    assert!(lies.contains("to none of the liars"), "{text}");

    let flipped = section(&text, "a bit flips");
    assert!(flipped.contains("found it; its log:"), "{text}");
    let damaged = |line: &str| line.contains("WARN") && line.contains("damaged");
    assert!(flipped.lines().any(damaged), "{text}");
    assert!(flipped.contains("node3   on it after "), "{text}");

    let killed = section(&text, "kill -9");
    let published: u32 = between(killed, "had published height ", " ").parse().unwrap();
    let stored = killed.lines().find(|line| line.contains("found its chain")).unwrap();
    let stored: u32 = stored.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(published >= 618 && stored >= published, "{text}");

    assert_eq!(devnet_tip(&text).1, 648);
    ends_on_the_full_nodes_tip(&text, 3);
    for node in ["node1", "node2", "node3", "node4"] {
        assert!(directory.path().join(format!("{node}.log")).exists(), "logs stay where asked for");
    }
    // Data of an earlier demo is nobody's to write over.
    let data = directory.path().display().to_string();
    let again = Daemon::command(&["demo", "--once", "--data-dir", &data]);
    assert_eq!(again.status.code(), Some(1), "{}", stdout(&again));
    assert!(String::from_utf8_lossy(&again.stderr).contains("name another"));
}
