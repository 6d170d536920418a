//! Workers in paused time: what is connected to, what is given up, what is given back.

use core::future::Future;
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use super::{
    Dispatcher, Endpoint, Fate, HttpRequest, HttpResponse, MessageId, Outcome, SendConfig, Signer,
    Verifier, WebhookConfig, Webhooks,
};
use crate::{AddressGuard, Clock, TokioTimer};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: Duration = Duration::from_secs(1);

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Sent = Arc<Mutex<Vec<HttpRequest>>>;
type Answers = fn(usize, &HttpRequest) -> Option<HttpResponse>;
type Names = fn(usize, &str) -> &'static str;
type Client = Box<dyn Fn(HttpRequest) -> Boxed<io::Result<HttpResponse>> + Send + Sync>;
type Resolver = Box<dyn Fn(String, u16) -> Boxed<io::Result<Vec<SocketAddr>>> + Send + Sync>;
type Hooks = Webhooks<Client, Resolver, TokioTimer>;

fn status(status: u16) -> Option<HttpResponse> {
    Some(HttpResponse { status, ..HttpResponse::default() })
}

fn redirect(to: &str) -> Option<HttpResponse> {
    Some(HttpResponse { status: 308, retry_after: None, location: Some(to.to_owned()) })
}

/// A client that answers after a second, or never; names by the number of questions so far.
fn hooks(config: SendConfig, answers: Answers, names: Names) -> (Hooks, Sent) {
    let sent = Sent::default();
    let seen = Arc::clone(&sent);
    let client: Client = Box::new(move |request| {
        let number = seen.lock().unwrap().len();
        let answer = answers(number, &request);
        seen.lock().unwrap().push(request);
        Box::pin(async move {
            tokio::time::sleep(SECOND).await;
            match answer {
                Some(answer) => Ok(answer),
                None => std::future::pending().await,
            }
        })
    });
    let questions = Arc::new(Mutex::new(0));
    let resolver: Resolver = Box::new(move |host, port| {
        let mut number = questions.lock().unwrap();
        let found = names(*number, &host);
        *number += 1;
        Box::pin(async move {
            tokio::task::yield_now().await;
            let addresses = found.split(' ').filter(|text| !text.is_empty());
            Ok(addresses.map(|text| SocketAddr::new(text.parse().unwrap(), port)).collect())
        })
    });
    let machine = Dispatcher::new(WebhookConfig::default());
    let mut hooks = Webhooks::new(machine, config, client, resolver, TokioTimer::new());
    assert!(hooks.with_wall_clock(|| 1_700_000_000));
    let signer = Signer::new([SECRET.parse().unwrap()]).unwrap();
    let url = "https://hook.example/in".parse().unwrap();
    hooks.register(Endpoint { url, events: vec!["e".into()], signer }).unwrap();
    (hooks, sent)
}

fn publish(hooks: &Hooks, id: &str) {
    let id = MessageId::new(id).unwrap();
    assert_eq!(hooks.publish(id, "e", b"{}".to_vec()), Ok(1));
}

async fn work_for(hooks: &Hooks, time: Duration) {
    tokio::select! {
        () = hooks.work() => {}
        () = tokio::time::sleep(time) => {}
    }
}

