use super::json::rfc3339;
use super::*;
use crate::clock::{Clock, TokioTimer};
use crate::testing::Numbers;
use core::future::pending;
use core::time::Duration;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// All results ever, looked through from the start.
fn naive_status(
    results: &[(u64, bool, bool, u64)],
    config: CheckConfig,
    now: u64,
) -> (CheckStatus, u32) {
    let mut counted: Vec<(bool, bool, u64)> = Vec::new();
    for (at, (began, well, warned, ended)) in results.iter().enumerate() {
        if results[..at].iter().all(|(earlier, ..)| earlier <= began) {
            counted.push((*well, *warned, *ended));
        }
    }
    let in_a_row = counted.iter().rev().take_while(|(well, ..)| !well).count();
    let in_a_row = u32::try_from(in_a_row).unwrap();
    let lasts = config.interval * 3 + config.timeout;
    let status = match counted.last() {
        None => CheckStatus::Pending,
        Some(_) if in_a_row >= config.failure_threshold => CheckStatus::Fail,
        Some(_) if counted.iter().all(|(well, ..)| !well) => CheckStatus::Pending,
        Some((false, ..)) | Some((_, true, _)) => CheckStatus::Warn,
        Some((.., ended)) if Duration::from_secs(now - ended) > lasts => CheckStatus::Warn,
        Some(_) => CheckStatus::Pass,
    };
    (status, in_a_row)
}

#[test]
fn a_status_is_that_of_a_list_of_all_results() {
    for seed in 0..1500 {
        let mut numbers = Numbers(seed);
        let failure_threshold = u32::try_from(1 + numbers.below(4)).unwrap();
        let config = CheckConfig { failure_threshold, ..CheckConfig::default() };
        let mut state = CheckState::new(config);
        let mut results = Vec::new();
        let mut now = 1;
        let share = 1 + numbers.below(4);
        for _ in 0..80 {
            let pause = if numbers.below(9) == 0 { 150 } else { 5 };
            now += numbers.below(pause);
            let began = now.saturating_sub(numbers.below(4));
            let (well, warned) = (numbers.below(4) < share, numbers.below(5) == 0);
            let seen = match (well, warned) {
                (true, false) => Observation::pass(),
                (true, true) => Observation::warn("slow"),
                (false, _) => Observation::fail("broken"),
            };
            let moment = Duration::from_secs;
            state.end(moment(began), seen, moment(now));
            results.push((began, well, warned, now));
            let later = now + numbers.below(120);
            let (status, failures) = naive_status(&results, config, later);
            assert_eq!(state.status(moment(later)), status, "seed {seed}: {results:?}");
            assert_eq!(state.failures(), failures);
        }
    }
}

fn registry() -> HealthRegistry<TokioTimer> {
    HealthRegistry::new(TokioTimer::new())
}

