//! One criterion group with a table under it: what ours costs, what the peers cost, and the goal.
//!
//! Criterion measures, and the table is of the same run. It is made of pieces of some fifty
//! microseconds: on a machine that does other things too, most of them are not interrupted, while
//! each of criterion's samples is. The clock is measured first: goals are meant beyond or with it.

#![allow(clippy::panic, clippy::print_stdout, reason = "figures are what a bench is for")]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use ironlight_benches::recorded::{Unit, replace};
use ironlight_benches::settings::CALLS;
use ironlight_hardening::{Clock, MonotonicClock};
use tower::Service;

/// What is shorter is mostly the clock, and not kept; pieces grow until they are so long.
const SHORTEST: Duration = Duration::from_micros(20);

/// A group of criterion's and what it measured.
pub(crate) struct Figures<'a> {
    name: &'static str,
    group: BenchmarkGroup<'a, WallTime>,
    lines: Vec<Line>,
}

enum Line {
    Section(&'static str),
    Row(Row),
}

struct Row {
    name: &'static str,
    goal: Option<f64>,
    /// Nanoseconds an operation, of each piece.
    pieces: Vec<f64>,
}

/// Cuts what is timed into pieces.
struct Pieces {
    kept: Vec<f64>,
    operations: u64,
}

impl Pieces {
    const fn new() -> Self {
        Self { kept: Vec::new(), operations: 16 }
    }

    /// Does it so often and says how long that took.
    fn time<T>(&mut self, times: u64, mut operation: impl FnMut(u64) -> T) -> Duration {
        let (mut took, mut done) = (Duration::ZERO, 0);
        while done < times {
            let end = times.min(done.saturating_add(self.operations));
            let start = Instant::now();
            for number in done..end {
                black_box(operation(black_box(number)));
            }
            let piece = start.elapsed();
            self.keep(piece, end - done);
            (took, done) = (took + piece, end);
        }
        took
    }

    #[allow(clippy::cast_precision_loss, reason = "to be read, and far below 53 bits")]
    fn keep(&mut self, took: Duration, operations: u64) {
        if took >= SHORTEST {
            self.kept.push(took.as_nanos() as f64 / operations as f64);
        } else if operations == self.operations {
            self.operations *= 2;
        }
    }
}

impl<'a> Figures<'a> {
    /// Begins with the clock.
    pub(crate) fn new(criterion: &'a mut Criterion, name: &'static str) -> Self {
        let mut figures = Self { name, group: criterion.benchmark_group(name), lines: Vec::new() };
        let clock = MonotonicClock::new();
        figures.section("the clock").time("MonotonicClock::now", |_| clock.now());
        figures
    }

    /// What follows is compared with the first that follows.
    pub(crate) fn section(&mut self, title: &'static str) -> &mut Self {
        self.lines.push(Line::Section(title));
        self
    }

