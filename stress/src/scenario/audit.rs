//! More events at once than an audit log has room for.

use core::iter::successors;
use std::collections::HashSet;
use std::sync::Arc;

use ironlight_hardening::audit::{
    AuditConfig, AuditLog, AuditStatus, Event, EventKind, LogKind, MemorySink, NotTaken,
    QueueConfig, Record, Value, verify_chain, verify_event,
};

use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Meter, Work, Worker};
use crate::report::{Bound, Figure, a_second};

const THREADS: u64 = 10;
/// Events that may wait: a fifth of the usual burst.
const ROOM: usize = 1_000;
/// The key under which an event has its number.
const NUMBER: &str = "number";
/// The time that all events have, in milliseconds since 1970.
const AT: u64 = 1_767_225_600_000;
/// What was asked for.
const LEAST_A_SECOND: f64 = 1_000.0;

/// Ten threads emit as fast as they can into a queue that is too small for all of it.
#[derive(Clone, Copy, Debug)]
pub struct Audit;

impl Scenario for Audit {
    fn about(&self) -> About {
        About {
            name: "audit",
            does: "10 threads emit at once into a log whose queue has 1,000 places",
            operation: "an event offered",
            sample: "one call of emit",
            bound: "1,000 events a second; what was accepted stands in the log once, what was \
                    refused is counted in it, and the log proves itself",
            counts: "events",
            usual: 5_000,
            range: (THREADS, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let sink = MemorySink::default();
        let config = AuditConfig {
            queue: QueueConfig { capacity: ROOM, reserved: 0, ..QueueConfig::default() },
            clock: Arc::new(|| AT),
            ..AuditConfig::default()
        };
        let log = AuditLog::start(config, vec![Box::new(sink.clone())])
            .map_err(ScenarioError::preparing("an audit log"))?;
        let share = |thread| {
            let numbers = successors(Some(thread), |number| u64::checked_add(*number, THREADS));
            numbers.take_while(move |number| *number < plan.count)
        };
        let work = (0..THREADS).map(|thread| {
            let log = log.clone();
            Box::new(move |worker: &mut Worker<'_>| emit(&log, share(thread), worker))
                as Work<'_, Vec<u64>>
        });
        let accepted: Vec<u64> = meter.together(work.collect())?.concat();
        let ended = log.shutdown();
        let status = log.status();
        let lines = sink.lines();
        let tally = meter.tally();
        let rate = a_second(tally.operations, meter.measured());
        let mut bounds = vec![
            Bound::at_least("events a second", &LEAST_A_SECOND, &rate.round(), ""),
            Bound::equal("ended in time", &true, &ended),
            Bound::equal("proves itself", &true, &verify_chain(lines.as_bytes(), &[]).is_ok()),
        ];
        bounds.extend(account_for(plan.count, accepted, &status, &lines));
        let figures = vec![
            Figure::new("refused", status.lost as f64, "events"),
            Figure::new("written", status.written as f64, "records, those of gaps among them"),
        ];
        Ok(Findings { bounds, figures, ..Findings::default() })
    }
}

/// The numbers that were accepted.
fn emit(
    log: &AuditLog,
    numbers: impl Iterator<Item = u64>,
    worker: &mut Worker<'_>,
) -> Result<Vec<u64>, ScenarioError> {
    let mut accepted = Vec::new();
    for number in numbers {
        let event = Event::new(EventKind::InvalidData)
            .by("peer policy")
            .on("192.0.2.7:8333")
            .with(NUMBER, number);
        let taken = worker.time(1, || log.emit(event).map_err(class));
        if taken.is_ok() {
            accepted.push(number);
        }
        worker.check_time()?;
    }
    Ok(accepted)
}

const fn class(refused: NotTaken) -> &'static str {
    match refused {
        NotTaken::Full => "queue_full",
        NotTaken::Closed => "log_closed",
        _ => "not_taken",
    }
}

/// Whether the log has what it should, no more and no less.
fn account_for(offered: u64, accepted: Vec<u64>, status: &AuditStatus, lines: &str) -> [Bound; 4] {
    let (mut written, mut told) = (Vec::new(), 0);
    for record in lines.lines().filter_map(|line| verify_event(line.as_bytes()).ok()) {
        written.extend(number(&record, NUMBER));
        if *record.event.kind() == EventKind::Log(LogKind::Gap) {
            told += number(&record, "lost").unwrap_or(0);
        }
    }
    let accepted: HashSet<u64> = accepted.into_iter().collect();
    let once: HashSet<u64> = written.iter().copied().collect();
    let missing = accepted.difference(&once).count();
    let (refused, too_many) = (offered - accepted.len() as u64, written.len() - once.len());
    let unasked = once.difference(&accepted).count();
    [
        Bound::equal("accepted and missing", &0, &missing),
        Bound::equal("written twice or though refused", &0, &(too_many + unasked)),
        Bound::equal("refused, as counted", &refused, &status.lost),
        Bound::equal("refused, as the log tells", &refused, &told),
    ]
}

fn number(record: &Record, key: &str) -> Option<u64> {
    match record.event.value(key)? {
        Value::Number(number) => u64::try_from(*number).ok(),
        Value::Text(_) | Value::Flag(_) => None,
    }
}
