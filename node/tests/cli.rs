//! The program as its users meet it: what it prints, and its exit codes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the test's failure")]

use std::path::Path;
use std::process::{Command, Output};

use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, Network, Params};

fn ironlight(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ironlight"));
    program.env("RUST_LOG", "error").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one line that a failure prints.
fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn regtest_chain(seed: u64, headers: usize) -> Vec<Header> {
    let genesis = Params::new(Network::Regtest).genesis;
    let mut chain = vec![genesis];
    chain.extend(Miner::new(seed).run(&genesis, headers, 60));
    chain
}

fn write(path: &Path, headers: &[Header]) {
    let bytes: Vec<u8> = headers.iter().flat_map(|header| *header.as_bytes()).collect();
    std::fs::write(path, bytes).unwrap();
}

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, headers: &[Header]) -> String {
        write(&self.0.path().join(name), headers);
        self.path(name)
    }
}

#[test]
fn selftest_passes_and_leaves_nothing_behind() {
    let output = ironlight(&["selftest", "--headers", "3000"]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    for part in ["verified", "stored", "reopened", "reorg", "selftest passed"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_valid_file_is_verified_and_its_ends_and_basis_are_named() {
    let directory = Directory::new();
    let chain = regtest_chain(1, 500);
    let file = directory.file("headers.bin", &chain);
    let output = ironlight(&["headers", "verify", &file, "--network", "regtest"]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("headers a second"), "{text}");
    assert!(text.contains(&chain[500].hash().to_string()), "{text}");
    assert!(text.contains("all rules from genesis"), "{text}");
}

#[test]
fn a_bad_header_is_named_by_height_and_rule() {
    let directory = Directory::new();
    let mut chain = regtest_chain(1, 500);
    let mut bytes = *chain[300].as_bytes();
    bytes[36] ^= 1;
    chain[300] = Header::from_bytes(bytes);
    let file = directory.file("headers.bin", &chain);
    let line = failure(&ironlight(&["headers", "verify", &file, "--network", "regtest"]));
    // Regtest's proof of work passes every second time; then the next header does not follow.
    let named = (line.contains("height 300") && line.contains("proof-of-work"))
        || (line.contains("height 301") && line.contains("not-consecutive"));
    assert!(named, "{line}");
}

#[test]
fn files_that_are_no_headers_get_one_line_each() {
    let directory = Directory::new();
    let regtest = ["--network", "regtest"];
    let verify =
        |file: &str| failure(&ironlight(&[&["headers", "verify", file], &regtest[..]].concat()));
    assert!(verify(&directory.path("nothing.bin")).contains("nothing.bin"));
    assert!(verify(&directory.file("empty.bin", &[])).contains("no headers in it"));
    std::fs::write(directory.path("ragged.bin"), [0; 100]).unwrap();
    assert!(verify(&directory.path("ragged.bin")).contains("100 bytes"));
    let middle = directory.file("middle.bin", &regtest_chain(1, 20)[10..]);
    assert!(verify(&middle).contains("--start-height"));
}

#[test]
fn what_is_imported_is_exported_again_byte_for_byte() {
    let directory = Directory::new();
    let chain = regtest_chain(1, 5000);
    let file = directory.file("headers.bin", &chain);
    let (data, out) = (directory.path("data"), directory.path("out.bin"));
    for store in ["sled", "redb"] {
        let data = format!("{data}-{store}");
        let out = format!("{out}-{store}");
        let common = ["--network", "regtest", "--data-dir", &data, "--store", store];
        let output = ironlight(&[&["headers", "import", &file], &common[..]].concat());
        assert!(output.status.success(), "{output:?}");
        let output = ironlight(&[&["headers", "export", &out], &common[..]].concat());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(&file).unwrap());
        let again = ironlight(&[&["headers", "export", &out], &common[..]].concat());
        assert!(failure(&again).contains("exists"), "an existing file is never overwritten");
        let check = ["store", "check", "--network", "regtest", "--data-dir", &data];
        assert!(stdout(&ironlight(&check)).contains("every header valid"));
    }
}

#[test]
fn a_snapshot_is_made_shown_verified_and_imported_and_damage_stores_nothing_of_its_period() {
    let directory = Directory::new();
    let file = directory.file("headers.bin", &regtest_chain(1, 5000));
    let (from, to) = (directory.path("from"), directory.path("to"));
    let (made, again) = (directory.path("made.snapshot"), directory.path("again.snapshot"));
    let regtest = ["--network", "regtest"];
    let run = |arguments: &[&str]| ironlight(&[arguments, &regtest[..]].concat());
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        stdout(&output)
    };
    done(&["headers", "import", &file, "--data-dir", &from]);
    let created = done(&["snapshot", "create", &made, "--data-dir", &from]);
    let root = created.lines().find(|line| line.starts_with("root")).unwrap().to_owned();
    assert!(done(&["snapshot", "inspect", &made]).contains(&root));
    assert!(done(&["snapshot", "verify", &made]).contains(&root));
    let exists = failure(&run(&["snapshot", "create", &made, "--data-dir", &from]));
    assert!(exists.contains("exists"), "{exists}");

    let mut bytes = std::fs::read(&made).unwrap();
    let second = bytes.len() / 2;
    bytes[second] ^= 1;
    let damaged = directory.path("damaged.snapshot");
    std::fs::write(&damaged, &bytes).unwrap();
    for command in ["inspect", "verify"] {
        let line = failure(&run(&["snapshot", command, &damaged]));
        assert!(line.contains("heights 2016 to 4031"), "{line}");
    }
    let output = run(&["snapshot", "import", &damaged, "--data-dir", &to]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("heights 2016 to 4031"), "{output:?}");
    // The period before it is kept, and the whole file goes on from there.
    let imported = done(&["snapshot", "import", &made, "--data-dir", &to]);
    assert!(imported.contains("2985 headers; stored up to height 5000"), "{imported}");
    done(&["snapshot", "create", &again, "--data-dir", &to]);
    assert_eq!(std::fs::read(&again).unwrap(), std::fs::read(&made).unwrap());

    let nosuch = directory.path("nosuch.snapshot");
    let line =
        failure(&run(&["snapshot", "import", &nosuch, "--data-dir", &directory.path("none")]));
    assert!(line.contains("No such file"), "{line}");
    let line = failure(&ironlight(&["snapshot", "verify", &made, "--network", "signet"]));
    assert!(line.contains("of another network"), "{line}");
    let line = failure(&run(&["snapshot", "verify", &file]));
    assert!(line.contains("no header snapshot"), "{line}");
}

#[test]
fn a_snapshot_that_begins_later_needs_the_word_of_who_trusts_it() {
    let directory = Directory::new();
    let chain = regtest_chain(1, 3000);
    let file = directory.file("headers.bin", &chain[1000..]);
    let start = ["--start-height", "1000", "--start-work", "7d2"];
    let regtest = ["--network", "regtest"];
    let (data, made) = (directory.path("data"), directory.path("made.snapshot"));
    let import =
        [&["headers", "import", &file, "--data-dir", &data][..], &start, &regtest].concat();
    assert!(ironlight(&import).status.success());
    let run = |arguments: &[&str]| ironlight(&[arguments, &regtest[..]].concat());
    assert!(run(&["snapshot", "create", &made, "--data-dir", &data]).status.success());
    let line = failure(&run(&["snapshot", "verify", &made]));
    assert!(line.contains("--trust-start"), "{line}");
    for (height, block) in [(1000, 999), (999, 1000)] {
        let other = format!("{height}:{}", chain[block].hash());
        let line = failure(&run(&["snapshot", "verify", &made, "--trust-start", &other]));
        assert!(line.contains("--trust-start"), "{line}");
    }
    let hash = format!("1000:{}", chain[1000].hash());
    let output = run(&["snapshot", "verify", &made, "--trust-start", &hash]);
    assert!(stdout(&output).contains("basis"), "{output:?}");
    let other = directory.path("other");
    let line = failure(&run(&["snapshot", "import", &made, "--data-dir", &other]));
    assert!(line.contains("--trust-start"), "{line}");
    assert!(!Path::new(&other).join("regtest").exists(), "nothing is made for it");
    let import = ["snapshot", "import", &made, "--data-dir", &other, "--trust-start", &hash];
    assert!(stdout(&run(&import)).contains("stored up to height 3000"));
}

#[test]
fn a_losing_branch_is_a_fork_and_the_tip_stays() {
    let directory = Directory::new();
    let chain = regtest_chain(1, 100);
    let stale = Miner::new(2).run(&chain[90], 1, 60);
    let data = directory.path("data");
    let import = |file: &str| {
        ironlight(&["headers", "import", file, "--network", "regtest", "--data-dir", &data])
    };
    assert!(import(&directory.file("chain.bin", &chain)).status.success());
    let output = import(&directory.file("stale.bin", &stale));
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("1 headers lie on side branches"), "{text}");
    assert!(text.contains("tip    unchanged"), "{text}");
}

