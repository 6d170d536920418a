use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{Error as IoError, ErrorKind};
use std::sync::{Arc, Mutex};

use tower::{Layer, Service, service_fn};

use super::*;
use crate::by_hand::poll_now;
use crate::retry::RetryBudget;
use crate::stamp::{BareLayer, Stamped};
use crate::testing::Numbers;
use crate::{Clock, Error, TokioTimer};

const SECOND: Duration = Duration::from_secs(1);

/// After so many seconds, this.
type Answer = (u32, Result<u32, ErrorKind>);

/// Answers in turn: after so many seconds, with this. Counts what is under way.
#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    running: Arc<AtomicU32>,
}

struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Script {
    fn new(answers: &[Answer]) -> Self {
        let answers = answers.iter().copied().collect();
        Self { answers: Arc::new(Mutex::new(answers)), running: Arc::default() }
    }

    fn answer(&self) -> impl Future<Output = Result<u32, IoError>> + use<> {
        let (takes, answer) = self.answers.lock().unwrap().pop_front().unwrap();
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.running));
        async move {
            tokio::time::sleep(takes * SECOND).await;
            drop(running);
            answer.map_err(Into::into)
        }
    }
}

struct Took {
    seconds: u64,
    answer: Result<u32, ErrorKind>,
    status: HedgeStatus,
}

/// One request, hedged after 5 s, with a deadline after 20 s.
async fn ask(script: &Script, budget: u32, repeatable: bool) -> Took {
    let timer = TokioTimer::new();
    let budget = Arc::new(AtomicU32::new(budget));
    let take = move |_| {
        let less = |left: u32| left.checked_sub(1);
        budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    };
    let layer =
        HedgeLayer::new(timer, || 5 * SECOND, move |(): &()| repeatable.then_some(()), take);
    let ours = script.clone();
    let mut service = layer.layer(BareLayer.layer(service_fn(move |()| ours.answer())));
    let request = Stamped { request: (), at: timer.now(), deadline: Some(20 * SECOND) };
    let mut call = Box::pin(service.call(request));
    let answer = (&mut call).await.map_err(|error| match error {
        Error::Inner(error) => error.kind(),
        Error::Rejected(rejected) => panic!("{rejected}"),
    });
    assert_eq!(script.running.load(Ordering::SeqCst), 0, "the loser is gone at once");
    Took { seconds: timer.now().as_secs(), answer, status: layer.status().clone() }
}

