//! What a run says: as data, as JSON, as lines for a terminal, as a page.
//!
//! The JSON form is versioned by [`Report::FORMAT`] and described in docs/STRESS.md. Fields may be
//! added within a version; none is renamed or given another meaning.

mod bound;
mod compare;
mod html;
mod machine;
mod result;
mod text;

use serde::{Deserialize, Serialize};

pub use bound::{Bound, Curve, CurvePoint, Figure, StateChange};
pub use compare::{Change, Comparison, Metric, Verdict, compare};
pub use html::page;
pub use machine::{Machine, commit};
pub use result::{ErrorCount, Latency, Round, ScenarioResult, Series, SeriesSlot};
pub(crate) use result::{a_second, nanos};
pub use text::{comparison_lines, quantity, result_lines, time};

/// All that one run of the program found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this form.
    pub format: u32,
    /// The program's version.
    pub program: String,
    /// The commit of the sources, with `+changes` where they differ from it; none outside of a
    /// checkout.
    pub commit: Option<String>,
    /// When the run began, in seconds since 1970.
    pub began: u64,
    /// What it ran on.
    pub machine: Machine,
    /// The scenarios, in the order in which they ran.
    pub results: Vec<ScenarioResult>,
}

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is not the JSON of a report.
    #[error("not a report: {0}")]
    NotAReport(#[from] serde_json::Error),
    /// It is a report in another version of the form.
    #[error("the report has format {got}; this program reads {expected}")]
    OtherFormat {
        /// The version that this program reads.
        expected: u32,
        /// The report's.
        got: u32,
    },
}

/// The one field that all versions have.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

impl Report {
    /// The version of the JSON form.
    pub const FORMAT: u32 = 1;

    /// The report as JSON, indented, with a line feed at the end.
    ///
    /// # Errors
    /// [`ReportError::NotAReport`] where serde refuses, which it does for no report.
    pub fn to_json(&self) -> Result<String, ReportError> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(json)
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`ReportError`], naming the version where it is another one.
    pub fn from_json(json: &str) -> Result<Self, ReportError> {
        let AnyFormat { format: got } = serde_json::from_str(json)?;
        if got != Self::FORMAT {
            return Err(ReportError::OtherFormat { expected: Self::FORMAT, got });
        }
        Ok(serde_json::from_str(json)?)
    }

    /// The bounds that are broken, with the scenario of each.
    pub fn broken(&self) -> impl Iterator<Item = (&str, &Bound)> {
        self.results
            .iter()
            .flat_map(|result| result.broken().map(|bound| (result.name.as_str(), bound)))
    }

    /// The result of a scenario.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&ScenarioResult> {
        self.results.iter().find(|result| result.name == name)
    }
}
