//! One check: when it is due, and what its results mean.

use core::fmt;
use core::time::Duration;

/// What a check says is cut after so many characters.
pub const LONGEST_OUTPUT: usize = 256;

/// What a failed check means.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Only a restart helps. Checks of this kind should look at this process alone: else one lost
    /// dependency restarts everything that uses it.
    Liveness,
    /// No work can be done now; it may pass by itself.
    Readiness,
}

/// How often a check runs, and when it has failed.
///
/// The [module](super) has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// From the start of one run to the start of the next.
    pub interval: Duration,
    /// A run that takes this long has failed.
    pub timeout: Duration,
    /// So many failures in a row make the check fail; none counts as one.
    pub failure_threshold: u32,
}

impl Default for CheckConfig {
    /// Every 30 seconds, 5 seconds, 3 failures.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            failure_threshold: 3,
        }
    }
}

impl CheckConfig {
    /// Every 10 seconds, for development.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::health::CheckConfig;
    ///
    /// assert_eq!(CheckConfig::development().interval, Duration::from_secs(10));
    /// ```
    #[must_use]
    pub fn development() -> Self {
        Self { interval: Duration::from_secs(10), ..Self::default() }
    }
}

/// How a check is, seen over its last runs. The order is from good to bad.
///
/// ```
/// use ironlight_hardening::health::{CheckStatus, Observation};
///
/// assert_eq!(Observation::from(Ok::<(), &str>(())).status, CheckStatus::Pass);
/// assert_eq!(Observation::warn("slow").status.name(), "warn");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckStatus {
    /// All well.
    Pass,
    /// Something is not as it should be, but it goes on.
    Warn,
    /// Never passed yet, nor failed often enough to say that it will not.
    Pending,
    /// It does not work.
    Fail,
}

impl CheckStatus {
    /// The word in health+json, which has none for a check that is pending.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn | Self::Pending => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one run of a check saw.
///
/// ```
/// use ironlight_hardening::health::Observation;
///
/// let seen = Observation::fail("no peers").with_value(0, "peers");
/// assert_eq!((seen.output.as_str(), seen.value), ("no peers", Some((0, "peers"))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// [`CheckStatus::Pending`] counts as a failure here.
    pub status: CheckStatus,
    /// Something that was measured, with its unit.
    pub value: Option<(i64, &'static str)>,
    /// What there is to say; empty where all is well.
    pub output: String,
}

impl Observation {
    /// All well.
    #[must_use]
    pub const fn pass() -> Self {
        Self { status: CheckStatus::Pass, value: None, output: String::new() }
    }

    /// Not as it should be.
    #[must_use]
    pub fn warn(output: impl fmt::Display) -> Self {
        Self { status: CheckStatus::Warn, value: None, output: output.to_string() }
    }

    /// It does not work.
    #[must_use]
    pub fn fail(output: impl fmt::Display) -> Self {
        Self { status: CheckStatus::Fail, value: None, output: output.to_string() }
    }

    /// The same with something that was measured.
    #[must_use]
    pub fn with_value(self, value: i64, unit: &'static str) -> Self {
        Self { value: Some((value, unit)), ..self }
    }
}

impl<E: fmt::Display> From<Result<(), E>> for Observation {
    fn from(result: Result<(), E>) -> Self {
        result.map_or_else(Self::fail, |()| Self::pass())
    }
}

impl From<bool> for Observation {
    fn from(well: bool) -> Self {
        if well { Self::pass() } else { Self::fail("") }
    }
}

/// The last result that counts.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) seen: Observation,
    pub(super) ended: Duration,
    pub(super) took: Duration,
}

/// One check, without the check itself.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::health::{CheckConfig, CheckState, CheckStatus, Observation};
///
/// let mut check = CheckState::new(CheckConfig::default());
/// let second = Duration::from_secs(1);
/// check.begin(second);
/// check.end(second, Observation::pass(), 2 * second);
/// assert_eq!(check.due_at(), 31 * second);
/// for run in 1..=3 {
///     assert_ne!(check.status(31 * second * run), CheckStatus::Fail);
///     check.begin(31 * second * run);
///     check.end(31 * second * run, Observation::fail("refused"), 31 * second * run);
/// }
/// assert_eq!(check.status(93 * second), CheckStatus::Fail);
/// ```
#[derive(Clone, Debug)]
pub struct CheckState {
    config: CheckConfig,
    due_at: Duration,
    /// When the run began whose result came last.
    began: Option<Duration>,
    last: Option<Last>,
    /// In a row, up to the last run.
    failures: u32,
    has_passed: bool,
    runs: u64,
}

impl CheckState {
    /// Due at once.
    #[must_use]
    pub const fn new(config: CheckConfig) -> Self {
        Self {
            config,
            due_at: Duration::ZERO,
            began: None,
            last: None,
            failures: 0,
            has_passed: false,
            runs: 0,
        }
    }

    /// How often it runs.
    #[must_use]
    pub const fn config(&self) -> CheckConfig {
        self.config
    }

    /// When it should run next.
    #[must_use]
    pub const fn due_at(&self) -> Duration {
        self.due_at
    }

    /// A run begins. One that is given up needs no end: the next is due all the same.
    pub fn begin(&mut self, now: Duration) {
        self.due_at = now.saturating_add(self.config.interval);
    }

    /// The run that began then ended now. The result of a run that began before one whose result is
    /// already known says nothing new, and changes nothing.
    pub fn end(&mut self, began: Duration, mut seen: Observation, now: Duration) {
        if self.began.is_some_and(|newest| began < newest) {
            return;
        }
        self.began = Some(began);
        self.runs += 1;
        match seen.status {
            CheckStatus::Pass | CheckStatus::Warn => {
                self.failures = 0;
                self.has_passed = true;
            }
            CheckStatus::Fail | CheckStatus::Pending => {
                seen.status = CheckStatus::Fail;
                self.failures = self.failures.saturating_add(1);
            }
        }
        if let Some((end, _)) = seen.output.char_indices().nth(LONGEST_OUTPUT) {
            seen.output.truncate(end);
        }
        self.last = Some(Last { seen, ended: now, took: now.saturating_sub(began) });
    }

    /// How it is at `now`.
    #[must_use]
    pub fn status(&self, now: Duration) -> CheckStatus {
        let Some(last) = &self.last else { return CheckStatus::Pending };
        let lasts = self.config.interval.saturating_mul(3).saturating_add(self.config.timeout);
        let outdated = now.saturating_sub(last.ended) > lasts;
        if self.failures >= self.config.failure_threshold.max(1) {
            CheckStatus::Fail
        } else if !self.has_passed {
            CheckStatus::Pending
        } else if self.failures > 0 || outdated {
            CheckStatus::Warn
        } else {
            last.seen.status
        }
    }

    /// How often it failed in a row, up to now.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// How many results counted.
    #[must_use]
    pub const fn runs(&self) -> u64 {
        self.runs
    }

    pub(super) const fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }
}
