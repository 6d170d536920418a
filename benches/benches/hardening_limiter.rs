//! What a rate limiter costs a request that is granted: one bucket, and one of many by key.

#![allow(clippy::panic, reason = "a bench that cannot start ends")]

#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::NonZeroU32;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, ask, config, runtime, scattered};
use governor::clock::{DefaultClock, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use ironlight_hardening::rate_limit::{Gcra, Quota, RateLimitLayer, RateLimiter};
use ironlight_hardening::stamp::{BareLayer, StampLayer};
use ironlight_hardening::{Clock, MonotonicClock};
use tower::{Service, ServiceBuilder, service_fn};
use tower_resilience::ratelimiter::{RateLimiterLayer, WindowType};

/// Keys that are asked for.
const KEYS: u64 = 1_000;
/// So much that nothing is ever refused while it is timed.
const PLENTY: u32 = 1_000_000_000;

type Free<C> = NoOpMiddleware<<C as governor::clock::Clock>::Instant>;
type Keyed<C> = governor::RateLimiter<u64, DashMapStateStore<u64>, C, Free<C>>;
type Direct<C> = governor::RateLimiter<NotKeyed, InMemoryState, C, Free<C>>;

fn key(number: u64) -> u64 {
    scattered(number) % KEYS
}

fn governor_quota(tokens: u32) -> governor::Quota {
    governor::Quota::per_second(NonZeroU32::new(tokens).unwrap_or(NonZeroU32::MIN))
}

fn governor_keyed<C: governor::clock::Clock>(tokens: u32, clock: C) -> Keyed<C> {
    governor::RateLimiter::new(governor_quota(tokens), DashMapStateStore::default(), clock)
}

fn governor_direct<C: governor::clock::Clock>(tokens: u32, clock: C) -> Direct<C> {
    governor::RateLimiter::direct_with_clock(governor_quota(tokens), clock)
}

/// A service that is always ready with an answer.
fn service()
-> impl Service<u64, Response = u64, Error = Infallible, Future = Ready<Result<u64, Infallible>>>
+ Clone
+ Send
+ 'static {
    service_fn(|number| ready(Ok(number)))
}

/// Whether a request was answered.
fn answered(service: &mut impl Service<u64>, number: u64) -> bool {
    ask(service, number).is_some_and(|done| done.is_ok())
}

/// Both refuse and grant the same requests, one by one, by key and without.
fn assert_equal_grants() {
    let tokens = 10;
    for seed in 0..50 {
        let clock = FakeRelativeClock::default();
        let ours = RateLimiter::new(Quota::per_second(tokens));
        let theirs = governor_keyed(tokens, clock.clone());
        let mut one = Gcra::new(Quota::per_second(tokens));
        let their_one = governor_direct(tokens, clock.clone());
        let (mut now, mut granted, mut refused) = (Duration::ZERO, 0, 0);
        for number in 0..5_000 {
            let random = scattered(seed << 32 | number);
            let step = Duration::from_nanos(random % 40_000_000);
            clock.advance(step);
            now += step;
            let key = random >> 60;
            let ours = ours.check(&key, 1, now).is_ok();
            assert_eq!(ours, theirs.check_key(&key).is_ok(), "seed {seed}, request {number}");
            let one = one.check(1, now).is_ok();
            assert_eq!(one, their_one.check().is_ok(), "seed {seed}, request {number}");
            granted += u32::from(ours) + u32::from(one);
            refused += u32::from(!ours) + u32::from(!one);
        }
        assert!(granted > 1_000 && refused > 100, "seed {seed}: {granted} and {refused}");
    }
}

/// Of a burst at one moment each layer lets as many through.
fn assert_equal_bursts() {
    let limiter = RateLimiter::new(Quota::per_minute(60));
    let mut ours = ServiceBuilder::new()
        .layer(StampLayer::new(ironlight_hardening::ManualClock::default()))
        .layer(RateLimitLayer::new(limiter, |_: &u64| Some(0_u64)))
        .layer(BareLayer)
        .service(service());
    let mut resilience = tower::Layer::layer(&resilience(60, 60), service());
    let mut tower = tower::limit::RateLimit::new(
        service(),
        tower::limit::rate::Rate::new(60, Duration::from_secs(60)),
    );
    let through = [
        (0..100).filter(|number| answered(&mut ours, *number)).count(),
        (0..100).filter(|number| answered(&mut resilience, *number)).count(),
        (0..100).filter(|number| answered(&mut tower, *number)).count(),
    ];
    assert_eq!(through, [60; 3]);
}

