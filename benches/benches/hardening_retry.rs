//! What retries cost a request: one that goes well, and one that fails twice first.

#[path = "stacks/attempts.rs"]
mod attempts;
#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::cell::Cell;
use std::future::{Ready, ready};
use std::io::{Error as IoError, ErrorKind};
use std::time::Duration;

use attempts::Attempts;
use backon::{BlockingRetryable, ExponentialBuilder, Retryable};
use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, ask, at_once, config, runtime};
use ironlight_hardening::retry::{
    BlockingSleep, Jitter, RetryBudget, RetryLayer, RetryPolicy, retry, retry_blocking,
};
use ironlight_hardening::stamp::{BareLayer, StampLayer};
use ironlight_hardening::{Clock, ManualClock, MonotonicClock, Timer, TokioTimer};
use tower::retry::budget::{Budget, TpsBudget};
use tower::{Layer, Service, ServiceBuilder, service_fn};

const BASE: Duration = Duration::from_millis(10);
const CAP: Duration = Duration::from_millis(50);

fn policy(attempts: u32) -> RetryPolicy {
    RetryPolicy { jitter: Jitter::None, ..RetryPolicy::new(attempts, BASE, CAP) }
}

fn exponential(attempts: u32) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_factor(2.0)
        .with_min_delay(BASE)
        .with_max_delay(CAP)
        .with_max_times(usize::try_from(attempts - 1).unwrap_or(usize::MAX))
}

fn broken() -> IoError {
    IoError::from(ErrorKind::ConnectionReset)
}

/// Fails so often, then goes well.
fn after(failures: &Cell<u32>) -> Result<u64, IoError> {
    match failures.get().checked_sub(1) {
        None => Ok(7),
        Some(left) => {
            failures.set(left);
            Err(broken())
        }
    }
}

/// A clock that notes what it is to wait for, and does not.
#[derive(Clone, Default)]
struct Noting(std::sync::Arc<std::sync::Mutex<Vec<Duration>>>);

impl Noting {
    fn pauses(&self) -> Vec<Duration> {
        self.0.lock().map(|pauses| pauses.clone()).unwrap_or_default()
    }
}

impl Clock for Noting {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl BlockingSleep for Noting {
    fn sleep_blocking(&self, time: Duration) {
        if let Ok(mut pauses) = self.0.lock() {
            pauses.push(time);
        }
    }
}

/// The system's clock, whose pauses are over at once.
#[derive(Clone, Copy)]
struct Hasty(MonotonicClock);

impl Clock for Hasty {
    fn now(&self) -> Duration {
        self.0.now()
    }
}

impl Timer for Hasty {
    type Sleep = Ready<()>;

