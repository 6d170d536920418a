//! `ironlight audit show`: the records, for people or as they stand.

use std::collections::VecDeque;

use clap::Args;
use ironlight_hardening::audit::{self, Record, TraceId, Value};

use super::{LogArgs, unreadable};
use crate::cli::Failure;

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    #[command(flatten)]
    log: LogArgs,
    /// Print the records as they stand in the log: one JSON object a line.
    #[arg(long)]
    json: bool,
    /// Only those of one trace: 32 hexadecimal digits.
    #[arg(long, value_name = "ID", value_parser = parse_trace)]
    trace: Option<TraceId>,
    /// Only the last so many.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
}

fn parse_trace(text: &str) -> Result<TraceId, String> {
    let trace = TraceId::from_hex(text.to_ascii_lowercase().as_bytes());
    trace.ok_or_else(|| "expected 32 hexadecimal digits".to_owned())
}

pub(super) fn run(args: &ShowArgs) -> Result<(), Failure> {
    let place = args.log.place()?;
    let mut waiting = VecDeque::new();
    let report = audit::read_log(&place.path, &[], |record| {
        if args.trace.is_some() && record.event.trace() != args.trace {
            return;
        }
        let line = if args.json { record.line() } else { in_words(record) };
        let Some(last) = args.last else { return say!("{line}") };
        waiting.push_back(line);
        if waiting.len() > last {
            waiting.pop_front();
        }
    });
    waiting.iter().for_each(|line| say!("{line}"));
    match report.map_err(unreadable(&place.path))?.tampering {
        Some(wrong) => Err(format!("{wrong}: what follows is not shown").into()),
        None => Ok(()),
    }
}

/// A record in a line. What strangers or operators have written cannot move a terminal's cursor.
fn in_words(record: &Record) -> String {
    let event = &record.event;
    let (index, at, kind) = (record.index, utc(record.at), event.kind().name());
    let mut line = format!("{index:>6}  {at}  {kind:<14}");
    if !event.subject().is_empty() {
        line.push_str(&format!(" {}", event.subject().escape_debug()));
    }
    if !event.actor().is_empty() {
        line.push_str(&format!(" by {}", event.actor().escape_debug()));
    }
    for (key, value) in event.values() {
        match value {
            Value::Text(text) => line.push_str(&format!(" {key}={text:?}")),
            Value::Number(number) => line.push_str(&format!(" {key}={number}")),
            Value::Flag(flag) => line.push_str(&format!(" {key}={flag}")),
        }
    }
    if let Some(trace) = event.trace() {
        line.push_str(&format!(" trace={trace}"));
    }
    line
}

/// Milliseconds since 1970 as ISO 8601 has them, by the civil calendar: a year that begins in March
/// has its leap day at the end.
pub(super) fn utc(milliseconds: u64) -> String {
    let (seconds, milliseconds) = (milliseconds / 1_000, milliseconds % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // From 1 March of the year 0, in which every 400 years have the same 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

#[cfg(test)]
mod tests {
    use ironlight_hardening::audit::{Chain, Event, EventKind, verify_event};

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_078_012_800, "2004-02-29T00:00:00.000Z"),
            (1_767_225_599, "2025-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(seconds * 1_000), shown);
        }
        assert_eq!(utc(1_767_225_600_123), "2026-01-01T00:00:00.123Z");
        assert!(utc(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn a_record_is_one_line_whatever_stands_in_it() {
        let mut line = Vec::new();
        let event = Event::new(EventKind::Ban)
            .on("192.0.2.1:8333\u{1b}[2J")
            .by("policy\n")
            .with("offence", "In\rvalid".to_owned())
            .with("until", 7_u32)
            .with("saved", true)
            .in_trace(TraceId([1; 16]));
        Chain::new().append(0, &event, &mut line);
        let record = verify_event(line.trim_ascii_end()).unwrap();
        let trace = "01".repeat(16);
        assert_eq!(
            in_words(&record),
            format!(
                "     0  1970-01-01T00:00:00.000Z  ban            192.0.2.1:8333\\u{{1b}}[2J \
                 by policy\\n offence=\"In\\rvalid\" until=7 saved=true trace={trace}"
            )
        );
    }
}
