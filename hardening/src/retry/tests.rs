//! Closures that are retried, blocking and not, in paused time.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::{GaveUp, Jitter, RetryBudget, RetryEvent, RetryPolicy, retry, retry_blocking};
use crate::error::{Classify, ErrorClass, Rejected};
use crate::{Clock, ManualClock, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

/// Fails as it says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Failure(ErrorClass);

impl Classify for Failure {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

const TEMPORARY: Failure = Failure(ErrorClass::Temporary);
const PERMANENT: Failure = Failure(ErrorClass::Permanent);

/// Pauses of 1, 2, 4, 8, 8, ... seconds.
fn exact(max_attempts: u32) -> RetryPolicy {
    RetryPolicy { jitter: Jitter::None, ..RetryPolicy::new(max_attempts, SECOND, 8 * SECOND) }
}

#[test]
fn the_presets_are_what_they_say() {
    let of = |policy: RetryPolicy| {
        (policy.max_attempts, policy.base.as_millis(), policy.cap.as_secs(), policy.factor)
    };
    assert_eq!(of(RetryPolicy::AGGRESSIVE), (5, 200, 10, 2));
    assert_eq!(of(RetryPolicy::CONSERVATIVE), (3, 1000, 5, 2));
    assert_eq!(of(RetryPolicy::QUICK), (2, 100, 1, 2));
    assert_eq!(of(RetryPolicy::default()), (3, 500, 5, 2));
    assert_eq!(RetryPolicy::default().jitter, Jitter::Full);
}

#[test]
fn a_blocking_retry_pauses_longer_and_longer_and_keeps_the_last_ten_errors() {
    let clock = ManualClock::default();
    let mut calls = 0;
    let failed = retry_blocking(&clock, &exact(25), || {
        calls += 1;
        Err::<(), _>(TEMPORARY)
    });
    let failed = failed.unwrap_err();
    assert_eq!((calls, failed.gave_up, failed.error), (25, GaveUp::Attempts, TEMPORARY));
    assert_eq!(clock.now(), (1 + 2 + 4 + 21 * 8) * SECOND);
    assert_eq!(failed.context.waited, clock.now());
    let kept: Vec<_> = failed.context.errors.iter().map(|error| error.attempt).collect();
    assert_eq!(kept, (16..=25).collect::<Vec<_>>());
    assert_eq!(failed.context.errors[9].at, clock.now());
    assert_eq!(failed.context.errors[8].at, clock.now() - 8 * SECOND);
}

#[test]
fn what_will_fail_again_is_tried_once() {
    let clock = ManualClock::default();
    let mut replies = VecDeque::from([Err(TEMPORARY), Err(PERMANENT), Ok(())]);
    let failed = retry_blocking(&clock, &exact(9), || replies.pop_front().unwrap());
    assert_eq!(failed.unwrap_err().gave_up, GaveUp::Permanent);
    assert_eq!(replies.len(), 1);
    let mut replies = VecDeque::from([Err(PERMANENT), Ok(())]);
    let failed = retry_blocking(&clock, &RetryPolicy::AGGRESSIVE, || replies.pop_front().unwrap());
    assert_eq!(failed.unwrap_err().context.attempts, 1);
}

#[test]
fn no_retry_begins_at_or_after_the_deadline() {
    for (deadline, calls) in [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4)] {
        let clock = ManualClock::default();
        clock.advance(5 * SECOND);
        let policy = RetryPolicy { deadline: Some(deadline * SECOND), ..exact(9) };
        let failed = retry_blocking(&clock, &policy, || Err::<(), _>(TEMPORARY)).unwrap_err();
        assert_eq!((failed.gave_up, failed.context.attempts), (GaveUp::Deadline, calls));
    }
}

#[test]
fn a_zero_of_attempts_is_one_and_a_cap_below_the_base_holds() {
    let clock = ManualClock::default();
    let failed = retry_blocking(&clock, &exact(0), || Err::<(), _>(TEMPORARY));
    assert_eq!(failed.unwrap_err().context.attempts, 1);
    let policy = RetryPolicy { cap: SECOND / 4, ..exact(3) };
    let failed = retry_blocking(&clock, &policy, || Err::<(), _>(TEMPORARY));
    assert_eq!(failed.unwrap_err().context.waited, SECOND / 2);
}

#[test]
fn the_budget_stops_retries_when_all_requests_fail() {
    let budget = RetryBudget::new(20, 10);
    let clock = ManualClock::default();
    let policies = [exact(3), RetryPolicy::AGGRESSIVE].map(|p| p.with_budget(budget.clone()));
    let mut calls = 0;
    let mut out_of_budget = 0;
    for n in 0..1000 {
        let failed = retry_blocking(&clock, &policies[n % 2], || {
            calls += 1;
            Err::<(), _>(TEMPORARY)
        });
        out_of_budget += u32::from(failed.unwrap_err().gave_up == GaveUp::Budget);
    }
    // 1,000 requests, 200 retries for them and 10 from the reserve, which was full at first.
    assert!((1200..=1210).contains(&calls), "{calls}");
    assert!(out_of_budget > 900, "{out_of_budget}");
}

#[test]
fn a_refusal_that_never_ends_is_not_waited_for() {
    let clock = ManualClock::default();
    let never = Rejected::RateLimited { retry_after: Duration::MAX };
    let failed = retry_blocking(&clock, &exact(3), || Err::<(), _>(never));
    assert_eq!(failed.unwrap_err().gave_up, GaveUp::RetryAfter);
    assert_eq!(clock.now(), Duration::ZERO);
}

#[test]
fn requests_without_a_seed_draw_pauses_of_their_own() {
    let pauses = |_| {
        let clock = ManualClock::default();
        let quick = RetryPolicy::QUICK;
        let failed = retry_blocking(&clock, &quick, || Err::<(), _>(TEMPORARY));
        failed.unwrap_err().context.waited
    };
    let all: std::collections::HashSet<_> = (0..100).map(pauses).collect();
    assert!(all.len() > 90, "{} of 100 differ", all.len());
    assert!(all.iter().all(|&pause| pause <= SECOND / 10));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_on_top_of_the_pause_and_listeners_hear_of_it() {
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    let limited = Failure(ErrorClass::RateLimited { retry_after: Some(30 * SECOND) });
    let policy = exact(3)
        .on_retry(|_| panic!("a listener of no use"))
        .on_retry(move |event| heard.lock().unwrap().push(*event));
    let timer = TokioTimer::new();
    let mut replies = VecDeque::from([Err(limited), Err(TEMPORARY), Ok(5)]);
    let answer = retry(timer, policy, || {
        let reply = replies.pop_front().unwrap();
        async move {
            tokio::time::sleep(SECOND).await;
            reply
        }
    });
    assert_eq!(answer.await, Ok(5));
    let second = 1 + 31 + 1;
    let expected = [
        RetryEvent { attempt: 1, class: limited.0, at: SECOND, delay: 31 * SECOND },
        RetryEvent { attempt: 2, class: TEMPORARY.0, at: second * SECOND, delay: 2 * SECOND },
    ];
    assert_eq!(*events.lock().unwrap(), expected);
    assert_eq!(timer.now(), (second + 2 + 1) * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_at_any_poll_calls_no_more() {
    for polls in 0..8 {
        let calls = AtomicU32::new(0);
        let running = AtomicU32::new(0);
        let mut retrying = Box::pin(retry(TokioTimer::new(), exact(4), || {
            calls.fetch_add(1, Ordering::Relaxed);
            running.fetch_add(1, Ordering::Relaxed);
            let guard = Guard(&running);
            async move {
                tokio::task::yield_now().await;
                drop(guard);
                Err::<(), _>(TEMPORARY)
            }
        }));
        for _ in 0..polls {
            let mut once = retrying.as_mut();
            let polled = std::future::poll_fn(|context| {
                std::task::Poll::Ready(once.as_mut().poll(context).is_ready())
            });
            assert!(!polled.await);
            tokio::time::advance(8 * SECOND).await;
        }
        drop(retrying);
        assert_eq!(running.load(Ordering::Relaxed), 0, "after {polls} polls");
        let expected = [0, 1, 1, 2, 2, 3, 3, 4];
        assert_eq!(calls.load(Ordering::Relaxed), expected[polls], "after {polls} polls");
    }
}

struct Guard<'a>(&'a AtomicU32);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
