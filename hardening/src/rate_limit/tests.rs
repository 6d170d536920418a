//! The keyed limiter's other promises, and the layers.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{IpKey, Limit, Quota, RateLimitLayer, RateLimiter, RateLimiterConfig, RetryAfter};
use crate::error::{Error, Rejected};
use crate::stamp::Stamped;
use crate::{Clock, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

fn one_a_second() -> Quota {
    Quota { burst: 1, per: SECOND }
}

#[test]
fn all_windows_have_to_agree_and_a_refusal_takes_from_none() {
    let limiter = RateLimiter::new([Quota::per_minute(60), Quota::per_hour(90)]);
    assert_eq!(limiter.check(&1, 60, Duration::ZERO), Ok(()));
    let minute = 60 * SECOND;
    // The first window is full again, the second has 30 and two halves.
    assert_eq!(limiter.remaining(&1, minute), 31);
    assert_eq!(limiter.check(&1, 32, minute), Err(RetryAfter(20 * SECOND)));
    assert_eq!(limiter.remaining(&1, minute), 31);
    assert_eq!(limiter.check(&1, 31, minute), Ok(()));
    assert_eq!(limiter.check(&1, 61, minute), Err(RetryAfter(Duration::MAX)));
}

#[test]
fn the_tightest_window_is_the_one_that_is_told() {
    let limiter = RateLimiter::new([Quota::per_minute(60), Quota::per_hour(90)]);
    limiter.check(&1, 40, Duration::ZERO).unwrap();
    let left = limiter.left(&1, Duration::ZERO);
    assert_eq!((left.quota, left.remaining), (Quota::per_minute(60), 20));
    assert_eq!(left.full_in, 40 * SECOND);
    let left = limiter.left(&1, 40 * SECOND);
    assert_eq!((left.quota, left.remaining), (Quota::per_hour(90), 51));
}

#[test]
fn a_limit_changes_live_and_what_is_owed_stays_owed() {
    let limiter = RateLimiter::new(Quota::per_minute(60));
    limiter.check(&"alice", 50, Duration::ZERO).unwrap();
    limiter.set_limit(Quota::per_minute(120), Duration::ZERO);
    assert_eq!(limiter.remaining(&"alice", Duration::ZERO), 70);
    assert_eq!(limiter.remaining(&"bob", Duration::ZERO), 120);
    limiter.set_limit_of(&"alice", Quota::per_minute(1000), Duration::ZERO);
    assert_eq!(limiter.remaining(&"alice", Duration::ZERO), 950);
    assert!(limiter.clear_limit_of(&"alice", Duration::ZERO));
    assert_eq!(limiter.remaining(&"alice", Duration::ZERO), 70);
    limiter.set_limit(Limit::from([Quota::per_minute(60), Quota::per_hour(100)]), Duration::ZERO);
    assert_eq!(limiter.remaining(&"alice", Duration::ZERO), 10);
}

#[test]
fn keys_whose_buckets_are_full_are_forgotten() {
    let limiter = RateLimiter::new(one_a_second());
    for key in 0..5000 {
        limiter.check(&key, 1, Duration::ZERO).unwrap();
    }
    assert_eq!(limiter.stats().keys, 5000);
    assert_eq!(limiter.clean(SECOND / 2), 0);
    // By itself, as new keys come.
    for key in 5000..15_000 {
        limiter.check(&key, 1, 2 * SECOND).unwrap();
    }
    assert_eq!(limiter.stats().keys, 10_000);
    assert_eq!(limiter.clean(4 * SECOND), 10_000);
    let stats = limiter.stats();
    assert_eq!((stats.keys, stats.cleaned, stats.granted), (0, 15_000, 15_000));
}

#[test]
fn a_key_that_leaves_a_shared_bucket_takes_its_debt_along() {
    let config = RateLimiterConfig { max_keys: 1, shards: 1, shared: 1 };
    let limiter = RateLimiter::with_config(Quota { burst: 4, per: SECOND }, config);
    limiter.check(&0, 1, Duration::ZERO).unwrap();
    assert_eq!(limiter.check(&1, 4, Duration::ZERO), Ok(()), "key 1 has to share");
    assert!(limiter.check(&2, 1, Duration::ZERO).is_err(), "with key 2");
    assert!(!limiter.reset(&1), "a shared bucket is not filled for one");
    // Key 0's bucket is full: there is room. A new bucket would have 4.
    assert_eq!(limiter.remaining(&1, 2 * SECOND), 2);
    assert_eq!(limiter.check(&1, 1, 2 * SECOND), Ok(()));
    assert_eq!(limiter.remaining(&1, 2 * SECOND), 1);
    assert!(limiter.reset(&1), "now it has its own");
    assert_eq!(limiter.remaining(&1, 2 * SECOND), 4);
}

#[test]
fn limits_of_keys_that_share_a_bucket_change_with_their_debt() {
    let config = RateLimiterConfig { max_keys: 1, shards: 1, shared: 1 };
    let limiter = RateLimiter::with_config(Quota { burst: 10, per: SECOND }, config);
    limiter.check(&0, 10, Duration::ZERO).unwrap();
    limiter.check(&1, 4, Duration::ZERO).unwrap();
    assert_eq!(limiter.remaining(&2, Duration::ZERO), 6, "1 and 2 share");
    limiter.set_limit(Quota { burst: 20, per: SECOND / 2 }, Duration::ZERO);
    assert_eq!(limiter.remaining(&2, Duration::ZERO), 16);
    limiter.set_limit_of(&1, Quota { burst: 8, per: SECOND }, Duration::ZERO);
    assert_eq!(limiter.remaining(&1, Duration::ZERO), 4);
    limiter.check(&1, 4, Duration::ZERO).unwrap();
    assert_eq!(limiter.remaining(&2, Duration::ZERO), 16, "1 has its own now");
    assert!(limiter.clear_limit_of(&1, Duration::ZERO));
    assert_eq!(limiter.remaining(&2, Duration::ZERO), 12, "and brings its debt back");
    assert!(!limiter.clear_limit_of(&1, Duration::ZERO));
}

#[test]
fn keys_with_the_same_hash_have_buckets_of_their_own() {
    #[derive(Default)]
    struct Seven;
    impl core::hash::Hasher for Seven {
        fn finish(&self) -> u64 {
            7
        }
        fn write(&mut self, _: &[u8]) {}
    }
    let same = core::hash::BuildHasherDefault::<Seven>::default();
    let limiter = RateLimiter::with_hasher(one_a_second(), RateLimiterConfig::default(), same);
    for key in 0..100 {
        limiter.check(&key, 1, Duration::ZERO).unwrap();
        assert!(limiter.check(&key, 1, Duration::ZERO).is_err());
    }
}

#[test]
fn sizes_are_rounded_so_that_the_bound_holds() {
    for (max_keys, shards, rounded) in
        [(7, 4, (4, 4)), (7, 3, (6, 2)), (0, 0, (1, 1)), (3, 9, (2, 2))]
    {
        let config = RateLimiterConfig { max_keys, shards, shared: 0 };
        let limiter = RateLimiter::with_config(one_a_second(), config);
        let config = limiter.config();
        assert_eq!((config.max_keys, config.shards), rounded);
        assert_eq!(config.shared, config.shards, "at least one each");
        for key in 0..100 {
            let _ = limiter.check(&key, 1, Duration::ZERO);
        }
        assert!(limiter.stats().keys <= config.max_keys);
    }
}

#[test]
fn what_never_comes_back_is_not_granted_again() {
    let limiter = RateLimiter::new(Quota { burst: 1, per: Duration::MAX });
    assert_eq!(limiter.check(&1, 1, SECOND), Ok(()));
    assert_eq!(limiter.check(&1, 1, SECOND), Err(RetryAfter(Duration::MAX)));
}

#[test]
fn after_a_flood_the_first_newcomer_gets_a_bucket_of_its_own() {
    let config = RateLimiterConfig { max_keys: 1000, shards: 1, shared: 1 };
    let limiter = RateLimiter::with_config(Quota::per_minute(60), config);
    for key in 0..1100 {
        let _ = limiter.check(&key, 1, Duration::ZERO);
    }
    assert_eq!(limiter.stats().keys, 1000);
    limiter.check(&5000, 1, 2 * SECOND).unwrap();
    assert_eq!((limiter.stats().keys, limiter.stats().cleaned), (1, 1000));
}

#[test]
fn many_threads_together_get_one_bucket() {
    let limiter = RateLimiter::new(Quota { burst: 1000, per: SECOND });
    let granted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..2000_u32 {
                    if limiter.check(&(n % 4), 1, Duration::ZERO).is_ok() {
                        granted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(granted.into_inner(), 4000);
    assert_eq!(limiter.stats().granted + limiter.stats().refused, 16_000);
}

#[test]
fn an_ipv6_network_is_one_key() {
    let limiter = RateLimiter::new(one_a_second());
    let key = |text: &str| IpKey::from(text.parse::<std::net::IpAddr>().unwrap());
    limiter.check(&key("2001:db8:1:2::1"), 1, Duration::ZERO).unwrap();
    assert!(limiter.check(&key("2001:db8:1:2:ffff::9"), 1, Duration::ZERO).is_err());
    assert!(limiter.check(&key("2001:db8:1:3::1"), 1, Duration::ZERO).is_ok());
    // The same 64 bits as the network ::/64 would have.
    assert!(limiter.check(&key("0.0.0.1"), 1, Duration::ZERO).is_ok());
    assert!(limiter.check(&key("0:0:0:1::"), 1, Duration::ZERO).is_ok());
    assert!(limiter.check(&key("::ffff:0.0.0.1"), 1, Duration::ZERO).is_err(), "IPv4 inside");
    assert_eq!(key("192.0.2.7").to_string(), "192.0.2.7");
}

type Answer = Result<u32, Error<std::io::Error>>;

async fn echo(stamped: Stamped<u32>) -> Answer {
    Ok(stamped.request)
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a key function: None is not limited")]
fn same_for_all(_request: &u32) -> Option<()> {
    Some(())
}

#[tokio::test]
async fn refuses_by_key_and_cost_and_tells_a_listener_that_may_panic() {
    let limiter = RateLimiter::new(Quota { burst: 5, per: SECOND });
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    let layer = RateLimitLayer::new(limiter, |n: &u32| (*n != 99).then_some(n % 2))
        .with_cost(|n: &u32| *n)
        .on_refused(|_, _| panic!("a listener of no use"))
        .on_refused(move |key, _| {
            count.fetch_add(10 + key, Ordering::Relaxed);
        });
    // As on many routes: each has a service of its own.
    let ask = |n| layer.clone().layer(service_fn(echo)).oneshot(Stamped::new(n, Duration::ZERO));
    assert!(matches!(ask(5).await, Ok(5)));
    assert!(matches!(ask(99).await, Ok(99)), "exempt");
    assert!(matches!(ask(4).await, Ok(4)), "another key");
    let refused = ask(3).await.unwrap_err();
    assert!(
        matches!(refused, Error::Rejected(Rejected::RateLimited { retry_after }) if retry_after == 3 * SECOND)
    );
    assert_eq!(told.load(Ordering::Relaxed), 11);
}

#[tokio::test(start_paused = true)]
async fn waits_in_the_order_of_asking_up_to_patience_and_deadline() {
    let timer = TokioTimer::new();
    let limiter = RateLimiter::new(one_a_second());
    let layer = RateLimitLayer::new(limiter.clone(), same_for_all).waiting(timer, 3 * SECOND);
    let service = layer.layer(service_fn(echo));
    let start = Instant::now();
    let ask = |n, deadline| {
        let request = Stamped { request: n, at: timer.now(), deadline };
        let answer = service.clone().oneshot(request);
        async move { (answer.await.ok(), start.elapsed().as_secs()) }
    };
    // The third has no time for the second second, and its place goes to the fourth.
    let soon = Some(timer.now() + SECOND);
    let all = tokio::join!(
        ask(1, None),
        ask(2, None),
        ask(3, soon),
        ask(4, None),
        ask(5, None),
        ask(6, None)
    );
    let in_turn = [(Some(1), 0), (Some(2), 1), (None, 0), (Some(4), 2), (Some(5), 3), (None, 0)];
    assert_eq!([all.0, all.1, all.2, all.3, all.4, all.5], in_turn);
    assert_eq!(limiter.stats().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_has_the_time_at_which_it_goes_on() {
    let timer = TokioTimer::new();
    let layer = RateLimitLayer::new(RateLimiter::new(one_a_second()), same_for_all);
    let service =
        layer.waiting(timer, 3 * SECOND).layer(service_fn(async |stamped: Stamped<u32>| {
            Ok::<_, Error<std::io::Error>>(stamped.at)
        }));
    for second in 0..3 {
        let request = Stamped::new(1, Duration::ZERO);
        assert_eq!(service.clone().oneshot(request).await.unwrap(), second * SECOND);
    }
}

/// Answers at the third poll. It must be polled ready before each call.
struct Slow(Arc<AtomicU32>, bool);

impl Clone for Slow {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), false)
    }
}

impl Service<Stamped<u32>> for Slow {
    type Response = u32;
    type Error = Error<std::io::Error>;
    type Future = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.1 = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stamped: Stamped<u32>) -> Self::Future {
        assert!(core::mem::take(&mut self.1), "polled ready");
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            Ok(stamped.request)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_while_it_waits_gives_its_tokens_back_and_later_does_not() {
    let timer = TokioTimer::new();
    for polls in 0..6 {
        let limiter = RateLimiter::new(one_a_second());
        let calls = Arc::new(AtomicU32::new(0));
        let layer = RateLimitLayer::new(limiter.clone(), same_for_all).waiting(timer, 9 * SECOND);
        let mut service = layer.layer(Slow(Arc::clone(&calls), false));
        let now = timer.now();
        limiter.check(&(), 1, now).unwrap();
        let mut waiting = Box::pin(service.ready().await.unwrap().call(Stamped::new(7, now)));
        for poll in 0..polls {
            let done = futures_poll(waiting.as_mut()).await;
            assert_eq!(done.is_ready(), poll == 4, "{poll}");
            if poll == 1 {
                tokio::time::advance(SECOND).await;
            }
        }
        drop(waiting);
        let used = polls > 1;
        assert_eq!(calls.load(Ordering::Relaxed), u32::from(polls > 2), "after {polls} polls");
        // Given back: the next one comes a second after the first. Used: two seconds after.
        let owed = limiter.left(&(), now).full_in;
        assert_eq!(owed, if used { 2 * SECOND } else { SECOND }, "after {polls} polls");
    }
}

/// Wakes at once, long before its time.
#[derive(Clone)]
struct Early;

impl Clock for Early {
    fn now(&self) -> Duration {
        SECOND
    }
}

impl crate::Timer for Early {
    type Sleep = core::future::Ready<()>;

    fn sleep(&self, _: Duration) -> Self::Sleep {
        core::future::ready(())
    }
}

#[tokio::test]
async fn what_goes_on_has_used_its_tokens_though_the_timer_is_early() {
    let limiter = RateLimiter::new(one_a_second());
    let layer = RateLimitLayer::new(limiter.clone(), same_for_all).waiting(Early, 9 * SECOND);
    let mut service = layer.layer(Slow(Arc::default(), false));
    limiter.check(&(), 1, SECOND).unwrap();
    let asked = service.ready().await.unwrap().call(Stamped::new(7, SECOND));
    assert!(asked.await.is_ok());
    assert_eq!(limiter.left(&(), SECOND).full_in, 2 * SECOND);
}

/// Polls once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}
