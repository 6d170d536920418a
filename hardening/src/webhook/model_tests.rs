//! The state machine against a list that is searched from end to end, on random operations.

use core::time::Duration;
use std::collections::HashMap;

use super::model::{Hook, Model, PAUSES};
use super::{
    BreakerConfig, Dispatcher, Endpoint, EndpointId, Fate, Job, MessageId, Next, Outcome, Schedule,
    Signer, WebhookConfig,
};
use crate::testing::Numbers;

const SECOND: Duration = Duration::from_secs(1);

fn config() -> WebhookConfig {
    WebhookConfig {
        schedule: Schedule {
            pauses: PAUSES.map(Duration::from_secs).to_vec(),
            jitter_percent: 0,
            max_retry_after: 60 * SECOND,
        },
        breaker: BreakerConfig { failures: 3, pause: 10 * SECOND, max_pause: 35 * SECOND },
        max_endpoints: 6,
        max_pending: 40,
        max_pending_bytes: 1000,
        max_payload: 100,
        max_log: 50,
        max_ids: 30,
        ..WebhookConfig::default()
    }
}

fn endpoint(events: &[&str]) -> Endpoint {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    Endpoint {
        url: "https://example.com/".parse().unwrap(),
        events: events.iter().map(|&name| name.to_owned()).collect(),
        signer: Signer::new([secret]).unwrap(),
    }
}

fn below(numbers: &mut Numbers, len: usize) -> usize {
    usize::try_from(numbers.below(len as u64)).unwrap()
}

/// Both, and the jobs under way.
struct Pair {
    real: Dispatcher,
    model: Model,
    jobs: HashMap<(EndpointId, String), Job>,
    now: u64,
    fresh: u64,
    seen: [u32; 6],
}

impl Pair {
    fn at(&self) -> Duration {
        Duration::from_secs(self.now)
    }

    fn publish(&mut self, numbers: &mut Numbers) {
        // An id that is old enough to be forgotten, but not one that is still under way: the jobs
        // here are found by it.
        self.fresh += numbers.below(2);
        let id = format!("msg_{}", self.fresh);
        let event = ["a", "b", "c"][below(numbers, 3)];
        let bytes = below(numbers, 104);
        let message = MessageId::new(id.clone()).unwrap();
        let at = self.at();
        let real = self.real.publish(message, event, vec![0; bytes], at);
        assert_eq!(real, self.model.publish(&id, event, bytes, self.now));
        self.seen[0] += u32::from(real.is_err());
    }

    fn next(&mut self) {
        let real = self.real.next(self.at());
        match (real, self.model.next(self.now)) {
            (Next::Send(job), Ok((hook, id, attempt))) => {
                assert_eq!((job.endpoint(), job.attempt), (hook, attempt));
                assert_eq!(job.message.id.as_str(), id);
                assert!(self.jobs.insert((hook, id), job).is_none());
                self.seen[1] += 1;
            }
            (Next::WaitUntil(at), Err(Some(then))) => assert_eq!(at, Duration::from_secs(then)),
            (Next::Idle, Err(None)) => {}
            (real, model) => panic!("{real:?} is not {model:?}"),
        }
    }

    fn end(&mut self, numbers: &mut Numbers) {
        let flying: Vec<_> = (0..self.model.items.len())
            .filter(|&i| self.model.items[i].in_flight.is_some())
            .collect();
        if flying.is_empty() {
            return;
        }
        let index = flying[below(numbers, flying.len())];
        let key = (self.model.items[index].hook, self.model.items[index].id.clone());
        let job = self.jobs.remove(&key).unwrap();
        let asked = [None, Some(numbers.below(90))][below(numbers, 2)];
        let retry_after = asked.map(Duration::from_secs);
        let outcome = match numbers.below(40) {
            0..20 => Outcome::Status { code: 204, retry_after: None },
            20..25 => Outcome::Timeout,
            25..30 => Outcome::Unreachable,
            30..34 => Outcome::Status { code: 500, retry_after },
            34..38 => Outcome::Status { code: 503, retry_after },
            38 if numbers.below(4) == 0 => Outcome::Status { code: 410, retry_after: None },
            _ => return self.abandon(job, index),
        };
        let fate = self.real.finish(job, outcome, self.at());
        assert_eq!(fate, self.model.finish(index, outcome, self.now));
        self.seen[2] += u32::from(fate == Fate::Exhausted);
        self.seen[3] += u32::from(fate == Fate::Gone);
    }