/// A token bucket too, in their words; who is over the limit is refused at once.
fn resilience(tokens: usize, seconds: u64) -> RateLimiterLayer {
    let builder = RateLimiterLayer::builder()
        .limit_for_period(tokens)
        .refresh_period(Duration::from_secs(seconds))
        .timeout_duration(Duration::ZERO)
        .window_type(WindowType::Fixed);
    match builder.build() {
        Ok(layer) => layer,
        Err(error) => panic!("{error}"),
    }
}

fn limiter(criterion: &mut Criterion) {
    // tower's layers make timers.
    let runtime = runtime();
    let _inside = runtime.enter();
    assert_equal_grants();
    assert_equal_bursts();
    let mut figures = Figures::new(criterion, "hardening_limiter");
    let clock = MonotonicClock::new();
    by_key(&mut figures, clock);
    without_key(&mut figures, clock);
    layers(&mut figures, clock);
    two_threads(&mut figures);
    figures.finish();
}

fn by_key(figures: &mut Figures<'_>, clock: MonotonicClock) {
    figures.section("one of 1,000 keys; the time is given");
    let (ours, now) = (RateLimiter::new(Quota::per_second(PLENTY)), clock.now());
    figures.time("ironlight, keyed", |number| ours.check(&key(number), 1, now));
    figures.goal(40.0);
    let theirs = governor_keyed(PLENTY, FakeRelativeClock::default());
    figures.time("governor, keyed", |number| theirs.check_key(&key(number)).is_ok());
    figures.section("one of 1,000 keys, with a clock read");
    figures.time("ironlight, keyed, clock", |number| ours.check(&key(number), 1, clock.now()));
    let theirs = governor_keyed(PLENTY, DefaultClock::default());
    figures.time("governor, keyed, clock", |number| theirs.check_key(&key(number)).is_ok());
    figures.section("one of 1,000 keys, two windows; the time is given");
    let both = [Quota::per_second(PLENTY), Quota::per_hour(PLENTY)];
    let ours = RateLimiter::new(both);
    figures.time("ironlight, keyed, two windows", |number| ours.check(&key(number), 1, now));
    let [first, second] = both.map(|_| governor_keyed(PLENTY, FakeRelativeClock::default()));
    figures.time("governor, keyed, two limiters", |number| {
        let key = key(number);
        first.check_key(&key).is_ok() && second.check_key(&key).is_ok()
    });
}

fn without_key(figures: &mut Figures<'_>, clock: MonotonicClock) {
    figures.section("one bucket; the time is given");
    let (mut ours, now) = (Gcra::new(Quota::per_second(PLENTY)), clock.now());
    figures.time("ironlight, one bucket", |_| ours.check(1, now));
    let theirs = governor_direct(PLENTY, FakeRelativeClock::default());
    figures.time("governor, one bucket", |_| theirs.check().is_ok());
}

fn layers(figures: &mut Figures<'_>, clock: MonotonicClock) {
    figures.section("as a tower layer: ready and call");
    let limiter = RateLimiter::new(Quota::per_second(PLENTY));
    let mut ours = ServiceBuilder::new()
        .layer(StampLayer::new(clock))
        .layer(RateLimitLayer::new(limiter, |number: &u64| Some(key(*number))))
        .layer(BareLayer)
        .service(service());
    figures.time("ironlight, layer by key", |number| answered(&mut ours, number));
    let rate = tower::limit::rate::Rate::new(u64::from(PLENTY), Duration::from_secs(1));
    let mut theirs = tower::limit::RateLimit::new(service(), rate);
    figures.time("tower, layer without keys", |number| answered(&mut theirs, number));
    let layer = resilience(usize::try_from(PLENTY).unwrap_or(usize::MAX), 1);
    let mut theirs = tower::Layer::layer(&layer, service());
    figures.time("tower-resilience, layer without keys", |number| answered(&mut theirs, number));
}

fn two_threads(figures: &mut Figures<'_>) {
    let now = Duration::from_secs(1);
    figures.section("two threads, 1,000 keys; the time is given");
    let ours = RateLimiter::new(Quota::per_second(PLENTY));
    figures.contended("ironlight, two threads", |number| ours.check(&key(number), 1, now));
    let theirs = governor_keyed(PLENTY, FakeRelativeClock::default());
    figures.contended("governor, two threads", |number| theirs.check_key(&key(number)).is_ok());
    figures.section("two threads, one key; the time is given");
    let ours = RateLimiter::new(Quota::per_second(PLENTY));
    figures.contended("ironlight, two threads, one key", |_| ours.check(&7_u64, 1, now));
    let theirs = governor_keyed(PLENTY, FakeRelativeClock::default());
    figures.contended("governor, two threads, one key", |_| theirs.check_key(&7).is_ok());
}

criterion_group! { name = benches; config = config(); targets = limiter }
criterion_main!(benches);
