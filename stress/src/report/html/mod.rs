//! A run as one page that needs nothing but itself: no script, no font, nothing from elsewhere.
//!
//! Invariant: whatever text stands in a report is escaped, and every tag that is opened is closed,
//! since all are made by [`markup::element`].

mod chart;
mod date;
mod markup;
mod section;

use self::markup::{cells, element, escaped, table};
use super::text::{bytes, percent, quantity, time};
use super::{Report, ScenarioResult};

const STYLE: &str = include_str!("style.css");

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let title = "Ironlight under load";
    let head = element("title", "", title) + &element("style", "", STYLE);
    let mut body = element("h1", "", title) + &introduction(report) + &verdict(report);
    body.push_str(&overview(report));
    body.extend(report.results.iter().map(section::section));
    body.push_str(&element("footer", "", READING));
    let inner = element("head", "", &format!("{METAS}{head}")) + &element("body", "", &body);
    format!("<!doctype html>\n{}\n", element("html", r#" lang="en""#, &inner))
}

const METAS: &str = concat!(
    r#"<meta charset="utf-8"/>"#,
    r#"<meta name="viewport" content="width=device-width, initial-scale=1"/>"#,
    r#"<meta name="color-scheme" content="light dark"/>"#,
);

const READING: &str = "<p>How to read it: an operation is what is counted, a sample is what is timed; \
    both differ from scenario to scenario and are named there. Preparation is not timed. p99 of \
    2 ms means that 99 of 100 samples took 2 ms or less. Each scenario is done in several equal \
    rounds: figures are of all rounds, charts over time show the last one. Peak memory is what the \
    program had asked its allocator for, above what it had when the round began.</p>";

fn introduction(report: &Report) -> String {
    let machine = &report.machine;
    let memory = machine.memory_bytes.map(|size| format!(", {} of memory", bytes(Some(size))));
    let processor = machine.processor.as_deref().unwrap_or("unknown processor");
    let mut lines = vec![
        format!("{} UTC, version {}", date::shown(report.began), escaped(&report.program)),
        format!("commit {}", escaped(report.commit.as_deref().unwrap_or("not known"))),
        format!(
            "{}, {}, {} core(s){}, hashing by {}",
            escaped(&machine.system),
            escaped(processor),
            machine.cores,
            memory.unwrap_or_default(),
            escaped(&machine.hashing)
        ),
    ];
    if let Some(load) = machine.load {
        let word =
            if machine.is_busy() { ": a loaded machine, whose figures say less" } else { "" };
        lines.push(format!("{load:.2} processes wanted to run when it began{word}"));
    }
    element("p", r#" class="about""#, &lines.join("<br/>"))
}

fn verdict(report: &Report) -> String {
    let all: usize = report.results.iter().map(|result| result.bounds.len()).sum();
    let item = |(scenario, bound): (&str, &super::Bound)| {
        element("li", "", &(link(scenario) + &escaped(&format!(": {bound}"))))
    };
    let broken: Vec<String> = report.broken().map(item).collect();
    if broken.is_empty() {
        return element("p", r#" class="verdict good""#, &format!("All {all} bounds hold."));
    }
    let text = format!("{} of {all} bounds are broken:", broken.len());
    element("p", r#" class="verdict bad""#, &text) + &element("ul", "", &broken.concat())
}

fn overview(report: &Report) -> String {
    let head = [
        "scenario",
        "bounds",
        "operations a second",
        "p50",
        "p99",
        "under 1 ms",
        "under 5 ms",
        "peak memory",
        "succeeded",
    ];
    let rows: String = report.results.iter().map(row).collect();
    table("wide", &head, rows)
}

/// To a scenario's section.
fn link(scenario: &str) -> String {
    let name = escaped(scenario);
    element("a", &format!(r##" href="#{name}""##), &name)
}

fn row(result: &ScenarioResult) -> String {
    let broken = result.broken().count();
    let bounds = if broken == 0 { "hold".to_owned() } else { format!("{broken} broken") };
    let class = if broken == 0 { "good" } else { "bad" };
    cells(
        "td",
        &[
            link(&result.name),
            element("span", &format!(r#" class="{class}""#), &bounds),
            quantity(result.operations_per_second),
            time(result.latency.p50_ns),
            time(result.latency.p99_ns),
            percent(result.latency.under_1ms),
            percent(result.latency.under_5ms),
            bytes(result.peak_bytes),
            percent(result.success_rate),
        ],
    )
}
