//! The program: what it prints, and how it exits.

use std::process::{Command, Output};

use ironlight_stress::report::Report;

fn stress(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ironlight-stress")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A path in a folder of its own, below cargo's folder for this package's tests.
fn path(name: &str) -> String {
    let folder = format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::create_dir_all(&folder).unwrap();
    format!("{folder}/{name}")
}

#[test]
fn a_run_whose_bounds_hold_ends_well_and_writes_its_report() {
    let (json, html) = (path("one.json"), path("one.html"));
    let run = ["run", "memory-efficiency", "--count", "2000", "--rounds", "2"];
    let done = stress(&[&run[..], &["--json", &json, "--html", &html]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    assert!(text(&done.stdout).contains("bound ours: at most 800000 bytes, met"));
    let report = Report::from_json(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(report.results[0].rounds.len(), 2);
    assert!(report.results[0].peak_bytes.is_some());
    assert!(std::fs::read_to_string(&html).unwrap().contains("memory-efficiency"));
    let compared = stress(&["compare", &json, &json]);
    assert_eq!(compared.status.code(), Some(0));
    assert!(text(&compared.stdout).contains("0 of 5 figures moved"), "{}", text(&compared.stdout));
}

#[test]
fn a_broken_bound_is_named_and_the_program_fails() {
    let json = path("broken.json");
    let run = stress(&["run", "header-chain", "--limit", "0", "--json", &json]);
    assert_eq!(run.status.code(), Some(1));
    let said = text(&run.stderr);
    assert!(said.contains("broken: header-chain: time limit"), "{said}");
    let report = Report::from_json(&std::fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(report.broken().count(), 1, "the report is written all the same");
}

#[test]
fn all_scenarios_are_listed_with_their_bounds_and_another_name_is_refused() {
    let listed = stress(&["list"]);
    for name in ironlight_stress::scenario::Registry::new().abouts().map(|about| about.name) {
        assert!(text(&listed.stdout).contains(name), "{name}");
    }
    let refused = stress(&["run", "everything"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("there are: header-chain"));
    assert_eq!(stress(&["run", "mixed", "--weights", "0,0,0"]).status.code(), Some(2));
}
