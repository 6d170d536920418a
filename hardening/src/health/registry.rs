//! Many checks, run in time.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::checks::{Check, CheckFuture};
use super::report::{CheckReport, HealthReport};
use super::state::{CheckConfig, CheckState, CheckStatus, Observation, Probe};
use crate::clock::Timer;
use crate::monitor::{Finding, isolated};

/// No registry has more checks.
pub const MOST_CHECKS: usize = 256;

/// Why a check was not registered.
///
/// ```
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::health::{CheckConfig, HealthRegistry, Probe, RegisterError, from_fn};
///
/// let registry = HealthRegistry::new(TokioTimer::new());
/// let register = || {
///     registry.register("store", Probe::Liveness, CheckConfig::default(), from_fn(|| true))
/// };
/// register().unwrap();
/// assert_eq!(register().unwrap_err(), RegisterError::NameTaken);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// There is one of this name.
    NameTaken,
    /// There are [`MOST_CHECKS`].
    TooMany,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken => f.write_str("there is a check of this name"),
            Self::TooMany => write!(f, "there are {MOST_CHECKS} checks already"),
        }
    }
}

impl core::error::Error for RegisterError {}

/// A check whose status is another now.
///
/// ```
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::health::{CheckConfig, HealthRegistry, Probe, from_fn};
/// use std::sync::{Arc, Mutex};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (registry, heard) = (HealthRegistry::new(TokioTimer::new()), Arc::default());
/// let list: Arc<Mutex<Vec<_>>> = Arc::clone(&heard);
/// registry.on_change(move |change| list.lock().unwrap().push(change.to.name()));
/// let config = CheckConfig::default();
/// registry.register("store", Probe::Liveness, config, from_fn(|| true)).unwrap();
/// registry.run_all().await;
/// assert_eq!(*heard.lock().unwrap(), ["pass"]);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StatusChange<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its failure means.
    pub probe: Probe,
    /// What it was.
    pub from: CheckStatus,
    /// What it is.
    pub to: CheckStatus,
    /// What the run said.
    pub output: &'a str,
}

type OnChange = Arc<dyn Fn(&StatusChange<'_>) + Send + Sync>;

struct Entry {
    name: Box<str>,
    probe: Probe,
    check: Box<dyn Check>,
    state: Mutex<CheckState>,
}

impl Entry {
    fn state(&self) -> std::sync::MutexGuard<'_, CheckState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, now: Duration) -> CheckReport {
        CheckReport::new(&self.name, self.probe, &self.state(), now)
    }
}

#[derive(Default)]
struct Shared {
    entries: Mutex<Vec<Arc<Entry>>>,
    on_change: Mutex<Vec<OnChange>>,
}

/// The checks of a program. Clones share them.
///
/// ```
/// use ironlight_hardening::TokioTimer;
/// use ironlight_hardening::health::{CheckConfig, HealthRegistry, Probe, from_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let registry = HealthRegistry::new(TokioTimer::new());
/// let config = CheckConfig::default();
/// registry.register("store", Probe::Liveness, config, from_fn(|| true)).unwrap();
/// registry.run_all().await;
/// assert!(registry.is_healthy() && registry.readiness().passes());
/// # }
/// ```
#[derive(Clone)]
pub struct HealthRegistry<T> {
    timer: T,
    shared: Arc<Shared>,
}

impl<T> fmt::Debug for HealthRegistry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.entries().iter().map(|entry| entry.name.clone()).collect();
        f.debug_struct("HealthRegistry").field("checks", &names).finish_non_exhaustive()
    }
}

