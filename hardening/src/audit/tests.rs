//! Records, tree, proofs and checkpoints against values that were computed elsewhere.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small numbers")]

use super::*;
use crate::testing::Numbers;

const VECTORS: &str = include_str!("vectors.jsonl");
const NOTE: &str = include_str!("vector.note");
const ORIGIN: &str = "node-7.example/audit";
const TRACE: TraceId = TraceId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

#[test]
fn records_are_written_as_the_vectors_say_and_read_back() {
    let (mut chain, mut log) = (Chain::new(), Vec::new());
    chain.begin_segment(1_767_225_600_000, "example", &mut log);
    let ban = Event::new(EventKind::Ban)
        .by("peer policy")
        .on("192.0.2.7:8333")
        .in_trace(TRACE)
        .with("reason", "invalid \u{201c}header\u{201d}\n")
        .with("score", -100_i64)
        .with("first", true);
    chain.append(1_767_225_600_001, &ban, &mut log);
    let own =
        Event::new(EventKind::other("my_kind")).by("caf\u{e9} \u{1f980} \"\\").in_trace(TRACE);
    chain.append(1_767_225_600_002, &own, &mut log);
    assert_eq!(String::from_utf8(log.clone()).unwrap(), VECTORS);
    assert_eq!(
        chain.root().to_string(),
        "b5b13deab9fcde6a7b0513c3c6f6ed1935957277b1f4f6d56c4f48c6fe049fdf"
    );
    let read = verify_event(VECTORS.lines().nth(1).unwrap().as_bytes()).unwrap();
    assert_eq!((read.index, read.event), (1, ban));
    let report = verify_chain(VECTORS.as_bytes(), &[]).unwrap();
    assert_eq!((report.size, report.root), (3, chain.root()));
}

fn random_event(numbers: &mut Numbers) -> Event {
    const KEYS: [&str; 20] = [
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "j",
        "k",
        "l",
        "m",
        "n",
        "o",
        "p",
        "Q-1",
        "",
        "left_out",
        "ein_sehr_langer_name_mit_mehr_als_32_zeichen",
    ];
    let text = |numbers: &mut Numbers| -> String {
        let length = numbers.below(8) * numbers.below(200);
        let from = [0, 0x20, 0x7f, 0x2000, 0x1_f600][numbers.below(5) as usize];
        (0..length).filter_map(|_| char::from_u32(from + numbers.below(120) as u32)).collect()
    };
    let kind = ["ban", "log_gap", "", "Ab c", "x9_"][numbers.below(5) as usize];
    let mut event = Event::new(EventKind::other(kind)).by(text(numbers)).on(text(numbers));
    if numbers.below(2) == 0 {
        event = event.in_trace(TraceId([numbers.below(3) as u8; 16]));
    }
    for _ in 0..numbers.below(24) {
        let key = KEYS[numbers.below(20) as usize];
        event = match numbers.below(3) {
            0 => event.with(key, text(numbers)),
            1 => event.with(key, (numbers.below(u64::MAX) as i64) >> numbers.below(64)),
            _ => event.with(key, numbers.below(2) == 0),
        };
    }
    event
}

#[test]
fn whatever_an_event_holds_comes_back_and_the_log_verifies() {
    let mut numbers = Numbers(1);
    let (mut chain, mut log, mut events) = (Chain::new(), Vec::new(), Vec::new());
    for i in 0..1_500 {
        if i % 100 == 0 {
            chain.begin_segment(i, "log", &mut log);
        }
        let event = random_event(&mut numbers);
        chain.append(i, &event, &mut log);
        events.push(event);
    }
    assert!(log.is_ascii());
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read: Vec<Event> = lines
        .map(|line| {
            assert!(line.len() < MAX_LINE);
            verify_event(line).unwrap().event
        })
        .filter(|event| *event.kind() != EventKind::Log(LogKind::Segment))
        .collect();
    assert!(read == events, "as they were given");
    assert_eq!(verify_chain(&log[..], &[]).unwrap().size, 1_515);
    // A segment verifies without those before it, if its own word is taken.
    let second =
        log.windows(12).enumerate().filter(|(_, w)| w == b"\"log_segment").nth(1).unwrap().0;
    let start = log[..second].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let report = verify_chain(&log[start..], &[]).unwrap();
    assert_eq!((report.first, report.size, report.root), (101, 1_515, chain.root()));
}

