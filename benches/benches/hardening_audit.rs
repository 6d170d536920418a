//! What it costs to emit an audit event while the sinks run: in bursts beside a plain channel, and
//! each single emit at a steady rate, into a file, and with an HTTP sink that is down.

#![allow(clippy::panic, clippy::print_stdout, reason = "a bench prints, and ends where it fails")]

#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::collections::VecDeque;
use std::fs::File;
use std::hint::{black_box, spin_loop};
use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, config};
use hdrhistogram::Histogram;
use ironlight_benches::recorded::{Unit, forget, record};
use ironlight_benches::settings::asked_for;
use ironlight_hardening::audit::{
    AuditConfig, AuditLog, Event, EventKind, FileConfig, FileSink, HttpPost, HttpSink, Sink,
    verify_dir,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn event(number: u64) -> Event {
    Event::new(EventKind::Ban).by("peer policy").on("192.0.2.7:8333").with("number", number)
}

fn start(sinks: Vec<Box<dyn Sink>>) -> AuditLog {
    match AuditLog::start(AuditConfig::default(), sinks) {
        Ok(log) => log,
        Err(error) => panic!("{error}"),
    }
}

fn file(dir: &Path) -> Box<dyn Sink> {
    Box::new(FileSink::new(FileConfig::new(dir)))
}

/// A port on which nobody listens: it was free a moment ago.
struct Down(SocketAddr);

impl Down {
    fn sink() -> Box<dyn Sink> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        match free {
            Ok(address) => Box::new(HttpSink::new("collector", Self(address))),
            Err(error) => panic!("{error}"),
        }
    }
}

impl HttpPost for Down {
    fn post(&mut self, _lines: &[u8]) -> io::Result<u16> {
        TcpStream::connect_timeout(&self.0, Duration::from_secs(1)).map(|_| 503)
    }
}

/// The same lines through a channel to a thread that writes them: no hash, no gap record, no
/// checkpoint; what a program has without an audit log.
struct Plain {
    sender: Option<SyncSender<(u64, Event)>>,
    writer: Option<JoinHandle<io::Result<u64>>>,
}

impl Plain {
    fn start(path: &Path) -> Self {
        let (sender, receiver) = sync_channel::<(u64, Event)>(8_192);
        let file = File::create(path);
        let writer = std::thread::spawn(move || {
            let (mut file, mut lines) = (BufWriter::new(file?), 0);
            while let Ok((at, event)) = receiver.recv() {
                writeln!(file, "{at} {event:?}")?;
                lines += 1;
            }
            file.flush().map(|()| lines)
        });
        Self { sender: Some(sender), writer: Some(writer) }
    }

    fn emit(&self, event: Event) -> bool {
        let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let at = at.map_or(0, |at| u64::try_from(at.as_millis()).unwrap_or(0));
        self.sender.as_ref().is_some_and(|sender| sender.try_send((at, event)).is_ok())
    }

    /// The lines written.
    fn end(mut self) -> u64 {
        self.sender = None;
        let lines = self.writer.take().map(JoinHandle::join);
        lines.and_then(Result::ok).and_then(Result::ok).unwrap_or(0)
    }
}

/// The folder of one log.
fn folder() -> tempfile::TempDir {
    match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("{error}"),
    }
}

/// Both keep all events, and ours proves it.
fn assert_nothing_is_lost() {
    let (dir, plain_dir) = (folder(), folder());
    let (ours, plain) =
        (start(vec![file(dir.path())]), Plain::start(&plain_dir.path().join("log")));
    for number in 0..5_000 {
        assert!(ours.emit(event(number)).is_ok());
        assert!(plain.emit(event(number)));
    }
    assert!(ours.shutdown());
    let report = verify_dir(dir.path(), &[]);
    let Ok(report) = report else { panic!("the log is not readable") };
    assert_eq!(report.tampering, None);
    assert_eq!(report.size, 5_001, "and the record that begins the segment");
    assert_eq!(plain.end(), 5_000);
}

fn audit(criterion: &mut Criterion) {
    assert_nothing_is_lost();
    let mut figures = Figures::new(criterion, "hardening_audit");
    bursts(&mut figures);
    figures.finish();
    if asked_for("hardening_audit") {
        singles();
    }
}

/// As fast as it goes for a thousand events, then a wait until they are written, which does not
/// count.
fn bursts(figures: &mut Figures<'_>) {
    figures.section("an event made, mean");
    figures.time("Event::new", event);
    figures.section("an event made and emitted, mean of a burst of 1,000");
    let (dir, plain_dir) = (folder(), folder());
    let ours = start(vec![file(dir.path())]);
    figures.bursts(
        "ironlight, into a file",
        1_000,
        |number| ours.emit(event(number)).is_ok(),
        || {
            assert!(ours.flush(PATIENCE));
        },
    );
    assert_eq!(ours.status().lost, 0);
    let plain = Plain::start(&plain_dir.path().join("log"));
    figures.bursts(
        "a channel and a writing thread",
        1_000,
        |number| plain.emit(event(number)),
        || {
            std::thread::sleep(Duration::from_millis(2));
        },
    );
    plain.end();
    figures.section("an event made and not taken, since the queue is full");
    let full = start(vec![Down::sink()]);
    while full.emit(event(0)).is_ok() {}
    figures.time("ironlight, refused and counted", |number| full.emit(event(number)).is_err());
}

