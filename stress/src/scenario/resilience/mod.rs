//! Error storms against the hardening crate's outbound stack, in virtual time.

mod peer;

use core::cell::RefCell;
use core::future::poll_fn;
use core::time::Duration;
use std::io::Error as IoError;
use std::sync::{Arc, Mutex, PoisonError};

use ironlight_hardening::bulkhead::{Bulkhead, BulkheadLimits};
use ironlight_hardening::circuit_breaker::{
    BreakerConfig, CircuitBreaker, CircuitState, Transition,
};
use ironlight_hardening::rate_limit::{Quota, RateLimiter};
use ironlight_hardening::retry::{RetryBudget, RetryPolicy};
use ironlight_hardening::stack::Outbound;
use ironlight_hardening::{Classify as _, Clock as _, Error};
use tower_layer::Layer as _;
use tower_service::Service;

use self::peer::{Peer, Storms};
use super::chains::WRONG;
use super::{About, Findings, Plan, Scenario, ScenarioError};
use crate::measure::{Class, Meter};
use crate::report::{Bound, Figure, StateChange, nanos};
use crate::virtual_time::{Task, VirtualTime, drive};

/// Between two calls.
const EVERY: Duration = Duration::from_millis(50);
/// A call with all its attempts takes no longer.
const CALL: Duration = Duration::from_secs(5);
/// Nor does one attempt.
const ATTEMPT: Duration = Duration::from_millis(500);
/// The breaker is open for no longer, but for the tenth that chance adds.
const OPEN_AT_MOST: Duration = Duration::from_secs(8);
/// After a storm all is well within so long: the longest open time, and the probes.
const RECOVERY: Duration = Duration::from_secs(10);
/// The share of calls that are answered once it is.
const ANSWERED: f64 = 0.99;

/// Calls go on steadily while the service that they go to falls into two storms.
#[derive(Clone, Copy, Debug)]
pub struct Resilience;

impl Scenario for Resilience {
    fn about(&self) -> About {
        About {
            name: "resilience",
            does: "20 calls a second, in virtual time, through retry, limiter, bulkhead, breaker \
                   and timeout to a service that fails in two storms",
            operation: "a call, answered or not",
            sample: "a call with all its attempts, in virtual time",
            bound: "within 10 s after a storm the breaker is closed and 99 % of calls are answered; \
                    no call is lost or takes more than 5 s",
            counts: "calls",
            usual: 5_000,
            range: (1_000, 1_000_000),
        }
    }

    fn run(&self, plan: &Plan, meter: &mut Meter<'_>) -> Result<Findings, ScenarioError> {
        let all = EVERY.saturating_mul(u32::try_from(plan.count).unwrap_or(u32::MAX));
        let run = Run::new(Storms::within(all), plan.seed);
        let stuck = run.drive(plan.count, meter)?;
        let calls = run.calls.take();
        let transitions = run.transitions();
        Ok(Findings {
            bounds: run.bounds(plan.count, stuck, &calls, &transitions),
            figures: run.figures(&calls, &transitions),
            states: states(&transitions),
            ..Findings::default()
        })
    }
}

/// A call that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    began: Duration,
    ended: Duration,
    failed: Option<Class>,
}

struct Run {
    time: VirtualTime,
    storms: Storms,
    outbound: Outbound<u64, VirtualTime>,
    peer: Peer,
    transitions: Arc<Mutex<Vec<Transition>>>,
    calls: RefCell<Vec<Call>>,
}

impl Run {
    fn new(storms: Storms, seed: u64) -> Self {
        let time = VirtualTime::default();
        let breaker = BreakerConfig {
            open_for: Duration::from_secs(1),
            open_at_most: OPEN_AT_MOST,
            ..BreakerConfig::default()
        };
        let breaker = CircuitBreaker::new(breaker, seed);
        let transitions: Arc<Mutex<Vec<Transition>>> = Arc::default();
        let heard = Arc::clone(&transitions);
        breaker.on_transition(move |change| {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(*change);
        });
        let retry = RetryPolicy::new(3, Duration::from_millis(50), Duration::from_millis(500));
        let outbound = Outbound {
            timeout: Some(CALL),
            attempt_timeout: ATTEMPT,
            retry: RetryPolicy { seed: Some(seed), ..retry }.with_budget(RetryBudget::default()),
            limiter: RateLimiter::new(Quota::per_second(40)),
            bulkhead: Bulkhead::new(BulkheadLimits { concurrent: 8, queue: 8 }),
            queue_time: Duration::from_millis(200),
            breaker,
            ..Outbound::new(time.clone())
        };
        let peer = Peer::new(time.clone(), storms, seed);
        Self { time, storms, outbound, peer, transitions, calls: RefCell::default() }
    }

