//! Prints what a request that is answered at once allocates on its way through each stack, and ends
//! with an error if ours allocates anything. Alone in its process, since counting costs time.

mod stacks;

use std::alloc::System;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cap::Cap;
use ironlight_benches::recorded::{Unit, record};
use ironlight_benches::settings::asked_for;
use stacks::{network, of_resilience, of_tower, ours};
use tower::Service;

#[global_allocator]
static BYTES: Cap<System> = Cap::new(System, usize::MAX);

const REQUESTS: u64 = 10_000;
const ATTEMPT: Duration = Duration::from_secs(10);

/// Bytes for so many requests, after a few that may still make tables.
fn allocated(stack: &mut impl Service<u64, Response = u64>) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    let mut before = 0;
    for number in 0..2 * REQUESTS {
        if number == REQUESTS {
            before = BYTES.total_allocated();
        }
        assert!(stack.poll_ready(&mut context).is_ready());
        let answer = pin!(stack.call(number)).poll(&mut context);
        assert!(matches!(answer, Poll::Ready(Ok(answer)) if answer == number + 1));
    }
    BYTES.total_allocated() - before
}

fn main() {
    const NAME: &str = "hardening_stack_memory";
    if !asked_for(NAME) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let _inside = runtime.as_ref().map(tokio::runtime::Runtime::enter);
    let bytes = [
        ("ironlight", allocated(&mut ours(network, ATTEMPT))),
        ("tower, without a breaker", allocated(&mut of_tower(network, ATTEMPT))),
        ("tower-resilience", allocated(&mut of_resilience(network, ATTEMPT))),
    ];
    for (stack, bytes) in bytes {
        record(NAME, stack, bytes as f64 / REQUESTS as f64, Unit::Bytes);
    }
    assert_eq!(bytes.map(|(_, bytes)| bytes)[0], 0, "the goal");
}
