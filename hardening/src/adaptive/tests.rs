use core::future::pending;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use tower::{Layer, Service, service_fn};

use super::*;
use crate::by_hand::{now, poll_now, yield_now};
use crate::stamp::{BareLayer, Stamped};
use crate::{Error, ManualClock, Rejected};

const MILLI: Duration = Duration::from_millis(1);

/// A service that does `at_once` requests in 50 ms each; the others wait in it. There are always
/// more who want to go in.
struct Simulation {
    limit: AdaptiveState,
    at_once: usize,
    queue: VecDeque<u32>,
    working: Vec<(u32, u32)>,
    now: u32,
}

impl Simulation {
    /// Goes on for so many milliseconds; the mean limit and the answers in the last half.
    fn run(&mut self, millis: u32) -> (f64, u32) {
        let (mut limits, mut answers) = (0.0, 0);
        for step in 0..millis {
            self.now += 1;
            let now = self.now;
            let ended: Vec<_> = self.working.extract_if(.., |(_, until)| *until <= now).collect();
            for (began, _) in &ended {
                self.limit.leave(Ended::Answered, *began * MILLI, now * MILLI);
            }
            while self.limit.enter() {
                self.queue.push_back(now);
            }
            while self.working.len() < self.at_once
                && let Some(began) = self.queue.pop_front()
            {
                self.working.push((began, now + 50));
            }
            if step >= millis / 2 {
                limits += f64::from(self.limit.status().limit);
                answers += u32::try_from(ended.len()).unwrap();
            }
        }
        (limits / f64::from(millis - millis / 2), answers)
    }
}

#[test]
fn settles_where_the_service_is_busy_and_few_wait_and_follows_it() {
    let limit = AdaptiveState::new(AdaptiveConfig { initial: 200, ..AdaptiveConfig::default() });
    let mut simulation =
        Simulation { limit, at_once: 30, queue: VecDeque::new(), working: Vec::new(), now: 0 };
    // It begins far too high, and with a baseline that was measured under load.
    let (mean, answers) = simulation.run(120_000);
    assert!((29.0..55.0).contains(&mean), "30 at once: {mean}");
    assert!(answers > 34_000, "of 36,000: {answers}");
    simulation.at_once = 8;
    let (mean, answers) = simulation.run(120_000);
    assert!((7.0..25.0).contains(&mean), "8 at once: {mean}");
    assert!(answers > 9_000, "of 9,600: {answers}");
    simulation.at_once = 100;
    let (mean, answers) = simulation.run(120_000);
    assert!((95.0..140.0).contains(&mean), "100 at once: {mean}");
    assert!(answers > 110_000, "of 120,000: {answers}");
}

#[test]
fn overload_lowers_it_at_once_down_to_the_least() {
    let limit = AdaptiveLimit::new(AdaptiveConfig { min: 3, ..AdaptiveConfig::default() });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&heard);
    limit.on_change(|_| panic!("a broken listener"));
    limit.on_change(move |limit| ours.lock().unwrap().push(limit));
    for round in 1..100 {
        let at = round * 100 * MILLI;
        limit.enter(at).unwrap().finish(Ended::Overloaded, at);
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard[..4], [18, 16, 14, 13]);
    assert!(limit.status().limit <= 3);
}

#[test]
fn refuses_over_the_limit_and_a_dropped_call_frees_its_place_at_any_await() {
    let config = AdaptiveConfig { initial: 1, min: 1, ..AdaptiveConfig::default() };
    for polls in 0..4 {
        let limit = AdaptiveLimit::new(config);
        let slow = service_fn(async |()| {
            yield_now().await;
            pending::<Result<(), std::io::Error>>().await
        });
        let layer = AdaptiveLayer::new(limit.clone(), ManualClock::default());
        let mut service = layer.layer(BareLayer.layer(slow));
        let request = Stamped::new((), Duration::ZERO);
        let mut call = Box::pin(service.call(request));
        for _ in 0..polls {
            assert!(poll_now(call.as_mut()).is_pending());
        }
        let refused = now(service.call(request));
        let Err(Error::Rejected(Rejected::Overloaded { limit: 1 })) = refused else {
            panic!("one is inside");
        };
        drop(call);
        assert_eq!((limit.status().in_flight, limit.status().refused), (0, 1));
    }
}

#[test]
fn the_layer_times_answers_and_takes_no_error_for_one() {
    let clock = ManualClock::default();
    let limit = AdaptiveLimit::new(AdaptiveConfig { min_answers: 1, ..AdaptiveConfig::default() });
    let ours = clock.clone();
    let answers = service_fn(move |answer: Result<(), ErrorKind>| {
        ours.advance(200 * MILLI);
        core::future::ready(answer.map_err(std::io::Error::from))
    });
    let mut service = AdaptiveLayer::new(limit.clone(), clock).layer(BareLayer.layer(answers));
    let mut ask = |answer, at| drop(now(service.call(Stamped::new(answer, at))));
    ask(Err(ErrorKind::ConnectionReset), Duration::ZERO);
    assert_eq!(limit.status().baseline, None);
    ask(Ok(()), 200 * MILLI);
    assert_eq!(limit.status().baseline, Some(200 * MILLI));
    assert_eq!(limit.status().limit, 20, "few are inside: no reason for more");
    ask(Err(ErrorKind::TimedOut), 400 * MILLI);
    assert_eq!(limit.status().limit, 18);
}