#[test]
fn another_form_of_the_same_record_is_none() {
    let line = VECTORS.lines().nth(1).unwrap();
    for (from, to) in [
        (":-100", ":-0100"),
        (":-100", ": -100"),
        ("\"first\":true", "\"score\":1"),
        ("\"first\"", "\"First\""),
        ("\\u000a", "\\u000A"),
        ("invalid", "\\u0069nvalid"),
        ("\"kind\":\"ban\"", "\"kind\":\"log_new\""),
        ("\"v\":1", "\"v\":2"),
        ("peer policy", &"p".repeat(289)),
        ("invalid", &"p".repeat(1_057)),
        ("\"by\":\"peer policy\",", ""),
    ] {
        // With the right hash for the wrong form, so that the form alone is judged.
        let body = line.split(",\"hash\"").next().unwrap().replace(from, to);
        assert!(!line.starts_with(&body), "{from}");
        let hash = Hash::of(&[b"ironlight-audit-v1\n", body.as_bytes()]);
        let changed = format!("{body},\"hash\":\"{hash}\"}}");
        assert_eq!(verify_event(changed.as_bytes()), Err(Damage::NotARecord), "{from}");
    }
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let long = "\u{1}".repeat(5_000);
    let mut event = Event::new(EventKind::Log(LogKind::Gap)).by(long.clone()).on(long.clone());
    assert_eq!(event.kind().name(), "claimed_by_caller");
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
    for key in keys {
        event = event.with(key, long.clone());
    }
    event = event.with("q", 1_i64).with("r", 2_i64);
    assert_eq!(event.value("left_out"), Some(&Value::Number(2)));
    let Some(Value::Text(text)) = event.value("a") else { panic!("a text") };
    assert!(text.ends_with("[+3976 bytes]"));
    let mut line = Vec::new();
    Chain::new().append(u64::MAX, &event, &mut line);
    assert!(line.len() <= MAX_LINE, "{}", line.len());
    assert_eq!(verify_event(line.trim_ascii_end()).unwrap().event, event);
}

#[test]
fn what_the_log_says_of_itself_is_not_taken_from_anyone_else() {
    let segment = verify_event(VECTORS.lines().next().unwrap().as_bytes()).unwrap().event;
    let (mut chain, mut log) = (Chain::new(), Vec::new());
    chain.append(0, &Event::new(EventKind::Start), &mut log);
    chain.append(0, &segment, &mut log);
    assert_eq!(verify_chain(&log[..], &[]).unwrap().size, 2);
    let sink = MemorySink::default();
    let config = AuditConfig {
        policy: Some(std::sync::Arc::new({
            let segment = segment.clone();
            move |event: &mut Event| {
                *event = segment.clone();
                Verdict::Write
            }
        })),
        ..AuditConfig::default()
    };
    for config in [AuditConfig::default(), config] {
        let log = AuditLog::start(config, vec![Box::new(sink.clone())]).unwrap();
        log.emit(Event::new(EventKind::Start)).unwrap();
        log.emit(segment.clone()).unwrap();
        assert!(log.shutdown());
    }
    assert_eq!(verify_chain(sink.lines().as_bytes(), &[]).unwrap().size, 5);
    assert_eq!(sink.lines().matches("claimed_by_caller").count(), 3);
}

/// RFC 6962's definitions, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [one] => *one,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

fn naive_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = leaves.len().next_power_of_two() / 2;
    let (mut path, other) = if m < k {
        (naive_path(m, &leaves[..k]), naive_root(&leaves[k..]))
    } else {
        (naive_path(m - k, &leaves[k..]), naive_root(&leaves[..k]))
    };
    path.push(other);
    path
}

#[test]
fn roots_are_those_of_certificate_transparency() {
    let leaves: [&[u8]; 8] =
        [b"", b"\0", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let (mut tree, mut frontier) = (Tree::default(), Frontier::default());
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(tree.root_at(size as u64).unwrap().to_string(), *root);
        assert_eq!(frontier.root().to_string(), *root);
        if let Some(leaf) = leaves.get(size) {
            tree.push(leaf);
            frontier.push(leaf);
        }
    }
    assert_eq!(tree.root_at(9), None);
}

