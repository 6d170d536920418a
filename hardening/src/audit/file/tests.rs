//! Files: rotation, seals, torn ends, crashes between any two steps, and repair.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small numbers")]

use std::fs;
use std::path::Path;

use super::*;
use crate::audit::{AuditConfig, AuditLog, Checkpoint, MemorySink, VerifyError, verify_chain};
use crate::testing::Numbers;

fn config(dir: &Path) -> FileConfig {
    FileConfig { dir: dir.to_owned(), segment_bytes: 6_000 }
}

fn event(i: u64) -> Event {
    Event::new(EventKind::Ban).on("peer").with("i", i)
}

/// Writes events one by one, as the writer does, into segments of about twenty.
fn write(dir: &Path, count: u64) -> Chain {
    let mut sink = FileSink::new(config(dir));
    let mut chain = sink.open().unwrap();
    let mut waiting: Vec<Event> = sink.notices();
    for i in 0..count {
        waiting.push(event(i));
        while !waiting.is_empty() {
            let mut lines = Vec::new();
            if sink.wants_segment() {
                sink.begin_segment(chain.size()).unwrap();
                chain.begin_segment(0, "log", &mut lines);
            }
            for event in waiting.drain(..) {
                chain.append_any(i, &event, &mut lines);
            }
            sink.write(&lines).unwrap();
            waiting = sink.notices();
        }
        sink.flush().unwrap();
    }
    chain
}

fn files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

fn first_bad(dir: &Path) -> Option<Tampering> {
    verify_dir(dir, &[]).unwrap().tampering
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in files(from) {
        fs::copy(from.join(&name), to.path().join(&name)).unwrap();
    }
    to
}

#[test]
fn it_goes_on_where_it_ended_and_seals_what_is_old() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 30);
    let chain = write(dir.path(), 40);
    let names = files(dir.path());
    let packed = names.iter().filter(|name| name.ends_with(".gz")).count();
    let raw = names.iter().filter(|name| name.ends_with(".jsonl")).count();
    assert!(packed >= 3 && raw == 1, "{names:?}");
    let report = verify_dir(dir.path(), &[]).unwrap();
    assert_eq!((report.tampering, report.size, report.root), (None, chain.size(), chain.root()));
    let (tree, _) = tree_of_dir(dir.path()).unwrap();
    assert_eq!(tree.root_at(chain.size()), Some(chain.root()));
    // The oldest may be taken away; the report says so.
    fs::remove_file(dir.path().join(packed_name(0))).unwrap();
    let report = verify_dir(dir.path(), &[]).unwrap();
    assert!(report.first > 0 && report.tampering.is_none());
    assert_eq!(report.root, chain.root());
    // One in the middle may not.
    let second = files(dir.path()).into_iter().filter(|name| name.ends_with(".gz")).nth(1).unwrap();
    fs::remove_file(dir.path().join(second)).unwrap();
    assert!(matches!(first_bad(dir.path()).unwrap().what, Damage::WrongIndex { .. }));
}

#[test]
fn a_sealed_segment_with_any_byte_changed_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 50);
    let second = *segments::list(dir.path()).unwrap().keys().nth(1).unwrap();
    let third = *segments::list(dir.path()).unwrap().keys().nth(2).unwrap();
    let path = dir.path().join(packed_name(second));
    let packed = fs::read(&path).unwrap();
    let mut numbers = Numbers(1);
    for i in 0..packed.len() {
        let mut changed = packed.clone();
        changed[i] ^= 1 << numbers.below(8);
        fs::write(&path, &changed).unwrap();
        let found = first_bad(dir.path()).unwrap();
        assert!((second..=third).contains(&found.index), "byte {i}: {found:?}");
    }
    for changed in [&packed[..packed.len() - 1], &packed[..0], &[&packed[..], b"x"].concat()] {
        fs::write(&path, changed).unwrap();
        assert!(first_bad(dir.path()).is_some());
    }
    fs::write(&path, &packed).unwrap();
    assert_eq!(first_bad(dir.path()), None);
}

