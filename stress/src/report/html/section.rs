//! What the page says of one scenario.

use super::super::result::ScenarioResult;
use super::super::text::{percent, quantity, time};
use super::chart;
use super::markup::{cells, element, escaped, table};

/// Its text, charts, bounds, errors and figures.
pub(super) fn section(result: &ScenarioResult) -> String {
    let name = escaped(&result.name);
    let mut inner = element("h2", "", &name) + &introduction(result) + &charts(result);
    inner.push_str(&bounds(result));
    inner.push_str(&figures(result));
    element("section", &format!(r#" id="{name}""#), &inner)
}

fn introduction(result: &ScenarioResult) -> String {
    let mut does = result.does.clone();
    // A sentence of its own here.
    if let Some(first) = does.get(..1).map(str::to_uppercase) {
        does.replace_range(..1, &first);
    }
    let latency = &result.latency;
    let text = format!(
        "{does}. {} operations ({}) in {} over {} round(s), {} of them without an error. \
         {} samples ({}): {} under 1 ms, {} under 5 ms. Count {}, seed {}.",
        result.operations,
        result.operation,
        time(result.duration_ns),
        result.rounds.len(),
        percent(result.success_rate),
        latency.samples,
        result.sample,
        percent(latency.under_1ms),
        percent(latency.under_5ms),
        result.count,
        result.seed
    );
    element("p", "", &escaped(&text))
}

fn charts(result: &ScenarioResult) -> String {
    let series = &result.series;
    let failed = if result.failed > 0 { word("bad", "failed ones in red") } else { String::new() };
    let mut charts = figure("Operations a second", &failed, &chart::throughput(series));
    if let Some(states) = chart::states(result) {
        charts.push_str(&figure("Circuit breaker", "", &states));
    }
    charts.push_str(&figure("Latency", "", &chart::latency(&result.latency)));
    if let Some(latency) = chart::latency_over_time(series) {
        let lines = word("mean", "mean") + ", " + &word("longest", "longest");
        charts.push_str(&figure("Latency over time", &lines, &latency));
    }
    let not_counted = || element("p", r#" class="about""#, "Memory was not counted.");
    let memory = chart::memory(series).unwrap_or_else(not_counted);
    charts.push_str(&figure("Memory handed out", "", &memory));
    for curve in &result.curves {
        if let Some(picture) = chart::curve(curve, series) {
            charts.push_str(&figure(&escaped(&curve.name), &escaped(&curve.unit), &picture));
        }
    }
    element("div", r#" class="charts""#, &charts)
}

/// A picture with its title, and what its colours or its numbers are.
fn figure(title: &str, key: &str, picture: &str) -> String {
    let key = element("span", r#" class="key""#, key);
    element("figure", "", &(element("figcaption", "", &format!("{title} {key}")) + picture))
}

fn word(class: &str, text: &str) -> String {
    element("span", &format!(r#" class="{class}""#), text)
}

/// The broken ones first.
fn bounds(result: &ScenarioResult) -> String {
    let mut bounds: Vec<_> = result.bounds.iter().collect();
    bounds.sort_by_key(|bound| bound.met);
    let rows = bounds.into_iter().map(|bound| {
        let (class, verdict) = if bound.met { ("good", "holds") } else { ("bad", "broken") };
        let [name, wanted, got] =
            [&bound.name, &bound.wanted, &bound.got].map(|text| escaped(text));
        cells("td", &[word(class, verdict), name, wanted, got])
    });
    table("bounds", &["", "bound", "wanted", "found"], rows.collect())
}

fn figures(result: &ScenarioResult) -> String {
    let own = result.figures.iter().map(|figure| {
        let value = format!("{} {}", quantity(figure.value), figure.unit);
        cells("td", &[escaped(&figure.name), escaped(&value)])
    });
    let errors = result.errors.iter().map(|error| {
        let name = format!("error {}", error.class);
        cells("td", &[escaped(&name), format!("{} operations", error.count)])
    });
    let rows: String = own.chain(errors).collect();
    if rows.is_empty() { rows } else { table("wide", &["figure", ""], rows) }
}
