//! The breaker against one that remembers every call and counts anew each time.

use core::time::Duration;

use super::*;
use crate::clock::nanos;
use crate::testing::Numbers;

struct Call {
    at: u64,
    failed: bool,
    slow: bool,
}

#[derive(PartialEq)]
enum Naive {
    Closed,
    Open { until: u64 },
    HalfOpen,
    Isolated,
}

struct NaiveBreaker {
    config: BreakerConfig,
    state: Naive,
    epoch: u64,
    history: Vec<Call>,
    in_a_row: u32,
    trips: u32,
    probes: Vec<u64>,
    good_probes: u32,
    last_probe: u64,
}

impl NaiveBreaker {
    fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: Naive::Closed,
            epoch: 0,
            history: Vec::new(),
            in_a_row: 0,
            trips: 0,
            probes: Vec::new(),
            good_probes: 0,
            last_probe: 0,
        }
    }

    /// The calls in the window, from the whole history.
    fn window(&self, now: u64) -> Vec<&Call> {
        match self.config.window {
            Window::Calls(calls) => self.history.iter().rev().take(calls.max(1) as usize).collect(),
            Window::Time { length, slices } => {
                let slice = nanos(length) / u64::from(slices);
                let oldest = (now / slice).saturating_sub(u64::from(slices) - 1) * slice;
                self.history.iter().filter(|call| call.at >= oldest).collect()
            }
        }
    }

    fn tally(&self, now: u64) -> Tally {
        let window = self.window(now);
        let count = |of: fn(&Call) -> bool| window.iter().filter(|call| of(call)).count() as u64;
        Tally { calls: count(|_| true), failures: count(|c| c.failed), slow: count(|c| c.slow) }
    }

    fn enter(&mut self, state: Naive) {
        self.state = state;
        self.epoch += 1;
        self.probes.clear();
        self.good_probes = 0;
    }

    /// `until` is what the breaker itself drew; that it lies where it may is checked here.
    fn trip(&mut self, now: u64, drawn: Duration) {
        let mut shortest = self.config.open_for;
        for _ in 0..self.trips {
            shortest = (shortest * 2).min(self.config.open_at_most);
        }
        let longest = shortest + shortest * u32::from(self.config.jitter_percent) / 100;
        assert!((shortest..=longest).contains(&drawn), "{drawn:?} after {} trips", self.trips);
        self.trips += 1;
        self.enter(Naive::Open { until: now + nanos(drawn) });
    }

    fn close(&mut self) {
        self.history.clear();
        self.in_a_row = 0;
        self.trips = 0;
        self.enter(Naive::Closed);
    }

    fn permit(&mut self, id: u64, now: u64, drawn: Duration) -> bool {
        let timeout = nanos(self.config.probe_timeout);
        let all_out = self.probes.len() >= self.config.half_open_permits as usize;
        if let Naive::Open { until } = self.state
            && now >= until
        {
            self.enter(Naive::HalfOpen);
        } else if self.state == Naive::HalfOpen && all_out && now - self.last_probe >= timeout {
            self.trip(now, drawn);
        }
        match self.state {
            Naive::Closed => true,
            Naive::HalfOpen if self.probes.len() < self.config.half_open_permits as usize => {
                self.probes.push(id);
                self.last_probe = now;
                true
            }
            Naive::HalfOpen | Naive::Open { .. } | Naive::Isolated => false,
        }
    }

    fn should_trip(&self, now: u64) -> bool {
        let tally = self.tally(now);
        let share = |part: u64| part as f64 / tally.calls as f64 * 100.0;
        let enough = tally.calls >= u64::from(self.config.minimum_calls);
        let over = |part: u64, percent: u8| enough && part > 0 && share(part) >= f64::from(percent);
        self.config.consecutive_failures.is_some_and(|limit| self.in_a_row >= limit)
            || self.config.failure_percent.is_some_and(|percent| over(tally.failures, percent))
            || self.config.slow_calls.is_some_and(|slow| over(tally.slow, slow.percent))
    }

    fn record(&mut self, call: &Out, outcome: Outcome, now: u64, drawn: Duration) {
        if call.epoch != self.epoch {
            return;
        }
        self.probes.retain(|probe| *probe != call.id);
        if outcome == Outcome::Ignored {
            return;
        }
        let failed = outcome == Outcome::Failure;
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        if self.state == Naive::HalfOpen {
            self.good_probes += u32::from(!failed);
            if failed {
                self.trip(now, drawn);
            } else if self.good_probes >= self.config.successes_to_close {
                self.close();
            }
            return;
        }
        let slow = self.config.slow_calls.is_some_and(|slow| now - call.began >= nanos(slow.from));
        self.history.push(Call { at: now, failed, slow });
        if self.should_trip(now) {
            self.trip(now, drawn);
        }
    }
}

struct Out {
    id: u64,
    epoch: u64,
    began: u64,
    pass: Pass,
}

fn config(numbers: &mut Numbers) -> BreakerConfig {
    let small = |numbers: &mut Numbers, end| u32::try_from(1 + numbers.below(end)).unwrap();
    let percent = |numbers: &mut Numbers| u8::try_from(1 + numbers.below(100)).unwrap();
    let window = if numbers.below(2) == 0 {
        Window::Calls(small(numbers, 30))
    } else {
        let slices = u16::try_from(small(numbers, 10)).unwrap();
        Window::Time { length: Duration::from_micros(10) * u32::from(slices), slices }
    };
    BreakerConfig {
        consecutive_failures: (numbers.below(3) > 0).then(|| small(numbers, 8)),
        window,
        minimum_calls: small(numbers, 12),
        failure_percent: (numbers.below(3) > 0).then(|| percent(numbers)),
        slow_calls: (numbers.below(3) == 0)
            .then(|| SlowCalls { from: Duration::from_micros(15), percent: percent(numbers) }),
        open_for: Duration::from_micros(20),
        open_at_most: Duration::from_micros(100),
        jitter_percent: 20,
        half_open_permits: small(numbers, 4),
        successes_to_close: small(numbers, 4),
        probe_timeout: Duration::from_micros(80),
    }
}

