//! The standard's valid and invalid headers; the text format; what is slow.

use core::time::Duration;

use super::slow::cut;
use super::{MAX_TRACE_STATE, MetricError, Metrics, SlowLog, TraceContext};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn parent(text: &str) -> Option<TraceContext> {
    TraceContext::parse(text, None)
}

fn state(text: &str) -> String {
    let header = format!("00-{TRACE}-{SPAN}-01");
    TraceContext::parse(&header, Some(text)).unwrap().state().to_owned()
}

#[test]
fn a_valid_traceparent_is_read_and_written() {
    let context = parent(&format!("00-{TRACE}-{SPAN}-00")).unwrap();
    assert_eq!(context.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    assert_eq!((context.span_id(), context.is_sampled()), (0x00f0_67aa_0ba9_02b7, false));
    // Flags and fields of later versions are not passed on.
    for later in ["cc-T-S-01-what-the-future", "cc-T-S-01-", "cc-T-S-01", "00-T-S-ff", "cc-T-S-09"]
    {
        let context = parent(&later.replace('T', TRACE).replace('S', SPAN));
        assert_eq!(context.unwrap().to_string(), format!("00-{TRACE}-{SPAN}-01"), "{later}");
    }
}

#[test]
fn an_invalid_traceparent_is_none() {
    let bad = [
        "",
        "-",
        "00-T-S",
        "00-T-S-",
        "00-T-S-1",
        "00-T-S-001",
        "00-T-S-01-",
        "00-T-S-01-x",
        "ff-T-S-01",
        "0-T-S-01",
        "000-T-S-01",
        "0x-T-S-01",
        "+0-T-S-01",
        "00-T-S-0G",
        "00-T-S-A0",
        "00-T-0000000000000000-01",
        "00-00000000000000000000000000000000-S-01",
        "00-T0-S-01",
        "00-T-S0-01",
        " 00-T-S-01",
        "00-T-S-01 ",
        "00-S-T-01",
        "cc-T-S-01x",
        "00_T_S_01",
        "00-T-+0f067aa0ba902b7-01",
        "00-T-ä0f067aa0ba902b-01",
    ];
    for text in bad {
        let text = text.replace('T', TRACE).replace('S', SPAN);
        assert_eq!(parent(&text), None, "{text}");
    }
    assert_eq!(parent(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase())), None);
    assert_eq!(TraceContext::root(0, 1, true), None);
    assert_eq!(TraceContext::root(1, 0, true), None);
    assert_eq!(TraceContext::root(1, 1, true).unwrap().child(0), None);
}

#[test]
fn a_tracestate_is_kept_whole_or_not_at_all() {
    assert_eq!(state(" a=1 , \t,b=2,"), "a=1,b=2");
    assert_eq!(state("0t@v=1,a_-*/9= x y"), "0t@v=1,a_-*/9= x y");
    let long_key = format!("{}=1", "k".repeat(256));
    assert_eq!(state(&long_key), long_key);
    let members = |count| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
    assert_eq!(state(&members(32)), members(32));
    let too_long = format!("a={},{}", "v".repeat(256), " ".repeat(MAX_TRACE_STATE));
    let bad = [
        "a=1,a=2",
        "a",
        "=1",
        "a=",
        "A=1",
        "1a=1",
        "a=1=2",
        "a=\u{e4}",
        "a@b@c=1",
        "@v=1",
        "t@=1",
        "t@0v=1",
        "a b=1",
        "a=\u{7f}",
        &members(33),
        &format!("k{long_key}"),
        &too_long,
        &format!("a={}", "v".repeat(257)),
        &format!("t@{}=1", "s".repeat(15)),
    ];
    for text in bad {
        assert_eq!(state(text), "", "{text}");
    }
}

#[test]
fn the_text_format_is_escaped_sorted_and_cumulative() {
    let metrics = Metrics::new(10, 10);
    let odd = [("b", "x\"\\\n"), ("a", "1")];
    metrics.gauge("g", "Odd \\ and\nnew.", &odd).unwrap().set(-1.5);
    metrics.gauge("g", "", &[odd[1], odd[0]]).unwrap().add(0.25);
    let histogram = metrics.histogram("h", "H.", &[("op", "get")], &[0.1, 1.0]).unwrap();
    for value in [0.05, 0.1, 0.5, 7.0] {
        histogram.observe(value);
    }
    assert_eq!(histogram.count(), 4);
    let expected = r##"# HELP g Odd \\ and\nnew.
# TYPE g gauge
g{a="1",b="x\"\\\n"} -1.25
# HELP h H.
# TYPE h histogram
h_bucket{op="get",le="0.1"} 2
h_bucket{op="get",le="1"} 3
h_bucket{op="get",le="+Inf"} 4
h_sum{op="get"} 7.65
h_count{op="get"} 4
"##;
    assert_eq!(metrics.render(), expected);
}

#[test]
fn metrics_are_bounded_and_names_mean_one_thing() {
    let metrics = Metrics::new(2, 2);
    let counter = |name: &str, labels: &[(&str, &str)]| metrics.counter(name, "", labels);
    counter("a", &[("l", "1")]).unwrap().add(1);
    counter("a", &[("l", "2")]).unwrap();
    assert_eq!(counter("a", &[("l", "3")]).unwrap_err(), MetricError::Full);
    assert_eq!(counter("a", &[("l", "1")]).unwrap().get(), 1, "the same handle");
    assert_eq!(counter("a", &[("m", "1")]).unwrap_err(), MetricError::Conflict);
    assert_eq!(metrics.gauge("a", "", &[("l", "1")]).unwrap_err(), MetricError::Conflict);
    counter("b", &[]).unwrap();
    assert_eq!(counter("c", &[]).unwrap_err(), MetricError::Full);
    for (name, label) in
        [("", "l"), ("1a", "l"), ("a-b", "l"), ("a", "__x"), ("a", "l:"), ("a", "")]
    {
        assert_eq!(counter(name, &[(label, "1")]).unwrap_err(), MetricError::Invalid);
    }
    assert_eq!(counter("a", &[("l", "1"), ("l", "2")]).unwrap_err(), MetricError::Invalid);
    for bounds in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN], &[f64::INFINITY]] {
        let made = metrics.histogram("a", "", &[], bounds);
        assert_eq!(made.unwrap_err(), MetricError::Invalid);
    }
    let le = metrics.histogram("a", "", &[("le", "1")], &[1.0]);
    assert_eq!(le.unwrap_err(), MetricError::Invalid);
}

#[test]
fn threads_count_together() {
    let metrics = Metrics::new(2, 2);
    let gauge = metrics.gauge("g", "", &[]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|_| gauge.add(1.0)));
        }
    });
    assert!((gauge.get() - 40_000.0).abs() < 0.5);
}

#[test]
fn slow_is_over_the_time_and_long_names_are_cut_between_characters() {
    let log = SlowLog::new(Duration::from_millis(5));
    assert!(!log.is_slow(Duration::from_millis(5)));
    assert!(log.is_slow(Duration::from_nanos(5_000_001)));
    assert_eq!(cut("short"), "short");
    assert_eq!(cut(&"ä".repeat(200)), "ä".repeat(128));
    assert_eq!(cut(&format!("x{}", "ä".repeat(200))).len(), 255);
}