#[test]
fn every_proof_up_to_300_leaves_holds_and_no_other_does() {
    let (mut tree, mut frontier, mut leaves) = (Tree::default(), Frontier::default(), Vec::new());
    let mut roots = vec![frontier.root()];
    for leaf in 0..300_u32 {
        tree.push(&leaf.to_be_bytes());
        frontier.push(&leaf.to_be_bytes());
        leaves.push(leaf_hash(&leaf.to_be_bytes()));
        roots.push(frontier.root());
        assert_eq!(frontier.root(), naive_root(&leaves));
        let size = frontier.size();
        let kept = Frontier::from_roots(size, frontier.roots().to_vec());
        assert_eq!(kept.as_ref(), Some(&frontier));
        assert_eq!(Frontier::from_roots(size + 1, vec![Hash::ZERO; 9]), None);
    }
    for n in 0..=300_u64 {
        let root = roots[n as usize];
        assert_eq!(tree.root_at(n), Some(root));
        for m in 0..=n {
            let path = tree.consistency_proof(m, n).unwrap();
            let earlier = roots[m as usize];
            assert!(verify_consistency((m, earlier), (n, root), &path), "{m} of {n}");
            assert!(!verify_consistency((m, Hash([9; 32])), (n, root), &path), "{m} of {n}");
            if m > 0 && m < n {
                assert!(!verify_consistency((m, earlier), (n, Hash([9; 32])), &path));
                assert!(!verify_consistency((m - 1, earlier), (n, root), &path));
                assert!(!verify_consistency((m, earlier), (n, root), &path[1..]));
                let longer = [&path[..], &[Hash::ZERO]].concat();
                assert!(!verify_consistency((m, earlier), (n, root), &longer));
            }
        }
        for m in 0..n {
            let path = tree.inclusion_proof(m, n).unwrap();
            let leaf = (m as u32).to_be_bytes();
            if n % 23 == 0 {
                assert_eq!(path, naive_path(m as usize, &leaves[..n as usize]));
            }
            assert!(verify_inclusion(&leaf, m, n, &path, root), "{m} of {n}");
            assert!(!verify_inclusion(b"", m, n, &path, root), "{m} of {n}");
            assert!(!verify_inclusion(&leaf, (m + 1) % n, n, &path, root) || n == 1);
            let longer = [&path[..], &[Hash::ZERO]].concat();
            assert!(!verify_inclusion(&leaf, m, n, &longer, root));
        }
    }
    assert_eq!(tree.consistency_proof(3, 2), None);
    assert_eq!(tree.consistency_proof(3, 301), None);
    assert_eq!(tree.inclusion_proof(300, 300), None);
}

#[test]
fn a_checkpoint_is_the_note_that_others_sign_too() {
    let root = verify_chain(VECTORS.as_bytes(), &[]).unwrap().root;
    let mut key = CheckpointKey::new([7; 32], ORIGIN).evolving();
    let public = key.public();
    assert_eq!(key.sign(3, root, 1_767_225_600_003), NOTE);
    assert_eq!(key.seed(), Hash::of(&[b"ironlight-audit-evolve\n", &[7; 32]]).0);
    let read = verify_checkpoint(NOTE, ORIGIN, public).unwrap();
    assert_eq!((read.size, read.root, read.next), (3, root, Some(key.public())));
    let other = verify_checkpoint(NOTE, "node-8.example/audit", public);
    assert_eq!(other, Err(CheckpointError::OtherOrigin));
    let other = verify_checkpoint(NOTE, ORIGIN, key.public());
    assert_eq!(other, Err(CheckpointError::WrongSignature));
    // Every changed byte makes it none.
    for i in 0..NOTE.len() {
        let mut changed = NOTE.as_bytes().to_vec();
        changed[i] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert!(verify_checkpoint(&changed, ORIGIN, public).is_err(), "byte {i}");
    }
}

#[test]
fn each_evolved_key_signs_once_and_an_old_one_no_more() {
    let root = Hash::of(&[b"root"]);
    let mut key = CheckpointKey::new([1; 32], ORIGIN).evolving();
    let first = key.public();
    let again = CheckpointKey::new(key.seed(), ORIGIN).evolving().sign(1, root, 1);
    let notes: Vec<String> = (1..5).map(|size| key.sign(size, root, size)).collect();
    let file = notes.concat() + "torn";
    let split: Vec<&str> = split_notes(&file).collect();
    assert_eq!(split, notes);
    let read = verify_checkpoints(split.iter().copied(), ORIGIN, first).unwrap();
    assert_eq!(read.iter().map(|made| made.size).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // After a crash the same key may sign twice.
    let twice = [&again, &notes[0], &notes[1]].map(String::as_str);
    assert_eq!(verify_checkpoints(twice, ORIGIN, first).unwrap().len(), 3);
    // But not when the next one has signed.
    let late = [&notes[0], &notes[1], &again].map(String::as_str);
    assert_eq!(verify_checkpoints(late, ORIGIN, first), Err((2, CheckpointError::WrongSignature)));
    let missing = [&notes[0], &notes[2]].map(String::as_str);
    assert_eq!(
        verify_checkpoints(missing, ORIGIN, first),
        Err((1, CheckpointError::WrongSignature))
    );
    let mut plain = CheckpointKey::new([1; 32], ORIGIN);
    let back = [plain.sign(2, root, 0), plain.sign(1, root, 0)];
    let back = verify_checkpoints(back.iter().map(String::as_str), ORIGIN, first);
    assert_eq!(back, Err((1, CheckpointError::Shrunk)));
}