/// One machine and its model, with the calls that are under way.
struct Pair {
    ours: BreakerState,
    naive: NaiveBreaker,
    out: Vec<Out>,
    now: u64,
    ids: u64,
}

impl Pair {
    /// How long the breaker is open from now on: what the model takes over.
    fn drawn(&mut self) -> Duration {
        let now = Duration::from_nanos(self.now);
        self.ours.status(now).retry_after.unwrap_or_default()
    }

    fn ask(&mut self) {
        self.ids += 1;
        let now = Duration::from_nanos(self.now);
        let pass = self.ours.permit(now);
        let drawn = self.drawn();
        let granted = self.naive.permit(self.ids, self.now, drawn);
        assert_eq!(pass.is_ok(), granted);
        assert_eq!(self.ours.refuses(now).is_none(), pass.is_ok() && self.would_admit());
        if let Ok(pass) = pass {
            let (id, epoch, began) = (self.ids, self.naive.epoch, self.now);
            self.out.push(Out { id, epoch, began, pass });
        }
    }

    fn would_admit(&self) -> bool {
        match self.naive.state {
            Naive::Closed => true,
            Naive::HalfOpen => {
                self.naive.probes.len() < self.naive.config.half_open_permits as usize
            }
            Naive::Open { .. } | Naive::Isolated => false,
        }
    }

    fn answer(&mut self, which: usize, outcome: Outcome) {
        let call = self.out.swap_remove(which);
        self.ours.record(call.pass, outcome, Duration::from_nanos(self.now));
        let drawn = self.drawn();
        self.naive.record(&call, outcome, self.now, drawn);
    }

    fn compare(&mut self) {
        let now = Duration::from_nanos(self.now);
        let status = self.ours.status(now);
        let state = match self.naive.state {
            Naive::Closed => CircuitState::Closed,
            Naive::HalfOpen => CircuitState::HalfOpen,
            Naive::Open { .. } | Naive::Isolated => CircuitState::Open,
        };
        assert_eq!(status.state, state);
        assert_eq!(status.isolated, self.naive.state == Naive::Isolated);
        assert_eq!(status.generation, self.naive.epoch);
        assert_eq!(status.probes as usize, self.naive.probes.len());
        assert!(status.probes <= self.naive.config.half_open_permits);
        assert_eq!(status.consecutive_failures, self.naive.in_a_row);
        assert_eq!(status.trips, self.naive.trips);
        if state != CircuitState::Open {
            assert_eq!(status.window, self.naive.tally(self.now));
        }
        if let Some(change) = self.ours.poll_transition() {
            assert_eq!((change.to, change.generation), (state, self.naive.epoch));
        }
    }
}

#[test]
fn answers_as_one_that_remembers_every_call() {
    let mut seen = [0_u32; 3];
    for seed in 0..400 {
        let mut numbers = Numbers(seed);
        let config = config(&mut numbers);
        let failing = 1 + numbers.below(60);
        let mut pair = Pair {
            ours: BreakerState::new(config, seed),
            naive: NaiveBreaker::new(config),
            out: Vec::new(),
            now: numbers.below(1_000_000),
            ids: 0,
        };
        for _ in 0..300 {
            pair.now += numbers.below(9_000);
            if numbers.below(60) == 0 {
                pair.now += numbers.below(300_000);
            }
            let outcome = match numbers.below(100) {
                share if share < failing => Outcome::Failure,
                share if share < 90 => Outcome::Success,
                _ => Outcome::Ignored,
            };
            match numbers.below(200) {
                0 => {
                    pair.ours.isolate(Duration::from_nanos(pair.now));
                    if pair.naive.state != Naive::Isolated {
                        pair.naive.enter(Naive::Isolated);
                    }
                }
                1..4 => {
                    pair.ours.reset(Duration::from_nanos(pair.now));
                    pair.naive.close();
                }
                4..110 => pair.ask(),
                _ if pair.out.is_empty() => pair.ask(),
                _ => {
                    let which = numbers.below(pair.out.len() as u64);
                    pair.answer(usize::try_from(which).unwrap(), outcome);
                }
            }
            pair.compare();
            seen[pair.ours.state() as usize] += 1;
        }
    }
    assert!(seen.iter().all(|times| *times > 5_000), "all states are tried: {seen:?}");
}

#[test]
fn shared_without_a_lock_it_counts_as_the_state_does() {
    for seed in 0..100 {
        let mut numbers = Numbers(seed);
        let config = config(&mut numbers);
        let failing = 2 + numbers.below(40);
        let (shared, mut alone) =
            (CircuitBreaker::new(config, seed), BreakerState::new(config, seed));
        let mut now = 0;
        for _ in 0..1000 {
            now += numbers.below(2_000);
            let began = Duration::from_nanos(now);
            let (ours, theirs) = (shared.permit(began), alone.permit(began));
            assert_eq!(ours.is_ok(), theirs.is_ok());
            now += numbers.below(2_000);
            let ended = Duration::from_nanos(now + 15_000 * (numbers.below(20) / 19));
            let outcome =
                if numbers.below(failing) == 0 { Outcome::Failure } else { Outcome::Success };
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                ours.finish(outcome, ended);
                alone.record(theirs, outcome, ended);
            }
            assert_eq!(shared.is_closed(), alone.state() == CircuitState::Closed);
            if numbers.below(10) == 0 {
                assert_eq!(shared.status(began), alone.status(began));
            }
        }
    }
}
