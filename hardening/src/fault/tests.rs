use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::by_hand::poll_now;
use crate::stamp::{BareLayer, Stamped};
use crate::testing::Numbers;
use crate::{Clock, Error, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

fn broken() -> Error<std::io::Error> {
    Error::Inner(std::io::ErrorKind::ConnectionReset.into())
}

fn config(error_share: f64, delay_share: f64) -> FaultConfig {
    FaultConfig { error_share, delay_share, delay_from: SECOND, delay_to: 3 * SECOND }
}

#[test]
fn the_shares_are_met_and_delays_are_spread_over_their_range() {
    for (seed, error_share, delay_share) in [(1, 0.1, 0.5), (2, 0.0, 1.0), (3, 0.9, 0.01)] {
        let mut state = FaultState::new(config(error_share, delay_share), seed);
        let faults: Vec<_> = (0..40_000).map(|_| state.draw()).collect();
        let share = |of: fn(&Fault) -> bool| {
            faults.iter().filter(|fault| of(fault)).count() as f64 / 40_000.0
        };
        assert!((share(|fault| fault.fails) - error_share).abs() < 0.01);
        assert!((share(|fault| fault.delay.is_some()) - delay_share).abs() < 0.01);
        let both = share(|fault| fault.fails && fault.delay.is_some());
        assert!((both - error_share * delay_share).abs() < 0.01, "they do not go together");
        let delays: Vec<_> = faults.iter().filter_map(|fault| fault.delay).collect();
        assert!(delays.iter().all(|delay| (SECOND..3 * SECOND).contains(delay)));
        let mean = delays.iter().sum::<Duration>() / u32::try_from(delays.len()).unwrap();
        assert!(mean.abs_diff(2 * SECOND) < SECOND / 10, "{mean:?}");
        let counted = state.status();
        assert_eq!(counted.delays, delays.len() as u64);
        assert_eq!(counted.requests, 40_000);
    }
}

/// The same numbers, drawn again from the seed, and a list of all that was decided.
#[test]
fn decides_as_one_that_keeps_a_list() {
    for seed in 0..100 {
        let mut numbers = Numbers(seed ^ 0xff);
        let mut drawn = Numbers(seed);
        let mut ours = FaultState::new(FaultConfig::default(), seed);
        let (mut config, mut list) = (FaultConfig::default(), Vec::new());
        for _ in 0..1_000 {
            if numbers.below(20) == 0 {
                let mut share = || numbers.below(11) as f64 / 10.0;
                let (error_share, delay_share) = (share(), share());
                let mut time = || Duration::from_nanos(numbers.below(2_000));
                let (delay_from, delay_to) = (time(), time());
                config = FaultConfig { error_share, delay_share, delay_from, delay_to };
                ours.set_config(config);
            }
            let mut share = || (drawn.below(u64::MAX) >> 11) as f64 / 2.0_f64.powi(53);
            let (fails, late) = (share() < config.error_share, share() < config.delay_share);
            let (from, to) = (config.delay_from.as_nanos(), config.delay_to.as_nanos());
            let part = (u128::from(drawn.below(u64::MAX)) * to.saturating_sub(from)) >> 64;
            let delay = Duration::from_nanos(u64::try_from(from + part).unwrap());
            let fault = Fault { delay: late.then_some(delay), fails };
            assert_eq!(ours.draw(), fault, "seed {seed}");
            list.push(fault);
            let counted = |of: fn(&&Fault) -> bool| list.iter().filter(of).count() as u64;
            let (errors, delays) = (counted(|one| one.fails), counted(|one| one.delay.is_some()));
            let requests = list.len() as u64;
            assert_eq!(ours.status(), FaultStatus { requests, errors, delays });
        }
    }
}

#[test]
fn another_share_of_errors_does_not_change_who_is_late() {
    let (mut few, mut many) =
        (FaultState::new(config(0.1, 0.3), 5), FaultState::new(config(0.8, 0.3), 5));
    assert!((0..10_000).all(|_| few.draw().delay == many.draw().delay));
}

#[tokio::test(start_paused = true)]
async fn those_that_fail_do_not_reach_the_service_and_the_late_are_late() {
    let timer = TokioTimer::new();
    let reached = Arc::new(AtomicU32::new(0));
    let ours = Arc::clone(&reached);
    let inner = service_fn(move |()| {
        ours.fetch_add(1, Ordering::SeqCst);
        core::future::ready(Ok::<_, std::io::Error>(()))
    });
    let faults = Faults::new(config(1.0, 1.0), 1);
    let service = FaultLayer::new(faults.clone(), timer, broken).layer(BareLayer.layer(inner));
    let request = Stamped::new((), Duration::ZERO);
    assert!(service.clone().oneshot(request).await.is_err());
    assert!((SECOND..3 * SECOND).contains(&timer.now()));
    assert_eq!(reached.load(Ordering::SeqCst), 0);

    faults.set_config(config(0.0, 1.0));
    let before = timer.now();
    assert!(service.clone().oneshot(request).await.is_ok());
    assert!((SECOND..3 * SECOND).contains(&(timer.now() - before)));

    faults.set_config(FaultConfig::default());
    let before = timer.now();
    assert!(service.clone().oneshot(request).await.is_ok());
    assert_eq!(timer.now(), before);
    assert_eq!(reached.load(Ordering::SeqCst), 2);
    assert_eq!(faults.status(), FaultStatus { requests: 3, errors: 1, delays: 2 });
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_the_call_is_gone() {
    for polls in 0..4 {
        let held = Arc::new(());
        let ours = Arc::clone(&held);
        let inner = service_fn(move |()| {
            let ours = Arc::clone(&ours);
            async move {
                core::future::pending::<()>().await;
                drop(ours);
                Ok::<_, std::io::Error>(())
            }
        });
        let faults = Faults::new(config(0.0, 1.0), 1);
        let mut service =
            FaultLayer::new(faults, TokioTimer::new(), broken).layer(BareLayer.layer(inner));
        let mut call = Box::pin(service.call(Stamped::new((), Duration::ZERO)));
        for _ in 0..polls {
            assert!(poll_now(call.as_mut()).is_pending());
            tokio::time::sleep(2 * SECOND).await;
        }
        drop(call);
        drop(service);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
