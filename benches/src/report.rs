//! docs/BENCHMARKS.md: the goals and what is beside them, judged; where we lose, with the reasons that people gave; and
//! all that was measured.
//!
//! The report invents nothing: a goal that is missed without a reason in the file of reasons is an error, and what was
//! not measured says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ironlight_stress::report::Machine;

use crate::goals::{Goal, Wanted};
use crate::measured::{Measured, Value};
use crate::recorded::Unit;

/// Why a goal is missed, or a peer is faster, by the goal's key.
pub type Reasons = BTreeMap<String, String>;

/// What was measured where and when.
#[derive(Clone, Debug)]
pub struct Run {
    /// The machine.
    pub machine: Machine,
    /// The compiler, as it calls itself.
    pub rustc: String,
    /// The commit, if known.
    pub commit: Option<String>,
    /// The day, as it is to be shown.
    pub date: String,
    /// What else there is to say of it; may be empty.
    pub note: String,
}

/// Why there is no report.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Nobody has said why.
    #[error("goals are missed without a reason in benches/reasons.json: {}", keys.join(", "))]
    NoReason {
        /// The goals.
        keys: Vec<&'static str>,
    },
    /// A reason for nothing.
    #[error("benches/reasons.json has reasons for what is no goal: {}", keys.join(", "))]
    NoSuchGoal {
        /// What it names.
        keys: Vec<String>,
    },
    /// There is nothing to report.
    #[error("nothing is measured: run the benches first")]
    NothingMeasured,
}

/// What became of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    NoGoal,
    NotMeasured,
}

/// A goal with its values.
struct Judged<'a> {
    goal: &'a Goal,
    ours: Option<f64>,
    /// Of what is beside it and was measured.
    theirs: Vec<(&'static str, f64)>,
    verdict: Verdict,
}

impl<'a> Judged<'a> {
    fn new(goal: &'a Goal, measured: &Measured) -> Self {
        let each =
            |id: &str| measured.get(id).map(|found| found.value / f64::from(goal.operations));
        let theirs: Vec<_> =
            goal.beside.iter().filter_map(|(name, id)| Some((*name, each(id)?))).collect();
        let mut judged =
            Self { goal, ours: each(goal.ours), theirs, verdict: Verdict::NotMeasured };
        judged.verdict = judged.judge();
        judged
    }

    /// The value that ours is compared with: that of the first that the goal names.
    fn first(&self) -> Option<f64> {
        let (name, _) = self.goal.beside.first()?;
        self.theirs.iter().find(|(found, _)| found == name).map(|(_, value)| *value)
    }

    fn judge(&self) -> Verdict {
        let Some(ours) = self.ours else { return Verdict::NotMeasured };
        let met = match self.goal.wanted {
            Wanted::AtMost(most) => Some(ours <= most),
            Wanted::AtLeast(least) => Some(ours >= least),
            Wanted::TimesTheirs(times) => self.first().map(|theirs| ours <= times * theirs),
            Wanted::OnTop(more) => self.first().map(|theirs| ours <= theirs + more),
            Wanted::Compared => return Verdict::NoGoal,
        };
        match met {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::NotMeasured,
        }
    }

    /// Ours as a multiple of theirs.
    fn ratio(&self) -> Option<f64> {
        Some(self.ours? / self.first()?).filter(|ratio| ratio.is_finite())
    }

    /// Whether the first beside it does better. What a goal allows on top is no loss.
    fn is_behind(&self) -> bool {
        let more_is_better = matches!(self.goal.unit, Unit::ASecond | Unit::Share);
        let allowed = matches!(self.goal.wanted, Wanted::OnTop(_));
        let behind = |ratio: f64| if more_is_better { ratio < 1.0 } else { ratio > 1.0 };
        !allowed && self.ratio().is_some_and(behind)
    }

    fn wanted(&self) -> String {
        match self.goal.wanted {
            Wanted::AtMost(most) => format!("at most {}", self.goal.unit.show(most)),
            Wanted::AtLeast(least) => format!("at least {}", self.goal.unit.show(least)),
            Wanted::TimesTheirs(times) => format!("at most {times} of theirs"),
            Wanted::OnTop(more) => format!("at most {} more", self.goal.unit.show(more)),
            Wanted::Compared => String::new(),
        }
    }

    fn row(&self) -> String {
        let show = |value| self.goal.unit.show(value);
        let theirs: Vec<_> =
            self.theirs.iter().map(|(name, value)| format!("{name}: {}", show(*value))).collect();
        let ratio = self.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let ours = self.ours.map_or("not measured".to_owned(), show);
        let verdict = match self.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "**MISSED**",
            Verdict::NoGoal => "",
            Verdict::NotMeasured => "not measured",
        };
        let (what, wanted, theirs) = (self.goal.what, self.wanted(), theirs.join("; "));
        format!("| {what} | {wanted} | {ours} | {theirs} | {ratio} | {verdict} |\n")
    }
}

