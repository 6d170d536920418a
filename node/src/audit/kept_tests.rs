use std::fs;

use ironlight_hardening::audit::{Record, Value, read_log, read_notes, verify_dir};
use ironlight_hardening::circuit_breaker::{Cause, CircuitState};
use ironlight_spv::generate::Miner;
use ironlight_spv::{HeaderChain, Params, TipChange, UnixTime};

use super::*;

fn open(directory: &Path) -> (NodeAudit, Vec<String>) {
    NodeAudit::open(directory, Network::Regtest, Clock::start())
}

/// All records of a folder's log, which has to be right, but those of the log itself.
fn records(directory: &Path, folder: &str) -> Vec<Record> {
    let mut found = Vec::new();
    let report = read_log(&directory.join(folder), &[], |record| found.push(record.clone()));
    assert_eq!(report.unwrap().tampering, None);
    found
}

fn kinds(directory: &Path, folder: &str) -> Vec<String> {
    let records = records(directory, folder);
    records.iter().map(|record| record.event.kind().name().to_owned()).collect()
}

fn value(record: &Record, key: &str) -> Value {
    record.event.value(key).unwrap().clone()
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 8], 8333))
}

fn opened() -> Transition {
    Transition {
        from: CircuitState::Closed,
        to: CircuitState::Open,
        cause: Cause::ConsecutiveFailures,
        at: Duration::ZERO,
        generation: 1,
    }
}

/// What a chain of a length loses to a longer one.
fn reorg(audit: &NodeAudit, depth: usize) {
    let params = Params::new(Network::Regtest);
    let mut chain = HeaderChain::new(params.clone());
    for (seed, length) in [(1, depth), (2, depth + 1)] {
        let headers = Miner::new(seed).run(&params.genesis, length, 60);
        let batch = chain.verify(&headers, UnixTime::MAX).unwrap();
        if let TipChange::Reorg { fork_point, disconnected, .. } = chain.apply(batch).unwrap() {
            audit.reorg(&fork_point, &disconnected, &chain.tip());
        }
    }
}

#[tokio::test]
async fn what_happens_is_written_down_and_a_restart_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (audit, notes) = open(directory);
    assert_eq!(notes, Vec::<String>::new());
    audit.repaired("chain cut", "the value at height 5 is damaged".to_owned());
    let liar = "/ip4/192.0.2.7/tcp/1/p2p/x";
    audit.misbehaved(PeerNetwork::LibP2p, &liar, Offence::InvalidHeader, Penalty::Blocked);
    audit.breaker(peer(), &opened());
    reorg(&audit, 2);
    reorg(&audit, 3);
    audit.stop().await;
    audit.breaker(peer(), &opened());
    assert_eq!(
        kinds(directory, FOLDER),
        ["log_segment", "start", "repair", "ban", "breaker", "reorg", "stop"]
    );
    let written = records(directory, FOLDER);
    assert_eq!(written[0].event.subject(), "ironlight/regtest");
    assert_eq!(written[3].event.subject(), liar);
    assert_eq!(value(&written[3], "offence"), "InvalidHeader".into());
    assert_eq!(value(&written[4], "to"), "open".into());
    assert_eq!(value(&written[5], "disconnected"), 3_u32.into());
    assert_eq!(value(&written[5], "height"), 4_u32.into());
    assert_eq!(value(&written[5], "fork_height"), 0_u32.into());
    assert_eq!(value(&written[6], "in_order"), true.into());
    let Value::Text(key) = value(&written[1], "checkpoint_key") else { panic!("a text") };

    let (audit, notes) = open(directory);
    assert_eq!(notes, Vec::<String>::new());
    audit.stop().await;
    assert_eq!(kinds(directory, FOLDER)[7..], ["start", "stop"]);
    let (key, name) = (key::from_words(&key).unwrap(), log_name(Network::Regtest));
    let notes = read_notes(&directory.join(FOLDER)).unwrap();
    let read =
        |note: &String| ironlight_hardening::audit::verify_checkpoint(note, &name, key).unwrap();
    let checkpoints: Vec<_> = notes.iter().map(read).collect();
    assert_eq!(checkpoints.iter().map(|made| made.size).collect::<Vec<_>>(), [7, 9]);
    let report = verify_dir(&directory.join(FOLDER), &checkpoints).unwrap();
    assert_eq!((report.size, report.tampering), (9, None));
}

