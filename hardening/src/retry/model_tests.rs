//! The decisions against a model that works each of them out anew from all that happened.

use core::time::Duration;

use super::{FailedAttempt, GaveUp, Jitter, RetryBudget, RetryPolicy, RetryState};
use crate::error::ErrorClass;
use crate::testing::Numbers;

fn nanos(time: Duration) -> u128 {
    time.as_nanos()
}

/// Hundredths of retries.
struct NaiveBudget {
    balance: u64,
    percent: u64,
    most: u64,
}

/// One request: all its failures, in order.
struct Naive<'a> {
    policy: &'a RetryPolicy,
    start: Duration,
    deadline: Option<Duration>,
    failures: Vec<(ErrorClass, Duration)>,
    /// Failures after which a pause was drawn.
    draws: u32,
    waited: u128,
}

impl Naive<'_> {
    /// The pause after so many draws, all of them drawn again from the seed.
    fn pause(&self) -> u128 {
        let policy = self.policy;
        let mut chance = Numbers(policy.seed.unwrap());
        let mut draw = |span: u128| (u128::from(chance.below(u64::MAX)) * span) >> 64;
        let (base, cap) = (nanos(policy.base.min(policy.cap)), nanos(policy.cap));
        let mut ceiling = base;
        let mut pause = base;
        for nth in 0..=self.draws {
            if nth > 0 {
                ceiling = (ceiling * u128::from(policy.factor.max(1))).min(cap);
            }
            pause = match policy.jitter {
                Jitter::None => ceiling,
                Jitter::Full => draw(ceiling),
                Jitter::Equal => ceiling / 2 + draw(ceiling - ceiling / 2),
                Jitter::Decorrelated => (base + draw((3 * pause).saturating_sub(base))).min(cap),
            };
        }
        pause
    }

    fn failed(
        &mut self,
        class: ErrorClass,
        now: Duration,
        budget: &mut NaiveBudget,
    ) -> Result<u128, GaveUp> {
        self.failures.push((class, now));
        let policy = self.policy;
        if class == ErrorClass::Permanent {
            return Err(GaveUp::Permanent);
        }
        if self.failures.len() >= usize::try_from(policy.max_attempts).unwrap() {
            return Err(GaveUp::Attempts);
        }
        let asked = if let ErrorClass::RateLimited { retry_after: Some(asked) } = class {
            asked
        } else {
            Duration::ZERO
        };
        if asked > policy.max_retry_after {
            return Err(GaveUp::RetryAfter);
        }
        let delay = nanos(asked) + self.pause();
        self.draws += 1;
        let next = nanos(now) + delay;
        let late = |deadline: Duration| next >= nanos(deadline);
        if policy.deadline.is_some_and(|time| late(self.start + time))
            || self.deadline.is_some_and(late)
        {
            return Err(GaveUp::Deadline);
        }
        if policy.budget.is_some() {
            if budget.balance < 100 {
                return Err(GaveUp::Budget);
            }
            budget.balance -= 100;
        }
        self.waited += delay;
        Ok(delay)
    }
}

fn random_time(numbers: &mut Numbers, below: u64) -> Duration {
    Duration::from_micros(numbers.below(below))
}

fn random_policy(numbers: &mut Numbers, budget: &RetryBudget) -> RetryPolicy {
    let jitters = [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated];
    RetryPolicy {
        base: random_time(numbers, 2_000_000),
        cap: random_time(numbers, 20_000_000),
        max_attempts: u32::try_from(numbers.below(16)).unwrap(),
        factor: u32::try_from(numbers.below(4)).unwrap(),
        jitter: jitters[usize::try_from(numbers.below(4)).unwrap()],
        deadline: (numbers.below(4) == 0).then(|| random_time(numbers, 60_000_000)),
        max_retry_after: random_time(numbers, 10_000_000),
        seed: Some(numbers.below(u64::MAX)),
        budget: (numbers.below(3) == 0).then(|| budget.clone()),
        ..RetryPolicy::default()
    }
}