    /// All calls to their ends; how many never ended.
    fn drive(&self, count: u64, meter: &mut Meter<'_>) -> Result<usize, ScenarioError> {
        let layer = self.outbound.layer(|_: &u64| Some(0), |number: &u64| Some(*number));
        let service = layer.layer(self.peer.clone());
        let meter = RefCell::new(meter);
        let arrivals = (0..count).map(|number| {
            let began = EVERY.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            let (service, meter) = (service.clone(), &meter);
            let task: Task<'_> = Box::pin(async move {
                let failed = call(service, number).await.err();
                let ended = self.time.now();
                meter.borrow_mut().note(ended, ended.saturating_sub(began), 1, failed);
                self.calls.borrow_mut().push(Call { began, ended, failed });
            });
            (began, task)
        });
        drive(&self.time, arrivals, || meter.borrow().check_time())
    }

    fn transitions(&self) -> Vec<Transition> {
        self.transitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn bounds(
        &self,
        count: u64,
        stuck: usize,
        calls: &[Call],
        transitions: &[Transition],
    ) -> Vec<Bound> {
        let calm = |call: &&Call| self.storms.is_over(call.began, RECOVERY);
        let (mut all, mut answered) = (0_u64, 0_u64);
        for call in calls.iter().filter(calm) {
            all += 1;
            answered += u64::from(call.failed.is_none());
        }
        let longest = calls.iter().map(|call| call.ended.saturating_sub(call.began)).max();
        let opened = transitions.iter().any(|change| change.to == CircuitState::Open);
        let mut bounds = vec![
            Bound::equal("calls that ended", &count, &(calls.len() as u64)),
            Bound::equal("calls that never end", &0, &stuck),
            Bound::equal("places still taken", &0, &self.outbound.bulkhead.status().inside),
            Bound::equal("the storms open the breaker", &true, &opened),
            Bound::at_least_share("answered in calm", ANSWERED, share(answered, all)),
            Bound::within("longest call", CALL, longest.unwrap_or_default()),
        ];
        let names = ["recovery after storm 1", "recovery after storm 2"];
        for (name, end) in names.into_iter().zip(self.storms.ends()) {
            bounds.push(match recovery(transitions, end) {
                Some(after) => Bound::within(name, RECOVERY, after),
                None => Bound::judged(name, &format_args!("{RECOVERY:?} at most"), &"never", false),
            });
        }
        bounds
    }

    fn figures(&self, calls: &[Call], transitions: &[Transition]) -> Vec<Figure> {
        let answered = calls.iter().filter(|call| call.failed.is_none()).count();
        let opened = transitions.iter().filter(|change| change.to == CircuitState::Open).count();
        vec![
            Figure::new("virtual time", self.time.now().as_secs_f64(), "s"),
            Figure::new("answered", answered as f64, "calls"),
            Figure::new("breaker opened", opened as f64, "times"),
        ]
    }
}

/// Makes one call once the service is ready for it.
async fn call<S>(mut service: S, number: u64) -> Result<(), Class>
where
    S: Service<u64, Response = u64, Error = Error<IoError>>,
{
    let class = |error: Error<IoError>| error.class().name();
    poll_fn(|context| service.poll_ready(context)).await.map_err(class)?;
    let answer = service.call(number).await.map_err(class)?;
    if answer == number { Ok(()) } else { Err(WRONG) }
}

/// How long after a moment the breaker was closed again; no time where it was closed then.
fn recovery(transitions: &[Transition], from: Duration) -> Option<Duration> {
    let then = transitions.iter().rev().find(|change| change.at <= from);
    if then.is_none_or(|change| change.to == CircuitState::Closed) {
        return Some(Duration::ZERO);
    }
    let closed = |change: &&Transition| change.at > from && change.to == CircuitState::Closed;
    transitions.iter().find(closed).map(|change| change.at.saturating_sub(from))
}

fn states(transitions: &[Transition]) -> Vec<StateChange> {
    let state =
        |at, state: CircuitState| StateChange { at_ns: nanos(at), state: state.name().to_owned() };
    let first = state(Duration::ZERO, CircuitState::Closed);
    let later = transitions.iter().map(|change| state(change.at, change.to));
    core::iter::once(first).chain(later).collect()
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 1.0 } else { part as f64 / all as f64 }
}
