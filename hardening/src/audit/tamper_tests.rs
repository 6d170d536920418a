//! Every way to change a log of 1,000 records, and where the verifier says that it begins.

#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "small numbers")]

use super::*;
use crate::testing::Numbers;

/// 1,000 records in three segments, with traces; each with its line feed.
fn log() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(3);
    let mut chain = Chain::new();
    (0..1_000)
        .map(|i| {
            let mut line = Vec::new();
            if i % 400 == 0 {
                chain.begin_segment(i, "log", &mut line);
                return line;
            }
            let mut event = Event::new(EventKind::Ban).on("a").with("score", i);
            if numbers.below(3) > 0 {
                event = event.in_trace(TraceId([numbers.below(5) as u8; 16]));
            }
            chain.append(1_767_225_600_000 + i, &event, &mut line);
            line
        })
        .collect()
}

fn first_bad(log: &[u8]) -> Option<u64> {
    detect_tampering(log, &[]).unwrap().tampering.map(|found| found.index)
}

#[test]
fn every_flipped_bit_is_found_with_its_index() {
    let lines = log();
    let whole = lines.concat();
    assert_eq!(first_bad(&whole), None);
    let (mut before, mut start, mut flips) = (Verifier::new(), 0, 0_u64);
    let mut numbers = Numbers(4);
    for (index, line) in lines.iter().enumerate() {
        let followed = lines.get(index + 1).cloned().unwrap_or_default();
        let (mut changed, end) = ([line.clone(), followed].concat(), line.len() - 1);
        for bit in 0..line.len() * 8 {
            changed[bit / 8] ^= 1 << (bit % 8);
            // The records before are as they were, and a wrong record changes nothing in the
            // verifier: going on after them is judging the whole.
            let found = if changed[bit / 8] == b'\n' || bit / 8 == end {
                before.clone().feed_all(&changed[..], |_| ()).unwrap().unwrap_err()
            } else {
                before.feed(&changed[..end]).unwrap_err()
            };
            assert_eq!(found.index, index as u64, "bit {bit}");
            changed[bit / 8] ^= 1 << (bit % 8);
            flips += 1;
        }
        // And so that this is not taken on trust: some from the beginning.
        let mut all = whole.clone();
        all[start + numbers.below(line.len() as u64) as usize] ^= 1 << numbers.below(8);
        assert_eq!(first_bad(&all), Some(index as u64));
        before.feed(line.trim_ascii_end()).unwrap();
        start += line.len();
    }
    assert!(flips > 2_000_000, "{flips}");
}

#[test]
fn every_record_deleted_doubled_or_exchanged_is_found_with_its_index() {
    let lines = log();
    let mut before = Verifier::new();
    for index in 0..lines.len() {
        let tail =
            |from: usize| lines[from.min(lines.len())..(from + 3).clamp(0, lines.len())].concat();
        let (this, next) = (&lines[index], lines.get(index + 1));
        let mut changes = vec![(index + 1, [this.clone(), this.clone(), tail(index + 1)].concat())];
        if let Some(next) = next {
            changes.push((index, tail(index + 1)));
            changes.push((index, [next.clone(), this.clone(), tail(index + 2)].concat()));
        }
        for (bad, changed) in changes {
            let found = before.clone().feed_all(&changed[..], |_| ()).unwrap();
            assert_eq!(found.unwrap_err().index, bad as u64);
        }
        before.feed(this.trim_ascii_end()).unwrap();
    }
    // The last one deleted is a cut: see below.
    let mut numbers = Numbers(5);
    for _ in 0..100 {
        let (a, b) = (numbers.below(1_000) as usize, numbers.below(1_000) as usize);
        if a == b {
            continue;
        }
        let mut changed = lines.clone();
        changed.swap(a, b);
        assert_eq!(first_bad(&changed.concat()), Some(a.min(b) as u64));
    }
}