fn every(seconds: u64) -> CheckConfig {
    CheckConfig { interval: Duration::from_secs(seconds), ..CheckConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_fails_and_holds_nobody_up() {
    let registry = registry();
    let often = CheckConfig::default();
    let ready = Probe::Readiness;
    registry.register("hangs", ready, often, ping(pending::<bool>)).unwrap();
    registry.register("panics", ready, often, from_fn(|| -> bool { panic!("broken") })).unwrap();
    let late = ping(async || {
        tokio::task::yield_now().await;
        if true {
            panic!("later")
        }
        true
    });
    registry.register("panics later", ready, often, late).unwrap();
    registry.register("works", ready, often, from_fn(|| true)).unwrap();
    let began = tokio::time::Instant::now();
    for _ in 0..3 {
        registry.run_all().await;
    }
    assert_eq!(began.elapsed(), 3 * often.timeout);
    assert_eq!(registry.failed(), ["hangs", "panics", "panics later"]);
    let hangs = registry.get_status("hangs").unwrap();
    assert_eq!((hangs.took, hangs.failures), (Some(often.timeout), 3));
    assert_eq!(hangs.output, "no answer after 5s");
    assert!(!registry.is_healthy());
    assert_eq!(registry.get_status("works").unwrap().status, CheckStatus::Pass);
}

#[tokio::test(start_paused = true)]
async fn runs_each_when_it_is_due_and_never_stops() {
    let registry = registry();
    let (fast, slow) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    for (name, seconds, count) in [("fast", 10, &fast), ("slow", 30, &slow)] {
        let count = count.clone();
        let check = from_fn(move || {
            count.fetch_add(1, Ordering::Relaxed);
            true
        });
        registry.register(name, Probe::Liveness, every(seconds), check).unwrap();
    }
    let task = tokio::spawn(registry.clone().run_for_ever());
    tokio::time::sleep(Duration::from_millis(299_500)).await;
    assert_eq!((fast.load(Ordering::Relaxed), slow.load(Ordering::Relaxed)), (30, 10));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_never_passed_is_alive_but_not_ready() {
    let registry = registry();
    registry.register("self", Probe::Liveness, every(30), from_fn(|| true)).unwrap();
    let works = Arc::new(AtomicU32::new(0));
    let asked = works.clone();
    let peers = from_fn(move || asked.load(Ordering::Relaxed) > 0);
    registry.register("peers", Probe::Readiness, every(30), peers).unwrap();
    assert!(registry.liveness().passes() && !registry.readiness().passes());
    registry.run_all().await;
    assert!(registry.liveness().passes() && !registry.readiness().passes());
    works.store(1, Ordering::Relaxed);
    registry.run("peers").await.unwrap();
    assert!(registry.readiness().passes());
    works.store(0, Ordering::Relaxed);
    for ready in [true, true, false] {
        registry.run_all().await;
        assert_eq!(registry.readiness().passes(), ready);
    }
    assert!(registry.liveness().passes());
    assert!(registry.run("nobody").await.is_none());
    assert!(registry.remove("peers") && registry.readiness().passes());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_renewed_only_warns() {
    let registry = registry();
    registry.register("once", Probe::Readiness, every(30), from_fn(|| true)).unwrap();
    registry.run_due().await;
    tokio::time::advance(Duration::from_secs(95)).await;
    assert_eq!(registry.readiness().status, CheckStatus::Pass);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(registry.readiness().status, CheckStatus::Warn);
}

#[tokio::test(start_paused = true)]
async fn listeners_hear_of_changes_and_a_broken_one_disturbs_nobody() {
    let registry = registry();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let write = heard.clone();
    registry.on_change(|_| panic!("broken listener"));
    registry.on_change(move |change| write.lock().unwrap().push((change.from, change.to)));
    let well = Arc::new(AtomicU32::new(1));
    let asked = well.clone();
    let check = from_fn(move || asked.load(Ordering::Relaxed) > 0);
    registry.register("one", Probe::Liveness, every(30), check).unwrap();
    for now in [1, 1, 0, 0, 0, 0, 1] {
        well.store(now, Ordering::Relaxed);
        registry.run_all().await;
    }
    use CheckStatus::{Fail, Pass, Pending, Warn};
    let expected = [(Pending, Pass), (Pass, Warn), (Warn, Fail), (Fail, Pass)];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_run_dropped_at_any_await_leaves_the_check_as_it_was() {
    for polls in 0..5 {
        let registry = registry();
        let steps = ping(async || {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            true
        });
        registry.register("steps", Probe::Liveness, every(30), steps).unwrap();
        let mut run = Box::pin(registry.run_all());
        for _ in 0..polls {
            let _ = core::future::poll_fn(|context| {
                core::task::Poll::Ready(run.as_mut().poll(context).is_ready())
            })
            .await;
        }
        drop(run);
        let runs = registry.get_status("steps").unwrap().runs;
        assert_eq!(runs, u64::from(polls >= 4), "{polls}");
        registry.run_all().await;
        assert_eq!(registry.get_status("steps").unwrap().status, CheckStatus::Pass);
    }
}

#[tokio::test]
async fn connects_where_somebody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(tcp_connect(address).check().await, Observation::pass());
    drop(listener);
    assert_eq!(tcp_connect(address).check().await.status, CheckStatus::Fail);
}

#[tokio::test(start_paused = true)]
async fn there_are_never_too_many_and_no_two_of_one_name() {
    let registry = registry();
    let add = |name: &str| registry.register(name, Probe::Liveness, every(1), from_fn(|| true));
    for number in 0..MOST_CHECKS {
        add(&number.to_string()).unwrap();
    }
    assert_eq!(add("7"), Err(RegisterError::NameTaken));
    assert_eq!(add("one more"), Err(RegisterError::TooMany));
    let long = from_fn(|| Observation::fail("ä".repeat(1000)));
    registry.remove("7");
    registry.register("long", Probe::Liveness, every(1), long).unwrap();
    let output = registry.run("long").await.unwrap().output;
    assert_eq!(output.chars().count(), LONGEST_OUTPUT);
}

#[tokio::test(start_paused = true)]
async fn answers_in_health_json() {
    let registry = registry();
    let odd = from_fn(|| Observation::warn("a \"quote\", \\ and \n").with_value(-3, "peers"));
    registry.register("odd", Probe::Readiness, every(30), odd).unwrap();
    let fine = from_fn(|| true);
    registry.register("fine", Probe::Readiness, every(30), fine).unwrap();
    registry.run_all().await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let unix_now = Duration::from_secs(1_709_164_810);
    assert_eq!(
        registry.readiness().to_json(Some(unix_now)),
        concat!(
            r#"{"status":"warn","checks":{"odd":[{"componentType":"component","status":"warn","#,
            r#""observedValue":-3,"observedUnit":"peers","time":"2024-02-29T00:00:00Z","#,
            r#""duration_ms":0,"failures":0,"output":"a \"quote\", \\ and \u000a"}],"#,
            r#""fine":[{"componentType":"component","status":"pass","#,
            r#""time":"2024-02-29T00:00:00Z","duration_ms":0,"failures":0}]}}"#
        )
    );
}

#[test]
fn days_are_those_of_a_calendar_counted_by_hand() {
    let by = |year: u64, years| year.is_multiple_of(years);
    let leap = |year| by(year, 4) && (!by(year, 100) || by(year, 400));
    let (mut year, mut month, mut day) = (1970, 1, 1);
    for days in 0..150_000_u64 {
        let text = rfc3339(Duration::from_secs(days * 86_400 + 86_399));
        assert_eq!(text, format!("{year:04}-{month:02}-{day:02}T23:59:59Z"));
        let length = match month {
            2 if leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day += 1;
        if day > length {
            (month, day) = (month + 1, 1);
        }
        if month > 12 {
            (year, month) = (year + 1, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_makes_the_dashboard_unhealthy() {
    let registry = registry();
    let config = CheckConfig { failure_threshold: 1, ..every(30) };
    registry.register("disk", Probe::Readiness, config, from_fn(|| Err::<(), _>("full"))).unwrap();
    registry.run_all().await;
    let now = TokioTimer::new().now();
    let asked = registry.clone();
    let stats = crate::monitor::PerformanceStats::default();
    let dashboard = crate::monitor::HealthDashboard::new(stats);
    let report = dashboard.with_findings(move |_| asked.findings()).report(now);
    assert_eq!((report.status, report.score), (crate::monitor::HealthStatus::Unhealthy, 0));
}