/// The page.
///
/// # Errors
/// [`ReportError`].
pub fn page(
    run: &Run,
    measured: &Measured,
    goals: &[Goal],
    reasons: &Reasons,
) -> Result<String, ReportError> {
    if measured.is_empty() {
        return Err(ReportError::NothingMeasured);
    }
    let judged: Vec<_> = goals.iter().map(|goal| Judged::new(goal, measured)).collect();
    check(&judged, reasons)?;
    let mut page = head(run);
    page += &tables(&judged);
    page += &losses(&judged, reasons);
    page += &groups(measured);
    Ok(page)
}

fn check(judged: &[Judged<'_>], reasons: &Reasons) -> Result<(), ReportError> {
    let known = |key: &String| judged.iter().any(|judged| judged.goal.key == *key);
    let keys: Vec<_> = reasons.keys().filter(|key| !known(key)).cloned().collect();
    if !keys.is_empty() {
        return Err(ReportError::NoSuchGoal { keys });
    }
    let missed = judged.iter().filter(|judged| judged.verdict == Verdict::Missed);
    let keys = missed.map(|judged| judged.goal.key);
    let keys: Vec<_> = keys.filter(|key| !reasons.contains_key(*key)).collect();
    if keys.is_empty() { Ok(()) } else { Err(ReportError::NoReason { keys }) }
}

fn head(run: &Run) -> String {
    let Run { machine, rustc, commit, date, note } = run;
    let processor = machine.processor.as_deref().unwrap_or("unknown");
    let commit = commit.as_deref().unwrap_or("unknown");
    let cores = machine.cores;
    let mut head = format!(
        "# Benchmarks

Made by `just bench-report` of what `just bench` left behind; not written by hand. Each value stands beside its
peer's of the same run. Goals are in `benches/src/goals/`, the reasons below in `benches/reasons.json`.

| | |
|---|---|
| processor | {processor}, {cores} threads ({}) |
| headers are hashed by | {} |
| compiler | {rustc} |
| commit | {commit} |
| date | {date} |

",
        machine.system, machine.hashing
    );
    if !note.is_empty() {
        head += note;
        head += "\n\n";
    }
    head
}

fn tables(judged: &[Judged<'_>]) -> String {
    let count = |verdict| judged.iter().filter(|judged| judged.verdict == verdict).count();
    let (met, missed) = (count(Verdict::Met), count(Verdict::Missed));
    let (goals, compared): (Vec<_>, Vec<_>) =
        judged.iter().partition(|judged| judged.goal.wanted != Wanted::Compared);
    let not_measured = goals.len() - met - missed;
    let rows =
        |judged: &[&Judged<'_>]| judged.iter().map(|judged| judged.row()).collect::<String>();
    format!(
        "## Goals

{met} met, {missed} missed, {not_measured} not measured. The ratio is ours to the first beside it.

| what | goal | ours | beside it | ratio | |
|---|---|---|---|---|---|
{}
## Beside peers, without a goal

| what | | ours | beside it | ratio | |
|---|---|---|---|---|---|
{}
",
        rows(&goals),
        rows(&compared)
    )
}

fn losses(judged: &[Judged<'_>], reasons: &Reasons) -> String {
    let mut text = String::from("## Where we lose\n\n");
    let lost = |judged: &&Judged<'_>| judged.verdict == Verdict::Missed || judged.is_behind();
    for judged in judged.iter().filter(lost) {
        let Goal { key, what, .. } = judged.goal;
        let how = match judged.verdict {
            Verdict::Missed => "missed",
            Verdict::Met | Verdict::NoGoal | Verdict::NotMeasured => "behind",
        };
        let reason = reasons.get(*key).map_or("nobody has said why.", String::as_str);
        let _infallible = writeln!(text, "- **{what}** (`{key}`, {how}): {reason}");
    }
    text + "\n"
}

/// Every value, by bench.
fn groups(measured: &Measured) -> String {
    let mut groups: BTreeMap<&str, Vec<(&str, &Value)>> = BTreeMap::new();
    for (id, value) in measured {
        groups.entry(&value.group).or_default().push((id, value));
    }
    let mut text = String::from(
        "## All of it\n\nMedians of an iteration, of calls those of their pieces; the noise is half of the interval in which the median lies with 95 %.\n",
    );
    for (group, values) in groups {
        let _infallible = write!(
            text,
            "\n### {group}\n\n| what | value | noise | each of its operations |\n|---|---|---|---|\n"
        );
        for (id, value) in values {
            let name = id.strip_prefix(group).unwrap_or(id).trim_start_matches('/');
            let shown = value.unit.show(value.value);
            let noise =
                value.noise.map_or(String::new(), |noise| format!("{:.1} %", noise * 100.0));
            let each = value.elements.map_or(String::new(), |count| each(value, count));
            let _infallible = writeln!(text, "| {name} | {shown} | {noise} | {each} |");
        }
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "to be read, and far below 53 bits")]
fn each(value: &Value, count: u64) -> String {
    value.unit.show(value.value / count as f64)
}

#[cfg(test)]
#[path = "report_tests.rs"]
#[allow(clippy::unwrap_used, reason = "a panic is the test's failure")]
mod tests;
