//! The log with its threads: nothing is lost silently, and nothing waits for a sink.

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::retry::BackoffConfig;

const LONG: Duration = Duration::from_secs(60);

fn config() -> AuditConfig {
    AuditConfig { shutdown_timeout: LONG, ..AuditConfig::default() }
}

fn start(config: AuditConfig) -> (AuditLog, MemorySink) {
    let sink = MemorySink::default();
    (AuditLog::start(config, vec![Box::new(sink.clone())]).unwrap(), sink)
}

fn event(i: u64) -> Event {
    Event::new(EventKind::TipChange).with("i", i)
}

fn records(sink: &MemorySink) -> Vec<Record> {
    let lines = sink.lines();
    verify_chain(lines.as_bytes(), &[]).unwrap();
    lines.lines().map(|line| verify_event(line.as_bytes()).unwrap()).collect()
}

fn number(event: &Event, key: &str) -> u64 {
    match event.value(key) {
        Some(Value::Number(number)) => u64::try_from(*number).unwrap(),
        other => panic!("{key}: {other:?}"),
    }
}

/// A sink that waits for a permit before each write, and says that it waits; an error instead of a
/// permit is its answer.
struct Gate {
    inner: MemorySink,
    waits: Sender<()>,
    permits: Receiver<Result<(), SinkError>>,
}

impl Gate {
    #[allow(clippy::type_complexity, reason = "a test's three ends")]
    fn new(inner: &MemorySink) -> (Self, Receiver<()>, Sender<Result<(), SinkError>>) {
        let (waits, waiting) = channel();
        let (permit, permits) = channel();
        (Self { inner: inner.clone(), waits, permits }, waiting, permit)
    }
}