#[tokio::test(start_paused = true)]
async fn what_comes_first_counts() {
    use ErrorKind::{ConnectionReset as Reset, TimedOut as Late};
    // What the two answer; what comes of it and when; how many were hedged and won.
    let cases = [
        ([(4, Ok(1)), (0, Ok(2))], Ok(1), 4, [0, 0]),
        ([(4, Err(Reset)), (0, Ok(2))], Err(Reset), 4, [0, 0]),
        ([(9, Ok(1)), (1, Ok(2))], Ok(2), 6, [1, 1]),
        ([(9, Ok(1)), (9, Ok(2))], Ok(1), 9, [1, 0]),
        ([(6, Err(Reset)), (9, Ok(2))], Ok(2), 14, [1, 1]),
        ([(9, Ok(1)), (1, Err(Late))], Ok(1), 9, [1, 0]),
        ([(6, Err(Reset)), (9, Err(Late))], Err(Late), 14, [1, 0]),
        ([(9, Err(Reset)), (1, Err(Late))], Err(Reset), 9, [1, 0]),
    ];
    for (answers, answer, seconds, counts) in cases {
        let took = ask(&Script::new(&answers), 1, true).await;
        assert_eq!((took.answer, took.seconds), (answer, seconds), "{answers:?}");
        assert_eq!([took.status.hedged(), took.status.won()], counts, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_budget_or_a_way_to_repeat_there_is_no_second_one() {
    for (budget, repeatable, over_budget) in [(0, true, 1), (1, false, 0)] {
        let took = ask(&Script::new(&[(9, Ok(1))]), budget, repeatable).await;
        assert_eq!((took.answer, took.seconds), (Ok(1), 9));
        assert_eq!(took.status.hedged(), 0);
        assert_eq!(took.status.over_budget(), over_budget);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_there_is_no_second_one() {
    let timer = TokioTimer::new();
    let script = Script::new(&[(9, Ok(1))]);
    let layer = HedgeLayer::new(timer, || 5 * SECOND, |(): &()| Some(()), |_| true);
    let mut service = layer.layer(BareLayer.layer(service_fn(move |()| script.answer())));
    let request = Stamped { request: (), at: timer.now(), deadline: Some(5 * SECOND) };
    assert_eq!(service.call(request).await.unwrap(), 1);
    assert_eq!(layer.status().hedged(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_await_both_are_gone() {
    for polls in 0..5 {
        let timer = TokioTimer::new();
        let script = Script::new(&[(90, Ok(1)), (90, Ok(2))]);
        let layer = HedgeLayer::new(timer, || 5 * SECOND, |(): &()| Some(()), |_| true);
        let ours = script.clone();
        let mut service = layer.layer(BareLayer.layer(service_fn(move |()| ours.answer())));
        let mut call = Box::pin(service.call(Stamped::new((), timer.now())));
        for _ in 0..polls {
            assert!(poll_now(call.as_mut()).is_pending());
            tokio::time::sleep(3 * SECOND).await;
        }
        let running = if polls < 3 { 1 } else { 2 };
        assert_eq!(script.running.load(Ordering::SeqCst), running);
        drop(call);
        assert_eq!(script.running.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn hedges_are_paid_from_the_budget_of_retries() {
    let timer = TokioTimer::new();
    let budget = RetryBudget::new(0, 2);
    let script = Script::new(&[(9, Ok(1)); 5]);
    let layer = HedgeLayer::new(timer, || 5 * SECOND, |(): &()| Some(()), budget.clone());
    let mut service = layer.layer(BareLayer.layer(service_fn(move |()| script.answer())));
    for left in [1, 0, 0] {
        assert_eq!(service.call(Stamped::new((), timer.now())).await.unwrap(), 1);
        assert_eq!(budget.balance(), left);
    }
    assert_eq!((layer.status().hedged(), layer.status().over_budget()), (2, 1));
}

/// Which answer it should be, and after how long: written down from both answers, without waiting.
fn expected(
    first: Answer,
    second: Answer,
    hedges_at: Option<u32>,
) -> (Result<u32, ErrorKind>, u32) {
    let Some(at) = hedges_at.filter(|at| *at < first.0) else { return (first.1, first.0) };
    let mut ends = [first, (at + second.0, second.1)];
    ends.sort_unstable_by_key(|end| end.0);
    let good = ends.iter().find(|end| end.1.is_ok());
    let (when, answer) = *good.unwrap_or(&ends[1]);
    (answer, when)
}

#[tokio::test(start_paused = true)]
async fn answers_as_one_does_who_knows_both_answers_before() {
    let timer = TokioTimer::new();
    let mut numbers = Numbers(1);
    let (mut seen, mut hedged, mut over_budget) = ([0_u32; 4], 0, 0);
    for _ in 0..100_000 {
        // No two of them end at once: their remainders by three differ.
        let mut time = |rest: u64| u32::try_from(3 * (1 + numbers.below(30)) + rest).unwrap();
        let (takes, delay, again_takes, deadline) = (time(0), time(1), time(1), time(0));
        let mut answer =
            |number| if numbers.below(3) == 0 { Err(ErrorKind::TimedOut) } else { Ok(number) };
        let (first, second) = ((takes, answer(1)), (again_takes, answer(2)));
        let (repeatable, paid) = (numbers.below(8) > 0, numbers.below(8) > 0);
        let script = Script::new(&[first, second]);
        let layer =
            HedgeLayer::new(timer, || delay * SECOND, |(): &()| repeatable.then_some(()), |_| paid);
        let mut service = layer.layer(BareLayer.layer(service_fn(|()| script.answer())));
        let at = timer.now();
        let request = Stamped { request: (), at, deadline: Some(at + deadline * SECOND) };
        let answer = service.call(request).await.map_err(|error| match error {
            Error::Inner(error) => error.kind(),
            Error::Rejected(rejected) => panic!("{rejected}"),
        });
        let wants = repeatable && delay < deadline && delay < takes;
        let hedges_at = (wants && paid).then_some(delay);
        let (expected, after) = expected(first, second, hedges_at);
        assert_eq!((answer, timer.now() - at), (expected, after * SECOND), "{first:?} {second:?}");
        let status = layer.status();
        let won = hedges_at.is_some() && expected == Ok(2);
        let counts = [status.hedged(), status.over_budget(), status.won()];
        assert_eq!(counts, [hedges_at.is_some(), wants && !paid, won].map(u64::from));
        assert_eq!(script.running.load(Ordering::SeqCst), 0);
        seen[answer.map_or(3, |number| number as usize)] += 1;
        (hedged, over_budget) = (hedged + status.hedged(), over_budget + status.over_budget());
    }
    assert!(seen[1..].iter().all(|times| *times > 2_000) && hedged > 10_000, "{seen:?} {hedged}");
    assert!(over_budget > 1_000, "{over_budget}");
}