fn random_class(numbers: &mut Numbers) -> ErrorClass {
    let retry_after = Some(random_time(numbers, 5_000_000));
    match numbers.below(40) {
        0 => ErrorClass::Permanent,
        1..=5 => ErrorClass::RateLimited { retry_after },
        6 => ErrorClass::RateLimited { retry_after: None },
        7..=15 => ErrorClass::Timeout,
        16..=20 => ErrorClass::CircuitOpen,
        21..=25 => ErrorClass::Overloaded,
        _ => ErrorClass::Temporary,
    }
}

#[test]
fn decides_as_a_model_that_starts_over_each_time() {
    let mut seen = std::collections::HashMap::new();
    let mut steps = 0;
    for seed in 0..300 {
        let mut numbers = Numbers(seed);
        let (percent, reserve) = (numbers.below(150), numbers.below(20));
        let budget =
            RetryBudget::new(u32::try_from(percent).unwrap(), u32::try_from(reserve).unwrap());
        let most = (reserve * 100).max(100).max(percent);
        let mut naive_budget = NaiveBudget { balance: reserve * 100, percent, most };
        for _ in 0..100 {
            let policy = random_policy(&mut numbers, &budget);
            let mut now = random_time(&mut numbers, 1_000_000);
            let deadline = (numbers.below(4) == 0).then(|| random_time(&mut numbers, 50_000_000));
            let mut ours = RetryState::new(&policy, now, deadline);
            if policy.budget.is_some() {
                let more = naive_budget.balance + naive_budget.percent;
                naive_budget.balance = more.min(naive_budget.most);
            }
            let (failures, draws, waited) = (Vec::new(), 0, 0);
            let mut naive =
                Naive { policy: &policy, start: now, deadline, failures, draws, waited };
            loop {
                steps += 1;
                let class = random_class(&mut numbers);
                let answer = ours.failed(&policy, class, now);
                let expected = naive.failed(class, now, &mut naive_budget);
                assert_eq!(answer.map(nanos), expected, "seed {seed} {policy:?} {class:?}");
                assert_same_context(&ours, &naive);
                assert_eq!(budget.balance(), naive_budget.balance / 100);
                match answer {
                    Ok(delay) => now += delay + random_time(&mut numbers, 1_000_000),
                    Err(why) => {
                        *seen.entry(why).or_insert(0) += 1;
                        break;
                    }
                }
            }
        }
    }
    assert!(steps > 100_000, "{steps}");
    let often = |why| seen.get(&why).is_some_and(|&times| times > 500);
    let all = [GaveUp::Permanent, GaveUp::Attempts, GaveUp::Deadline];
    assert!(all.into_iter().all(often) && often(GaveUp::RetryAfter) && often(GaveUp::Budget));
}

fn assert_same_context(ours: &RetryState, naive: &Naive<'_>) {
    let context = ours.context();
    assert_eq!(usize::try_from(context.attempts).unwrap(), naive.failures.len());
    assert_eq!(nanos(context.waited), naive.waited);
    let numbered = (1..).zip(&naive.failures);
    let all: Vec<_> =
        numbered.map(|(attempt, &(class, at))| FailedAttempt { attempt, class, at }).collect();
    let kept = &all[all.len().saturating_sub(10)..];
    assert_eq!(context.errors, kept);
}

#[test]
fn retries_are_at_most_a_share_of_requests_over_all_who_share_the_budget() {
    let budget = RetryBudget::new(20, 10);
    let retries = core::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let budget = budget.clone();
            let retries = &retries;
            scope.spawn(move || {
                for _ in 0..1000 {
                    budget.deposit();
                    while budget.try_withdraw() {
                        retries.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // 10 in reserve and a fifth of 8,000, but for the first deposits, which fall away while the
    // reserve is still full.
    let retries = retries.into_inner();
    assert!(retries <= 1610, "{retries}");
    assert!(retries >= 1600, "{retries}");
}