    fn sleep(&self, _time: Duration) -> Ready<()> {
        ready(())
    }
}

/// backon doubles in floating point, and may be a nanosecond off.
fn alike(ours: &[Duration], theirs: &[Duration]) -> bool {
    let near = |(ours, theirs): (&Duration, &Duration)| ours.abs_diff(*theirs).as_nanos() <= 1;
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(near)
}

/// The same pauses, as many attempts, and the same end, however often it fails.
fn assert_equal_pauses() {
    for attempts in 1..8 {
        for failures in 0..10 {
            let (noting, left) = (Noting::default(), Cell::new(failures));
            let ours = retry_blocking(&noting, &policy(attempts), || after(&left)).ok();
            let ours_left = left.get();
            let (noted, left) = (Noting::default(), Cell::new(failures));
            let theirs_noting = noted.clone();
            let theirs = (|| after(&left))
                .retry(exponential(attempts))
                .sleep(move |pause| theirs_noting.sleep_blocking(pause))
                .call()
                .ok();
            assert_eq!((ours, ours_left), (theirs, left.get()), "{attempts}, {failures}");
            assert!(alike(&noting.pauses(), &noted.pauses()), "{attempts}, {failures}");
            assert_eq!((ours, ours_left), tower_retries(attempts, failures));
        }
    }
}

/// What tower's layer answers, and how many failures it did not get to.
fn tower_retries(attempts: u32, failures: u32) -> (Option<u64>, u32) {
    let left = Cell::new(failures);
    let layer = tower::retry::RetryLayer::new(Attempts(attempts));
    let mut service = layer.layer(service_fn(|_: u64| ready(after(&left))));
    let answer = ask(&mut service, 1).and_then(Result::ok);
    (answer, left.get())
}

fn retries(criterion: &mut Criterion) {
    assert_equal_pauses();
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut figures = Figures::new(criterion, "hardening_retry");
    blocking(&mut figures);
    futures(&mut figures);
    layers(&mut figures);
    budgets(&mut figures);
    two_threads(&mut figures);
    figures.finish();
}

fn blocking(figures: &mut Figures<'_>) {
    figures.section("a closure that goes well at once");
    let (clock, three) = (MonotonicClock::new(), policy(3));
    figures.time("ironlight, blocking", |number| {
        retry_blocking(&clock, &three, || Ok::<_, IoError>(number)).is_ok()
    });
    figures.time("backon, blocking", |number| {
        (|| Ok::<_, IoError>(number)).retry(exponential(3)).sleep(|_| ()).call().is_ok()
    });
    figures.section("a closure that fails twice first, without waiting");
    let clock = ManualClock::default();
    figures.time("ironlight, blocking, twice", |_| {
        let left = Cell::new(2);
        retry_blocking(&clock, &three, || after(&left)).is_ok()
    });
    figures.time("backon, blocking, twice", |_| {
        let left = Cell::new(2);
        (|| after(&left)).retry(exponential(3)).sleep(|_| ()).call().is_ok()
    });
}

fn futures(figures: &mut Figures<'_>) {
    figures.section("a future that goes well at once");
    let (timer, three) = (TokioTimer::new(), policy(3));
    figures.time("ironlight, future", |number| {
        at_once(retry(timer, three.clone(), || ready(Ok::<_, IoError>(number)))).is_some()
    });
    figures.time("backon, future", |number| {
        let again = || ready(Ok::<_, IoError>(number));
        at_once(async { again.retry(exponential(3)).sleep(|_| ready(())).await }).is_some()
    });
}

fn layers(figures: &mut Figures<'_>) {
    figures.section("as a tower layer, a request that goes well at once");
    let hasty = Hasty(MonotonicClock::new());
    let mut ours = our_layer(hasty, |number| ready(Ok(number)));
    figures.time("ironlight, layer with stamp", |number| ask(&mut ours, number).is_some());
    let layer = tower::retry::RetryLayer::new(Attempts(3));
    let mut theirs = layer.layer(service_fn(|number: u64| ready(Ok::<_, IoError>(number))));
    figures.time("tower, layer", |number| ask(&mut theirs, number).is_some());
    figures.section("as a tower layer, two failures first, without waiting");
    let left = Cell::new(0);
    let mut ours = our_layer(hasty, |_| ready(after(&left)));
    figures.time("ironlight, layer with stamp, twice", |number| {
        left.set(2);
        ask(&mut ours, number).is_some()
    });
    let mut theirs = layer.layer(service_fn(|_: u64| ready(after(&left))));
    figures.time("tower, layer, twice", |number| {
        left.set(2);
        ask(&mut theirs, number).is_some()
    });
}

fn our_layer(
    timer: Hasty,
    inner: impl FnMut(u64) -> Ready<Result<u64, IoError>> + Clone,
) -> impl Service<u64, Response = u64> {
    ServiceBuilder::new()
        .layer(StampLayer::new(timer))
        .layer(RetryLayer::new(timer, policy(3), |number: &u64| Some(*number)))
        .layer(BareLayer)
        .service(service_fn(inner))
}

/// A request's share and a retry's price; tower's also forgets by the clock.
fn budgets(figures: &mut Figures<'_>) {
    figures.section("a budget: a request, and a retry if there is enough");
    let ours = RetryBudget::default();
    figures.time("ironlight, budget", |_| {
        ours.deposit();
        ours.try_withdraw()
    });
    let theirs = TpsBudget::default();
    figures.time("tower, budget", |_| {
        theirs.deposit();
        theirs.withdraw()
    });
}

fn two_threads(figures: &mut Figures<'_>) {
    figures.section("a budget, two threads");
    let ours = RetryBudget::default();
    figures.contended("ironlight, budget, two threads", |_| {
        ours.deposit();
        ours.try_withdraw()
    });
    let theirs = TpsBudget::default();
    figures.contended("tower, budget, two threads", |_| {
        theirs.deposit();
        theirs.withdraw()
    });
}

criterion_group! { name = benches; config = config(); targets = retries }
criterion_main!(benches);
