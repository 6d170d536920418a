//! What the whole outbound stack costs a request that is answered at once.

#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;
mod stacks;

use std::future::{pending, ready};
use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use figures::{Figures, ask, config, runtime};
use stacks::{network, of_resilience, of_tower, ours};
use tower::{Service, ServiceExt};

const ATTEMPT: Duration = Duration::from_secs(10);

/// Whether it was answered in the end, and how often the network was asked.
type End = (Option<u64>, u32);

/// One request through each stack, over a network that fails so often before it answers.
async fn ends(failures: u32) -> [End; 3] {
    let counted = || {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let network = move |number: u64| {
            let failed = counter.fetch_add(1, Ordering::Relaxed);
            let broken = || IoError::from(ErrorKind::ConnectionReset);
            ready(if failed < failures { Err(broken()) } else { Ok(number) })
        };
        (network, asked)
    };
    let mut ends = [(None, 0); 3];
    let (network, asked) = counted();
    ends[0] = (ours(network, ATTEMPT).oneshot(7).await.ok(), asked.load(Ordering::Relaxed));
    let (network, asked) = counted();
    ends[1] = (of_tower(network, ATTEMPT).oneshot(7).await.ok(), asked.load(Ordering::Relaxed));
    let (network, asked) = counted();
    ends[2] =
        (of_resilience(network, ATTEMPT).oneshot(7).await.ok(), asked.load(Ordering::Relaxed));
    ends
}

/// The same answer after the same number of attempts, and none from a network that is silent.
async fn assert_equal_ends() {
    for failures in 0..5 {
        let [ours, rest @ ..] = ends(failures).await;
        assert_eq!(rest, [ours; 2], "{failures} failures");
        assert_eq!(ours, ((failures < 3).then_some(7), 3.min(failures + 1)));
    }
    let (silent, soon) = (|_: u64| pending(), Duration::from_millis(5));
    assert!(ours(silent, soon).oneshot(7).await.is_err());
    assert!(of_tower(silent, soon).oneshot(7).await.is_err());
    assert!(of_resilience(silent, soon).oneshot(7).await.is_err());
}

fn stack(criterion: &mut Criterion) {
    let runtime = runtime();
    runtime.block_on(assert_equal_ends());
    // The layers make timers.
    let _inside = runtime.enter();
    let mut figures = Figures::new(criterion, "hardening_stack");
    figures.section("a request that is answered at once");
    let mut stack = ours(network, ATTEMPT);
    figures.time("ironlight, all outbound layers", |number| answered(&mut stack, number));
    figures.goal(100.0);
    let mut stack = of_tower(network, ATTEMPT);
    figures.time("tower, without a breaker", |number| answered(&mut stack, number));
    let mut stack = of_resilience(network, ATTEMPT);
    figures.time("tower-resilience", |number| answered(&mut stack, number));
    let mut stack =
        runtime.block_on(async { tower::buffer::Buffer::new(of_tower(network, ATTEMPT), 64) });
    figures.time("tower, without a breaker, shared by a buffer", |number| {
        runtime.block_on(async { stack.ready().await?.call(number).await }).is_ok()
    });
    two_threads(&mut figures, &runtime);
    figures.finish();
}

fn two_threads(figures: &mut Figures<'_>, runtime: &tokio::runtime::Runtime) {
    figures.section("two threads, one stack");
    let stack = ours(network, ATTEMPT);
    figures.contended_with("ironlight, two threads", || {
        let (mut stack, inside) = (stack.clone(), runtime.enter());
        move |number| {
            let _held = &inside;
            answered(&mut stack, number)
        }
    });
    let stack = of_resilience(network, ATTEMPT);
    figures.contended_with("tower-resilience, two threads", || {
        let (mut stack, inside) = (stack.clone(), runtime.enter());
        move |number| {
            let _held = &inside;
            answered(&mut stack, number)
        }
    });
}

/// Whether it was answered, and at once.
fn answered(stack: &mut impl Service<u64, Response = u64>, number: u64) -> bool {
    matches!(ask(stack, number), Some(Ok(answer)) if answer == number + 1)
}

criterion_group! { name = benches; config = config(); targets = stack }
criterion_main!(benches);