#[test]
fn a_torn_end_is_set_aside_and_written_down_at_every_length() {
    let dir = tempfile::tempdir().unwrap();
    let chain = write(dir.path(), 5);
    let whole = fs::read(dir.path().join(raw_name(0))).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for length in last + 1..whole.len() {
        let torn = copy(dir.path());
        fs::write(torn.path().join(raw_name(0)), &whole[..length]).unwrap();
        let found = first_bad(torn.path()).unwrap();
        assert_eq!(found, Tampering { index: chain.size() - 1, what: Damage::Torn });
        write(torn.path(), 1);
        let lines = fs::read_to_string(torn.path().join(raw_name(0))).unwrap();
        assert_eq!(lines.matches("\"kind\":\"log_torn\"").count(), 1);
        assert_eq!(verify_chain(lines.as_bytes(), &[]).unwrap().size, chain.size() + 1);
        assert_eq!(fs::read(torn.path().join("torn-1")).unwrap(), &whole[last..length]);
    }
}

#[test]
fn a_wrong_record_stops_the_writer_until_it_is_repaired_on_command() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 5);
    let path = dir.path().join(raw_name(0));
    let changed = fs::read_to_string(&path).unwrap().replace("\"i\":3", "\"i\":4");
    fs::write(&path, &changed).unwrap();
    let refused = FileSink::new(config(dir.path())).open();
    let wrong = Tampering { index: 4, what: Damage::WrongHash };
    assert!(matches!(refused, Err(SinkError::Damaged(found)) if found == wrong));
    assert_eq!(fs::read_to_string(&path).unwrap(), changed, "untouched");
    let repaired = repair(dir.path(), "log", 7).unwrap().unwrap();
    assert_eq!((repaired.tampering, repaired.size), (wrong, 5));
    assert_eq!(fs::read_to_string(repaired.aside.join(raw_name(0))).unwrap(), changed);
    assert_eq!(first_bad(dir.path()), None);
    assert!(fs::read_to_string(&path).unwrap().contains("log_repaired"));
    assert_eq!(repair(dir.path(), "log", 8).unwrap(), None);
    write(dir.path(), 5);
    assert_eq!(first_bad(dir.path()), None);
}

#[test]
fn a_seal_that_is_cut_off_in_a_repair_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 50);
    let newest = *segments::list(dir.path()).unwrap().keys().last().unwrap();
    let path = dir.path().join(raw_name(newest));
    let lines = fs::read_to_string(&path).unwrap();
    // The record after the segment's first, before the one with the seal.
    let second = lines.lines().nth(1).unwrap();
    fs::write(&path, lines.replace(second, &second.replace("peer", "user"))).unwrap();
    let found = Tampering { index: newest + 1, what: Damage::WrongHash };
    assert_eq!(repair(dir.path(), "log", 0).unwrap().unwrap().tampering, found);
    assert_eq!(first_bad(dir.path()), None);
    write(dir.path(), 5);
    assert_eq!(first_bad(dir.path()), None);
}

#[test]
fn a_file_with_another_number_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 50);
    let newest = *segments::list(dir.path()).unwrap().keys().last().unwrap();
    let other = dir.path().join(raw_name(newest + 1));
    fs::rename(dir.path().join(raw_name(newest)), other).unwrap();
    let what = Damage::WrongIndex { expected: newest };
    assert_eq!(first_bad(dir.path()), Some(Tampering { index: newest, what }));
    let refused = FileSink::new(config(dir.path())).open();
    assert!(matches!(refused, Err(SinkError::Damaged(_))));
}

