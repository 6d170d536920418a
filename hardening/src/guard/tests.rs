//! What a guard does with operations of each kind.

use core::future::{Future, Ready, pending, ready};
use core::pin::pin;
use core::task::{Context, Waker};
use core::time::Duration;
use std::io::{Error as IoError, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tower::{ServiceExt, service_fn};

use super::*;
use crate::bulkhead::{Bulkhead, BulkheadLimits};
use crate::by_hand::yield_now;
use crate::circuit_breaker::{BreakerConfig, CircuitBreaker, CircuitState};
use crate::clock::{Clock, ManualClock, MonotonicClock, TokioTimer};
use crate::error::{Classified, Classify, Error, ErrorClass};
use crate::fallback::NoAnswer;
use crate::rate_limit::Quota;
use crate::retry::{GaveUp, Jitter, RetryPolicy};
use crate::testing::Numbers;

const SECOND: Duration = Duration::from_secs(1);

fn reset() -> IoError {
    IoError::from(ErrorKind::ConnectionReset)
}

/// Without chance: pauses of 1, 2 and 4 seconds.
fn policy() -> RetryPolicy {
    RetryPolicy { max_attempts: 4, jitter: Jitter::None, ..RetryPolicy::CONSERVATIVE }
}

fn breaker() -> CircuitBreaker {
    let config = BreakerConfig { jitter_percent: 0, half_open_permits: 1, ..Default::default() };
    CircuitBreaker::new(config, 1)
}

fn one_at_a_time() -> Bulkhead {
    Bulkhead::new(BulkheadLimits { concurrent: 1, queue: 1 })
}

fn class<T>(done: Result<T, Error<IoError>>) -> &'static str {
    done.map_or_else(|error| error.class().name(), |_| "ok")
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_called_again_until_it_works() {
    let get = Guard::new("price").retry(policy());
    let (start, mut calls) = (get.clock.now(), 0);
    let done = get.call(|| {
        calls += 1;
        ready(if calls < 4 { Err(reset()) } else { Ok(calls) })
    });
    assert_eq!(done.await.unwrap(), 4);
    assert_eq!(get.clock.now() - start, 7 * SECOND);
    let stats = get.handle().status().retry;
    assert_eq!((stats.requests, stats.retries, stats.recovered, stats.gave_up), (1, 3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_happens_before_a_call_is_polled() {
    let get = Guard::new("price").limit(Quota::per_minute(1));
    let mut calls = 0;
    drop(get.call(|| {
        calls += 1;
        ready(Ok::<_, IoError>(()))
    }));
    assert_eq!(calls, 0);
    assert_eq!(class(get.once(ready(Ok(()))).await), "ok", "the token is still there");
    assert_eq!(class(get.once(ready(Ok(()))).await), "rate_limited");
}

#[tokio::test(start_paused = true)]
async fn async_closures_borrow_and_their_futures_go_to_other_threads() {
    let get = Guard::new("price").retry(policy());
    let table = vec![5, 6, 7];
    assert_eq!(get.call(async || Ok::<_, IoError>(table[2])).await.unwrap(), 7);
    let (get, shared) = (get.clone(), Arc::new(table));
    let call = async move { get.call(async || Ok::<_, IoError>(shared[0])).await };
    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_judged_and_limited_and_the_fallback_comes_last() {
    let get = Guard::new("price")
        .fallback(|error: Error<IoError>| Ok(error.class().name()))
        .limit(Quota { burst: 3, per: Duration::from_secs(3600) })
        .breaker(breaker())
        .retry(policy());
    let mut asked = 0;
    let done = get.call(|| {
        asked += 1;
        ready(Err(reset()))
    });
    assert_eq!(done.await.unwrap(), "rate_limited", "the fourth attempt is over the limit");
    assert_eq!(asked, 3);
    let status = get.handle().status();
    assert_eq!((status.fallbacks, status.retry.gave_up), (1, 1));
    assert_eq!(status.limiter.unwrap().refused, 1);
    assert_eq!(status.breaker.unwrap().consecutive_failures, 3, "our own refusal blames nobody");
}

#[tokio::test(start_paused = true)]
async fn what_is_permanent_has_no_other_answer_unless_asked_for() {
    let denied = || ready(Err(IoError::from(ErrorKind::PermissionDenied)));
    let get = Guard::new("price").fallback(|_: Error<IoError>| Ok(0));
    assert_eq!(class(get.call(denied).await), "permanent");
    let always = get.clone().fallback_for(|_| true);
    assert_eq!(always.call(denied).await.unwrap(), 0);
    assert_eq!(get.handle().status().fallbacks, 1, "counted together");
}

#[tokio::test(start_paused = true)]
async fn clones_share_their_state_and_a_changed_one_what_was_not_replaced() {
    let get = Guard::new("price").breaker(breaker()).limit(Quota::per_minute(7));
    let other = get.clone().retry(RetryPolicy::QUICK).limit(Quota::per_minute(1));
    for _ in 0..5 {
        assert_eq!(class(get.call(|| ready(Err::<(), _>(reset()))).await), "temporary");
    }
    assert_eq!(class(other.once(ready(Ok(()))).await), "circuit_open");
    assert_eq!(class(other.once(ready(Ok(()))).await), "rate_limited");
    assert_eq!(class(get.once(ready(Ok(()))).await), "circuit_open", "its limit is its own");
    get.circuit_breaker().unwrap().reset(get.clock.now());
    assert_eq!(class(get.once(ready(Ok(()))).await), "ok");
    assert_eq!(get.handle().status().retry.requests, 9);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_cannot_be_made_again_is_run_once() {
    let why = Arc::new(AtomicU32::new(0));
    let heard = Arc::clone(&why);
    let send = Guard::new("upload").retry(policy()).on_gave_up(move |gave_up, context| {
        assert_eq!((gave_up, context.attempts), (GaveUp::NotRepeatable, 1));
        heard.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(class(send.once(async { Err::<(), _>(reset()) }).await), "temporary");
    assert_eq!(why.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn attempts_and_the_whole_have_their_time() {
    let get = Guard::new("price").retry(policy()).attempt_timeout(3 * SECOND).timeout(8 * SECOND);
    let start = get.clock.now();
    assert_eq!(class(get.call(pending::<Result<(), IoError>>).await), "timeout");
    // Three seconds, a pause of one, three again; after a pause of two there is no time left.
    assert_eq!(get.clock.now() - start, 7 * SECOND);
    assert_eq!(get.handle().status().timeouts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_is_guarded_like_a_closure() {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let flaky = service_fn(move |n: u32| {
        let first = counter.fetch_add(1, Ordering::Relaxed) == 0;
        ready(if first { Err(reset()) } else { Ok(n + 1) })
    });
    let guard = Guard::new("add").retry(policy()).bulkhead(one_at_a_time(), SECOND);
    assert_eq!(guard.service(flaky, |n: &u32| Some(*n)).oneshot(1).await.unwrap(), 2);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(guard.handle().status().bulkhead.unwrap().inside, 0);
}

#[tokio::test(start_paused = true)]
async fn types_can_be_named() {
    type Reply = Ready<Result<u32, IoError>>;
    struct Waiting {
        call: Calling<fn() -> Reply, TokioTimer, NoAnswer>,
        once: CallingOnce<Reply, TokioTimer, NoAnswer>,
    }
    let get: Guard<TokioTimer> = Guard::new("price");
    let waiting = Waiting { call: get.call(|| ready(Ok(1))), once: get.once(ready(Ok(2))) };
    assert_eq!((waiting.call.await.unwrap(), waiting.once.await.unwrap()), (1, 2));
}

/// A guard whose breaker is half-open, with one permit, and whose bulkhead has one place.
async fn half_open() -> Guard<TokioTimer> {
    let get = Guard::new("price").retry(policy()).breaker(breaker());
    let get = get.bulkhead(one_at_a_time(), 10 * SECOND).limit(Quota::per_minute(1000));
    let refused = get.clone().retry(RetryPolicy { max_attempts: 1, ..policy() });
    for _ in 0..5 {
        assert!(refused.call(|| ready(Err::<(), _>(reset()))).await.is_err());
    }
    tokio::time::advance(61 * SECOND).await;
    get
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_it_keeps_no_place_and_no_probe() {
    let mut ended = 0;
    for (polls, waits) in (0..14).flat_map(|polls| [(polls, false), (polls, true)]) {
        let get = half_open().await;
        let handle = get.handle();
        let bulkhead = get.parts.bulkhead.as_ref().map(|(bulkhead, _)| bulkhead.clone()).unwrap();
        let mut place = waits.then(|| bulkhead.try_enter().unwrap());
        let mut attempts = 0;
        {
            // Two awaits in each attempt. The first fails without blame and is tried again.
            let mut call = pin!(get.call(|| {
                attempts += 1;
                let limited = ErrorClass::RateLimited { retry_after: None };
                let reply = Classified { error: "not yet", class: limited };
                let reply = if attempts == 1 { Err(reply) } else { Ok(()) };
                async move {
                    yield_now().await;
                    yield_now().await;
                    reply
                }
            }));
            for _ in 0..polls {
                if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    ended += 1;
                    break;
                }
                place = None;
                tokio::time::advance(SECOND).await;
            }
        }
        drop(place);
        let status = handle.status();
        let bulkhead = status.bulkhead.unwrap();
        assert_eq!((bulkhead.inside, bulkhead.waiting), (0, 0), "{polls} {waits}");
        assert_eq!(status.breaker.unwrap().probes, 0, "{polls} {waits}");
        assert_eq!(class(get.once(ready(Ok(()))).await), "ok", "{polls} {waits}");
    }
    assert!((1..26).contains(&ended), "some were dropped and some came to their end: {ended}");
}

#[test]
fn a_blocking_closure_is_called_again_and_the_thread_waits_in_between() {
    let clock = ManualClock::default();
    let get = Guard::with_clock("price", clock.clone()).retry(policy());
    let mut calls = 0;
    let done = get.call_blocking(|| {
        calls += 1;
        if calls < 4 { Err(reset()) } else { Ok(calls) }
    });
    assert_eq!(done.unwrap(), 4);
    assert_eq!(clock.now(), 7 * SECOND);
}

#[test]
fn what_blocks_is_not_broken_off_but_nothing_begins_too_late() {
    let clock = ManualClock::default();
    let get = Guard::with_clock("price", clock.clone()).retry(policy()).timeout(5 * SECOND);
    let slow = |answer: fn() -> Result<u32, IoError>| {
        get.call_blocking(|| {
            clock.advance(4 * SECOND);
            answer()
        })
    };
    assert_eq!(slow(|| Ok(1)).unwrap(), 1);
    assert_eq!(class(slow(|| Err(reset()))), "temporary");
    assert_eq!(get.handle().status().retry.retries, 0, "a second would begin after five seconds");
    let get = get.attempt_timeout(SECOND);
    let done = get.call_blocking(|| {
        clock.advance(4 * SECOND);
        Ok::<_, IoError>(2)
    });
    assert_eq!(done.unwrap(), 2);
}

#[test]
fn a_thread_that_waits_for_a_place_is_woken_when_there_is_one() {
    let bulkhead = one_at_a_time();
    let read = Guard::for_threads("file").bulkhead(bulkhead.clone(), Duration::from_secs(3600));
    let place = bulkhead.try_enter().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| read.call_blocking(|| Ok::<_, IoError>(7)));
        while bulkhead.status().waiting == 0 {
            std::thread::yield_now();
        }
        drop(place);
        assert_eq!(waiting.join().unwrap().unwrap(), 7);
    });
    assert_eq!(bulkhead.status().inside, 0);
}

#[test]
fn a_thread_waits_for_a_place_only_so_long() {
    let (clock, bulkhead) = (ManualClock::default(), one_at_a_time());
    let read = Guard::with_clock("file", clock.clone()).bulkhead(bulkhead.clone(), 5 * SECOND);
    let _place = bulkhead.try_enter().unwrap();
    assert_eq!(class(read.call_blocking(|| Ok(()))), "overloaded");
    assert_eq!(clock.now(), 5 * SECOND);
    assert_eq!(bulkhead.status().waiting, 0);
}

#[test]
fn an_operation_that_panics_gives_its_place_and_its_probe_back() {
    let clock = ManualClock::default();
    let get = Guard::with_clock("price", clock.clone())
        .breaker(breaker())
        .bulkhead(one_at_a_time(), SECOND);
    for _ in 0..5 {
        assert!(get.call_blocking(|| Err::<(), _>(reset())).is_err());
    }
    clock.advance(61 * SECOND);
    let panics = || get.call_blocking(|| -> Result<(), IoError> { panic!("on purpose") });
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    let status = get.handle().status();
    assert_eq!(status.breaker.unwrap().probes, 0);
    assert_eq!(status.bulkhead.unwrap().inside, 0);
    assert_eq!(class(get.call_blocking(|| Ok(()))), "ok");
}

#[tokio::test(start_paused = true)]
async fn threads_share_all_state_with_tasks() {
    let get = Guard::new("price").breaker(breaker());
    let threads: Guard<MonotonicClock> = get.on_threads();
    for _ in 0..5 {
        assert_eq!(class(threads.call_blocking(|| Err::<(), _>(reset()))), "temporary");
    }
    assert_eq!(get.circuit_breaker().unwrap().state(), CircuitState::Open);
    assert_eq!(class(get.once(ready(Ok(()))).await), "circuit_open");
}

/// An operation by chance: how long it takes, and how it ends.
fn operation(numbers: &mut Numbers) -> (Duration, Result<u64, Classified<u64>>) {
    let takes = Duration::from_millis(numbers.below(3000));
    let limited = ErrorClass::RateLimited { retry_after: Some(SECOND) };
    let classes = [ErrorClass::Temporary, ErrorClass::Permanent, ErrorClass::Overloaded, limited];
    let error = numbers.below(1000);
    let class = classes.get(usize::try_from(numbers.below(12)).unwrap()).copied();
    (takes, class.map_or(Ok(error), |class| Err(Classified { error, class })))
}

fn guarded<C: Clock>(clock: C) -> Guard<C> {
    let config = BreakerConfig { jitter_percent: 0, open_for: 9 * SECOND, ..Default::default() };
    Guard::with_clock("price", clock)
        .retry(policy())
        .limit(Quota::per_minute(30))
        .bulkhead(one_at_a_time(), SECOND)
        .breaker(CircuitBreaker::new(config, 1))
}

#[tokio::test(start_paused = true)]
async fn blocking_calls_and_others_have_equal_ends_at_equal_times() {
    let (mut trips, mut over) = (0, 0);
    for seed in 0..20 {
        let clock = ManualClock::default();
        let (threads, tasks) = (guarded(clock.clone()), guarded(TokioTimer::new()));
        let (mut one, mut two) = (Numbers(seed), Numbers(seed));
        for _ in 0..200 {
            let blocking = threads.call_blocking(|| {
                let (takes, done) = operation(&mut one);
                clock.advance(takes);
                done
            });
            let other = tasks.call(|| {
                let (takes, done) = operation(&mut two);
                async move {
                    tokio::time::sleep(takes).await;
                    done
                }
            });
            assert_eq!(blocking, other.await, "seed {seed}");
            assert_eq!(clock.now(), tasks.clock.now(), "seed {seed}");
            assert_eq!(threads.handle().status(), tasks.handle().status(), "seed {seed}");
        }
        let status = tasks.handle().status();
        trips += status.breaker.unwrap().generation;
        over += status.limiter.unwrap().refused;
    }
    assert!(trips > 0 && over > 0, "breaker and limiter had something to say: {trips} {over}");
}