/// Single emits at a steady rate.
struct Steady {
    name: &'static str,
    a_second: u64,
    threads: u64,
    emit: Box<dyn Fn(Event) -> bool + Sync>,
}

impl Steady {
    /// Times each emit, without making the event; how many were not taken.
    fn run(&self) -> (Histogram<u64>, u64) {
        let ready = Barrier::new(usize::try_from(self.threads).unwrap_or(1));
        let parts: Vec<_> = std::thread::scope(|scope| {
            let run = || {
                ready.wait();
                self.one_thread()
            };
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(run)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let (mut all, mut lost) = (empty(), 0);
        for (part, not_taken) in parts {
            assert!(all.add(part).is_ok(), "the same bounds");
            lost += not_taken;
        }
        (all, lost)
    }

    fn one_thread(&self) -> (Histogram<u64>, u64) {
        let (mut took, mut lost) = (empty(), 0);
        let every = Duration::from_secs(1) / u32::try_from(self.a_second).unwrap_or(u32::MAX)
            * u32::try_from(self.threads).unwrap_or(1);
        let start = Instant::now();
        for number in 0..self.a_second / self.threads {
            let due = every * u32::try_from(number).unwrap_or(u32::MAX);
            while start.elapsed() < due {
                spin_loop();
            }
            let event = black_box(event(number));
            let before = Instant::now();
            let taken = black_box((self.emit)(event));
            let nanos = before.elapsed().as_nanos();
            took.saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
            lost += u64::from(!taken);
        }
        (took, lost)
    }
}

fn empty() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 10_000_000_000, 3) {
        Ok(histogram) => histogram,
        Err(error) => panic!("{error}"),
    }
}

fn print(steady: &Steady) {
    let (took, lost) = steady.run();
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| took.value_at_quantile(share));
    let Steady { name, a_second, .. } = steady;
    println!("    {name:<44} {a_second:>8} {p50:>7} {p99:>7} {p999:>7} {lost:>6}");
    let name = format!("{name}, {a_second} a second, p99");
    if lost == 0 {
        record("hardening_audit", &name, p99 as f64, Unit::Nanoseconds);
    } else {
        // Being refused is quick, so the times of a queue that was full say nothing.
        forget("hardening_audit", &name);
    }
}

/// Each case for a second. The two readings of the clock around an emit are in all figures. The
/// first lines are what the machine itself does to a thread that makes an event now and then.
fn singles() {
    println!(
        "\n{:<48} {:>8} {:>7} {:>7} {:>7} {:>6}",
        "a single emit, its event made before, nanoseconds",
        "a second",
        "p50",
        "p99",
        "p99.9",
        "lost"
    );
    let steady = |name, a_second, threads, emit: Box<dyn Fn(Event) -> bool + Sync>| {
        print(&Steady { name, a_second, threads, emit });
    };
    for a_second in [1_000, 10_000] {
        steady("the clock alone", a_second, 1, Box::new(|_| true));
        let queue = Mutex::new(VecDeque::with_capacity(16_384));
        let push = move |event| {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.push_back(event);
            true
        };
        steady("a queue that nobody empties", a_second, 1, Box::new(push));
    }
    for a_second in [1_000, 10_000, 50_000] {
        let dir = folder();
        let log = start(vec![file(dir.path())]);
        let held = log.clone();
        steady("ironlight, file", a_second, 1, Box::new(move |event| held.emit(event).is_ok()));
        end(&log, dir.path());
    }
    let dir = folder();
    let log = start(vec![file(dir.path())]);
    let held = log.clone();
    steady(
        "ironlight, file, two threads",
        20_000,
        2,
        Box::new(move |event| held.emit(event).is_ok()),
    );
    end(&log, dir.path());
    for a_second in [1_000, 10_000] {
        let dir = folder();
        let log = start(vec![Down::sink(), file(dir.path())]);
        let held = log.clone();
        let name = "ironlight, HTTP down, then a file";
        steady(name, a_second, 1, Box::new(move |event| held.emit(event).is_ok()));
        end(&log, dir.path());
    }
    let log = start(vec![Down::sink()]);
    let held = log.clone();
    let name = "ironlight, HTTP down and nothing else";
    steady(name, 10_000, 1, Box::new(move |event| held.emit(event).is_ok()));
    for a_second in [1_000, 10_000, 50_000] {
        let dir = folder();
        let plain = Plain::start(&dir.path().join("log"));
        let name = "a channel and a writing thread";
        steady(name, a_second, 1, Box::new(move |event| plain.emit(event)));
    }
}

/// What was emitted is there, or a gap record says how much is not.
fn end(log: &AuditLog, dir: &Path) {
    assert!(log.shutdown());
    let Ok(report) = verify_dir(dir, &[]) else { panic!("the log is not readable") };
    assert_eq!(report.tampering, None);
    assert_eq!(report.size, log.status().size);
}

criterion_group! { name = benches; config = config(); targets = audit }
criterion_main!(benches);