impl<T> HealthRegistry<T> {
    fn entries(&self) -> Vec<Arc<Entry>> {
        self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn listeners(&self) -> Vec<OnChange> {
        self.shared.on_change.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T: Timer> HealthRegistry<T> {
    /// No checks yet.
    #[must_use]
    pub fn new(timer: T) -> Self {
        Self { timer, shared: Arc::default() }
    }

    /// Adds a check, due at once.
    ///
    /// # Errors
    /// [`RegisterError`] where the name is taken, or there are too many.
    pub fn register(
        &self,
        name: &str,
        probe: Probe,
        config: CheckConfig,
        check: impl Check,
    ) -> Result<(), RegisterError> {
        let mut entries = self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.iter().any(|entry| &*entry.name == name) {
            return Err(RegisterError::NameTaken);
        }
        if entries.len() >= MOST_CHECKS {
            return Err(RegisterError::TooMany);
        }
        let state = Mutex::new(CheckState::new(config));
        entries.push(Arc::new(Entry { name: name.into(), probe, check: Box::new(check), state }));
        Ok(())
    }

    /// Takes a check out; whether there was one. A run of it that goes on changes nothing.
    pub fn remove(&self, name: &str) -> bool {
        let mut entries = self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let before = entries.len();
        entries.retain(|entry| &*entry.name != name);
        entries.len() < before
    }

    /// Calls this whenever a run changes the status of a check.
    pub fn on_change(&self, listener: impl Fn(&StatusChange<'_>) + Send + Sync + 'static) {
        let mut listeners = self.shared.on_change.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Arc::new(listener));
    }

    /// Runs one check now, due or not; none where there is no such check.
    pub async fn run(&self, name: &str) -> Option<CheckReport> {
        let entry = self.find(name)?;
        self.run_entry(entry.clone()).await;
        Some(entry.report(self.timer.now()))
    }

    /// Runs all checks now, at the same time, due or not.
    pub async fn run_all(&self) -> Vec<CheckReport> {
        self.run_entries(self.entries()).await;
        self.get_all()
    }

    /// Runs what is due, at the same time.
    ///
    /// ```
    /// use ironlight_hardening::TokioTimer;
    /// use ironlight_hardening::health::{CheckConfig, HealthRegistry, Probe, from_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let (registry, config) = (HealthRegistry::new(TokioTimer::new()), CheckConfig::default());
    /// registry.register("store", Probe::Liveness, config, from_fn(|| true)).unwrap();
    /// registry.run_due().await;
    /// registry.run_due().await;
    /// assert_eq!(registry.get_status("store").unwrap().runs, 1, "again after its interval");
    /// tokio::time::advance(2 * config.interval).await;
    /// registry.run_due().await;
    /// assert_eq!(registry.get_all()[0].runs, 2);
    /// assert!(registry.is_healthy() && registry.remove("store"));
    /// # }
    /// ```
    pub async fn run_due(&self) {
        let now = self.timer.now();
        let mut due = self.entries();
        due.retain(|entry| entry.state().due_at() <= now);
        self.run_entries(due).await;
    }

    /// Runs what is due, whenever it is. Never ends; a task's future.
    ///
    /// Looks for new checks every second. A check that hangs holds up others by no more than its
    /// timeout.
    pub async fn run_for_ever(self) {
        let look_again = Duration::from_secs(1);
        loop {
            self.run_due().await;
            let now = self.timer.now();
            let due = self.entries().iter().map(|entry| entry.state().due_at()).min();
            let wait = due.map_or(look_again, |due| due.saturating_sub(now).min(look_again));
            // A millisecond at least: with an interval of zero this must not spin.
            self.timer.sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    /// A check as it is; none where there is no such check.
    #[must_use]
    pub fn get_status(&self, name: &str) -> Option<CheckReport> {
        self.find(name).map(|entry| entry.report(self.timer.now()))
    }

    /// All checks as they are, in the order in which they were registered.
    #[must_use]
    pub fn get_all(&self) -> Vec<CheckReport> {
        let now = self.timer.now();
        self.entries().iter().map(|entry| entry.report(now)).collect()
    }

    /// The names of those that fail.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        let failed = self.get_all().into_iter().filter(|check| check.status == CheckStatus::Fail);
        failed.map(|check| check.name).collect()
    }

    /// Whether none fails.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.failed().is_empty()
    }

    /// Whether a restart would help: what [`Probe::Liveness`] checks say.
    #[must_use]
    pub fn liveness(&self) -> HealthReport {
        let mut checks = self.get_all();
        checks.retain(|check| check.probe == Probe::Liveness);
        HealthReport::new(Probe::Liveness, checks)
    }

    /// Whether work can be done: what all checks say.
    #[must_use]
    pub fn readiness(&self) -> HealthReport {
        HealthReport::new(Probe::Readiness, self.get_all())
    }

    /// For `HealthDashboard::with_findings`.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::TokioTimer;
    /// use ironlight_hardening::health::{CheckConfig, HealthRegistry, Probe, from_fn};
    /// use ironlight_hardening::monitor::{HealthDashboard, PerformanceStats};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let registry = HealthRegistry::new(TokioTimer::new());
    /// let config = CheckConfig::default();
    /// registry.register("store", Probe::Liveness, config, from_fn(|| true)).unwrap();
    /// registry.run_all().await;
    /// let checks = registry.clone();
    /// let dashboard = HealthDashboard::new(PerformanceStats::default())
    ///     .with_findings(move |_| checks.findings());
    /// assert_eq!(dashboard.report(Duration::ZERO).findings[0].name, "store");
    /// # }
    /// ```
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.get_all().into_iter().map(CheckReport::finding).collect()
    }

    fn find(&self, name: &str) -> Option<Arc<Entry>> {
        self.entries().into_iter().find(|entry| &*entry.name == name)
    }

    async fn run_entries(&self, entries: Vec<Arc<Entry>>) {
        let runs = entries.into_iter().map(|entry| {
            let run = self.run_entry(entry);
            Box::pin(run) as Pin<Box<dyn Future<Output = ()> + Send>>
        });
        Together(runs.collect()).await;
    }

    fn run_entry(&self, entry: Arc<Entry>) -> impl Future<Output = ()> + Send + 'static {
        let registry = self.clone();
        async move {
            let began = registry.timer.now();
            let before = {
                let mut state = entry.state();
                state.begin(began);
                state.status(began)
            };
            let timeout = entry.state().config().timeout;
            let check = Guarded { entry: entry.clone(), check: None };
            let seen = Limited { check, sleep: registry.timer.sleep(timeout), timeout }.await;
            let now = registry.timer.now();
            let output = seen.output.clone();
            let to = {
                let mut state = entry.state();
                state.end(began, seen, now);
                state.status(now)
            };
            if to != before {
                let (name, probe) = (&*entry.name, entry.probe);
                let change = StatusChange { name, probe, from: before, to, output: &output };
                for listener in registry.listeners() {
                    isolated(|| listener(&change));
                }
            }
        }
    }
}

/// A check whose panic is a failure.
struct Guarded {
    entry: Arc<Entry>,
    check: Option<CheckFuture>,
}

impl Guarded {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Observation> {
        let Self { entry, check } = self;
        // A check that panicked is not polled again, and what it holds is its own.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            check.get_or_insert_with(|| entry.check.check()).as_mut().poll(context)
        }));
        polled.unwrap_or_else(|_| Poll::Ready(Observation::fail("the check panicked")))
    }
}

pin_project_lite::pin_project! {
    /// A check with a time limit.
    struct Limited<S> {
        check: Guarded,
        #[pin]
        sleep: S,
        timeout: Duration,
    }
}

impl<S: Future<Output = ()>> Future for Limited<S> {
    type Output = Observation;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Observation> {
        let this = self.project();
        if let Poll::Ready(seen) = this.check.poll(context) {
            return Poll::Ready(seen);
        }
        let late = || Observation::fail(format_args!("no answer after {:?}", this.timeout));
        this.sleep.poll(context).map(|()| late())
    }
}

/// Waits for all. Polls all whenever one wakes: there are few, and seldom.
struct Together(Vec<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Together {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|run| run.as_mut().poll(context).is_pending());
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}
