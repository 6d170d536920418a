//! Lines of a test's own, on paused time.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ironlight_hardening::{Classify, Rejected};
use ironlight_spv::sync::Unanswered;
use tokio::time::Instant;

use super::*;

/// What a line does with a request.
#[derive(Clone, Copy, Debug)]
enum Does {
    Answer,
    Nothing,
    Fail,
    /// Busy for so many seconds.
    Busy(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault(ErrorClass);

impl Classify for Fault {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

/// Does one thing after the other, the last one for ever, and counts.
#[derive(Clone, Debug)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Does>>>,
    asked: Arc<AtomicUsize>,
}

fn scripted(script: impl IntoIterator<Item = Does>) -> Scripted {
    let script = Arc::new(Mutex::new(script.into_iter().collect()));
    Scripted { script, asked: Arc::default() }
}

impl Scripted {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Service<()> for Scripted {
    type Response = &'static str;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<&'static str, Fault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut script = self.script.lock().unwrap();
        let does = if script.len() > 1 { script.pop_front() } else { script.front().copied() };
        Box::pin(async move {
            match does.unwrap() {
                Does::Answer => Ok("headers"),
                Does::Nothing => pending().await,
                Does::Fail => Err(Fault(ErrorClass::Temporary)),
                Does::Busy(seconds) => {
                    let retry_after = Some(Duration::from_secs(seconds));
                    Err(Fault(ErrorClass::RateLimited { retry_after }))
                }
            }
        })
    }
}

fn address(group: u8) -> SocketAddr {
    SocketAddr::from(([60, group, 1, 1], 8333))
}

/// A network with so many peers that nobody asks.
fn network(others: u8) -> (NetworkRequests, Vec<PeerRequests>) {
    network_with(RequestConfig::default(), others)
}

fn network_with(config: RequestConfig, others: u8) -> (NetworkRequests, Vec<PeerRequests>) {
    let network = Requests::new(config, None, NodeAudit::default(), 7).network("test");
    let others = (0..others).map(|other| network.peer(address(100 + other), other.into()));
    let others = others.collect();
    (network, others)
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_asked_three_times_then_not_for_a_minute_then_probed() {
    let (network, _others) = network(2);
    let peer = network.peer(address(1), 1);
    let silent = scripted([Does::Nothing]);
    for _ in 0..3 {
        let error = peer.ask(Asked::First, (), silent.clone()).await.unwrap_err();
        assert!(matches!(error, NoAnswer::Late { .. }), "{error:?}");
        assert_eq!(error.unanswered(), Unanswered::NoAnswer);
    }
    let refused = peer.ask(Asked::First, (), silent.clone()).await.unwrap_err();
    let NoAnswer::Refused(Rejected::CircuitOpen { retry_after }) = refused else { panic!("open") };
    assert!((59..=66).contains(&retry_after.as_secs()), "{retry_after:?}");
    let look_again = Unanswered::Refused { retry_after: Duration::from_secs(30) };
    assert_eq!(refused.unanswered(), look_again);
    assert_eq!(silent.asked(), 3);

    tokio::time::sleep(retry_after).await;
    let well = scripted([Does::Answer]);
    for _ in 0..2 {
        assert_eq!(peer.ask(Asked::First, (), well.clone()).await, Ok("headers"));
    }
    let report = peer.report();
    assert_eq!((report.sent, report.failed, report.refused), (5, 3, 1));
    assert_eq!(report.breaker, CircuitState::Closed);
    assert_eq!((network.report().sent, network.report().answered), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_outlives_the_connection() {
    let (network, _others) = network(2);
    let failing = scripted([Does::Fail]);
    for connection in 0..4 {
        let peer = network.peer(address(1), connection);
        assert!(peer.ask(Asked::First, (), failing.clone()).await.is_err());
    }
    assert_eq!(failing.asked(), 3, "the fourth one was refused");
}

#[tokio::test(start_paused = true)]
async fn where_too_few_could_be_asked_an_open_breaker_refuses_nothing() {
    // Two others, but of one owner.
    let (network, _others) = network(1);
    let _neighbour = network.peer(SocketAddr::from(([60, 100, 2, 2], 8333)), 9);
    let peer = network.peer(address(1), 1);
    let failing = scripted([Does::Fail]);
    for _ in 0..20 {
        assert!(peer.ask(Asked::First, (), failing.clone()).await.is_err());
    }
    assert_eq!(failing.asked(), 20);
    let _third = network.peer(address(2), 2);
    for _ in 0..20 {
        assert!(peer.ask(Asked::First, (), failing.clone()).await.is_err());
    }
    assert!(failing.asked() <= 23, "{}", failing.asked());
}

#[tokio::test(start_paused = true)]
async fn those_that_called_us_get_no_grace_and_count_for_nothing() {
    let (network, _others) = network(1);
    let _callers: Vec<_> = (0..9).map(|group| network.caller(address(group), 50)).collect();
    let failing = scripted([Does::Fail]);
    let (chosen, caller) = (network.peer(address(90), 90), network.caller(address(91), 91));
    for _ in 0..20 {
        assert!(chosen.ask(Asked::First, (), failing.clone()).await.is_err());
    }
    assert_eq!(failing.asked(), 20, "but for it there is one of our choice");
    for _ in 0..20 {
        assert!(caller.ask(Asked::First, (), failing.clone()).await.is_err());
    }
    assert_eq!(failing.asked(), 23);
}

#[tokio::test(start_paused = true)]
async fn a_busy_peer_is_asked_again_when_it_says_and_one_that_fails_is_not() {
    let (network, _others) = network(2);
    let peer = network.peer(address(1), 1);
    let began = Instant::now();
    let busy = scripted([Does::Busy(2), Does::Busy(3), Does::Answer]);
    assert_eq!(peer.ask(Asked::First, (), busy.clone()).await, Ok("headers"));
    let waited = began.elapsed().as_millis();
    assert!((5000..5400).contains(&waited), "{waited} ms");
    // Too long a pause is for the sync machine to know.
    let error = peer.ask(Asked::First, (), scripted([Does::Busy(6)])).await.unwrap_err();
    let retry_after = Duration::from_secs(6);
    assert_eq!(error.unanswered(), Unanswered::Refused { retry_after });
    let failing = scripted([Does::Fail, Does::Answer]);
    assert!(peer.ask(Asked::First, (), failing.clone()).await.is_err());
    assert_eq!(failing.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_always_busy_spends_only_its_own_retries() {
    let (network, others) = network(2);
    let (peer, busy) = (network.peer(address(1), 1), scripted([Does::Busy(0)]));
    for _ in 0..50 {
        assert!(peer.ask(Asked::First, (), busy.clone()).await.is_err());
    }
    // A fifth of its questions, and what it began with.
    assert!(busy.asked() <= 50 + 6 + 10, "{}", busy.asked());
    let line = scripted([Does::Answer]);
    for _ in 0..10 {
        assert!(others[0].ask(Asked::Instead, (), line.clone()).await.is_ok());
    }
}

#[test]
fn requests_end_before_whoever_asks_gives_up() {
    let config = RequestConfig::default().within(Duration::from_secs(2));
    let most = Duration::from_millis(1900);
    assert_eq!((config.timeout, config.attempt_timeout), (most, most));
    let default = RequestConfig::default();
    assert_eq!(default.within(Duration::from_secs(20)), default);
}

#[tokio::test(start_paused = true)]
async fn asking_another_peer_instead_is_paid_from_one_budget() {
    let config = RequestConfig { retry_percent: 0, retry_reserve: 2, ..RequestConfig::default() };
    let (network, others) = network_with(config, 3);
    let line = scripted([Does::Answer]);
    for other in &others[..2] {
        assert!(other.ask(Asked::Instead, (), line.clone()).await.is_ok());
    }
    let error = others[2].ask(Asked::Instead, (), line.clone()).await.unwrap_err();
    assert_eq!(error, NoAnswer::Budget);
    assert!(matches!(error.unanswered(), Unanswered::Refused { .. }));
    assert!(others[2].ask(Asked::First, (), line.clone()).await.is_ok(), "its own question");
    let report = network.report();
    assert_eq!((report.retried, report.refused, report.budget), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_are_under_way_and_an_allowance_ends() {
    let config = RequestConfig {
        concurrent: 2,
        queue: 0,
        per_peer: ironlight_hardening::rate_limit::Quota { burst: 3, per: Duration::from_secs(60) },
        ..RequestConfig::default()
    };
    let (network, others) = network_with(config, 3);
    let silent = scripted([Does::Nothing]);
    let ask = |peer: &PeerRequests| {
        let (peer, line) = (peer.clone(), silent.clone());
        tokio::spawn(async move { peer.ask(Asked::First, (), line).await })
    };
    let held = [ask(&others[0]), ask(&others[1])];
    while silent.asked() < 2 {
        tokio::task::yield_now().await;
    }
    let full = others[2].ask(Asked::First, (), scripted([Does::Answer])).await.unwrap_err();
    assert_eq!(full, NoAnswer::Refused(Rejected::Overloaded { limit: 2 }));
    assert_eq!(network.report().under_way, 2);
    // Nobody waits for them any more: their places are free.
    held.iter().for_each(tokio::task::JoinHandle::abort);
    for task in held {
        assert!(task.await.unwrap_err().is_cancelled());
    }
    assert_eq!(network.report().under_way, 0);
    let line = scripted([Does::Answer]);
    for _ in 0..2 {
        assert!(others[2].ask(Asked::First, (), line.clone()).await.is_ok());
    }
    let error = others[2].ask(Asked::First, (), line.clone()).await.unwrap_err();
    let NoAnswer::Refused(Rejected::RateLimited { retry_after }) = error else {
        panic!("{error:?}")
    };
    assert!(retry_after <= Duration::from_secs(60), "{retry_after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_at_any_point_leaves_nothing_behind() {
    let (network, _others) = network(2);
    // Busy twice, then silent: it waits on the line, in pauses, and again on the line.
    for polls in 1..12 {
        let peer = network.peer(address(1), polls);
        let line = scripted([Does::Busy(1), Does::Busy(1), Does::Nothing]);
        let mut asking = Box::pin(peer.ask(Asked::First, (), line));
        for _ in 0..polls {
            let poll = poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
            assert!(poll.is_pending());
            tokio::time::advance(Duration::from_millis(700)).await;
        }
        drop(asking);
        assert_eq!(network.report().under_way, 0);
        assert_eq!(peer.ask(Asked::First, (), scripted([Does::Answer])).await, Ok("headers"));
    }
}
