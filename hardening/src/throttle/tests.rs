use core::time::Duration;
use std::io::ErrorKind;

use tower::{Layer, Service, service_fn};

use super::*;
use crate::by_hand::{now, poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
use crate::testing::Numbers;
use crate::{Error, Rejected};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_chance_is_that_of_the_formula_over_the_whole_history() {
    let mut seen = [0_u32; 2];
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let k = 1.0 + numbers.below(3) as f64 / 2.0;
        let slices = u16::try_from(1 + numbers.below(12)).unwrap();
        let window = 100 * u32::from(slices);
        let config = ThrottleConfig { k, window: Duration::from_nanos(window.into()), slices };
        let mut ours = ThrottleState::new(config, seed);
        // When, and whether it was accepted.
        let mut history: Vec<(u64, bool)> = Vec::new();
        let (mut at, good) = (0, numbers.below(100));
        for _ in 0..600 {
            at += numbers.below(60) + 300 * (numbers.below(50) / 49);
            let now = Duration::from_nanos(at);
            let admits = ours.admits(now);
            seen[usize::from(admits)] += 1;
            let accepted = admits && numbers.below(100) < good;
            if admits {
                ours.record(accepted, now);
            }
            history.push((at, accepted));
            let oldest = (at / 100).saturating_sub(u64::from(slices) - 1) * 100;
            let in_window = history.iter().filter(|(at, _)| *at >= oldest);
            let requests = in_window.clone().count() as u64;
            let accepts = in_window.filter(|(_, accepted)| *accepted).count() as u64;
            let refusal = (requests as f64 - k * accepts as f64) / (requests as f64 + 1.0);
            let status = ours.status(now);
            assert_eq!((status.requests, status.accepts), (requests, accepts), "seed {seed}");
            assert!((status.refusal - refusal.max(0.0)).abs() < 1e-9);
        }
    }
    assert!(seen.iter().all(|times| *times > 20_000), "{seen:?}");
}

#[test]
fn sends_k_times_what_is_accepted_and_all_of_it_when_it_works_again() {
    let throttle = ClientThrottle::new(ThrottleConfig::default(), 1);
    let mut sent = [0_u32; 12];
    let mut accepted = 0;
    // 100 requests a second; the other side accepts 10 a second for five minutes, then all.
    for second in 0..720 {
        let at = second * SECOND;
        let mut room = if second < 300 { 10 } else { 100 };
        for _ in 0..100 {
            if throttle.admits(at) {
                sent[second as usize / 60] += 1;
                accepted += u32::from(room > 0);
                throttle.record(room > 0, at);
                room -= i32::from(room > 0);
            }
        }
    }
    assert!(accepted > 20_000);
    assert!((1100..1350).contains(&sent[4]), "about 20 a second: {sent:?}");
    assert_eq!(sent[11], 6000, "all: {sent:?}");
}

#[test]
fn many_at_once_after_a_pause_are_not_refused() {
    let throttle = ClientThrottle::new(ThrottleConfig::default(), 1);
    assert!((0..1000).all(|_| throttle.admits(SECOND)), "none of them has ended");
}

#[test]
fn the_layer_counts_what_the_other_side_looked_at_and_nothing_that_was_dropped() {
    let throttle = ClientThrottle::new(ThrottleConfig { k: 1.0, ..Default::default() }, 1);
    let mut service = ThrottleLayer::new(throttle.clone()).layer(BareLayer.layer(service_fn(
        async |answer: Result<(), ErrorKind>| {
            if answer == Err(ErrorKind::Interrupted) {
                yield_now().await;
            }
            answer.map_err(std::io::Error::from)
        },
    )));
    let mut ask = |answer| service.call(Stamped::new(answer, SECOND));
    assert!(now(ask(Ok(()))).is_ok());
    assert!(now(ask(Err(ErrorKind::NotFound))).is_err());
    let mut dropped = Box::pin(ask(Err(ErrorKind::Interrupted)));
    assert!(poll_now(dropped.as_mut()).is_pending());
    drop(dropped);
    let status = throttle.status(SECOND);
    assert_eq!((status.requests, status.accepts), (2, 2));
    let mut refused = 0;
    for _ in 0..1000 {
        match now(ask(Err(ErrorKind::ConnectionRefused))) {
            Err(Error::Rejected(Rejected::Overloaded { limit: 2 })) => refused += 1,
            done => assert!(matches!(done, Err(Error::Inner(_)))),
        }
    }
    assert_eq!(throttle.status(SECOND).requests, 1002);
    assert!((900..1000).contains(&refused), "{refused}");
}