/// All that exchanging two records, moving one or putting a copy in comes down to: some record
/// stands where another should.
#[test]
fn no_record_is_taken_at_the_place_of_any_other() {
    let records: Vec<Record> =
        log().iter().map(|line| verify_event(line.trim_ascii_end()).unwrap()).collect();
    let mut chain = Chain::new();
    for (index, record) in records.iter().enumerate() {
        for other in records.iter().filter(|other| other.index != record.index) {
            let found = chain.accept(other);
            assert_eq!(found, Err(Damage::WrongIndex { expected: index as u64 }));
        }
        chain.accept(record).unwrap();
    }
    assert_eq!(chain.size(), 1_000);
}

#[test]
fn a_later_segment_put_first_is_seen_where_it_does_not_go_on() {
    let lines = log();
    let changed = [lines[400].clone(), lines.concat()].concat();
    let report = detect_tampering(&changed[..], &[]).unwrap();
    // The segment's word is taken that older ones were removed; what follows it is wrong.
    assert_eq!(report.first, 400);
    let what = Damage::WrongIndex { expected: 401 };
    assert_eq!(report.tampering, Some(Tampering { index: 401, what }));
}

#[test]
fn a_cut_is_found_with_a_checkpoint_and_only_then() {
    let lines = log();
    let mut chain = Verifier::new();
    let mut checkpoints = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if i == 600 || i == 990 {
            let (size, root) = (chain.chain().size(), chain.chain().root());
            checkpoints.push(Checkpoint { origin: "a".into(), size, root, at: 0, next: None });
        }
        chain.feed(line.trim_ascii_end()).unwrap();
    }
    for size in (0..1_000).step_by(37).chain([989, 990, 999]) {
        let cut = lines[..size].concat();
        assert_eq!(first_bad(&cut), None, "without a checkpoint it is right up to there");
        let report = detect_tampering(&cut[..], &checkpoints).unwrap();
        let expected = (size < 990)
            .then_some(Tampering { index: size as u64, what: Damage::Cut { size: 990 } });
        assert_eq!(report.tampering, expected);
    }
    // Within a record it is seen at once.
    let whole = lines.concat();
    let end = whole.len() - 5;
    let report = detect_tampering(&whole[..end], &[]).unwrap();
    assert_eq!(report.tampering, Some(Tampering { index: 999, what: Damage::Torn }));
}

#[test]
fn a_log_written_anew_is_found_with_a_checkpoint_and_only_then() {
    let lines = log();
    let mut chain = Chain::new();
    let (mut anew, mut root_700) = (lines[..700].concat(), Hash::ZERO);
    for line in &lines[..700] {
        chain.accept(&verify_event(line.trim_ascii_end()).unwrap()).unwrap();
        root_700 = chain.root();
    }
    for at in 0..300 {
        chain.append(at, &Event::new(EventKind::Unban), &mut anew);
    }
    assert_eq!(first_bad(&anew), None);
    let made = |size, root| Checkpoint { origin: "a".into(), size, root, at: 0, next: None };
    let old = verify_chain(&lines.concat()[..], &[]).unwrap();
    let checkpoints = [made(1_000, old.root), made(700, root_700)];
    let found = detect_tampering(&anew[..], &checkpoints).unwrap().tampering.unwrap();
    assert_eq!(found, Tampering { index: 700, what: Damage::OtherHistory { size: 1_000 } });
}

