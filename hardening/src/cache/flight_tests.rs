use super::*;
use crate::testing::Numbers;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

/// Work that is done after some steps, each begun by a wake from outside.
struct Steps {
    left: u32,
    outside: Arc<Outside>,
    panics: bool,
}

#[derive(Default)]
struct Outside {
    waker: Mutex<Option<Waker>>,
    may_step: AtomicBool,
    made: AtomicU32,
    dropped: AtomicU32,
}

impl Future for Steps {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        *self.outside.waker.lock().unwrap() = Some(context.waker().clone());
        if self.outside.may_step.swap(false, Ordering::Relaxed) {
            self.left -= 1;
        }
        if self.left == 0 {
            assert!(!self.panics, "the work is broken");
            return Poll::Ready(self.outside.made.load(Ordering::Relaxed));
        }
        Poll::Pending
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.outside.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Caller = (Pin<Box<dyn Future<Output = u32>>>, Arc<Flag>, bool);

fn begin(
    flights: &SingleFlight<&'static str, Steps>,
    steps: u32,
    outside: &Arc<Outside>,
) -> Caller {
    let outside = outside.clone();
    let make = move || {
        outside.made.fetch_add(1, Ordering::Relaxed);
        Steps { left: steps, outside: outside.clone(), panics: false }
    };
    (Box::pin(flights.run("key", make)), Arc::default(), true)
}

fn poll(caller: &mut Caller) -> Poll<u32> {
    caller.1.0.store(false, Ordering::Relaxed);
    caller.0.as_mut().poll(&mut Context::from_waker(&Waker::from(caller.1.clone())))
}

/// Callers come, are dropped, or are never polled again, at random. As long as one is polled when
/// it is woken, the work goes on, and is done once for all who were there; the model is the number
/// of callers that wait, and of steps that were taken.
#[test]
fn work_goes_on_as_long_as_anyone_is_polled() {
    let (mut operations, mut finished) = (0, 0);
    for seed in 0..4000 {
        let mut numbers = Numbers(seed);
        let outside = Arc::new(Outside::default());
        let flights = SingleFlight::new();
        let steps = 1 + u32::try_from(numbers.below(4)).unwrap();
        let mut callers: Vec<Caller> = Vec::new();
        let (mut expected_made, mut steps_left) = (0, 0);
        for _ in 0..30 {
            operations += 1;
            let which = usize::try_from(numbers.below(callers.len().max(1) as u64)).unwrap();
            match numbers.below(8) {
                0..3 => {
                    if callers.is_empty() {
                        expected_made += 1;
                        steps_left = steps;
                    }
                    let mut caller = begin(&flights, steps, &outside);
                    assert!(poll(&mut caller).is_pending());
                    callers.push(caller);
                }
                // Given up, or held and forgotten; at least one goes on being polled.
                3 if !callers.is_empty() => drop(callers.swap_remove(which)),
                4 if callers.iter().filter(|caller| caller.2).count() > 1 => {
                    callers[which].2 = false;
                }
                5..8 if !callers.is_empty() => {
                    steps_left -= 1;
                    outside.may_step.store(true, Ordering::Relaxed);
                    let waker = outside.waker.lock().unwrap().take();
                    waker.unwrap().wake();
                    let polled_any = callers.iter().any(|caller| caller.2);
                    let all = callers.len();
                    callers.retain_mut(|caller| {
                        let woken = caller.2 && caller.1.0.load(Ordering::Relaxed);
                        !(woken && poll(caller) == Poll::Ready(expected_made))
                    });
                    if !polled_any {
                        // All that were polled are gone: whoever comes next takes over.
                        callers.iter_mut().for_each(|caller| caller.2 = true);
                        callers.retain_mut(|caller| poll(caller).is_pending());
                    }
                    if steps_left == 0 {
                        assert!(callers.iter().all(|caller| !caller.2), "seed {seed}: stalled");
                        finished += all - callers.len();
                        callers.clear();
                    } else {
                        assert_eq!(callers.len(), all, "seed {seed}");
                    }
                }
                _ => {}
            }
            assert_eq!(outside.made.load(Ordering::Relaxed), expected_made, "seed {seed}");
            assert_eq!(flights.flying(), usize::from(!callers.is_empty()), "seed {seed}");
        }
        drop(callers);
        let dropped = outside.dropped.load(Ordering::Relaxed);
        assert_eq!((flights.flying(), dropped), (0, expected_made), "seed {seed}");
    }
    assert!(operations >= 100_000 && finished > 10_000, "{operations} {finished}");
}

#[test]
fn work_that_is_done_is_joined_by_nobody() {
    let outside = Arc::new(Outside::default());
    let flights = SingleFlight::new();
    let mut callers = [0; 3].map(|_| begin(&flights, 1, &outside));
    let [one, forgotten, later] = &mut callers;
    assert!(poll(one).is_pending() && poll(forgotten).is_pending());
    outside.may_step.store(true, Ordering::Relaxed);
    assert_eq!(poll(one), Poll::Ready(1));
    assert!(poll(later).is_pending(), "begins anew");
    assert_eq!(poll(forgotten), Poll::Ready(1), "of its own time");
    outside.may_step.store(true, Ordering::Relaxed);
    assert_eq!(poll(later), Poll::Ready(2));
}

#[test]
fn work_that_panics_does_so_once_and_the_others_begin_anew() {
    let outside = Arc::new(Outside::default());
    let flights = SingleFlight::new();
    let made = outside.clone();
    let make = move || {
        let first = made.made.fetch_add(1, Ordering::Relaxed) == 0;
        Steps { left: 1, outside: made.clone(), panics: first }
    };
    let new = || -> Caller { (Box::pin(flights.run(1, make.clone())), Arc::default(), true) };
    let (mut one, mut two) = (new(), new());
    assert!(poll(&mut one).is_pending() && poll(&mut two).is_pending());
    outside.may_step.store(true, Ordering::Relaxed);
    outside.waker.lock().unwrap().take().unwrap().wake();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut two)));
    assert!(panicked.is_err());
    assert!(one.1.0.load(Ordering::Relaxed), "the other is told");
    assert!(poll(&mut one).is_pending());
    outside.may_step.store(true, Ordering::Relaxed);
    assert_eq!(poll(&mut one), Poll::Ready(2));
    drop((one, two));
    assert_eq!((flights.flying(), outside.dropped.load(Ordering::Relaxed)), (0, 2));
}

