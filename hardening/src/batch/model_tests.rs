//! The naive model: a list of all that was ever pushed, and how many of them are gone.

use super::*;
use crate::testing::Numbers;
use core::time::Duration;

#[derive(Default)]
struct Naive {
    pushed: Vec<(u64, usize, u64)>,
    gone: usize,
    flushed: usize,
    closed: bool,
    /// How each batch went: its items, how long it took, whether well.
    done: Vec<(usize, Duration, bool)>,
}

impl Naive {
    fn waiting(&self) -> &[(u64, usize, u64)] {
        &self.pushed[self.gone..]
    }

    fn bytes(&self) -> usize {
        self.waiting().iter().map(|item| item.1).sum()
    }

    /// The size after all batches, gone through from the first one.
    fn size(&self, config: &BatchConfig) -> usize {
        let Some(adaptive) = config.adaptive else { return config.max_items };
        let least = adaptive.min_items.clamp(1, config.max_items);
        self.done.iter().fold(least, |size, (items, took, well)| {
            let next = match (*well && *took <= adaptive.target, *items >= size) {
                (false, _) => size / 2,
                (true, true) => size + (size / 8).max(1),
                (true, false) => size,
            };
            next.clamp(least, config.max_items)
        })
    }

    fn push(
        &mut self,
        item: (u64, usize, u64),
        config: &BatchConfig,
    ) -> Result<(), PushError<u64>> {
        if self.closed {
            return Err(PushError::Closed(item.0));
        }
        if item.1 > config.queue_bytes {
            return Err(PushError::TooLarge(item.0));
        }
        if self.waiting().len() == config.queue_items || self.bytes() + item.1 > config.queue_bytes
        {
            return Err(PushError::Full(item.0));
        }
        self.pushed.push(item);
        Ok(())
    }

    fn take(&mut self, config: &BatchConfig, size: usize, now: u64) -> Option<(Vec<u64>, Reason)> {
        let waiting = self.waiting();
        let oldest = waiting.first()?;
        let reasons = [
            (waiting.len() >= size, Reason::Items),
            (self.bytes() >= config.max_bytes, Reason::Bytes),
            (self.closed || self.gone < self.flushed, Reason::Flush),
            (Duration::from_secs(now - oldest.2) >= config.max_age, Reason::Age),
        ];
        let reason = reasons.iter().find(|(is_so, _)| *is_so)?.1;
        let fits = |count: &usize| {
            *count == 1
                || waiting[..*count].iter().map(|item| item.1).sum::<usize>() <= config.max_bytes
        };
        let count = (1..=size.min(waiting.len())).rev().find(fits).unwrap();
        let items = waiting[..count].iter().map(|item| item.0).collect();
        self.gone += count;
        Some((items, reason))
    }
}

fn some_config(numbers: &mut Numbers) -> BatchConfig {
    let mut some = |end| usize::try_from(1 + numbers.below(end)).unwrap();
    BatchConfig {
        max_items: some(10),
        max_bytes: some(100),
        max_age: Duration::from_secs(some(10) as u64),
        queue_items: some(20),
        queue_bytes: some(200),
        adaptive: (some(2) == 2)
            .then(|| Adaptive { min_items: some(4), target: Duration::from_millis(100) }),
    }
}

fn which<T>(refused: &PushError<T>) -> usize {
    match refused {
        PushError::Closed(_) => 0,
        PushError::TooLarge(_) => 1,
        PushError::Full(_) => 2,
    }
}

fn compare(batcher: &Batcher<u64>, naive: &Naive, config: &BatchConfig) {
    let stats = batcher.stats();
    assert_eq!(stats.batch_size, naive.size(config));
    assert_eq!((stats.items_waiting, stats.bytes_waiting), (naive.waiting().len(), naive.bytes()));
    assert_eq!((stats.pushed, stats.taken), (naive.pushed.len() as u64, naive.gone as u64));
}

