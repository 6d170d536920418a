//! `ironlight audit show`: the records, for people or as they stand.

use std::collections::VecDeque;

use clap::Args;
use ironlight_hardening::audit::{self, Record, TraceId, Value};

use super::{LogArgs, unreadable};
use crate::cli::Failure;
use crate::cli::date::utc;

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

#[cfg(test)]
mod tests {
    use ironlight_hardening::audit::{Chain, Event, EventKind, verify_event};

    use super::*;

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
