use super::*;
use crate::testing::Numbers;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};

#[tokio::test]
async fn a_lazy_value_is_an_option() {
    for seed in 0..20 {
        let mut numbers = Numbers(seed);
        let (lazy, other) = (Lazy::new(), AsyncLazy::<u64, u64>::new());
        let mut naive: Option<u64> = None;
        for step in 0..6000 {
            match numbers.below(5) {
                0 => {
                    let (old, same) = (lazy.reset(), other.reset());
                    assert_eq!((old.as_deref(), same.as_deref()), (naive.as_ref(), naive.as_ref()));
                    naive = None;
                }
                1 => {
                    let expected = naive.ok_or(step);
                    assert_eq!(lazy.get_or_try_init(|| Err(step)).map(|value| *value), expected);
                    let same = other.get_or_try_init(|| async move { Err(step) }).await;
                    assert_eq!(same.map(|value| *value), expected);
                }
                2 => {
                    let panicked = catch_unwind(AssertUnwindSafe(|| {
                        lazy.get_or_init(|| std::panic::resume_unwind(Box::new(())))
                    }));
                    assert_eq!(panicked.is_ok(), naive.is_some());
                }
                _ => {
                    let expected = *naive.get_or_insert(step);
                    assert_eq!(*lazy.get_or_init(|| step), expected, "seed {seed}");
                    let same = other.get_or_try_init(|| async move { Ok(step) }).await;
                    assert_eq!(same.map(|value| *value), Ok(expected));
                }
            }
            assert_eq!(lazy.get().as_deref(), naive.as_ref());
            assert_eq!(other.get().as_deref(), naive.as_ref());
        }
    }
}

#[test]
fn of_many_threads_one_makes_it() {
    for _ in 0..100 {
        let (lazy, made, gate) = (Lazy::new(), AtomicU64::new(0), Barrier::new(8));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    gate.wait();
                    let value = lazy.get_or_init(|| made.fetch_add(1, Ordering::Relaxed));
                    assert_eq!(*value, 0);
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_tasks_one_makes_it() {
    for _ in 0..300 {
        let (lazy, made) = (AsyncLazy::<u64>::new(), Arc::new(AtomicU64::new(0)));
        let gate = Arc::new(tokio::sync::Barrier::new(8));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (lazy, made, gate) = (lazy.clone(), made.clone(), gate.clone());
                tokio::spawn(async move {
                    let make = || {
                        let made = made.clone();
                        async move { made.fetch_add(1, Ordering::Relaxed) }
                    };
                    gate.wait().await;
                    *lazy.get_or_init(make).await
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 0);
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn a_reset_while_it_is_made_is_not_lost() {
    let lazy = Lazy::new();
    let (began, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel();
    std::thread::scope(|scope| {
        let lazy = &lazy;
        let old = scope.spawn(move || {
            lazy.get_or_init(|| {
                began.send(()).unwrap();
                may_go_on.recv().unwrap();
                "old"
            })
        });
        has_begun.recv().unwrap();
        lazy.reset();
        // Does not wait for the old one: it would never come.
        assert_eq!(*lazy.get_or_init(|| "new"), "new");
        go_on.send(()).unwrap();
        assert_eq!(*old.join().unwrap(), "old");
    });
    assert_eq!(lazy.get().as_deref(), Some(&"new"));
}

#[tokio::test(start_paused = true)]
async fn an_async_reset_while_it_is_made_is_not_lost() {
    let lazy = AsyncLazy::new();
    let after = |millis, value| {
        move || async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            value
        }
    };
    let late = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        lazy.reset();
        lazy.get_or_init(after(5, "new")).await
    };
    let (old, new) = tokio::join!(lazy.get_or_init(after(100, "old")), late);
    assert_eq!((*old, *new), ("old", "new"));
    assert_eq!(lazy.get().as_deref(), Some(&"new"));
}

#[tokio::test(start_paused = true)]
async fn what_one_began_and_gave_up_is_carried_on_by_another() {
    let (lazy, made) = (AsyncLazy::new(), Arc::new(AtomicU64::new(0)));
    let make = || {
        let made = made.clone();
        async move {
            made.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(10)).await;
            7
        }
    };
    let gives_up = tokio::time::timeout(Duration::from_secs(9), lazy.get_or_init(make));
    let (gave_up, value) = tokio::join!(gives_up, lazy.get_or_init(make));
    assert!(gave_up.is_err());
    assert_eq!((*value, made.load(Ordering::Relaxed)), (7, 1));
}