    fn abandon(&mut self, job: Job, index: usize) {
        self.real.abandon(job, self.at());
        self.model.abandon(index);
    }

    fn change(&mut self, numbers: &mut Numbers) {
        let event = ["a", "b", "*"][below(numbers, 3)];
        if numbers.below(2) == 0 {
            let real = self.real.register(endpoint(&[event]));
            assert_eq!(real.is_ok(), self.model.hooks.len() < 6);
            let Ok(id) = real else { return };
            self.model.numbers += 1;
            self.model.hooks.push(Hook {
                id,
                event,
                enabled: true,
                failures: 0,
                breaks: 0,
                paused_until: 0,
                served_at: 0,
                epoch: 0,
            });
            return;
        }
        if self.model.hooks.is_empty() {
            return;
        }
        let index = below(numbers, self.model.hooks.len());
        let id = self.model.hooks[index].id;
        if numbers.below(4) == 0 {
            assert!(self.real.remove(id, self.at()));
            self.model.disable(id);
            self.model.hooks.remove(index);
        } else if numbers.below(3) == 0 {
            assert!(self.real.disable(id, self.at()));
            self.model.disable(id);
        } else {
            assert!(self.real.enable(id));
            let hook = self.model.hook(id).unwrap();
            (hook.enabled, hook.failures, hook.breaks, hook.paused_until) = (true, 0, 0, 0);
            hook.epoch += 1;
        }
    }

    fn compare(&mut self) {
        let stats = self.real.stats();
        assert_eq!(stats.pending, self.model.items.len());
        assert_eq!(stats.pending_bytes, self.model.items.iter().map(|i| i.bytes).sum::<usize>());
        assert!(self.real.log().count() <= 50);
        for hook in &self.model.hooks {
            let status = self.real.status(hook.id).unwrap();
            let mine = || self.model.items.iter().filter(|item| item.hook == hook.id);
            let flying = mine().filter(|item| item.in_flight.is_some()).count();
            assert_eq!(status.enabled, hook.enabled);
            assert_eq!(status.failures, hook.failures);
            assert_eq!(status.paused_until, Duration::from_secs(hook.paused_until));
            assert_eq!(status.in_flight as usize, flying);
            assert_eq!(status.waiting, mine().count() - flying);
        }
    }
}

#[test]
fn it_does_as_the_model_does() {
    let mut seen = [0; 6];
    for seed in 0..25 {
        let mut numbers = Numbers(seed);
        let mut pair = Pair {
            real: Dispatcher::new(config()),
            model: Model::default(),
            jobs: HashMap::new(),
            now: 0,
            fresh: 0,
            seen: [0; 6],
        };
        for _ in 0..6_000 {
            match numbers.below(40) {
                0..12 => pair.publish(&mut numbers),
                12..24 => pair.next(),
                24..36 => pair.end(&mut numbers),
                36 => pair.change(&mut numbers),
                _ => pair.now += numbers.below(8),
            }
            pair.compare();
        }
        for (sum, part) in seen.iter_mut().zip(pair.seen) {
            *sum += part;
        }
        pair.seen = [0; 6];
        seen[4] += u32::try_from(pair.real.stats().breaks).unwrap();
        seen[5] += u32::try_from(pair.real.stats().delivered).unwrap();
    }
    assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
}
