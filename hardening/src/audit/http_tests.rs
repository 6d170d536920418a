//! The HTTP sink, over real sockets on loopback.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::*;
use crate::ManualClock;
use crate::circuit_breaker::{BreakerConfig, CircuitBreaker};
use crate::retry::BackoffConfig;

const LONG: Duration = Duration::from_secs(60);

struct Loopback(SocketAddr);

impl HttpPost for Loopback {
    fn post(&mut self, lines: &[u8]) -> io::Result<u16> {
        let mut stream = TcpStream::connect(self.0)?;
        stream.set_read_timeout(Some(LONG))?;
        let head = format!(
            "POST /audit HTTP/1.1\r\nHost: loopback\r\nConnection: close\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
            lines.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(lines)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        status.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Answers one request and returns its body; without a status it only hangs up.
fn answer(listener: &TcpListener, status: Option<u16>) -> Vec<u8> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    let (mut end, mut length) = (None, 0);
    while end.is_none_or(|end| request.len() < end + length) {
        let mut bytes = [0; 4_096];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "a whole request");
        request.extend_from_slice(&bytes[..count]);
        let head = request.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head {
            end = Some(head + 4);
            let text = String::from_utf8_lossy(&request[..head]).into_owned();
            length = text.split("Length: ").nth(1).unwrap().parse().unwrap();
        }
    }
    if let Some(status) = status {
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
    }
    request.split_off(end.unwrap())
}

#[test]
fn a_log_is_posted_over_http_and_posted_again_until_it_is_confirmed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let backoff = BackoffConfig { base: Duration::from_micros(1), cap: Duration::from_micros(9) };
    let fallback = MemorySink::default();
    let sinks: Vec<Box<dyn Sink>> =
        vec![Box::new(HttpSink::new("http", Loopback(address))), Box::new(fallback.clone())];
    let log = AuditLog::start(
        AuditConfig { backoff, shutdown_timeout: LONG, ..AuditConfig::default() },
        sinks,
    )
    .unwrap();
    let mut got = Vec::new();
    for (i, answers) in
        [&[Some(200)][..], &[None, Some(503), Some(429), Some(204)]].iter().enumerate()
    {
        log.emit(Event::new(EventKind::Start).with("i", i as u64)).unwrap();
        let bodies: Vec<_> = answers.iter().map(|status| answer(&listener, *status)).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "the same lines each time");
        got.extend_from_slice(&bodies[0]);
        assert!(log.flush(LONG));
    }
    assert_eq!(verify_chain(&got[..], &[]).unwrap().size, 3);
    log.emit(Event::new(EventKind::Stop)).unwrap();
    answer(&listener, Some(404));
    assert!(log.flush(LONG));
    assert!(log.shutdown());
    assert_eq!((log.status().handed_over, log.status().lost), (1, 0));
    assert_eq!(verify_chain(fallback.lines().as_bytes(), &[]).unwrap().size, 3);
}

/// Answers in turn.
struct Script(Vec<u16>);

impl HttpPost for Script {
    fn post(&mut self, _lines: &[u8]) -> io::Result<u16> {
        Ok(self.0.pop().unwrap())
    }
}

#[test]
fn a_server_that_is_down_is_left_alone_and_tried_again_later() {
    let clock = ManualClock::default();
    let config = BreakerConfig { jitter_percent: 0, successes_to_close: 1, ..Default::default() };
    let breaker = CircuitBreaker::new(config, 1);
    // From the end: refused for good says nothing against it; five times busy does.
    let script = Script(vec![200, 503, 503, 503, 503, 503, 404]);
    let mut sink = HttpSink::new("http", script).with_breaker(breaker, clock.clone());
    let (mut chain, mut lines) = (sink.open().unwrap(), Vec::new());
    chain.append(0, &Event::new(EventKind::Start), &mut lines);
    for status in [404, 503, 503, 503, 503, 503] {
        assert!(sink.open().is_ok());
        let refused = sink.write(&lines).unwrap_err();
        assert!(matches!(refused, SinkError::Refused { status: now } if now == status));
    }
    assert!(!sink.breaker().is_closed());
    clock.advance(Duration::from_secs(59));
    for _ in 0..3 {
        assert!(sink.open().is_err() && sink.write(&lines).is_err(), "nothing is posted");
    }
    clock.advance(Duration::from_secs(1));
    assert!(sink.open().is_ok() && sink.write(&lines).is_ok());
    assert!(sink.breaker().is_closed());
}