    /// Times an operation, which is given its number.
    pub(crate) fn time<T>(&mut self, name: &'static str, mut operation: impl FnMut(u64) -> T) {
        let (mut pieces, mut number) = (Pieces::new(), 0);
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                pieces.time(times, |_| {
                    number += 1;
                    operation(black_box(number))
                })
            });
        });
        self.keep(name, pieces.kept);
    }

    fn keep(&mut self, name: &'static str, pieces: Vec<f64>) {
        self.lines.push(Line::Row(Row { name, goal: None, pieces }));
    }

    /// Times an operation in bursts of so many; what is done after each is not counted.
    pub(crate) fn bursts<T>(
        &mut self,
        name: &'static str,
        burst: u64,
        mut operation: impl FnMut(u64) -> T,
        mut after: impl FnMut(),
    ) {
        let mut kept = Vec::new();
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let (mut took, mut done) = (Duration::ZERO, 0);
                while done < times {
                    let operations = burst.min(times - done);
                    let mut pieces = Pieces { operations, ..Pieces::new() };
                    took += pieces.time(operations, &mut operation);
                    kept.extend(pieces.kept);
                    done += operations;
                    after();
                }
                took
            });
        });
        self.keep(name, kept);
    }

    /// Times an operation that two threads do at once: the mean of what one costs each of them.
    pub(crate) fn contended<T>(&mut self, name: &'static str, operation: impl Fn(u64) -> T + Sync) {
        self.contended_with(name, || &operation);
    }

    /// The same where each thread needs something of its own.
    pub(crate) fn contended_with<T, O: FnMut(u64) -> T>(
        &mut self,
        name: &'static str,
        make: impl Fn() -> O + Sync,
    ) {
        let mut kept = Vec::new();
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| on_two_threads(times, &make, &mut kept));
        });
        self.keep(name, kept);
    }

    /// What the operation that was timed last may cost at most.
    pub(crate) fn goal(&mut self, nanos: f64) {
        if let Some(Line::Row(row)) = self.lines.last_mut() {
            row.goal = Some(nanos);
        }
    }

    /// Prints the table; nothing where a filter, or `--test`, had nothing measured.
    pub(crate) fn finish(self) {
        self.group.finish();
        let measured = |line: &Line| matches!(line, Line::Row(row) if !row.pieces.is_empty());
        if !self.lines.iter().any(measured) {
            return;
        }
        println!("\n{:<52} {:>9} {:>9} {:>7}  goal", self.name, "median ns", "best ns", "ours x");
        let mut ours = None;
        for line in self.lines {
            match line {
                Line::Section(title) => {
                    println!("  {title}");
                    ours = None;
                }
                Line::Row(row) => {
                    let name = row.name;
                    let Some((median, text)) = row.figures(ours) else { continue };
                    // Few of criterion's samples are not interrupted where other programs run.
                    replace(self.name, name, median, Unit::Nanoseconds);
                    ours.get_or_insert(median);
                    println!("{text}");
                }
            }
        }
        println!();
    }
}

impl Row {
    /// The median, and the line with it.
    fn figures(mut self, ours: Option<f64>) -> Option<(f64, String)> {
        self.pieces.sort_by(f64::total_cmp);
        let median = *self.pieces.get(self.pieces.len() / 2)?;
        let best = *self.pieces.first()?;
        let ratio = ours.map_or(String::new(), |ours| format!("{:.1}", median / ours));
        let goal = match self.goal {
            None => String::new(),
            Some(goal) if median <= goal => format!("{goal:.0}: met"),
            Some(goal) => format!("{goal:.0}: missed"),
        };
        let name = self.name;
        Some((median, format!("    {name:<48} {median:>9.1} {best:>9.1} {ratio:>7}  {goal}")))
    }
}

/// The mean of the times that the threads took. Each goes over numbers of its own.
fn on_two_threads<T, O: FnMut(u64) -> T>(
    times: u64,
    make: &(impl Fn() -> O + Sync),
    kept: &mut Vec<f64>,
) -> Duration {
    let start_line = Barrier::new(2);
    let run = |thread: u64| {
        let (mut operation, mut pieces) = (make(), Pieces::new());
        start_line.wait();
        let took = pieces.time(times, |number| operation(thread << 32 | number));
        (took, pieces.kept)
    };
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(1));
        [run(0), other.join().unwrap_or_default()]
    });
    both.into_iter().fold(Duration::ZERO, |sum, (took, pieces)| {
        kept.extend(pieces);
        sum + took / 2
    })
}

/// The same numbers each time, in no order that a cache or a table could make use of.
pub(crate) const fn scattered(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What a future gives at its first poll.
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// One request of a service that is ready and answers at once.
pub(crate) fn ask<S: Service<R>, R>(
    service: &mut S,
    request: R,
) -> Option<Result<S::Response, S::Error>> {
    let mut context = Context::from_waker(Waker::noop());
    match service.poll_ready(&mut context) {
        Poll::Pending => None,
        Poll::Ready(Err(error)) => Some(Err(error)),
        Poll::Ready(Ok(())) => at_once(service.call(request)),
    }
}

/// A runtime whose timers can be made, for layers that need one.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("{error}"),
    }
}

/// What benches of this kind measure are calls.
pub(crate) fn config() -> Criterion {
    CALLS.criterion()
}
