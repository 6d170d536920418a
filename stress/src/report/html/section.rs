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
    let figure = |title: &str, picture: &str| {
        element("figure", "", &(element("figcaption", "", title) + picture))
    };
    let not_counted = || element("p", r#" class="about""#, "Memory was not counted.");
    let memory = chart::memory(&result.series).unwrap_or_else(not_counted);
    let mut charts = figure("Operations a second", &chart::throughput(&result.series));
    if let Some(states) = chart::states(result) {
        charts.push_str(&figure("Circuit breaker", &states));
    }
    charts.push_str(&figure("Latency", &chart::latency(&result.latency)));
    charts.push_str(&figure("Memory handed out", &memory));
    element("div", r#" class="charts""#, &charts)
}

fn bounds(result: &ScenarioResult) -> String {
    let rows = result.bounds.iter().map(|bound| {
        let (class, word) = if bound.met { ("good", "holds") } else { ("bad", "broken") };
        let verdict = element("span", &format!(r#" class="{class}""#), word);
        let [name, wanted, got] =
            [&bound.name, &bound.wanted, &bound.got].map(|text| escaped(text));
        cells("td", &[name, wanted, got, verdict])
    });
    table(&["bound", "wanted", "found", ""], rows.collect())
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
    if rows.is_empty() { rows } else { table(&["figure", ""], rows) }
}