#[test]
fn a_wake_during_the_poll_of_another_is_not_lost() {
    // Work that wakes itself while it is polled, by a leader that is then forgotten.
    let flights = SingleFlight::new();
    let polls = Arc::new(AtomicU32::new(0));
    let count = polls.clone();
    let make = move || {
        let count = count.clone();
        core::future::poll_fn(move |context| {
            context.waker().wake_by_ref();
            let polls = count.fetch_add(1, Ordering::Relaxed) + 1;
            if polls < 3 { Poll::Pending } else { Poll::Ready(polls) }
        })
    };
    let new = || -> Caller { (Box::pin(flights.run((), make.clone())), Arc::default(), true) };
    let (mut follower, mut leader) = (new(), new());
    assert!(poll(&mut follower).is_pending());
    assert!(poll(&mut leader).is_pending());
    assert!(follower.1.0.load(Ordering::Relaxed), "the wake reached it too");
    assert_eq!(poll(&mut follower), Poll::Ready(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_share_one_piece_of_work() {
    for round in 0..50 {
        let flights = SingleFlight::new();
        let made = Arc::new(AtomicU32::new(0));
        let gate = Arc::new(tokio::sync::Barrier::new(16));
        let callers: Vec<_> = (0..16)
            .map(|caller| {
                let (flights, made, gate) = (flights.clone(), made.clone(), gate.clone());
                tokio::spawn(async move {
                    let work = || {
                        let made = made.clone();
                        async move {
                            made.fetch_add(1, Ordering::Relaxed);
                            for _ in 0..20 {
                                tokio::task::yield_now().await;
                            }
                            round
                        }
                    };
                    gate.wait().await;
                    let mut run = Box::pin(flights.run("key", work));
                    if caller % 4 == 0 {
                        // Some give up after the first poll.
                        core::future::poll_fn(|context| {
                            let _polled = run.as_mut().poll(context);
                            Poll::Ready(())
                        })
                        .await;
                        return round;
                    }
                    run.await
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), round);
        }
        assert_eq!(flights.flying(), 0);
        let made = u64::from(made.load(Ordering::Relaxed));
        assert_eq!(made, flights.started());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_before_an_invalidation_is_neither_kept_nor_joined() {
    let cache = LoadingCache::<&str, u32, ()>::new(TtlConfig::default());
    let truth = Arc::new(AtomicU32::new(1));
    let load = || {
        let read = truth.load(Ordering::Relaxed);
        async move {
            // The old value comes after the new one.
            tokio::time::sleep(Duration::from_secs(if read == 1 { 3 } else { 1 })).await;
            Ok(Some(read))
        }
    };
    let early = cache.get("tip", Duration::ZERO, load);
    let late = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        truth.store(2, Ordering::Relaxed);
        cache.cache().invalidate("tip");
        cache.get("tip", Duration::from_millis(500), load).await
    };
    assert_eq!(tokio::join!(early, late), (Ok(Some(1)), Ok(Some(2))));
    assert_eq!(cache.get("tip", Duration::from_secs(2), load).await, Ok(Some(2)));
}

#[tokio::test(start_paused = true)]
async fn one_renews_what_is_stale_and_errors_leave_it() {
    let second = Duration::from_secs(1);
    let config = TtlConfig { ttl: second, jitter: 0, stale: 60 * second, ..Default::default() };
    let cache = LoadingCache::<u8, u32, &str>::new(config);
    let (loads, works) = (AtomicU32::new(0), AtomicBool::new(true));
    let load = || {
        let number = loads.fetch_add(1, Ordering::Relaxed);
        let works = works.load(Ordering::Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if works { Ok(Some(number)) } else { Err("down") }
        }
    };
    assert_eq!(cache.get(1, Duration::ZERO, load).await, Ok(Some(0)));
    works.store(false, Ordering::Relaxed);
    let (one, two) = tokio::join!(cache.get(1, 2 * second, load), cache.get(1, 2 * second, load));
    assert_eq!((one, two, loads.load(Ordering::Relaxed)), (Ok(Some(0)), Ok(Some(0)), 2));
    works.store(true, Ordering::Relaxed);
    assert_eq!(cache.get(1, 3 * second, load).await, Ok(Some(0)), "asked a second ago");
    assert_eq!(cache.get(1, 7 * second, load).await, Ok(Some(2)));
    assert_eq!(cache.get(1, 7 * second, load).await, Ok(Some(2)));
    works.store(false, Ordering::Relaxed);
    assert_eq!(cache.get(2, 7 * second, load).await, Err("down"));
    let none = || async { Ok(None) };
    assert_eq!(cache.get(3, 7 * second, none).await, Ok(None));
    assert_eq!(cache.get(3, 8 * second, load).await, Ok(None), "known");
}
