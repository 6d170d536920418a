//! What a circuit breaker costs a call that goes well: leave, and the result.

#![allow(clippy::panic, reason = "a bench that cannot start ends")]

#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::{Error as IoError, ErrorKind};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use failsafe::CircuitBreaker as _;
use failsafe::backoff::{Constant, constant};
use failsafe::failure_policy::{
    ConsecutiveFailures, SuccessRateOverTimeWindow, consecutive_failures,
    success_rate_over_time_window,
};
use figures::{Figures, ask, config, scattered};
use ironlight_hardening::circuit_breaker::{
    BreakerConfig, BreakerLayer, CircuitBreaker, CircuitState, Outcome, Window,
};
use ironlight_hardening::stamp::{BareLayer, StampLayer};
use ironlight_hardening::{Clock, Error, MonotonicClock};
use recloser::Recloser;
use tower::{Service, ServiceBuilder, service_fn};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;

/// Nobody's clock gets there while this runs, so whatever opens stays open.
const OPEN_FOR: Duration = Duration::from_secs(3600);
const IN_A_ROW: u32 = 5;
const LAST_CALLS: u32 = 100;

type Failsafe<P> = failsafe::StateMachine<P, ()>;

/// Opens after failures in a row, and for nothing else.
fn in_a_row() -> CircuitBreaker {
    let config = BreakerConfig {
        consecutive_failures: Some(IN_A_ROW),
        failure_percent: None,
        open_for: OPEN_FOR,
        ..BreakerConfig::default()
    };
    CircuitBreaker::new(config, 1)
}

/// Opens when half of the last calls failed.
fn by_rate() -> CircuitBreaker {
    let config = BreakerConfig {
        consecutive_failures: None,
        window: Window::Calls(LAST_CALLS),
        minimum_calls: LAST_CALLS,
        failure_percent: Some(50),
        open_for: OPEN_FOR,
        ..BreakerConfig::default()
    };
    CircuitBreaker::new(config, 1)
}

fn failsafe_in_a_row() -> Failsafe<ConsecutiveFailures<Constant>> {
    let policy = consecutive_failures(IN_A_ROW, constant(OPEN_FOR));
    failsafe::Config::new().failure_policy(policy).build()
}

fn failsafe_by_rate() -> Failsafe<SuccessRateOverTimeWindow<Constant>> {
    let policy =
        success_rate_over_time_window(0.5, 10, Duration::from_secs(60), constant(OPEN_FOR));
    failsafe::Config::new().failure_policy(policy).build()
}

fn recloser_by_rate() -> Recloser {
    let calls = usize::try_from(LAST_CALLS).unwrap_or(usize::MAX);
    Recloser::custom().closed_len(calls).error_rate(0.5).open_wait(OPEN_FOR).build()
}

fn tower_resilience_in_a_row() -> CircuitBreakerLayer {
    let builder = CircuitBreakerLayer::builder()
        .consecutive_failures(usize::try_from(IN_A_ROW).unwrap_or(usize::MAX))
        .wait_duration_in_open(OPEN_FOR);
    match builder.build() {
        Ok(layer) => layer,
        Err(error) => panic!("{error}"),
    }
}

fn answer(fails: bool) -> Result<u64, IoError> {
    if fails { Err(IoError::from(ErrorKind::ConnectionReset)) } else { Ok(1) }
}

/// Ours as a call, at a time.
fn call(breaker: &CircuitBreaker, fails: bool, now: Duration) -> bool {
    let Ok(permit) = breaker.permit(now) else { return false };
    permit.finish(if fails { Outcome::Failure } else { Outcome::Success }, now);
    true
}

/// A service that fails when it is asked to.
fn service()
-> impl Service<bool, Response = u64, Error = IoError, Future = Ready<Result<u64, IoError>>>
+ Clone
+ Send
+ 'static {
    service_fn(|fails| ready(answer(fails)))
}

/// Failures and successes in the same order open both after the same call, or neither.
fn assert_equal_verdicts() {
    let (mut in_a_row_opened, mut rate_opened) = (0, 0);
    for seed in 0..200 {
        let fails = |call: u64| scattered(seed << 32 | call) % 100 < 45 + seed % 10;
        let (ours, theirs) = (in_a_row(), failsafe_in_a_row());
        let layer = tower_resilience_in_a_row();
        let mut layered = tower::Layer::layer(&layer, service());
        let (rate, recloser) = (by_rate(), recloser_by_rate());
        let mut opened = [None; 5];
        for number in 0..400 {
            // Recloser looks at a rate only once its ring was full: begin with a full one.
            let (fails, ring_fails) = (fails(number), number >= 100 && fails(number));
            let calls = [
                call(&ours, fails, Duration::from_millis(number)),
                !matches!(theirs.call(|| answer(fails)), Err(failsafe::Error::Rejected)),
                !ask(&mut layered, fails)
                    .is_some_and(|done| done.is_err_and(|error| error.is_circuit_open())),
                call(&rate, ring_fails, Duration::from_millis(number)),
                !matches!(recloser.call(|| answer(ring_fails)), Err(recloser::Error::Rejected)),
            ];
            for (opened, let_through) in opened.iter_mut().zip(calls) {
                if !let_through {
                    opened.get_or_insert(number);
                }
            }
        }
        let [ours, failsafe, resilience, rate, recloser] = opened;
        assert_eq!(ours, failsafe, "failures in a row, seed {seed}");
        assert_eq!(ours, resilience, "failures in a row, seed {seed}");
        assert_eq!(rate, recloser, "a rate, seed {seed}");
        in_a_row_opened += u32::from(ours.is_some());
        rate_opened += u32::from(rate.is_some());
    }
    assert!(in_a_row_opened > 100 && rate_opened > 100, "{in_a_row_opened}, {rate_opened}");
}

