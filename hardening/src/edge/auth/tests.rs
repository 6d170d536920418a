//! Which keys let pass, and who hears of the others.

use core::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Empty, Full};
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::ManualClock;
use crate::edge::testing::{header, text};
use crate::edge::{AnswerLayer, HandlerLayer};
use crate::stamp::StampLayer;
use crate::testing::Numbers;

const ALICE: &str = "kV3xTq0bYw8mZr5s";
const BOB: &str = "Jp9uHc2eLd7fGa4n";

#[tokio::test]
async fn one_right_key_lets_pass_and_every_refusal_is_heard_of() {
    let keys = ApiKeys::default();
    keys.add("alice", ALICE).unwrap();
    keys.add("bob", BOB).unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let layer = AuthLayer::new(keys.clone())
        .access(|head| if head.path() == "/open" { Access::Open } else { Access::Keyed })
        .on_failure(|_| panic!("a listener that fails"))
        .on_failure(move |failure| hears.lock().unwrap().push(failure.clone()));
    let handler = service_fn(async |request: Request<Empty<Bytes>>| {
        let who = request.extensions().get::<Principal>().map(Principal::to_string);
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(who.unwrap_or_default())))
    });
    let service = ServiceBuilder::new()
        .layer(StampLayer::new(ManualClock::default()))
        .layer(AnswerLayer)
        .layer(layer.clone())
        .layer(HandlerLayer)
        .service(handler);
    let ask = async |path: &str, headers: &[(&str, String)]| {
        // Somebody else's word for who it is does not count.
        let mut request = Request::get(path).extension(Principal::new("root"));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = service.clone().oneshot(request.body(Empty::new()).unwrap()).await.unwrap();
        let challenge = header(&answer, "www-authenticate").map(str::to_owned);
        (answer.status().as_u16(), challenge, text(answer.into_body()).await)
    };
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let plain = |key: &str| ("x-api-key", key.to_owned());
    assert_eq!(ask("/", &[bearer(ALICE)]).await, (200, None, "alice".into()));
    assert_eq!(ask("/", &[plain(BOB)]).await, (200, None, "bob".into()));
    let lower = ("authorization", format!("bearer  {BOB}"));
    assert_eq!(ask("/", &[lower]).await, (200, None, "bob".into()));
    assert_eq!(ask("/open", &[]).await, (200, None, String::new()));
    let refused = async |path: &str, headers: &[(&str, String)], error: &str| {
        let (status, challenge, body) = ask(path, headers).await;
        assert_eq!(status, 401, "{headers:?}");
        assert!(challenge.unwrap().ends_with(error), "{headers:?}");
        assert!(!body.contains(ALICE));
    };
    refused("/", &[], r#"realm="api""#).await;
    let wrong = &ALICE.replace('k', "l");
    for key in [wrong, ALICE.split_at(1).1, &format!("{ALICE}x"), &"x".repeat(MAX_KEY + 1)] {
        refused("/", &[bearer(key)], "\"invalid_token\"").await;
        refused("/open", &[plain(key)], "\"invalid_token\"").await;
    }
    for value in ["Basic YTpi", "Bearer", "Bearer ", &format!("Bearer{ALICE}"), ""] {
        refused("/", &[("authorization", value.into())], "\"invalid_request\"").await;
    }
    refused("/", &[bearer(ALICE), plain(ALICE)], "\"invalid_request\"").await;
    refused("/", &[plain(ALICE), plain(BOB)], "\"invalid_request\"").await;
    let heard = heard.lock().unwrap();
    assert_eq!((heard.len(), layer.failures()), (16, 16));
    assert_eq!(heard[0].reason, AuthReason::Missing);
    assert!(!format!("{heard:?}{keys:?}").contains(ALICE));
}

#[test]
fn keys_are_those_that_were_added_and_not_removed() {
    let mut numbers = Numbers(5);
    let (keys, mut naive) = (ApiKeys::default(), Vec::<(String, String)>::new());
    let key = |n: u64| format!("key-number-{n:05}-{:x}", n * n);
    for step in 0..100_000 {
        let (name, key) = (format!("p{}", numbers.below(4)), key(numbers.below(24)));
        match numbers.below(20) {
            0..2 => {
                let known = naive.iter().any(|(_, known)| *known == key);
                let added = keys.add(&name, &key);
                assert_eq!(added, if known { Err(BadKey::Known) } else { Ok(()) }, "{step}");
                if !known {
                    naive.push((name, key));
                }
            }
            2 => {
                let before = naive.len();
                naive.retain(|(_, known)| *known != key);
                assert_eq!(keys.remove(&key), naive.len() < before);
            }
            3 if step % 50 == 0 => {
                let before = naive.len();
                naive.retain(|(known, _)| *known != name);
                assert_eq!(keys.remove_all_of(&name), before - naive.len());
            }
            _ => {
                let whose = naive.iter().find(|(_, known)| *known == key).map(|(name, _)| name);
                let found = keys.whose(key.as_bytes());
                assert_eq!(found.as_ref().map(Principal::as_str), whose.map(String::as_str));
            }
        }
        assert_eq!(keys.len(), naive.len());
    }
    for bad in ["", "short", "with a blank in it", &"x".repeat(MAX_KEY + 1)] {
        assert_eq!(keys.add("p", bad), Err(BadKey::Form));
    }
}

#[test]
fn keys_have_a_bound() {
    let keys = ApiKeys::default();
    for n in 0..MAX_API_KEYS {
        keys.add("all", &format!("key-number-{n:05}")).unwrap();
    }
    assert_eq!(keys.add("all", "one-key-too-many"), Err(BadKey::TooMany));
}