#[test]
fn a_trace_verifies_alone_and_what_is_missing_in_it_is_found() {
    let lines = log();
    let trace = TraceId([2; 16]);
    let of_trace: Vec<&Vec<u8>> = lines
        .iter()
        .filter(|line| verify_event(line.trim_ascii_end()).unwrap().event.trace() == Some(trace))
        .collect();
    let whole = verify_trace(&lines.concat()[..], trace).unwrap();
    let alone: Vec<u8> = of_trace.iter().copied().flatten().copied().collect();
    assert_eq!(verify_trace(&alone[..], trace).unwrap(), whole);
    assert_eq!((whole.records, whole.parts), (of_trace.len() as u64, 3));
    let starts = |line: &[u8]| {
        verify_event(line.trim_ascii_end()).unwrap().trace_previous == Some(Hash::ZERO)
    };
    for missing in 0..of_trace.len() - 1 {
        // The only record of its part would be a part that is missing as a whole.
        let mut rest = of_trace.clone();
        rest.remove(missing);
        let next_starts = starts(rest[missing]);
        let rest: Vec<u8> = rest.into_iter().flatten().copied().collect();
        assert_eq!(verify_trace(&rest[..], trace).is_err(), !next_starts, "{missing}");
        let mut doubled = of_trace.clone();
        doubled.insert(missing, of_trace[missing]);
        let doubled: Vec<u8> = doubled.into_iter().flatten().copied().collect();
        assert!(verify_trace(&doubled[..], trace).is_err(), "{missing}");
    }
    let mut changed = alone.clone();
    let last = changed.len() - 20;
    changed[last] ^= 1;
    assert!(verify_trace(&changed[..], trace).is_err());
}

#[test]
fn the_trace_table_has_an_end_and_writer_and_verifier_agree_on_it() {
    let (mut chain, mut log) = (Chain::new(), Vec::new());
    let id = |i: u64| TraceId(u128::from(i).to_be_bytes());
    let event = |i| Event::new(EventKind::Start).in_trace(id(i));
    for i in 0..=MAX_TRACES as u64 {
        chain.append(0, &event(i), &mut log);
    }
    // The first fell out, the second is followed still.
    let start = log.len();
    chain.append(0, &event(1), &mut log);
    chain.append(0, &event(0), &mut log);
    let lines: Vec<&[u8]> = log[start..].split(|byte| *byte == b'\n').collect();
    let previous = |i: usize| verify_event(lines[i]).unwrap().trace_previous.unwrap();
    assert_ne!(previous(0), Hash::ZERO);
    assert_eq!(previous(1), Hash::ZERO);
    assert_eq!(verify_chain(&log[..], &[]).unwrap().size, chain.size());
    assert_eq!(verify_trace(&log[..], id(0)).unwrap().parts, 2);
}

#[test]
fn each_link_of_a_record_is_judged_by_itself() {
    use super::record::{Place, encode};
    let trace = TraceId([1; 16]);
    let event = Event::new(EventKind::Ban).in_trace(trace);
    let (mut chain, mut log) = (Chain::new(), Vec::new());
    let of_trace = chain.append(0, &event, &mut log);
    let previous = chain.append(0, &Event::new(EventKind::Ban), &mut log);
    let right = Place { index: 2, at: 0, trace_previous: Some(of_trace), previous };
    let segment = chain.clone();
    let judged = |event: &Event, place: Place| {
        let mut line = Vec::new();
        // Written with the right hash for what it says.
        encode(event, &place, &mut line);
        chain.clone().accept(&verify_event(line.trim_ascii_end()).unwrap())
    };
    assert_eq!(judged(&event, right), Ok(()));
    let wrong = Damage::WrongIndex { expected: 2 };
    assert_eq!(judged(&event, Place { index: 3, ..right }), Err(wrong));
    let wrong = Place { previous: of_trace, ..right };
    assert_eq!(judged(&event, wrong), Err(Damage::WrongPrevious));
    let wrong = Place { trace_previous: Some(Hash::ZERO), ..right };
    assert_eq!(judged(&event, wrong), Err(Damage::WrongTracePrevious));
    let mut line = Vec::new();
    segment.clone().begin_segment(0, "log", &mut line);
    let begins = verify_event(line.trim_ascii_end()).unwrap();
    assert_eq!(segment.clone().accept(&begins), Ok(()));
    let mut other = begins;
    other.event.data[0].1 = Value::from(Hash::ZERO.to_string());
    assert_eq!(segment.clone().accept(&other), Err(Damage::WrongTree));
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let endless = std::io::BufReader::new(std::io::repeat(b'a'));
    let found = detect_tampering(endless, &[]).unwrap().tampering.unwrap();
    assert_eq!(found, Tampering { index: 0, what: Damage::NotARecord });
}
