use super::*;
use core::time::Duration;
use std::sync::{Arc, Mutex};
use tokio::time::{Instant, sleep, timeout};

type Written = Arc<Mutex<Vec<(Duration, Vec<u32>)>>>;

/// Writes batches down with their times; each takes 10 ms; 13 panics and 14 fails.
fn start(config: BatchConfig) -> (BatchProcessor<u32>, Written) {
    let written = Written::default();
    let (to, start) = (written.clone(), Instant::now());
    let processor = BatchProcessor::spawn(config, move |batch: Vec<u32>| {
        let to = to.clone();
        async move {
            sleep(Duration::from_millis(10)).await;
            assert!(!batch.contains(&13), "unlucky");
            let well = !batch.contains(&14);
            to.lock().unwrap().push((start.elapsed(), batch));
            if well { Ok(()) } else { Err("failed") }
        }
    });
    (processor, written)
}

fn items(written: &Written) -> Vec<u32> {
    written.lock().unwrap().iter().flat_map(|(_, batch)| batch.clone()).collect()
}

const THREE: fn() -> BatchConfig =
    || BatchConfig { max_items: 3, queue_items: 5, ..BatchConfig::default() };

#[tokio::test(start_paused = true)]
async fn a_batch_goes_when_it_is_full_or_old_and_the_last_at_the_end() {
    let (processor, written) = start(THREE());
    let millis = Duration::from_millis;
    for number in 0..4 {
        processor.push(number, 1).unwrap();
    }
    sleep(millis(500)).await;
    processor.push(4, 1).unwrap();
    sleep(millis(1000)).await;
    processor.push(5, 1).unwrap();
    assert!(processor.shutdown().await);
    assert!(matches!(processor.push(6, 1), Err(PushError::Closed(6))));
    let expected =
        [(millis(10), vec![0, 1, 2]), (millis(1010), vec![3, 4]), (millis(1510), vec![5])];
    assert_eq!(*written.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_loses_nothing() {
    for pushed in 0..10 {
        let (processor, written) = start(BatchConfig { queue_items: 10, ..THREE() });
        let other = processor.clone();
        for number in 0..pushed {
            [&processor, &other][number as usize % 2].push(number, 1).unwrap();
        }
        drop(processor);
        drop(other);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(items(&written), (0..pushed).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_was_pushed_before() {
    let (processor, written) = start(THREE());
    for number in 0..4 {
        processor.push(number, 1).unwrap();
    }
    assert!(timeout(Duration::from_millis(100), processor.flush()).await.unwrap());
    assert_eq!(items(&written), [0, 1, 2, 3]);
    assert!(processor.flush().await, "nothing waits");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_or_panics_is_counted_and_the_next_ones_go_on() {
    let (processor, written) = start(THREE());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let write = heard.clone();
    processor.on_batch(|_| panic!("a listener that is broken"));
    processor.on_batch(move |done| write.lock().unwrap().push((done.items, done.well)));
    for number in [1, 13, 2, 14, 3] {
        processor.push_wait(number, 1).await.unwrap();
    }
    assert!(processor.shutdown().await);
    assert_eq!(items(&written), [14, 3]);
    assert_eq!(processor.stats().failed_batches, 2);
    assert_eq!(*heard.lock().unwrap(), [(3, false), (2, false)]);
}

#[tokio::test(start_paused = true)]
async fn those_who_push_wait_for_room_and_those_who_give_up_push_nothing() {
    let (processor, written) = start(THREE());
    let pushers: Vec<_> = (20..60)
        .map(|number| {
            let processor = processor.clone();
            tokio::spawn(async move {
                if number % 10 == 0 {
                    let push = processor.push_wait(number, 1);
                    return timeout(Duration::ZERO, push).await.is_ok();
                }
                processor.push_wait(number, 1).await.is_ok()
            })
        })
        .collect();
    let mut expected = Vec::new();
    for (pusher, number) in pushers.into_iter().zip(20..60) {
        if pusher.await.unwrap() {
            expected.push(number);
        }
        assert!(processor.stats().items_waiting <= 5);
    }
    assert!(processor.shutdown().await);
    let mut items = items(&written);
    items.sort_unstable();
    assert_eq!(items, expected);
    assert!((36..40).contains(&items.len()), "some gave up: {items:?}");
    let stats = processor.stats();
    assert_eq!((stats.pushed, stats.taken), (items.len() as u64, items.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_hears_of_the_end() {
    let (processor, _written) = start(THREE());
    for number in 0..5 {
        processor.push(number, 1).unwrap();
    }
    assert!(matches!(processor.push(5, 1), Err(PushError::Full(5))));
    let late = processor.push_wait(6, 1);
    let (late, all) = tokio::join!(late, processor.shutdown());
    assert!(matches!(late, Err(PushError::Closed(6))) && all);
}

#[test]
fn what_a_runtime_leaves_behind_can_be_had() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (processor, written) = runtime.block_on(async { start(THREE()) });
    processor.push(1, 1).unwrap();
    assert!(processor.take_left().is_empty(), "it still runs");
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(!runtime.block_on(processor.shutdown()));
    assert_eq!((processor.take_left(), items(&written)), (vec![1], vec![]));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_room_hears_of_the_end_though_a_batch_hangs() {
    let processor =
        BatchProcessor::spawn(THREE(), |_: Vec<u32>| core::future::pending::<Result<(), ()>>());
    for number in 0..8 {
        processor.push_wait(number, 1).await.unwrap();
    }
    let shutdown = timeout(Duration::from_secs(1), processor.shutdown());
    let late = timeout(Duration::from_millis(1), processor.push_wait(8, 1));
    let (late, shutdown) = tokio::join!(late, shutdown);
    assert!(matches!(late, Ok(Err(PushError::Closed(8)))) && shutdown.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_first_await_is_a_failure_too() {
    let mut batches = 0;
    let processor = BatchProcessor::spawn(THREE(), move |_: Vec<u32>| {
        batches += 1;
        assert!(batches > 1, "the first one");
        core::future::ready(Ok::<_, ()>(()))
    });
    for number in 0..4 {
        processor.push(number, 1).unwrap();
    }
    assert!(processor.shutdown().await);
    let stats = processor.stats();
    assert_eq!((stats.batches, stats.failed_batches), (2, 1));
}