impl Sink for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn open(&mut self) -> Result<Chain, SinkError> {
        self.inner.open()
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        // When the test has let go of its ends, everything passes.
        let _nobody = self.waits.send(());
        self.permits.recv().unwrap_or(Ok(()))?;
        self.inner.write(lines)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

#[test]
fn five_threads_with_fifty_events_each_lose_nothing() {
    let (log, sink) = start(config());
    thread::scope(|scope| {
        for thread in 0..5_u64 {
            let log = log.clone();
            scope.spawn(move || {
                for i in 0..50 {
                    log.emit(event(i).with("thread", thread)).unwrap();
                }
            });
        }
    });
    assert!(log.shutdown());
    let records = records(&sink);
    for thread in 0..5 {
        let of_thread = records.iter().skip(1).filter(|r| number(&r.event, "thread") == thread);
        let order: Vec<u64> = of_thread.map(|record| number(&record.event, "i")).collect();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
    let status = log.status();
    assert_eq!((status.written, status.lost, status.size), (250, 0, 251));
    assert_eq!(log.emit(event(0)), Err(NotTaken::Closed));
    assert_eq!(log.status().late, 1);
}

#[test]
fn what_is_too_much_is_counted_in_gaps_at_its_place_and_bans_have_places_of_their_own() {
    let memory = MemorySink::default();
    let (gate, waiting, permit) = Gate::new(&memory);
    let queue = QueueConfig { capacity: 100, reserved: 20, bytes: 1 << 20 };
    let log = AuditLog::start(AuditConfig { queue, ..config() }, vec![Box::new(gate)]).unwrap();
    log.emit(event(0)).unwrap();
    waiting.recv().unwrap();
    // The writer waits with that one; the queue takes 80 of these, and of the bans the rest.
    let taken = (1..=5_000).filter(|i| log.emit(event(*i)).is_ok()).count();
    let bans = (0..50).filter(|_| log.emit(Event::new(EventKind::Ban)).is_ok()).count();
    assert_eq!((taken, bans), (80, 20));
    drop((permit, waiting));
    assert!(log.shutdown());
    let records = records(&memory);
    let gaps: Vec<&Record> =
        records.iter().filter(|r| *r.event.kind() == EventKind::Log(LogKind::Gap)).collect();
    let lost: Vec<_> = gaps
        .iter()
        .map(|gap| (number(&gap.event, "lost"), number(&gap.event, "reserved")))
        .collect();
    assert_eq!(lost, [(4_920, 0), (30, 30)]);
    assert_eq!(gaps[0].index, 1 + 1 + 80, "after those that were taken");
    assert_eq!(log.status().lost, 4_950);
}

#[test]
fn of_ten_threads_each_event_is_written_in_order_or_counted_in_a_gap() {
    let memory = MemorySink::default();
    let (gate, waiting, permit) = Gate::new(&memory);
    let queue = QueueConfig { capacity: 1_000, reserved: 100, bytes: 8 << 20 };
    let log = AuditLog::start(AuditConfig { queue, ..config() }, vec![Box::new(gate)]).unwrap();
    log.emit(event(0)).unwrap();
    waiting.recv().unwrap();
    let kinds = [EventKind::Ban, EventKind::Repair, EventKind::AuthFailure];
    thread::scope(|scope| {
        for thread in 0..10_u64 {
            let (log, kinds) = (log.clone(), kinds.clone());
            scope.spawn(move || {
                for i in 0..500_u64 {
                    let kind = kinds.iter().cycle().nth(usize::try_from(i).unwrap()).unwrap();
                    let kind = if i % 10 == 9 { kind.clone() } else { EventKind::TipChange };
                    let event = Event::new(kind).with("i", i).with("thread", thread);
                    let _counted = log.emit(event);
                }
            });
        }
    });
    drop((permit, waiting));
    assert!(log.shutdown());
    let records = records(&memory);
    let is_gap = |record: &&Record| *record.event.kind() == EventKind::Log(LogKind::Gap);
    let lost: u64 = records.iter().filter(is_gap).map(|gap| number(&gap.event, "lost")).sum();
    let reserved: u64 =
        records.iter().filter(is_gap).map(|gap| number(&gap.event, "reserved")).sum();
    let written: Vec<&Record> =
        records.iter().filter(|record| record.event.value("thread").is_some()).collect();
    assert_eq!((written.len() as u64, lost), (1_000, 4_000));
    assert_eq!(log.status().lost, lost);
    for thread in 0..10 {
        let of_thread = written.iter().filter(|record| number(&record.event, "thread") == thread);
        let order: Vec<u64> = of_thread.map(|record| number(&record.event, "i")).collect();
        assert!(order.is_sorted(), "{order:?}");
    }
    let important = written.iter().filter(|record| record.event.kind().is_reserved()).count();
    assert!(important >= 100, "their places are nobody else's: {important}");
    assert_eq!(important as u64 + reserved, 500);
}

#[test]
fn a_flush_waits_until_all_before_it_is_written() {
    let (log, sink) = start(config());
    for i in 0..10 {
        log.emit(event(i)).unwrap();
        assert!(log.flush(LONG));
        assert_eq!(records(&sink).len() as u64, i + 2);
    }
    let memory = MemorySink::default();
    let (gate, _waiting, permit) = Gate::new(&memory);
    let log = AuditLog::start(config(), vec![Box::new(gate)]).unwrap();
    log.emit(event(0)).unwrap();
    assert!(!log.flush(Duration::ZERO), "not in time");
    drop(permit);
    assert!(log.flush(LONG));
}

#[test]
fn the_policy_judges_before_anything_is_written() {
    let rules = Rules::default()
        .redact("pass-word")
        .require(EventKind::Unban, "reason")
        .refuse(EventKind::other("debug"), "not for the record");
    let policy: Arc<dyn Policy> = Arc::new(move |event: &mut Event| {
        assert!(*event.kind() != EventKind::Reorg, "a policy that panics");
        rules.judge(event)
    });
    let (log, sink) = start(AuditConfig { policy: Some(policy), ..config() });
    log.emit(Event::new(EventKind::Start).with("pass-word", "secret-1")).unwrap();
    log.emit(Event::new(EventKind::Unban).with("who", "secret-2")).unwrap();
    log.emit(Event::new(EventKind::other("debug")).with("who", "secret-3")).unwrap();
    log.emit(Event::new(EventKind::Reorg).with("who", "secret-4")).unwrap();
    assert!(log.shutdown());
    assert!(!sink.lines().contains("secret"));
    let records = records(&sink);
    let refused: Vec<_> = records[2..]
        .iter()
        .map(|record| {
            assert_eq!(*record.event.kind(), EventKind::Log(LogKind::Refused));
            record.event.value("reason").cloned().unwrap()
        })
        .collect();
    let reasons = ["lacks a value", "not for the record", "the policy panicked"];
    assert_eq!(refused, reasons.map(Value::from));
    assert_eq!(log.status().refused, 3);
}

#[test]
fn observers_that_fail_or_panic_disturb_nobody_and_are_written_down() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let config = config()
        .with_observer("failing", |_| Err("no room".to_owned()))
        .with_observer("panicking", |_| panic!("an observer that panics"))
        .with_observer("good", move |written| {
            sees.lock().unwrap().push(written.clone());
            Ok(())
        });
    let (log, sink) = start(config);
    for i in 0..5 {
        log.emit(event(i)).unwrap();
        assert!(log.flush(LONG));
    }
    // Until the observers' thread has come to the last one; it writes failures down before that.
    while log.status().observer_failures < 10 {
        thread::yield_now();
    }
    assert!(log.shutdown());
    assert_eq!(log.status().observer_failures, 10);
    let records = records(&sink);
    let failures = |name: &str| -> Vec<u64> {
        let of = |r: &&Record| {
            *r.event.kind() == EventKind::Log(LogKind::Observer) && r.event.actor() == name
        };
        records.iter().filter(of).map(|r| number(&r.event, "failures")).collect()
    };
    assert_eq!(failures("failing"), [1, 2, 4]);
    assert_eq!(failures("panicking"), [1, 2, 4]);
    let seen = seen.lock().unwrap();
    let good: Vec<&Written> =
        seen.iter().filter(|w| *w.event.kind() == EventKind::TipChange).collect();
    assert_eq!(good.len(), 5);
    for written in good {
        let record = &records[usize::try_from(written.index).unwrap()];
        assert_eq!((record.hash, &record.event), (written.hash, &written.event));
    }
}

#[test]
fn a_sink_that_fails_is_tried_again_and_then_given_up() {
    let backoff = BackoffConfig { base: Duration::from_micros(1), cap: Duration::from_micros(9) };
    let config = AuditConfig { backoff, attempts: 3, ..config() };
    let (first, second) = (MemorySink::default(), MemorySink::default());
    let (gate, waiting, permit) = Gate::new(&first);
    let log = AuditLog::start(config, vec![Box::new(gate), Box::new(second.clone())]).unwrap();
    let busy = || Err(SinkError::Refused { status: 503 });
    // Twice busy, then taken.
    for answer in [busy(), busy(), Ok(())] {
        permit.send(answer).unwrap();
    }
    log.emit(event(1)).unwrap();
    assert!(log.flush(LONG));
    assert_eq!((records(&first).len(), log.status().handed_over), (2, 0));
    // Refused for good: at once to the next, and nothing is lost.
    permit.send(Err(SinkError::Refused { status: 403 })).unwrap();
    log.emit(event(2)).unwrap();
    assert!(log.flush(LONG));
    assert_eq!(waiting.try_iter().count(), 4);
    assert!(log.shutdown());
    assert_eq!((records(&first).len(), log.status().handed_over, log.status().lost), (2, 1, 0));
    let records = records(&second);
    assert_eq!(number(&records[1].event, "other_size"), 2);
    assert_eq!(records[1].event.value("reason"), Some(&"gate: refused with status 403".into()));
    assert_eq!(number(&records[2].event, "i"), 2);
}

#[test]
fn sinks_that_give_up_in_turn_leave_one_note_in_the_one_that_takes() {
    let backoff = BackoffConfig { base: Duration::from_micros(1), cap: Duration::from_micros(9) };
    let (first, second) = (MemorySink::default(), MemorySink::default());
    let (one, _one_waits, permit_one) = Gate::new(&first);
    let (two, _two_waits, permit_two) = Gate::new(&second);
    let refused = || Err(SinkError::Refused { status: 403 });
    for answer in [refused(), refused(), Ok(())] {
        permit_one.send(answer).unwrap();
    }
    permit_two.send(refused()).unwrap();
    permit_two.send(refused()).unwrap();
    let config = AuditConfig { backoff, ..config() };
    let log = AuditLog::start(config, vec![Box::new(one), Box::new(two)]).unwrap();
    log.emit(event(7)).unwrap();
    assert!(log.flush(LONG));
    drop(permit_one);
    assert!(log.shutdown());
    assert_eq!((log.status().handed_over, second.lines().len()), (4, 0));
    let kinds: Vec<_> = records(&first).into_iter().map(|r| r.event.kind().clone()).collect();
    let own = EventKind::Log;
    assert_eq!(kinds, [own(LogKind::Segment), own(LogKind::Fallback), EventKind::TipChange]);
}

#[test]
fn with_no_sink_left_what_is_lost_at_the_end_is_counted() {
    let backoff = BackoffConfig { base: Duration::from_micros(1), cap: Duration::from_micros(9) };
    let config = AuditConfig { backoff, attempts: 2, ..config() };
    let memory = MemorySink::default();
    let (gate, waiting, permit) = Gate::new(&memory);
    let log = AuditLog::start(config, vec![Box::new(gate)]).unwrap();
    for i in 0..7 {
        log.emit(event(i)).unwrap();
    }
    let answers = thread::spawn(move || {
        // A sink that never takes anything; it ends with the log.
        while waiting.recv().is_ok() {
            drop(permit.send(Err(SinkError::Refused { status: 500 })));
        }
    });
    assert!(log.shutdown());
    answers.join().unwrap();
    assert_eq!((log.status().written, memory.lines().len()), (0, 0));
    assert!(log.status().lost >= 7, "{:?}", log.status());
}

#[test]
fn checkpoints_are_signed_kept_and_exported_also_when_nothing_happens() {
    let dir = tempfile::tempdir().unwrap();
    let key = CheckpointKey::new([3; 32], "test/log").evolving();
    let public = key.public();
    let (exports, exported) = channel();
    let seeds = Arc::new(Mutex::new(Vec::new()));
    let saved = Arc::clone(&seeds);
    let exports = Mutex::new(exports);
    let checkpoints = CheckpointConfig {
        every: Duration::from_millis(1),
        export: vec![Box::new(move |note| {
            drop(exports.lock().unwrap().send(note.to_owned()));
        })],
        save_seed: Some(Box::new(move |seed| saved.lock().unwrap().push(*seed))),
        ..CheckpointConfig::new(key)
    };
    let config = AuditConfig { checkpoints: Some(checkpoints), ..config() };
    let sink = FileSink::new(FileConfig::new(dir.path()));
    let log = AuditLog::start(config, vec![Box::new(sink)]).unwrap();
    log.emit(event(1)).unwrap();
    let mut notes: Vec<String> = (0..4).map(|_| exported.recv().unwrap()).collect();
    assert!(log.shutdown());
    notes.extend(exported.try_iter());
    assert_eq!(read_notes(dir.path()).unwrap(), notes);
    let made = verify_checkpoints(notes.iter().map(String::as_str), "test/log", public).unwrap();
    assert_eq!(verify_dir(dir.path(), &made).unwrap().tampering, None);
    assert_eq!(made.last().unwrap().size, 2);
    // Every saved seed is the one of the key that the checkpoint before it names.
    let seeds = seeds.lock().unwrap();
    assert_eq!(seeds.len(), made.len());
    for (seed, made) in seeds.iter().zip(&made) {
        assert_eq!(Some(CheckpointKey::new(*seed, "test/log").public()), made.next);
    }
    // With one kept elsewhere the loss of the last record shows.
    let path = dir.path().join(format!("audit-{:020}.jsonl", 0));
    let lines = std::fs::read_to_string(&path).unwrap();
    let cut: String = lines.split_inclusive('\n').take(1).collect();
    std::fs::write(&path, cut).unwrap();
    let found = verify_dir(dir.path(), &made).unwrap().tampering;
    assert_eq!(found, Some(Tampering { index: 1, what: Damage::Cut { size: 2 } }));
}

#[test]
fn a_log_is_started_again_while_others_emit_and_what_was_missed_is_said() {
    static SLOT: AuditSlot = AuditSlot::new();
    let dir = tempfile::tempdir().unwrap();
    let emitted = AtomicU64::new(0);
    let install = || {
        let sink = FileSink::new(FileConfig::new(dir.path()));
        SLOT.install(config(), vec![Box::new(sink)]).unwrap()
    };
    assert_eq!(SLOT.emit(event(0)), Err(NotTaken::Closed));
    install();
    thread::scope(|scope| {
        let emitting = scope.spawn(|| {
            for i in 0..20_000 {
                emitted.fetch_add(u64::from(SLOT.emit(event(i)).is_ok()), Ordering::Relaxed);
            }
        });
        while !emitting.is_finished() {
            install();
        }
    });
    let last = install();
    SLOT.remove();
    SLOT.remove();
    assert_eq!(last.emit(event(0)), Err(NotTaken::Closed));
    let mut text = String::new();
    for name in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if name.extension().is_some_and(|ending| ending == "jsonl") {
            text += &std::fs::read_to_string(name).unwrap();
        }
    }
    assert_eq!(verify_dir(dir.path(), &[]).unwrap().tampering, None);
    let written = text.matches("\"kind\":\"tip_change\"").count() as u64;
    assert_eq!(written, emitted.load(Ordering::Relaxed));
    let records = text.lines().map(|line| verify_event(line.as_bytes()).unwrap().event);
    let gaps = records.filter(|event| *event.kind() == EventKind::Log(LogKind::Gap));
    let lost: u64 = gaps.map(|gap| number(&gap, "lost")).sum();
    // Lost between two logs or offered to one that was just being closed.
    assert!(lost >= 1 && written + lost <= 20_001, "{written} {lost}");
}

#[test]
fn a_sink_that_panics_ends_the_log_and_what_waits_is_counted() {
    struct Panics;
    impl Sink for Panics {
        fn name(&self) -> &'static str {
            "panics"
        }
        fn open(&mut self) -> Result<Chain, SinkError> {
            Ok(Chain::new())
        }
        fn write(&mut self, _lines: &[u8]) -> Result<(), SinkError> {
            panic!("a sink that panics")
        }
        fn flush(&mut self) -> Result<(), SinkError> {
            Ok(())
        }
    }
    let log = AuditLog::start(config(), vec![Box::new(Panics)]).unwrap();
    let mut emitted = 0;
    while log.emit(event(1)) != Err(NotTaken::Closed) {
        emitted += 1;
    }
    assert!(!log.flush(LONG));
    assert!(log.shutdown());
    let status = log.status();
    assert_eq!((status.written, status.lost, status.late), (0, emitted, 1));
}
