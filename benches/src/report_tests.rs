use std::fs;
use std::path::Path;

use super::*;
use crate::measured::read;
use crate::recorded::{Figure, figures_dir, keep};

/// As criterion writes it.
fn time(home: &Path, group: &str, function: &str, median: f64) {
    let directory = home.join(group).join(function).join("new");
    fs::create_dir_all(&directory).unwrap();
    let bench = format!(
        r#"{{"group_id":"{group}","function_id":"{function}","value_str":null,"throughput":{{"Elements":10}},"full_id":"{group}/{function}","directory_name":"","title":""}}"#
    );
    fs::write(directory.join("benchmark.json"), bench).unwrap();
    let (low, high) = (median * 0.9, median * 1.1);
    let estimates = format!(
        r#"{{"median":{{"confidence_interval":{{"confidence_level":0.95,"lower_bound":{low},"upper_bound":{high}}},"point_estimate":{median},"standard_error":1.0}},"slope":null}}"#
    );
    fs::write(directory.join("estimates.json"), estimates).unwrap();
}

fn figure(home: &Path, group: &str, name: &str, value: f64, unit: Unit) {
    let figure = Figure { group: group.to_owned(), name: name.to_owned(), value, unit };
    keep(&figures_dir(home), &figure).unwrap();
}

fn goal(key: &'static str, wanted: Wanted, ours: &'static str) -> Goal {
    Goal {
        key,
        what: key,
        unit: Unit::Nanoseconds,
        wanted,
        ours,
        beside: &[("theirs", "roots/theirs")],
        operations: 10,
    }
}

fn run() -> Run {
    Run {
        machine: Machine {
            processor: Some("A processor".to_owned()),
            cores: 2,
            ..Machine::default()
        },
        rustc: "rustc 1.95.0".to_owned(),
        commit: None,
        date: "2026-01-02".to_owned(),
        note: String::new(),
    }
}

/// Ours takes 40 ns an operation, theirs 80, and ours takes twenty megabytes. What a table gives
/// replaces what criterion measured.
fn measured() -> Measured {
    let home = tempfile::tempdir().unwrap();
    time(home.path(), "roots", "ours", 400.0);
    time(home.path(), "roots", "theirs", 800.0);
    figure(home.path(), "memory", "peak, ours", 2e7, Unit::Bytes);
    time(home.path(), "tables", "median", 900.0);
    figure(home.path(), "tables", "median", 700.0, Unit::Nanoseconds);
    // What the run before was is not what is reported.
    fs::create_dir_all(home.path().join("roots/ours/base")).unwrap();
    fs::write(home.path().join("roots/ours/base/benchmark.json"), "not read").unwrap();
    read(home.path()).unwrap()
}

fn page_of(goals: &[Goal], reasons: &[(&str, &str)]) -> Result<String, ReportError> {
    let reasons = reasons.iter().map(|(key, reason)| ((*key).to_owned(), (*reason).to_owned()));
    page(&run(), &measured(), goals, &reasons.collect())
}

#[test]
fn goals_are_judged_by_themselves_and_by_their_peers() {
    let goals = [
        goal("fast", Wanted::TimesTheirs(0.5), "roots/ours"),
        goal("on top", Wanted::OnTop(1.0), "roots/ours"),
        goal("absent", Wanted::AtMost(1.0), "roots/nothing"),
        goal("compared", Wanted::Compared, "roots/ours"),
    ];
    let page = page_of(&goals, &[]).unwrap();
    assert!(
        page.contains("| fast | at most 0.5 of theirs | 40 ns | theirs: 80 ns | 0.50 | met |"),
        "{page}"
    );
    assert!(
        page.contains("| on top | at most 1 ns more | 40 ns | theirs: 80 ns | 0.50 | met |"),
        "{page}"
    );
    assert!(page.contains("| not measured | theirs: 80 ns |  | not measured |"), "{page}");
    assert!(page.contains("2 met, 0 missed, 1 not measured"), "{page}");
    assert!(page.contains("| A processor, 2 threads") || page.contains("A processor, 2 threads"));
    assert!(page.contains("| ours | 400 ns | 10.0 % | 40 ns |"), "{page}");
    assert!(page.contains("| peak, ours | 20 MB |  |  |"), "{page}");
    assert!(page.contains("| median | 700 ns |  | 70 ns |"), "{page}");
}

#[test]
fn a_missed_goal_is_reported_with_its_reason_and_not_without() {
    let goals = [goal("slow", Wanted::AtMost(39.0), "roots/ours")];
    assert_eq!(page_of(&goals, &[]), Err(ReportError::NoReason { keys: vec!["slow"] }));
    let page = page_of(&goals, &[("slow", "it hashes twice.")]).unwrap();
    assert!(page.contains("- **slow** (`slow`, missed): it hashes twice."), "{page}");
    assert!(page.contains("**MISSED**"), "{page}");
}

#[test]
fn a_reason_for_no_goal_is_an_error() {
    let goals = [goal("fast", Wanted::Compared, "roots/ours")];
    let keys = vec!["fats".to_owned()];
    assert_eq!(page_of(&goals, &[("fats", "a slip")]), Err(ReportError::NoSuchGoal { keys }));
}

#[test]
fn a_faster_peer_is_named_where_there_is_no_goal() {
    let goal = Goal {
        beside: &[("theirs", "roots/ours")],
        ..goal("other way", Wanted::Compared, "roots/theirs")
    };
    let page = page_of(&[goal], &[("other way", "it keeps more.")]).unwrap();
    assert!(page.contains("- **other way** (`other way`, behind): it keeps more."), "{page}");
}

#[test]
fn of_nothing_there_is_no_report() {
    let home = tempfile::tempdir().unwrap();
    let measured = read(home.path()).unwrap();
    assert_eq!(page(&run(), &measured, &[], &Reasons::new()), Err(ReportError::NothingMeasured));
}