#[test]
fn the_valid_headers_before_a_bad_one_are_stored() {
    let directory = Directory::new();
    let mut chain = regtest_chain(1, 3000);
    chain[2500] = Miner::new(9).run(&chain[7], 1, 60)[0];
    let file = directory.file("chain.bin", &chain);
    let data = directory.path("data");
    let common = ["--network", "regtest", "--data-dir", &data];
    let output = ironlight(&[&["headers", "import", &file], &common[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let info = stdout(&ironlight(&[&["store", "info"], &common[..]].concat()));
    assert!(info.contains("headers  0 to 2499"), "{info}");
}

#[test]
fn a_start_that_is_trusted_is_said_to_be() {
    let directory = Directory::new();
    let chain = regtest_chain(1, 300);
    let file = directory.file("late.bin", &chain[100..]);
    let output = ironlight(&[
        "headers",
        "verify",
        &file,
        "--network",
        "regtest",
        "--start-height",
        "100",
        "--start-work",
        "0xff",
    ]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("imported start"), "{text}");
    assert!(text.contains("median-time rule not applied to heights 101 to 110"), "{text}");
}

#[test]
fn wrong_usage_exits_with_2() {
    assert_eq!(ironlight(&["headers"]).status.code(), Some(2));
    assert_eq!(ironlight(&["run", "--no-such-flag"]).status.code(), Some(2));
    assert_eq!(
        ironlight(&["headers", "verify", "x", "--start-height", "1"]).status.code(),
        Some(2)
    );
}

#[test]
fn flags_that_make_no_sense_are_wrong_usage_and_named() {
    let wrong = |arguments: &[&str]| {
        let output = ironlight(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let run = ["run", "--network", "regtest"];
    assert!(wrong(&["run", "--network", "moonnet"]).contains("moonnet"));
    assert!(wrong(&[&run[..], &["--min-chain-work", "xyz"]].concat()).contains("hexadecimal"));
    assert!(wrong(&[&run[..], &["--start-point", "7"]].concat()).contains("a height, a colon"));
    assert!(wrong(&[&run[..], &["--connect", "x:99999"]].concat()).contains("65535"));
    for store in ["rocks", "memory"] {
        assert!(wrong(&[&run[..], &["--store", store]].concat()).contains("sled or redb"));
        assert!(wrong(&["selftest", "--store", store]).contains("sled or redb"));
    }
}

#[test]
fn settings_that_contradict_each_other_are_named() {
    let directory = Directory::new();
    let data = directory.path("data");
    let run = |arguments: &[&str]| {
        failure(&ironlight(&[&["run", "--data-dir", &data], arguments].concat()))
    };
    assert!(run(&["--network", "regtest", "--no-seeds"]).contains("--connect"));
    assert!(run(&["--network", "regtest", "--signet-challenge", "51"]).contains("no signet"));
    let file = directory.path("ironlight.toml");
    std::fs::write(&file, "store = 'rocks'").unwrap();
    assert!(run(&["--network", "regtest", "--config", &file]).contains("sled or redb"));
    std::fs::write(&file, "stroe = 'sled'").unwrap();
    assert!(run(&["--network", "regtest", "--config", &file]).contains("no setting"));
}

#[test]
fn the_store_of_a_file_of_settings_is_used_by_import_too() {
    let directory = Directory::new();
    let headers = directory.file("headers.bin", &regtest_chain(1, 100));
    let (data, file) = (directory.path("data"), directory.path("ironlight.toml"));
    std::fs::write(&file, format!("network = 'regtest'\nstore = 'redb'\ndata_dir = '{data}'"))
        .unwrap();
    let output = ironlight(&["headers", "import", &headers, "--config", &file]);
    assert!(output.status.success(), "{output:?}");
    let info = stdout(&ironlight(&["store", "info", "--config", &file]));
    assert!(info.contains("backend  redb"), "{info}");
}

#[test]
fn a_checkpoint_that_the_stored_chain_contradicts_costs_nothing() {
    let directory = Directory::new();
    let chain = regtest_chain(1, 300);
    let file = directory.file("headers.bin", &chain);
    let data = directory.path("data");
    let common = ["--network", "regtest", "--data-dir", &data];
    assert!(ironlight(&[&["headers", "import", &file], &common[..]].concat()).status.success());
    let wrong = format!("200:{}", chain[199].hash());
    let arguments = [&["headers", "import", &file, "--checkpoint", &wrong], &common[..]].concat();
    let line = failure(&ironlight(&arguments));
    assert!(line.contains("at height 200") && line.contains("checkpoint"), "{line}");
    let info = stdout(&ironlight(&[&["store", "info"], &common[..]].concat()));
    assert!(info.contains("headers  0 to 300"), "{info}");
}

#[test]
fn damage_is_found_by_check_and_nothing_damaged_is_exported() {
    let directory = Directory::new();
    let file = directory.file("headers.bin", &regtest_chain(1, 9000));
    let data = directory.path("data");
    let common = ["--network", "regtest", "--data-dir", &data];
    let import = [&["headers", "import", &file, "--store", "redb"], &common[..]].concat();
    assert!(ironlight(&import).status.success());
    let database = directory.0.path().join("data/regtest/store.redb");
    let mut bytes = std::fs::read(&database).unwrap();
    bytes[..4096].fill(0);
    std::fs::write(&database, bytes).unwrap();
    let check = ironlight(&[&["store", "check"], &common[..]].concat());
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    let out = directory.path("out.bin");
    let export = ironlight(&[&["headers", "export", &out], &common[..]].concat());
    assert_eq!(export.status.code(), Some(1), "{export:?}");
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    use std::process::Stdio;
    let mut program = Command::new(env!("CARGO_BIN_EXE_ironlight"));
    let mut child = program.arg("version").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_question_without_a_node_says_how_to_start_one() {
    let directory = Directory::new();
    let data = directory.path("data");
    let common = ["--network", "regtest", "--data-dir", &data];
    let line = failure(&ironlight(&[&["status"], &common[..]].concat()));
    assert!(line.contains("ironlight run"), "{line}");
    let line = failure(&ironlight(&[&["store", "info"], &common[..]].concat()));
    assert!(line.contains("nothing is stored"), "{line}");
}

/// A block of regtest with these transactions, the proof of one of them in Bitcoin's form and in ours.
fn proofs(directory: &Directory) -> (String, String, Vec<u8>) {
    use bitcoin::hashes::Hash as _;
    use ironlight_spv::proof::MerkleTree;
    let txids: Vec<_> = (0..5).map(|n| bitcoin::Txid::from_byte_array([n; 32])).collect();
    let tree = MerkleTree::new(&txids).unwrap();
    let mut bytes = *regtest_chain(1, 1)[1].as_bytes();
    bytes[36..68].copy_from_slice(tree.root().as_byte_array());
    // The proof of work of regtest takes two tries.
    let header = (0_u32..).find_map(|nonce| {
        bytes[76..].copy_from_slice(&nonce.to_le_bytes());
        let header = Header::from_bytes(bytes);
        (header.hash().as_byte_array()[31] < 0x7f).then_some(header)
    });
    let header = header.unwrap();
    let block = tree.merkle_block(&header, |txid| *txid == txids[3]).unwrap().encode();
    std::fs::write(directory.path("block.bin"), &block).unwrap();
    let own = tree.prove(&header, 3).unwrap().encode();
    let hex: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(directory.path("own.hex"), format!("{hex}\n")).unwrap();
    (directory.path("block.bin"), directory.path("own.hex"), block)
}

#[test]
fn a_true_proof_is_told_with_what_was_not_checked() {
    let directory = Directory::new();
    let (block, own, _) = proofs(&directory);
    let data = directory.path("data");
    let common = ["--network", "regtest", "--data-dir", &data];
    for file in [&block, &own] {
        let output = ironlight(&[&["proof", "verify", file], &common[..]].concat());
        assert!(output.status.success(), "{output:?}");
        let text = stdout(&output);
        for part in [&"03".repeat(32), "transaction 3 of the block", "not checked: no node runs"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!Path::new(&data).exists(), "nothing is made where nothing was");
    }
    let output = ironlight(&[&["proof", "verify", &own, "--json"], &common[..]].concat());
    let text = stdout(&output);
    assert!(text.contains("\"merkle_proof\"") && text.contains("\"not_checked\""), "{text}");
    let wanted = ["proof", "verify", &own, "--confirmations", "1"];
    let line = failure(&ironlight(&[&wanted[..], &common[..]].concat()));
    assert!(line.contains("there is no chain"), "{line}");
}

#[test]
fn a_proof_of_a_block_that_is_not_in_the_stored_chain_is_told_so() {
    let directory = Directory::new();
    let (block, ..) = proofs(&directory);
    let headers = directory.file("headers.bin", &regtest_chain(1, 100));
    let data = directory.path("data");
    let common = ["--network", "regtest", "--data-dir", &data];
    let import = ironlight(&[&["headers", "import", &headers], &common[..]].concat());
    assert!(import.status.success(), "{import:?}");
    let output = ironlight(&[&["proof", "verify", &block], &common[..]].concat());
    assert!(output.status.success(), "the proof itself is true");
    let text = stdout(&output);
    assert!(text.contains("NOT in the chain of the stored headers"), "{text}");
    assert!(text.contains("the tip is at 100"), "{text}");
    let wanted = ["proof", "verify", &block, "--confirmations", "1"];
    let line = failure(&ironlight(&[&wanted[..], &common[..]].concat()));
    assert!(line.contains("not in the local chain"), "{line}");
}

#[test]
fn a_false_proof_fails_and_says_why() {
    let directory = Directory::new();
    let (block, own, bytes) = proofs(&directory);
    let data = directory.path("data");
    let verify = |file: &str, network: &str| {
        let common = ["--network", network, "--data-dir", &data];
        failure(&ironlight(&[&["proof", "verify", file], &common[..]].concat()))
    };
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        std::fs::write(directory.path("changed.bin"), bytes).unwrap();
        verify(&directory.path("changed.bin"), "regtest")
    };
    assert!(changed(&|bytes| bytes[100] ^= 1).contains("the proof is false"));
    assert!(changed(&|bytes| bytes[40] ^= 1).contains("Merkle root"));
    assert!(changed(&|bytes| bytes.truncate(90)).contains("this is no proof"));
    assert!(changed(&|bytes| bytes.push(0)).contains("this is no proof"));
    assert!(changed(&|bytes| bytes.clear()).contains("this is no proof"));
    for file in [&block, &own] {
        let line = verify(file, "mainnet");
        assert!(line.contains("false on mainnet") && line.contains("--network"), "{line}");
    }
    assert!(verify(&directory.path("nothing.bin"), "regtest").contains("nothing.bin"));
}

#[test]
fn commands_of_the_wallet_refuse_what_makes_no_sense_before_they_ask() {
    let usage = |arguments: &[&str], part: &str| {
        let output = ironlight(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(part), "{text}");
    };
    usage(&["watch", "add"], "TARGET");
    usage(&["watch", "add", "x", "--birthday", "yesterday"], "YYYY-MM-DD");
    usage(&["watch", "add", "x", "--gap-limit", "10001"], "10000");
    usage(&["watch", "remove", "one"], "one");
    usage(&["history", "--limit", "0"], "1..=1000");
    usage(&["balance", "--unit", "doge"], "btc, sat");
    usage(&["rescan"], "FROM");
    usage(&["tx", "prove", "x", "--block", "zz"], "a height or a block hash");
    usage(&["run", "--filter-cache", "much"], "500M");
    usage(&["run", "--block-cache", "much"], "500M");
    usage(&["run", "--filters-from", "top"], "a height");
}

#[test]
fn commands_of_the_wallet_without_a_node_say_how_to_start_one() {
    let directory = Directory::new();
    let data = directory.path("data");
    let txid = "11".repeat(32);
    for command in [
        &["watch", "list"][..],
        &["watch", "add", "x"],
        &["watch", "remove", "1"],
        &["balance"],
        &["history"],
        &["utxos"],
        &["rescan", "0"],
        &["tx", "list"],
        &["tx", "send", "00"],
        &["tx", "status", &txid],
        &["tx", "prove", &txid],
        &["fees"],
        &["filter", "status"],
        &["filter", "check"],
    ] {
        let common = ["--network", "regtest", "--data-dir", &data];
        let line = failure(&ironlight(&[command, &common[..]].concat()));
        assert!(line.contains("ironlight run"), "{command:?}: {line}");
    }
    let line = failure(&ironlight(&["tx", "status", "xyz"]));
    assert!(line.contains("no transaction id"), "{line}");
    let line = failure(&ironlight(&["balance", "--account", "a&b"]));
    assert!(line.contains("account cannot be"), "{line}");
}
