//! The charts of one scenario.

use super::super::bound::{Curve, CurvePoint};
use super::super::result::{Latency, ScenarioResult, Series, SeriesSlot};
use super::super::text::{quantity, time};
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
    frame(&mut svg, highest, quantity);
    for (number, slot) in series.slots.iter().enumerate() {
        let x = LEFT + number as f64 * width;
        let operations = [("mark", slot.operations), ("fail", slot.failed)];
        for (class, operations) in operations.into_iter().filter(|(_, some)| *some > 0) {
            let height = part(rate(operations), highest) * (BOTTOM - TOP);
            svg.bar(class, (x, BOTTOM - height), (width + 0.05, height));
        }
    }
    axis_of_time(&mut svg, length(series));
    svg.finish(SIZE, "operations a second over time")
}

/// Bytes handed out over time, from 0 on.
pub(super) fn memory(series: &Series) -> Option<String> {
    let seen = seen(series, |slot| slot.memory);
    let points: Vec<_> = seen.map(|(at, bytes)| (at, bytes as f64)).collect();
    let shown = |value: f64| quantity(value) + "B";
    rising(&points, length(series), shown, "bytes handed out over time")
}

/// What a scenario watched over time, from 0 on.
pub(super) fn curve(curve: &Curve, series: &Series) -> Option<String> {
    let end = curve.points.last().map_or(0, |point| point.at_ns).max(length(series)).max(1);
    let place = |point: &CurvePoint| (part(point.at_ns as f64, end as f64), point.value);
    let points: Vec<_> = curve.points.iter().map(place).collect();
    rising(&points, end, quantity, &format!("{} over time", curve.name))
}

/// Means and longest samples over time, on a scale of powers of ten.
pub(super) fn latency_over_time(series: &Series) -> Option<String> {
    let means: Vec<_> = seen(series, |slot| slot.mean_ns).collect();
    let longest: Vec<_> = seen(series, |slot| slot.longest_ns).collect();
    let from = means.iter().map(|(_, nanos)| power(*nanos)).reduce(f64::min)?.floor();
    let to =
        longest.iter().map(|(_, nanos)| power(*nanos)).reduce(f64::max)?.ceil().max(from + 1.0);
    let y = |power: f64| BOTTOM - part(power - from, to - from) * (BOTTOM - TOP);
    let mut svg = Svg::default();
    // From a nanosecond to an hour and beyond: all powers of ten that can be.
    let scale = (0..15).map(|digits| 10_u64.pow(digits));
    for mark in scale.filter(|mark| (from..=to).contains(&power(*mark))) {
        svg.line("grid", (LEFT, y(power(mark))), (RIGHT, y(power(mark))));
        svg.label("end", (LEFT - 6.0, y(power(mark)) + 4.0), &round(mark));
    }
    for (class, points) in [("curve late", &longest), ("curve", &means)] {
        let points: Vec<_> =
            points.iter().map(|(at, nanos)| (along(*at), y(power(*nanos)))).collect();
        line(&mut svg, class, &points);
    }
    axis_of_time(&mut svg, length(series));
    Some(svg.finish(SIZE, "mean and longest latency over time, on a scale of powers of ten"))
}

/// The middles of the slots that have a value, as shares of all time.
fn seen(series: &Series, of: fn(&SeriesSlot) -> u64) -> impl Iterator<Item = (f64, u64)> {
    let all = series.slots.len().max(1) as f64;
    let values = series.slots.iter().map(of).enumerate().filter(|(_, value)| *value > 0);
    values.map(move |(number, value)| ((number as f64 + 0.5) / all, value))
}

/// A curve above 0 through shares of all time and values; none where all are 0.
fn rising(
    points: &[(f64, f64)],
    all: u64,
    shown: impl Fn(f64) -> String,
    title: &str,
) -> Option<String> {
    let values = points.iter().map(|(_, value)| *value);
    let highest = values.reduce(f64::max).filter(|most| *most > 0.0)?;
    let mut svg = Svg::default();
    frame(&mut svg, highest, shown);
    let place =
        |(at, value): &(f64, f64)| (along(*at), BOTTOM - part(*value, highest) * (BOTTOM - TOP));
    line(&mut svg, "curve", &points.iter().map(place).collect::<Vec<_>>());
    axis_of_time(&mut svg, all);
    Some(svg.finish(SIZE, title))
}

/// A point alone is no line, so it becomes one over all time.
fn line(svg: &mut Svg, class: &str, points: &[(f64, f64)]) {
    match points {
        [(_, y)] => svg.path(class, &[(LEFT, *y), (RIGHT, *y)]),
        points => svg.path(class, points),
    }
}

fn along(share: f64) -> f64 {
    LEFT + share * (RIGHT - LEFT)
}

fn power(nanos: u64) -> f64 {
    (nanos.max(1) as f64).log10()
}

/// A power of ten, without the digits behind the point that other times have.
fn round(nanos: u64) -> String {
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")];
    let unit = units.into_iter().find(|(size, _)| nanos >= *size);
    let (size, name) = unit.unwrap_or((1, "ns"));
    format!("{} {name}", nanos / size)
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

/// Lines at the highest value and at half of it, with these, and a nought.
fn frame(svg: &mut Svg, highest: f64, shown: impl Fn(f64) -> String) {
    for (part, value) in [(0.0, highest), (0.5, highest / 2.0)] {
        let y = TOP + part * (BOTTOM - TOP);
        svg.line("grid", (LEFT, y), (RIGHT, y));
        svg.label("end", (LEFT - 6.0, y + 4.0), &shown(value));
    }
    svg.label("end", (LEFT - 6.0, BOTTOM), "0");
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