#[tokio::test]
async fn one_that_is_dropped_says_so_and_leaves_its_folder_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let (audit, _) = open(directory.path());
    let other = audit.clone();
    drop(audit);
    other.failed(&"no reason");
    drop(other);
    let (_audit, notes) = open(directory.path());
    assert_eq!(notes, Vec::<String>::new());
    let written = records(directory.path(), FOLDER);
    let kinds = kinds(directory.path(), FOLDER);
    assert_eq!(kinds[..4], ["log_segment", "start", "failure", "stop"]);
    assert_eq!(value(&written[3], "in_order"), false.into());
}

#[cfg(feature = "libp2p")]
#[tokio::test]
async fn flips_are_written_down_and_flags_hold_no_log() {
    use crate::flags::NodeFlags;
    use crate::store::{MemoryStore, Store};
    let directory = tempfile::tempdir().unwrap();
    let (audit, _) = open(directory.path());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (flags, _) = NodeFlags::open(&store).unwrap();
    flags.on_flip(audit.flip_listener().unwrap()).unwrap();
    flags.turn("gossip", false, "operator").await.unwrap();
    drop(audit);
    flags.turn("gossip", true, "operator").await.unwrap();
    let (_audit, notes) = open(directory.path());
    assert_eq!(notes, Vec::<String>::new());
    let written = records(directory.path(), FOLDER);
    let flips: Vec<_> = written
        .iter()
        .filter(|record| record.event.kind() == &EventKind::FlagFlip)
        .map(|record| (record.event.subject(), record.event.actor(), value(record, "after")))
        .collect();
    assert_eq!(flips, [("gossip", "operator", "off".into())]);
}

#[tokio::test]
async fn a_damaged_log_is_left_as_it_is_and_another_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (audit, _) = open(directory);
    audit.stop().await;
    let file = directory.join(FOLDER).join("audit-00000000000000000000.jsonl");
    let right = fs::read_to_string(&file).unwrap();
    let damaged = right.replacen("\"start\"", "\"stop\"", 1);
    assert_ne!(right, damaged);
    fs::write(&file, &damaged).unwrap();
    let (audit, notes) = open(directory);
    assert!(
        notes[0].contains("goes on in audit.fallback") && notes[0].contains("record 1"),
        "{notes:?}"
    );
    audit.stop().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), damaged);
    assert_eq!(kinds(directory, FALLBACK), ["log_segment", "log_fallback", "start", "stop"]);
}

#[tokio::test]
async fn without_a_place_for_a_log_the_handle_does_nothing_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    for folder in [FOLDER, FALLBACK] {
        fs::write(directory.path().join(folder), b"a file").unwrap();
    }
    let (audit, notes) = open(directory.path());
    assert!(notes[0].starts_with("no audit log is kept: make the folder"), "{notes:?}");
    audit.breaker(peer(), &opened());
    audit.stop().await;
    assert!(audit.flip_listener().is_none());
}

#[tokio::test]
async fn without_its_key_a_log_is_kept_unsigned() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("audit_key"), b"no key").unwrap();
    let (audit, notes) = open(directory.path());
    assert!(notes[0].starts_with("no checkpoint is signed: "), "{notes:?}");
    audit.stop().await;
    assert_eq!(kinds(directory.path(), FOLDER), ["log_segment", "start", "stop"]);
    assert_eq!(read_notes(&directory.path().join(FOLDER)).unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_strangers_cause_is_limited_and_what_is_left_out_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (audit, _) = open(directory.path());
    let ban = || {
        let penalty = Penalty::Banned { until: UnixTime(7) };
        audit.misbehaved(PeerNetwork::Bitcoin, &"192.0.2.7:1", Offence::Oversized, penalty);
    };
    (0..1_500).for_each(|_| ban());
    audit.breaker(peer(), &opened());
    tokio::time::advance(BY_STRANGERS.per).await;
    (0..4).for_each(|_| ban());
    audit.stop().await;
    let written = records(directory.path(), FOLDER);
    let of = |name: &str| {
        written.iter().filter(|record| record.event.kind().name() == name).collect::<Vec<_>>()
    };
    assert_eq!(of("ban").len(), 1_001);
    assert_eq!(value(of("ban")[1_000], "bans_left_out"), 500_u32.into());
    assert_eq!(of("breaker").len(), 1);
    assert_eq!(value(of("stop")[0], "bans_left_out"), 3_u32.into());
}