fn breaker(criterion: &mut Criterion) {
    assert_equal_verdicts();
    let mut figures = Figures::new(criterion, "hardening_breaker");
    let clock = MonotonicClock::new();
    alone(&mut figures, &clock);
    after_a_failure(&mut figures);
    layers(&mut figures, clock);
    two_threads(&mut figures);
    figures.finish();
}

/// A time window and failures in a row, as by default; the peers have one of them each.
fn alone(figures: &mut Figures<'_>, clock: &MonotonicClock) {
    figures.section("permit and result; ours is given the time");
    let (ours, now) = (CircuitBreaker::new(BreakerConfig::default(), 1), clock.now());
    figures.time("ironlight, failures in a row and rate", |_| call(&ours, false, now));
    figures.goal(20.0);
    figures.time("ironlight with a clock read", |_| {
        ours.call(clock, || Ok::<_, Error<Infallible>>(1))
    });
    let ours = by_rate();
    figures.time("ironlight, the last 100 calls", |_| call(&ours, false, now));
    figures.goal(20.0);
    let theirs = failsafe_in_a_row();
    figures.time("failsafe, failures in a row", |_| theirs.call(|| answer(false)).is_ok());
    let theirs = failsafe_by_rate();
    figures.time("failsafe, success rate", |_| theirs.call(|| answer(false)).is_ok());
    let theirs = failsafe::Config::new().build();
    figures.time("failsafe, both, its default", |_| theirs.call(|| answer(false)).is_ok());
    let theirs = recloser_by_rate();
    figures.time("recloser, the last 100 calls", |_| theirs.call(|| answer(false)).is_ok());
}

/// One failure lies in the window for as long as this runs.
fn after_a_failure(figures: &mut Figures<'_>) {
    figures.section("permit and result while a failure is in the window");
    let now = Duration::from_secs(1);
    let ours = CircuitBreaker::new(BreakerConfig::default(), 1);
    call(&ours, true, now);
    figures.time("ironlight, failures in a row and rate, failed", |_| call(&ours, false, now));
    figures.goal(20.0);
    let theirs = failsafe_by_rate();
    let _failed = theirs.call(|| answer(true));
    figures.time("failsafe, success rate, failed", |_| theirs.call(|| answer(false)).is_ok());
}

fn layers(figures: &mut Figures<'_>, clock: MonotonicClock) {
    figures.section("as a tower layer: ready, call and result");
    let breaker = CircuitBreaker::new(BreakerConfig::default(), 1);
    let mut ours = ServiceBuilder::new()
        .layer(StampLayer::new(clock))
        .layer(BreakerLayer::new(breaker.clone(), clock))
        .layer(BareLayer)
        .service(service());
    figures.time("ironlight, layer with stamp", |_| ask(&mut ours, false).is_some());
    assert_eq!(breaker.state(), CircuitState::Closed);
    let layer = tower_resilience_in_a_row();
    let mut theirs = tower::Layer::layer(&layer, service());
    figures.time("tower-resilience, layer", |_| ask(&mut theirs, false).is_some());
}

fn two_threads(figures: &mut Figures<'_>) {
    figures.section("permit and result, two threads on one breaker");
    let (ours, now) = (CircuitBreaker::new(BreakerConfig::default(), 1), Duration::from_secs(1));
    figures.contended("ironlight, two threads", |_| call(&ours, false, now));
    let failed = CircuitBreaker::new(BreakerConfig::default(), 1);
    call(&failed, true, now);
    figures.contended("ironlight, two threads, failed", |_| call(&failed, false, now));
    let theirs = failsafe_in_a_row();
    figures.contended("failsafe, two threads, in a row", |_| theirs.call(|| answer(false)).is_ok());
    let theirs = failsafe_by_rate();
    figures.contended("failsafe, two threads, rate", |_| theirs.call(|| answer(false)).is_ok());
    let theirs = recloser_by_rate();
    figures.contended("recloser, two threads", |_| theirs.call(|| answer(false)).is_ok());
}

criterion_group! { name = benches; config = config(); targets = breaker }
criterion_main!(benches);
