//! Lines for a terminal.

use super::bound::Bound;
use super::compare::{Comparison, Verdict};
use super::result::ScenarioResult;

/// A time in nanoseconds, in the unit that suits it.
#[must_use]
pub fn time(nanos: u64) -> String {
    let nanos = nanos as f64;
    match nanos {
        ..1e3 => format!("{nanos} ns"),
        ..1e6 => format!("{:.1} us", nanos / 1e3),
        ..1e9 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

/// A number with a thousand's letter, in four digits or so.
#[must_use]
pub fn quantity(number: f64) -> String {
    match number.abs() {
        ..1e1 if number.fract() != 0.0 => format!("{number:.2}"),
        ..1e4 => format!("{number:.0}"),
        ..1e6 => format!("{:.1} k", number / 1e3),
        ..1e9 => format!("{:.2} M", number / 1e6),
        _ => format!("{:.2} G", number / 1e9),
    }
}

/// Bytes, or that nobody counts them.
pub(super) fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "not counted".to_owned(), |bytes| quantity(bytes as f64) + "B")
}

/// A share from 0 to 1 in percent, with as many digits as tell it from 100.
pub(super) fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

/// What a scenario found.
#[must_use]
pub fn result_lines(result: &ScenarioResult) -> Vec<String> {
    let latency = &result.latency;
    let mut lines = vec![
        format!("{} (count {}, seed {})", result.name, result.count, result.seed),
        format!(
            "    {} operations ({}) in {}: {} a second; {} succeeded",
            result.operations,
            result.operation,
            time(result.duration_ns),
            quantity(result.operations_per_second),
            percent(result.success_rate)
        ),
        format!(
            "    {}: p50 {}, p90 {}, p99 {}, p99.9 {}, longest {}",
            result.sample,
            time(latency.p50_ns),
            time(latency.p90_ns),
            time(latency.p99_ns),
            time(latency.p999_ns),
            time(latency.max_ns)
        ),
        format!(
            "    under 1 ms {}, under 5 ms {}; peak memory {}",
            percent(latency.under_1ms),
            percent(latency.under_5ms),
            bytes(result.peak_bytes)
        ),
    ];
    let errors = result.errors.iter();
    lines.extend(errors.map(|error| format!("    error {}: {}", error.class, error.count)));
    let figures = result.figures.iter();
    lines.extend(
        figures.map(|figure| {
            format!("    {}: {} {}", figure.name, quantity(figure.value), figure.unit)
        }),
    );
    lines.extend(result.bounds.iter().map(bound_line));
    lines
}

/// What is equal is said once.
fn bound_line(Bound { name, wanted, got, met }: &Bound) -> String {
    match met {
        true if wanted == got => format!("    bound {name}: {wanted}, met"),
        true => format!("    bound {name}: {wanted}, met: {got}"),
        false => format!("    bound {name}: {wanted}, BROKEN: {got}"),
    }
}

/// What moved between two runs.
#[must_use]
pub fn comparison_lines(comparison: &Comparison) -> Vec<String> {
    let mut lines: Vec<String> =
        comparison.notes.iter().map(|note| format!("note: {note}")).collect();
    let mut scenario = "";
    for change in &comparison.changes {
        if scenario != change.scenario {
            scenario = &change.scenario;
            lines.push(scenario.to_owned());
        }
        let verdict = match change.verdict {
            Verdict::WithinNoise => "within the noise",
            Verdict::Better => "BETTER, outside of the noise",
            Verdict::Worse => "WORSE, outside of the noise",
        };
        lines.push(format!(
            "    {:<22} {:>10} -> {:>10}  {:>+7.1} %  noise {:>5.1} %  {verdict}",
            change.metric.name(),
            change.metric.show(change.before),
            change.metric.show(change.after),
            change.percent(),
            change.noise_percent
        ));
    }
    lines
}
