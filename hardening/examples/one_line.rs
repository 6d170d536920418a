//! One guard around closures, a future, a service and what blocks:
//! `cargo run -p ironlight-hardening --example one_line`. It runs on tokio's paused time, so that the
//! pauses of minutes that it shows pass at once.
#![expect(clippy::print_stdout, reason = "an example tells what happens")]

use std::io::{Error as IoError, ErrorKind};
use std::time::Duration;

use ironlight_hardening::circuit_breaker::BreakerConfig;
use ironlight_hardening::rate_limit::Quota;
use ironlight_hardening::retry::RetryPolicy;
use ironlight_hardening::{Error, Guard};
use tower::{ServiceExt, service_fn};

/// Somebody else: every other answer fails at first, and from the fifth on all do.
struct Market {
    asked: std::sync::atomic::AtomicU32,
}

impl Market {
    async fn price(&self) -> Result<u32, IoError> {
        match self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            1 | 3 => Ok(42),
            0 | 2 => Err(IoError::from(ErrorKind::ConnectionReset)),
            _ => Err(IoError::from(ErrorKind::ConnectionRefused)),
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let market = Market { asked: 0.into() };
    let get = Guard::new("price")
        .retry(RetryPolicy::QUICK)
        .breaker(BreakerConfig::default())
        .limit(Quota::per_minute(60))
        .timeout(Duration::from_secs(30))
        .fallback(|error: Error<IoError>| {
            println!("  another answer, because: {error}");
            Ok(0)
        });

    for call in 1..=6 {
        let price = get.call(async || market.price().await).await;
        println!("call {call}: {price:?}");
    }
    println!("{}", get.handle().status());

    tokio::time::advance(Duration::from_secs(120)).await;
    let price = get.once(async { Ok(43) }).await;
    println!("a future, two minutes later, as a probe: {price:?}");

    let service = service_fn(async |n: u32| Ok::<_, IoError>(n + 1));
    let sum = get.service(service, |n: &u32| Some(*n)).oneshot(43).await;
    println!("a service: {sum:?}");
    println!("{}", get.handle().status());

    let read = Guard::for_threads("settings").retry(RetryPolicy::QUICK);
    let missing = read.call_blocking(|| std::fs::read("/no/such/file"));
    println!("a blocking closure: {missing:?}");
    println!("{}", read.handle().status());
}
