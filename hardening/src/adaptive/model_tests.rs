//! The limit against one that keeps every request and computes from them.

use core::time::Duration;

use super::*;
use crate::clock::nanos;
use crate::testing::Numbers;

#[derive(Clone, Copy)]
struct Request {
    began: u64,
    ended: u64,
    how: Ended,
}

struct Naive {
    config: AdaptiveConfig,
    limit: f64,
    before_probe: Option<f64>,
    running: u32,
    window_from: u64,
    most: u32,
    ended: Vec<Request>,
    means: Vec<f64>,
    windows: u32,
}

impl Naive {
    fn bounded(&self, limit: f64) -> f64 {
        limit.clamp(f64::from(self.config.min), f64::from(self.config.max))
    }

    fn enter(&mut self) -> bool {
        let admits = f64::from(self.running + 1) <= self.limit.floor();
        self.running += u32::from(admits);
        self.most = self.most.max(self.running);
        admits
    }

    fn leave(&mut self, request: Request) {
        self.running -= 1;
        self.ended.push(request);
        if request.how == Ended::Otherwise {
            return;
        }
        let measuring = self.before_probe.is_some();
        let times: Vec<f64> = self
            .ended
            .iter()
            .filter(|request| request.how == Ended::Answered)
            .filter(|request| !measuring || request.began >= self.window_from)
            .map(|request| (request.ended - request.began) as f64)
            .collect();
        let overloaded = self.ended.iter().any(|request| request.how == Ended::Overloaded);
        let window = nanos(self.config.window);
        let enough = times.len() >= self.config.min_answers as usize || overloaded;
        if request.ended - self.window_from < window || !enough {
            return;
        }
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        self.ended.clear();
        self.window_from = request.ended;
        let most = core::mem::replace(&mut self.most, self.running);
        if let Some(before) = self.before_probe.take() {
            if !times.is_empty() {
                self.means = vec![mean];
            }
            self.limit = self.bounded(before * if overloaded { self.config.backoff } else { 1.0 });
            return;
        }
        if !times.is_empty() {
            self.means.push(mean);
        }
        self.limit = self.bounded(self.next(overloaded, mean, most));
        self.windows += 1;
        if self.windows.is_multiple_of(self.config.probe_every) {
            self.before_probe = Some(self.limit);
            self.limit = self.bounded(self.limit / 2.0);
        }
    }

    fn next(&self, overloaded: bool, mean: f64, most: u32) -> f64 {
        if overloaded {
            return self.limit * self.config.backoff;
        }
        let baseline = self.means.iter().copied().fold(f64::INFINITY, f64::min);
        let waiting = self.limit * (1.0 - baseline / mean.max(1.0));
        let step = self.limit.log10().max(1.0);
        match waiting / step {
            many if many > 6.0 => self.limit - step,
            few if few < 3.0 && f64::from(most) >= self.limit / 2.0 => self.limit + step,
            _ => self.limit,
        }
    }
}

#[test]
fn finds_the_limit_that_one_computes_who_keeps_every_request() {
    let (mut operations, mut changes, mut refused) = (0, 0, 0);
    for seed in 0..150 {
        let mut numbers = Numbers(seed);
        let config = AdaptiveConfig {
            initial: 5 + u32::try_from(numbers.below(30)).unwrap(),
            min: 2,
            max: 60,
            window: Duration::from_nanos(1000),
            min_answers: 1 + u32::try_from(numbers.below(10)).unwrap(),
            backoff: 0.8,
            probe_every: 1 + u32::try_from(numbers.below(10)).unwrap(),
        };
        let mut ours = AdaptiveState::new(config);
        let mut naive = Naive {
            config,
            limit: f64::from(config.initial),
            before_probe: None,
            running: 0,
            window_from: 0,
            most: 0,
            ended: Vec::new(),
            means: Vec::new(),
            windows: 0,
        };
        let (mut now, mut running) = (0, Vec::new());
        for _ in 0..1000 {
            operations += 1;
            now += numbers.below(40);
            if running.is_empty() || numbers.below(100) < 52 {
                let admits = ours.enter();
                assert_eq!(admits, naive.enter());
                refused += u32::from(!admits);
                if admits {
                    running.push(now);
                }
            } else {
                let which = usize::try_from(numbers.below(running.len() as u64)).unwrap();
                let began = running.swap_remove(which);
                let how = match numbers.below(300) {
                    0 => Ended::Overloaded,
                    1..20 => Ended::Otherwise,
                    _ => Ended::Answered,
                };
                let before = ours.status().limit;
                ours.leave(how, Duration::from_nanos(began), Duration::from_nanos(now));
                naive.leave(Request { began, ended: now, how });
                changes += u32::from(before != ours.status().limit);
            }
            assert_eq!(f64::from(ours.status().limit), naive.limit.floor(), "seed {seed}");
            assert_eq!(ours.status().in_flight, naive.running);
        }
    }
    assert!(operations >= 100_000 && changes > 1000 && refused > 1000);
}