#[test]
fn batches_are_cut_off_a_list_of_all() {
    let (mut reasons, mut refusals) = ([0; 4], [0; 3]);
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut numbers = Numbers(seed);
        let config = some_config(&mut numbers);
        let (mut batcher, mut naive, mut now) = (Batcher::new(config), Naive::default(), 0);
        for step in 0..1000 {
            now += numbers.below(3);
            let at = Duration::from_secs(now);
            match numbers.below(100) {
                0..60 => {
                    let bytes = usize::try_from(numbers.below(60)).unwrap();
                    let expected = naive.push((step, bytes, now), &config);
                    let pushed = batcher.push(step, bytes, at);
                    assert_eq!(pushed, expected, "seed {seed} step {step}");
                    if let Err(refused) = pushed {
                        refusals[which(&refused)] += 1;
                    }
                }
                60..97 => {
                    let ready = batcher.ready(at);
                    let due = batcher.due_at();
                    let batch = batcher.take(at);
                    let expected = naive.take(&config, naive.size(&config), now);
                    assert_eq!(due.is_some_and(|due| due <= at), expected.is_some());
                    assert_eq!(ready, expected.as_ref().map(|batch| batch.1));
                    let batch = batch.map(|batch| (batch.items, batch.reason));
                    assert_eq!(batch, expected, "seed {seed} step {step}");
                    if let Some((items, reason)) = batch {
                        reasons[reason as usize] += 1;
                        let took = Duration::from_millis(numbers.below(120));
                        let well = numbers.below(20) > 0;
                        batcher.done(items.len(), took, well);
                        naive.done.push((items.len(), took, well));
                    }
                }
                97..99 => {
                    batcher.flush();
                    naive.flushed = naive.pushed.len();
                }
                _ if step > 900 => {
                    batcher.close();
                    naive.closed = true;
                }
                _ => {}
            }
            sizes.insert(batcher.stats().batch_size);
            compare(&batcher, &naive, &config);
        }
        batcher.close();
        naive.closed = true;
        while let Some(batch) = batcher.take(Duration::from_secs(now)) {
            assert_eq!(batch.items, naive.take(&config, naive.size(&config), now).unwrap().0);
        }
        assert!(batcher.is_empty() && naive.waiting().is_empty(), "nothing is left behind");
    }
    assert!(reasons.iter().all(|times| *times > 100), "{reasons:?}");
    assert!(refusals.iter().all(|times| *times > 10), "{refusals:?}");
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
}

#[test]
fn the_size_grows_while_it_goes_well_and_halves_when_it_does_not() {
    let target = Duration::from_millis(100);
    let adaptive = Some(Adaptive { min_items: 4, target });
    let mut batcher =
        Batcher::<()>::new(BatchConfig { max_items: 100, adaptive, ..BatchConfig::default() });
    let size = |batcher: &Batcher<()>| batcher.stats().batch_size;
    assert_eq!(size(&batcher), 4);
    batcher.done(3, target / 2, true);
    assert_eq!(size(&batcher), 4, "a batch that was not full says nothing");
    for _ in 0..100 {
        batcher.done(size(&batcher), target, true);
    }
    assert_eq!(size(&batcher), 100);
    batcher.done(100, 2 * target, true);
    assert_eq!(size(&batcher), 50);
    batcher.done(1, Duration::ZERO, false);
    assert_eq!(size(&batcher), 25);
    for _ in 0..10 {
        batcher.done(25, target, false);
    }
    assert_eq!((size(&batcher), batcher.stats().failed_batches), (4, 11));
    // A service that takes 1 ms an item and 20 ms a batch: it settles just above 80 items.
    let mut sizes = Vec::new();
    for _ in 0..200 {
        let items = size(&batcher);
        batcher.done(items, Duration::from_millis(20 + items as u64), true);
        sizes.push(items);
    }
    assert!(sizes[100..].iter().all(|items| (38..=90).contains(items)), "{sizes:?}");
}
