//! Exports received on a loopback socket, and a collector that is not there.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use core::time::Duration;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::retry::BackoffConfig;

const LONG: Duration = Duration::from_secs(60);

struct Loopback(SocketAddr);

impl SpanPost for Loopback {
    fn post(&mut self, json: &[u8]) -> io::Result<u16> {
        let mut stream = TcpStream::connect(self.0)?;
        let length = json.len();
        write!(
            stream,
            "POST /v1/traces HTTP/1.1\r\nHost: collector\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(json)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// Answers each request with the next status, and passes the bodies on.
fn collector(statuses: Vec<u16>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (bodies, received) = channel();
    thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut bytes = [0; 4096];
            let body = loop {
                let count = stream.read(&mut bytes).unwrap();
                request.extend_from_slice(&bytes[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.split("Content-Length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() == length {
                    break body.to_owned();
                }
            };
            write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n").unwrap();
            bodies.send(body).unwrap();
        }
    });
    (address, received)
}

fn config() -> OtlpConfig {
    let backoff = BackoffConfig { base: Duration::from_micros(1), cap: Duration::from_micros(9) };
    OtlpConfig { every: LONG, backoff, shutdown_timeout: LONG, ..OtlpConfig::new("a \"node\"") }
}

/// Runs this with the layer on a registry; each look at the clock is a second later.
fn traced(exporter: &OtlpExporter, run: impl FnOnce()) {
    let seconds = Mutex::new(0);
    let clock = move || {
        let mut seconds = seconds.lock().unwrap();
        *seconds += 1;
        *seconds * 1_000_000_000
    };
    let layer = OtlpLayer::new(exporter.clone(), 1).with_clock(clock);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, run);
}

#[test]
fn spans_arrive_at_a_collector_with_their_trace_and_are_sent_again_until_they_do() {
    let (address, received) = collector(vec![503, 200]);
    let exporter = OtlpExporter::start(config(), Loopback(address)).unwrap();
    let asked = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let seen = Arc::new(Mutex::new(None));
    traced(&exporter, || {
        let request = tracing::info_span!("request", traceparent = asked, tracestate = "a=b");
        request.in_scope(|| {
            let read =
                tracing::info_span!("read", height = 7_u64, part = 0.5, ok = true, path = "\n");
            read.in_scope(|| {
                *seen.lock().unwrap() = current_context();
                tracing::error!("it is broken");
            });
        });
    });
    assert!(exporter.flush(LONG));
    let (first, body) = (received.recv().unwrap(), received.recv().unwrap());
    assert_eq!(first, body);
    let context = seen.lock().unwrap().clone().unwrap();
    assert_eq!(format!("{:032x}", context.trace_id()), "4bf92f3577b34da6a3ce929d0e0e4736");
    let read = format!("{:016x}", context.span_id());
    let start = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\
                 \"value\":{\"stringValue\":\"a \\\"node\\\"\"}}]},\"scopeSpans\":[{\"scope\":\
                 {\"name\":\"ironlight-hardening\"},\"spans\":[{\
                 \"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",";
    let rest = body.strip_prefix(start).unwrap();
    let rest = rest.strip_prefix(&format!("\"spanId\":\"{read}\",\"parentSpanId\":\"")).unwrap();
    let (request, rest) = rest.split_at(16);
    let expected = format!(
        "\",\"traceState\":\"a=b\",\"name\":\"read\",\"kind\":1,\
         \"startTimeUnixNano\":\"2000000000\",\"endTimeUnixNano\":\"3000000000\",\"attributes\":[\
         {{\"key\":\"height\",\"value\":{{\"intValue\":\"7\"}}}},\
         {{\"key\":\"part\",\"value\":{{\"doubleValue\":0.5}}}},\
         {{\"key\":\"ok\",\"value\":{{\"boolValue\":true}}}},\
         {{\"key\":\"path\",\"value\":{{\"stringValue\":\"\\u000a\"}}}}],\"status\":{{\"code\":2}}}},\
         {{\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":\"{request}\",\
         \"parentSpanId\":\"00f067aa0ba902b7\",\"traceState\":\"a=b\",\"name\":\"request\",\"kind\":1,\
         \"startTimeUnixNano\":\"1000000000\",\"endTimeUnixNano\":\"4000000000\",\
         \"attributes\":[],\"status\":{{}}}}]}}]}}]}}"
    );
    assert_eq!(rest, expected);
    assert_eq!(exporter.status(), OtlpStatus { exported: 2, ..OtlpStatus::default() });
}

/// Takes nothing, until it is told to.
struct Refuses(Receiver<io::Result<u16>>);

impl SpanPost for Refuses {
    fn post(&mut self, _json: &[u8]) -> io::Result<u16> {
        match self.0.recv() {
            Ok(answer) => answer,
            Err(_) => panic!("a client that panics"),
        }
    }
}

#[test]
fn what_is_too_much_or_not_taken_is_counted_and_nobody_waits_for_it() {
    let (answers, refuses) = channel();
    let small = OtlpConfig { queue: 4, batch: 2, attempts: 2, ..config() };
    let exporter = OtlpExporter::start(small, Refuses(refuses)).unwrap();
    let spans = |count| {
        traced(&exporter, || (0..count).for_each(|_| drop(tracing::info_span!("span"))));
    };
    spans(2);
    // Until the two are in hand: then four find room.
    while exporter.status().waiting > 0 {
        thread::yield_now();
    }
    spans(10);
    assert_eq!(exporter.status(), OtlpStatus { lost: 6, waiting: 4, ..OtlpStatus::default() });
    // Twice no answer; then refused for good; then a client that panics.
    answers.send(Err(io::ErrorKind::ConnectionRefused.into())).unwrap();
    answers.send(Ok(503)).unwrap();
    answers.send(Ok(400)).unwrap();
    drop(answers);
    assert!(exporter.shutdown());
    assert_eq!(exporter.status(), OtlpStatus { lost: 6, failed: 6, ..OtlpStatus::default() });
    spans(1);
    assert_eq!(exporter.status().lost, 7);
}

/// Asks for the context of the span that it is recorded for.
struct Asks;

impl core::fmt::Debug for Asks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "in a span: {}", current_context().is_some())
    }
}

#[test]
fn a_value_that_looks_at_its_span_is_recorded_after_it_began_too() {
    let (address, received) = collector(vec![200]);
    let exporter = OtlpExporter::start(config(), Loopback(address)).unwrap();
    traced(&exporter, || {
        let span = tracing::info_span!("span", first = 1_u64, last = tracing::field::Empty);
        span.in_scope(|| {
            span.record("last", tracing::field::debug(Asks));
            span.record("first", 2_u64);
        });
    });
    assert!(exporter.shutdown());
    let expected = "\"attributes\":[{\"key\":\"first\",\"value\":{\"intValue\":\"2\"}},\
                    {\"key\":\"last\",\"value\":{\"stringValue\":\"in a span: true\"}}]";
    let body = received.recv().unwrap();
    assert!(body.contains(expected), "{body}");
}

#[test]
fn traces_that_nobody_records_are_not_sent() {
    let (address, _received) = collector(Vec::new());
    let exporter = OtlpExporter::start(config(), Loopback(address)).unwrap();
    traced(&exporter, || {
        let asked = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let request = tracing::info_span!("request", traceparent = asked);
        request.in_scope(|| drop(tracing::info_span!("inner")));
    });
    assert!(exporter.shutdown());
    assert_eq!(exporter.status(), OtlpStatus::default());
}
