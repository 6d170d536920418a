//! The charts of one scenario.

use super::super::result::{Latency, ScenarioResult, Series, SeriesSlot};
use super::super::text::{bytes, quantity, time};
use super::markup::Svg;

const SIZE: (f64, f64) = (420.0, 190.0);
const LEFT: f64 = 70.0;
const RIGHT: f64 = 408.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 160.0;
/// Where labels under the axis stand.
const UNDER: f64 = 178.0;

/// Operations a second over time; failed ones in another colour at the foot.
pub(super) fn throughput(series: &Series) -> String {
    let mut svg = Svg::default();
    let rate = |operations: u64| a_second(operations, series.width_ns);
    let highest = series.slots.iter().map(|slot| slot.operations).max().map_or(0.0, rate);
    let width = (RIGHT - LEFT) / (series.slots.len().max(1) as f64);
    frame(&mut svg, &quantity(highest), "0");
    for (number, slot) in series.slots.iter().enumerate() {
        let x = LEFT + number as f64 * width;
        let mut bar = |class: &str, operations: u64| {
            let height = part(rate(operations), highest) * (BOTTOM - TOP);
            svg.bar(class, (x, BOTTOM - height), (width + 0.05, height));
        };
        bar("mark", slot.operations);
        bar("fail", slot.failed);
    }
    axis_of_time(&mut svg, length(series));
    svg.finish(SIZE, "operations a second over time")
}

/// Bytes handed out over time, from 0 on.
pub(super) fn memory(series: &Series) -> Option<String> {
    let highest = series.slots.iter().map(|slot| slot.memory).max().filter(|most| *most > 0)?;
    let mut svg = Svg::default();
    frame(&mut svg, &bytes(Some(highest)), "0");
    let width = (RIGHT - LEFT) / (series.slots.len().max(1) as f64);
    let seen = series.slots.iter().enumerate().filter(|(_, slot)| slot.memory > 0);
    let point = |(number, slot): (usize, &SeriesSlot)| {
        let height = part(slot.memory as f64, highest as f64) * (BOTTOM - TOP);
        (LEFT + (number as f64 + 0.5) * width, BOTTOM - height)
    };
    let mut points: Vec<(f64, f64)> = seen.map(point).collect();
    // A point alone is no line.
    if let [(_, y)] = points[..] {
        points = vec![(LEFT, y), (RIGHT, y)];
    }
    svg.path("curve", &points);
    axis_of_time(&mut svg, length(series));
    Some(svg.finish(SIZE, "bytes handed out over time"))
}

/// Percentiles on a scale of powers of ten, with the marks of 1 and 5 ms where they fall into it.
pub(super) fn latency(latency: &Latency) -> String {
    let rows = [
        ("p50", latency.p50_ns),
        ("p90", latency.p90_ns),
        ("p99", latency.p99_ns),
        ("p99.9", latency.p999_ns),
        ("longest", latency.max_ns),
    ];
    let power = |nanos: u64| (nanos.max(1) as f64).log10();
    let from = (power(latency.p50_ns) - 0.3).floor();
    let to = power(latency.max_ns).ceil().max(from + 1.0);
    // Room for the figure behind the longest bar.
    let end = RIGHT - 58.0;
    let x =
        |nanos: u64| LEFT + ((power(nanos) - from) / (to - from)).clamp(0.0, 1.0) * (end - LEFT);
    let mut svg = Svg::default();
    for (mark, name) in [(1_000_000, "1 ms"), (5_000_000, "5 ms")] {
        if (from..=to).contains(&power(mark)) {
            svg.line("limit", (x(mark), TOP), (x(mark), BOTTOM));
            svg.label(if mark < 5_000_000 { "end" } else { "start" }, (x(mark), UNDER), name);
        }
    }
    let step = (BOTTOM - TOP) / rows.len() as f64;
    for (number, (name, nanos)) in rows.into_iter().enumerate() {
        let y = TOP + number as f64 * step;
        svg.label("end", (LEFT - 8.0, y + 19.0), name);
        let width = (x(nanos) - LEFT).max(1.0);
        svg.bar("mark", (LEFT, y + 6.0), (width, step - 12.0));
        svg.label("start", (LEFT + width + 6.0, y + 19.0), &time(nanos));
    }
    svg.finish(SIZE, "percentiles of latency, on a scale of powers of ten")
}

/// The states that something went through, as coloured stretches of time.
pub(super) fn states(result: &ScenarioResult) -> Option<String> {
    let first = result.states.first()?;
    let last = result.states.last().map_or(0, |change| change.at_ns);
    let all = length(&result.series).max(last).max(1);
    let x = |at: u64| LEFT + part(at as f64, all as f64) * (RIGHT - LEFT);
    let ends = result.states.iter().skip(1).map(|change| change.at_ns).chain([all]);
    let mut svg = Svg::default();
    for (change, end) in result.states.iter().zip(ends) {
        let place = row_of(&change.state, &first.state);
        let y = TOP + place * 46.0;
        // A state that was left at once is seen all the same.
        svg.bar(class_of(place), (x(change.at_ns), y), ((x(end) - x(change.at_ns)).max(1.0), 34.0));
    }
    for (number, name) in [first.state.as_str(), "half_open", "open"].into_iter().enumerate() {
        svg.label("end", (LEFT - 8.0, TOP + number as f64 * 46.0 + 21.0), &name.replace('_', "-"));
    }
    axis_of_time(&mut svg, all);
    Some(svg.finish(SIZE, "states over time"))
}

/// The first state lies on top, the worst one at the bottom.
fn row_of(state: &str, first: &str) -> f64 {
    match state {
        state if state == first => 0.0,
        "open" => 2.0,
        _ => 1.0,
    }
}

fn class_of(row: f64) -> &'static str {
    match row {
        ..0.5 => "calm",
        ..1.5 => "doubt",
        _ => "fail",
    }
}

fn frame(svg: &mut Svg, highest: &str, lowest: &str) {
    svg.line("grid", (LEFT, TOP), (RIGHT, TOP));
    svg.line("grid", (LEFT, f64::midpoint(TOP, BOTTOM)), (RIGHT, f64::midpoint(TOP, BOTTOM)));
    svg.label("end", (LEFT - 6.0, TOP + 4.0), highest);
    svg.label("end", (LEFT - 6.0, BOTTOM), lowest);
}

fn axis_of_time(svg: &mut Svg, nanos: u64) {
    svg.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    svg.label("start", (LEFT, UNDER), "0");
    svg.label("middle", (f64::midpoint(LEFT, RIGHT), UNDER), &time(nanos / 2));
    svg.label("end", (RIGHT, UNDER), &time(nanos));
}

fn length(series: &Series) -> u64 {
    series.width_ns.saturating_mul(series.slots.len() as u64)
}

fn a_second(operations: u64, width_ns: u64) -> f64 {
    operations as f64 * 1e9 / (width_ns.max(1) as f64)
}

fn part(of: f64, all: f64) -> f64 {
    if all > 0.0 { (of / all).clamp(0.0, 1.0) } else { 0.0 }
}
