//! Reports: written and read again, compared.

use ironlight_stress::report::{
    Metric, Report, ReportError, Round, ScenarioResult, Verdict, compare,
};

use super::support::{passes, report};

/// A result whose rounds have these operations a second, and nothing else that moves.
fn with_rounds(rates: &[f64]) -> ScenarioResult {
    let mut result = passes("merkle-tree", 50);
    let round = |rate: &f64| Round {
        operations_per_second: *rate,
        p50_ns: 1_000,
        p99_ns: 2_000,
        under_1ms: 1.0,
        peak_bytes: Some(1_000_000),
    };
    result.rounds = rates.iter().map(round).collect();
    result
}

fn throughput(before: &[f64], after: &[f64]) -> Verdict {
    let reports = [before, after].map(|rates| report(vec![with_rounds(rates)]));
    let [before, after] = &reports;
    let comparison = compare(before, after);
    let found = comparison.changes.iter().find(|change| change.metric == Metric::Throughput);
    found.unwrap().verdict
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let written = report(vec![passes("resilience", 1_000), passes("merkle-tree", 100)]);
    let json = written.to_json().unwrap();
    assert_eq!(Report::from_json(&json).unwrap(), written);
    let tree: serde_json::Value = serde_json::from_str(&json).unwrap();
    let result = &tree["results"][1];
    assert_eq!((&tree["format"], &result["name"]), (&1.into(), &"merkle-tree".into()));
    assert_eq!(result["operations"], 100);
    assert!(result["latency"]["under_1ms"].is_number() && result["peak_bytes"].is_null());
}

#[test]
fn a_report_in_another_format_is_refused_by_its_version() {
    let mut other = report(Vec::new());
    other.format = 2;
    let refused = Report::from_json(&other.to_json().unwrap()).unwrap_err();
    assert!(matches!(refused, ReportError::OtherFormat { expected: 1, got: 2 }), "{refused}");
    assert!(matches!(Report::from_json("{}"), Err(ReportError::NotAReport(_))));
}

#[test]
fn what_moves_less_than_rounds_do_is_noise() {
    assert_eq!(throughput(&[100.0, 90.0, 110.0], &[115.0, 116.0, 117.0]), Verdict::WithinNoise);
    assert_eq!(throughput(&[100.0, 90.0, 110.0], &[125.0, 126.0, 127.0]), Verdict::Better);
    assert_eq!(throughput(&[100.0, 90.0, 110.0], &[75.0, 75.0, 76.0]), Verdict::Worse);
}

#[test]
fn rounds_that_agree_are_believed_to_ten_percent_and_single_ones_to_twenty_five() {
    assert_eq!(throughput(&[100.0, 100.0], &[109.0, 109.0]), Verdict::WithinNoise);
    assert_eq!(throughput(&[100.0, 100.0], &[111.0, 111.0]), Verdict::Better);
    assert_eq!(throughput(&[100.0], &[76.0]), Verdict::WithinNoise);
    assert_eq!(throughput(&[100.0], &[74.0]), Verdict::Worse);
}

#[test]
fn less_latency_is_better_and_a_run_like_itself_moves_nothing() {
    let before = report(vec![with_rounds(&[100.0, 100.0])]);
    let mut after = before.clone();
    after.results[0].rounds.iter_mut().for_each(|round| round.p99_ns = 1_000);
    let comparison = compare(&before, &after);
    let moved: Vec<_> = comparison.moved().map(|change| (change.metric, change.verdict)).collect();
    assert_eq!(moved, [(Metric::P99, Verdict::Better)]);
    assert_eq!(compare(&before, &before).moved().count(), 0);
}

#[test]
fn what_makes_runs_hard_to_compare_is_said() {
    let mut before = report(vec![with_rounds(&[1.0])]);
    let mut after = report(vec![with_rounds(&[1.0]), passes("resilience", 1_000)]);
    after.machine.cores = 16;
    after.machine.load = Some(15.0);
    after.results[0].count = 7;
    before.results.push(passes("header-chain", 10));
    let notes = compare(&before, &after).notes.join("\n");
    for note in ["different machines", "other work", "count 7", "first run only", "second run only"]
    {
        assert!(notes.contains(note), "{note}: {notes}");
    }
}
