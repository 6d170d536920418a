use super::*;
use crate::clock::TokioTimer;
use crate::error::{Error, ErrorClass};
use crate::stamp::{BareLayer, StampLayer};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

async fn wait(millis: u64) -> Result<u64, io::Error> {
    tokio::time::sleep(Duration::from_millis(millis)).await;
    if millis == 404 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(millis)
}

type Answer = Result<u64, Error<io::Error>>;

fn monitored(
    layer: MonitorLayer<TokioTimer>,
    clock: TokioTimer,
) -> impl Service<u64, Response = u64, Error = Error<io::Error>, Future: Future<Output = Answer>> + Clone
{
    ServiceBuilder::new()
        .layer(StampLayer::new(clock))
        .layer(layer)
        .layer(BareLayer)
        .service(service_fn(wait))
}

#[tokio::test(start_paused = true)]
async fn measures_from_the_stamp_to_the_end_and_tells_of_what_is_slow() {
    let clock = TokioTimer::new();
    let operation = PerformanceStats::default().operation("wait");
    let slow = Arc::new(AtomicU32::new(0));
    let seen = slow.clone();
    let layer = MonitorLayer::new(operation.clone(), clock)
        .on_slow(|_| panic!("a listener that is broken"))
        .on_slow(move |call| {
            assert_eq!((call.name, call.took), ("wait", Duration::from_secs(3)));
            seen.fetch_add(1, Ordering::Relaxed);
        });
    let service = monitored(layer, clock);
    for millis in [100, 200, 404, 3000] {
        let _answer = service.clone().oneshot(millis).await;
    }
    assert_eq!(slow.load(Ordering::Relaxed), 1);
    let report = operation.report(tokio_now(clock));
    assert_eq!(report.latency.count, 4);
    assert_eq!(report.latency.min, Duration::from_millis(100));
    assert_eq!(report.latency.max, Duration::from_secs(3));
    assert_eq!(report.errors.by_class.of(ErrorClass::Permanent), 1);
    assert_eq!((report.in_flight, report.cancelled), (0, 0));
}

fn tokio_now(clock: TokioTimer) -> Duration {
    crate::Clock::now(&clock)
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_is_cancelled_and_no_longer_in_flight() {
    let clock = TokioTimer::new();
    let operation = PerformanceStats::default().operation("wait");
    let service = monitored(MonitorLayer::new(operation.clone(), clock), clock);
    for polls in 0..4_u32 {
        let mut call = Box::pin(service.clone().oneshot(1000));
        for _ in 0..polls {
            assert!(futures_poll(call.as_mut()).await);
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!(operation.report(Duration::ZERO).in_flight, u64::from(polls > 0));
        drop(call);
        let report = operation.report(Duration::ZERO);
        assert_eq!((report.in_flight, report.cancelled), (0, u64::from(polls)));
    }
    assert_eq!(operation.report(Duration::ZERO).errors.calls, 0);
}

/// Polls once; whether it still waits.
async fn futures_poll<F: Future>(mut future: core::pin::Pin<&mut F>) -> bool {
    core::future::poll_fn(|context| {
        core::task::Poll::Ready(future.as_mut().poll(context).is_pending())
    })
    .await
}

#[test]
fn the_page_is_as_wide_as_it_says_and_moves_no_cursor() {
    let stats = PerformanceStats::default();
    let now = Duration::from_secs(1);
    let name = "a name\x1b[2J with an escape sequence that is much too long";
    let operation = stats.operation(name);
    for _ in 0..20 {
        operation.record(Duration::from_micros(1500), Err(ErrorClass::Timeout), now);
    }
    let text = HealthDashboard::new(stats).report(now).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "unhealthy, score 0 of 100");
    assert_eq!(
        lines[2],
        "a name?[2J with an e unhealthy     0       20  100.0%     20.0    1.5ms    1.5ms    1.5ms  timeout"
    );
    assert!(!text.contains('\x1b'));
}