#[test]
fn whatever_byte_is_wrong_a_repair_makes_it_right_and_keeps_what_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let chain = write(dir.path(), 70);
    let names: Vec<String> =
        files(dir.path()).into_iter().filter(|name| name.starts_with("audit-")).collect();
    let mut numbers = Numbers(9);
    for round in 0..150 {
        let wrong = copy(dir.path());
        let name = &names[numbers.below(names.len() as u64) as usize];
        let mut bytes = fs::read(wrong.path().join(name)).unwrap();
        let at = numbers.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << numbers.below(8);
        fs::write(wrong.path().join(name), &bytes).unwrap();
        let found = first_bad(wrong.path()).unwrap();
        let repaired = repair(wrong.path(), "log", 1).unwrap().unwrap();
        assert_eq!(repaired.tampering, found);
        assert_eq!(first_bad(wrong.path()), None, "round {round}: {found:?}");
        assert!(fs::read(repaired.aside.join(name)).unwrap() == bytes, "the evidence");
        // What was before is as it was.
        let (tree, report) = tree_of_dir(wrong.path()).unwrap();
        let (old, _) = tree_of_dir(dir.path()).unwrap();
        let kept = found.index.min(chain.size());
        assert_eq!(tree.root_at(kept), old.root_at(kept));
        if found.what == Damage::WrongSeal {
            assert_eq!(tree.root_at(chain.size()), Some(chain.root()), "no record was lost");
        }
        assert!(report.size > kept);
        write(wrong.path(), 25);
        assert_eq!(first_bad(wrong.path()), None, "round {round}, after going on");
    }
}

#[test]
fn a_crash_between_any_two_steps_of_a_rotation_loses_nothing() {
    for step in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = FileSink::new(FileConfig { segment_bytes: 1, ..config(dir.path()) });
        let mut chain = sink.open().unwrap();
        let mut lines = Vec::new();
        sink.begin_segment(0).unwrap();
        chain.begin_segment(0, "log", &mut lines);
        chain.append(0, &event(0), &mut lines);
        sink.write(&lines).unwrap();
        let mut size = chain.size();
        if step >= 1 {
            sink.begin_segment(chain.size()).unwrap();
            assert!(sink.notices().is_empty(), "sealed only when the new one has begun");
        }
        lines.clear();
        chain.begin_segment(0, "log", &mut lines);
        if step == 2 {
            sink.write(&lines[..lines.len() / 2]).unwrap();
        }
        if step >= 3 {
            sink.write(&lines).unwrap();
            size = chain.size();
        }
        if step >= 4 {
            let sealed = sink.notices();
            assert_eq!(sealed.len(), 1);
            if step >= 5 {
                lines.clear();
                chain.append_any(0, &sealed[0], &mut lines);
                sink.write(&lines).unwrap();
                size = chain.size();
            }
        }
        // The process ends here: nothing is flushed or closed in order.
        drop(sink);
        assert!(dir.path().join(raw_name(0)).exists());
        let after = write(dir.path(), 3);
        assert!(after.size() >= size + 3, "step {step}");
        let report = verify_dir(dir.path(), &[]).unwrap();
        assert_eq!((report.tampering, report.size), (None, after.size()), "step {step}");
        let lines: String = if dir.path().join(raw_name(0)).exists() {
            fs::read_to_string(dir.path().join(raw_name(0))).unwrap()
        } else {
            let mut text = String::new();
            let packed = Forms { raw: false, packed: true };
            segments::read(dir.path(), 0, packed).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert!(lines.contains("\"i\":0"), "step {step}");
    }
}

#[test]
fn two_writers_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = FileSink::new(config(dir.path()));
    one.open().unwrap();
    let mut two = FileSink::new(config(dir.path()));
    assert!(matches!(two.open(), Err(SinkError::InUse)));
    assert!(matches!(repair(dir.path(), "log", 0), Err(SinkError::InUse)));
    one.close();
    two.open().unwrap();
}

#[test]
fn the_newest_file_taken_away_is_seen_by_the_writer_and_by_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let chain = write(dir.path(), 50);
    let newest = files(dir.path()).into_iter().find(|name| name.ends_with(".jsonl")).unwrap();
    fs::remove_file(dir.path().join(newest)).unwrap();
    assert_eq!(first_bad(dir.path()).unwrap().what, Damage::NotSealed);
    let (size, root) = (chain.size(), chain.root());
    let known = Checkpoint { origin: "log".into(), size, root, at: 0, next: None };
    let found = verify_dir(dir.path(), &[known]).unwrap().tampering.unwrap();
    assert!(matches!(found.what, Damage::Cut { .. } | Damage::NotSealed), "{found:?}");
    let refused = FileSink::new(config(dir.path())).open();
    assert!(matches!(refused, Err(SinkError::Damaged(_))));
}