fn outcomes(hooks: &Hooks) -> Vec<Option<Outcome>> {
    hooks.log().into_iter().map(|entry| entry.outcome).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_arrives_signed_and_a_failing_listener_is_of_no_matter() {
    let (mut hooks, sent) = hooks(SendConfig::default(), |_, _| status(204), |_, _| "1.1.1.1");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    assert!(hooks.on_attempt(|_| panic!("a listener of no use")));
    assert!(hooks.on_attempt(move |entry| listener.lock().unwrap().push(entry.fate)));
    publish(&hooks, "m1");
    work_for(&hooks, 5 * SECOND).await;
    assert_eq!(*heard.lock().unwrap(), [Fate::Delivered]);
    let sent = sent.lock().unwrap();
    let value = |name| sent[0].headers.iter().find(|(n, _)| *n == name).unwrap().1.as_str();
    let verifier = Verifier::new([SECRET.parse().unwrap()]).unwrap();
    let [id, at, signature] = ["id", "timestamp", "signature"].map(|n| format!("webhook-{n}"));
    let [id, at, signature] = [&id, &at, &signature].map(|name| value(name.as_str()));
    assert!(verifier.verify(id, at, signature, sent[0].body(), 1_700_000_000).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_after_ten_seconds_and_is_made_again() {
    let answers: Answers = |n, _| if n == 0 { None } else { status(200) };
    let (hooks, sent) = hooks(SendConfig::default(), answers, |_, _| "1.1.1.1 1.0.0.1");
    publish(&hooks, "m1");
    work_for(&hooks, 9 * SECOND + SECOND / 2).await;
    assert_eq!(hooks.stats().attempts, 0);
    // The worker was dropped meanwhile: the attempt begins anew.
    work_for(&hooks, 14 * SECOND).await;
    assert_eq!(hooks.stats().delivered, 1);
    sent.lock().unwrap().clear();
    publish(&hooks, "m2");
    let start = TokioTimer::new();
    work_for(&hooks, 14 * SECOND).await;
    let log = hooks.log();
    let [late, good] = [&log[log.len() - 2], &log[log.len() - 1]];
    assert_eq!((late.outcome, late.attempt), (Some(Outcome::Timeout), 1));
    assert_eq!((good.fate, good.attempt), (Fate::Delivered, 2));
    assert!(start.now() >= 11 * SECOND);
    let addresses: Vec<_> = sent.lock().unwrap().iter().map(|r| r.address.to_string()).collect();
    assert_eq!(addresses, ["1.1.1.1:443", "1.0.0.1:443"], "another address at the next attempt");
}

#[tokio::test(start_paused = true)]
async fn no_name_leads_to_a_private_address() {
    for bad in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::a00:1"] {
        let names: Names = match bad {
            "127.0.0.1" => |_, _| "127.0.0.1",
            "10.0.0.1" => |_, _| "10.0.0.1",
            "169.254.169.254" => |_, _| "169.254.169.254 fe80::1",
            "::ffff:127.0.0.1" => |_, _| "::ffff:127.0.0.1",
            _ => |_, _| "64:ff9b::a00:1",
        };
        let (hooks, sent) = hooks(SendConfig::default(), |_, _| status(200), names);
        publish(&hooks, "m1");
        work_for(&hooks, SECOND / 4).await;
        assert_eq!(outcomes(&hooks), [Some(Outcome::Refused)], "{bad}");
        assert!(sent.lock().unwrap().is_empty(), "{bad}");
    }
}

/// The first answer is public, the second is not (DNS rebinding): what was checked is what is
/// connected to, and the next attempt asks and checks anew.
#[tokio::test(start_paused = true)]
async fn a_name_that_changes_its_mind_is_checked_each_time() {
    let names: Names = |n, _| if n == 0 { "1.1.1.1 127.0.0.1" } else { "127.0.0.1" };
    let (hooks, sent) = hooks(SendConfig::default(), |_, _| status(500), names);
    publish(&hooks, "m1");
    work_for(&hooks, 3 * SECOND).await;
    let outcomes = outcomes(&hooks);
    assert_eq!(outcomes[0], Some(Outcome::Status { code: 500, retry_after: None }));
    assert!(outcomes.len() > 1);
    assert!(outcomes[1..].iter().all(|outcome| *outcome == Some(Outcome::Refused)));
    let addresses: Vec<_> = sent.lock().unwrap().iter().map(|r| r.address.to_string()).collect();
    assert_eq!(addresses, ["1.1.1.1:443"]);
}

#[tokio::test(start_paused = true)]
async fn redirects_are_checked_hop_by_hop() {
    let names: Names = |_, host| if host == "inside.example" { "10.0.0.1" } else { "1.1.1.1" };
    let cases: [(Answers, u32, Outcome, usize); 6] = [
        (|_, _| redirect("https://inside.example/"), 3, Outcome::Refused, 1),
        (|_, _| redirect("https://127.0.0.1/"), 3, Outcome::Refused, 1),
        (|_, _| redirect("http://hook.example/"), 3, Outcome::Refused, 1),
        (|_, _| redirect("//inside.example/"), 3, Outcome::Refused, 1),
        (|_, _| redirect("/x"), 3, Outcome::Status { code: 308, retry_after: None }, 4),
        (|_, _| redirect("/x"), 0, Outcome::Status { code: 308, retry_after: None }, 1),
    ];
    for (index, (answers, max_redirects, expected, requests)) in cases.into_iter().enumerate() {
        let config = SendConfig { max_redirects, ..SendConfig::default() };
        let (hooks, sent) = hooks(config, answers, names);
        publish(&hooks, "m1");
        let before = hooks.clone();
        tokio::select! {
            () = hooks.work() => {}
            () = async { while before.stats().attempts == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            } } => {}
        }
        assert_eq!(outcomes(&hooks), [Some(expected)], "case {index}");
        assert_eq!(sent.lock().unwrap().len(), requests, "case {index}");
    }
    let config = SendConfig { max_redirects: 1, ..SendConfig::default() };
    let once: Answers = |n, _| if n == 0 { redirect("https://b.example/x") } else { status(200) };
    let (hooks, sent) = hooks(config, once, names);
    publish(&hooks, "m1");
    work_for(&hooks, 3 * SECOND).await;
    assert_eq!(hooks.stats().delivered, 1);
    assert_eq!(sent.lock().unwrap()[1].url.to_string(), "https://b.example/x");
}

#[tokio::test(start_paused = true)]
async fn allowed_networks_are_connected_to() {
    let guard = AddressGuard::public_only().allow("10.0.0.0/8".parse().unwrap());
    let config = SendConfig { guard, ..SendConfig::default() };
    let (hooks, _) = hooks(config, |_, _| status(200), |_, _| "10.0.0.1");
    publish(&hooks, "m1");
    work_for(&hooks, 3 * SECOND).await;
    assert_eq!(hooks.stats().delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_dropped_at_any_poll_leaves_its_attempt_to_another() {
    for polls in 0..8 {
        let answers: Answers = |n, _| if n == 0 { status(500) } else { status(200) };
        let (hooks, _) = hooks(SendConfig::default(), answers, |_, _| "1.1.1.1");
        publish(&hooks, "m1");
        let mut work = Box::pin(hooks.work());
        for _ in 0..polls {
            let mut once = work.as_mut();
            let polled =
                std::future::poll_fn(|context| Poll::Ready(once.as_mut().poll(context).is_ready()));
            assert!(!polled.await);
            tokio::time::advance(SECOND).await;
        }
        drop(work);
        let id = hooks.endpoints()[0];
        assert_eq!(hooks.status(id).unwrap().in_flight, 0, "after {polls} polls");
        work_for(&hooks, 20 * SECOND).await;
        assert_eq!((hooks.stats().delivered, hooks.stats().pending), (1, 0), "after {polls}");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_workers_wake_for_what_is_published_and_for_the_end() {
    let (hooks, _) = hooks(SendConfig::default(), |_, _| status(200), |_, _| "1.1.1.1");
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let hooks = hooks.clone();
            tokio::spawn(async move { hooks.work().await })
        })
        .collect();
    tokio::time::sleep(SECOND).await;
    for number in 0..6 {
        publish(&hooks, &format!("m{number}"));
    }
    tokio::time::sleep(4 * SECOND).await;
    assert_eq!(hooks.stats().delivered, 6);
    hooks.close();
    for worker in workers {
        worker.await.unwrap();
    }
}