#[test]
fn a_sink_that_cannot_start_hands_over_to_the_fallback() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 5);
    let path = dir.path().join(raw_name(0));
    let changed = fs::read_to_string(&path).unwrap().replace("\"i\":3", "\"i\":4");
    fs::write(&path, &changed).unwrap();
    let memory = MemorySink::default();
    let sinks: Vec<Box<dyn Sink>> =
        vec![Box::new(FileSink::new(config(dir.path()))), Box::new(memory.clone())];
    let log = AuditLog::start(AuditConfig::default(), sinks).unwrap();
    log.emit(event(9)).unwrap();
    assert!(log.shutdown());
    assert_eq!(log.status().handed_over, 1);
    let lines = memory.lines();
    assert!(lines.contains("log_fallback") && lines.contains("is damaged: record 4"));
    assert!(lines.contains("\"i\":9"));
    assert!(!matches!(verify_chain(lines.as_bytes(), &[]), Err(VerifyError::Tampered(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), changed, "untouched");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = FileSink::new(config(dir.path()));
    let mut chain = sink.open().unwrap();
    let mut lines = Vec::new();
    sink.begin_segment(0).unwrap();
    chain.begin_segment(0, "log", &mut lines);
    sink.write(&lines).unwrap();
    // As after a write that failed in its middle.
    let active = sink.active.as_mut().unwrap();
    active.file.write_all(b"{\"v\":1,").unwrap();
    active.rest = true;
    lines.clear();
    chain.append(0, &event(1), &mut lines);
    sink.write(&lines).unwrap();
    assert_eq!(verify_dir(dir.path(), &[]).unwrap().size, 2);
    assert_eq!(first_bad(dir.path()), None);
}

#[test]
fn a_log_is_read_from_its_folder_and_from_each_of_its_files() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 50);
    let (mut all, mut parts) = (Vec::new(), Vec::new());
    let report = read_log(dir.path(), &[], |record| all.push(record.line())).unwrap();
    assert_eq!((report.tampering, report.size), (None, all.len() as u64));
    let names = files(dir.path()).into_iter().filter(|name| name.starts_with("audit-"));
    let names: Vec<String> = names.collect();
    assert!(names.len() > 2 && names[0].ends_with(".jsonl.gz"), "{names:?}");
    for name in &names {
        let seen = |record: &Record| parts.push(record.line());
        let report = read_log(&dir.path().join(name), &[], seen).unwrap();
        assert_eq!(report.tampering, None, "{name}");
    }
    assert_eq!(all, parts);
    let last = dir.path().join(names.last().unwrap());
    assert!(fs::read_to_string(last).unwrap().ends_with(&format!("{}\n", all.last().unwrap())));
}

#[test]
fn of_one_file_that_is_damaged_the_right_records_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 50);
    let names = files(dir.path());
    let packed = dir.path().join(names.iter().find(|name| name.ends_with(".gz")).unwrap());
    let bytes = fs::read(&packed).unwrap();
    fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
    let mut shown = 0;
    let report = read_log(&packed, &[], |record| {
        assert_eq!(record.index, shown);
        shown += 1;
    });
    let wrong = report.unwrap().tampering.unwrap();
    assert_eq!((wrong.index, wrong.what), (shown, Damage::Undecodable));
    let raw = dir.path().join(names.iter().rfind(|name| name.ends_with(".jsonl")).unwrap());
    let text = fs::read_to_string(&raw).unwrap();
    fs::write(&raw, text.replacen("peer", "pear", 1)).unwrap();
    let wrong = read_log(&raw, &[], |_| ()).unwrap().tampering.unwrap();
    assert_eq!(wrong.what, Damage::WrongHash);
    let missing = read_log(&dir.path().join("none"), &[], |_| ()).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}
