//! Signatures against the reference, URLs, pauses, limits.

use core::time::Duration;

use super::{
    Dispatcher, Endpoint, Fate, HookUrl, MessageId, Next, Outcome, PublishError, RegisterError,
    STANDARD_PAUSES, Schedule, Secret, Signer, Verifier, VerifyError, WebhookConfig,
    parse_retry_after,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SENT: u64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
/// The vector of the Standard Webhooks' reference libraries.
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
/// The same message by the other secret, computed with another implementation of HMAC.
const OTHER_SIGNATURE: &str = "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44=";

fn id(text: &str) -> MessageId {
    MessageId::new(text).unwrap()
}

fn signer(secrets: &[&str]) -> Signer {
    Signer::new(secrets.iter().map(|text| text.parse().unwrap())).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new([SECRET.parse().unwrap()]).unwrap()
}

fn verify(sent: &str, signatures: &str, now: u64) -> Result<(), VerifyError> {
    verifier().verify(ID, sent, signatures, BODY, now).map(|_| ())
}

#[test]
fn signatures_are_those_of_the_reference() {
    assert_eq!(signer(&[SECRET]).sign(&id(ID), SENT, BODY), SIGNATURE);
    let both = signer(&[SECRET, OTHER]).sign(&id(ID), SENT, BODY);
    assert_eq!(both, format!("{SIGNATURE} {OTHER_SIGNATURE}"));
    let empty = signer(&[OTHER]).sign(&id("msg_1"), 1_700_000_000, b"");
    assert_eq!(empty, "v1,o7+eYxNqP1y031/MujXOo2R+0FX7VK8OM6DvDsh9Yak=");
}

#[test]
fn one_right_signature_among_several_is_enough() {
    let sent = SENT.to_string();
    let wrong = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let several = format!("{wrong} v2,{} v1a,x {SIGNATURE} {wrong}", "a".repeat(44));
    assert_eq!(verify(&sent, &several, SENT), Ok(()));
    let without_version = SIGNATURE.trim_start_matches("v1,");
    let other_version = SIGNATURE.replace("v1,", "v2,");
    for none in ["", " ", wrong, "v1,", "v1", "v1,!!", without_version, &other_version] {
        assert_eq!(verify(&sent, none, SENT), Err(VerifyError::Signature), "{none}");
    }
    let beyond = format!("{} {SIGNATURE}", [wrong; 16].join(" "));
    assert_eq!(verify(&sent, &beyond, SENT), Err(VerifyError::Signature));
    let rotated = Verifier::new([OTHER, SECRET].map(|text| text.parse().unwrap())).unwrap();
    for signature in [SIGNATURE, OTHER_SIGNATURE] {
        assert!(rotated.verify(ID, &sent, signature, BODY, SENT).is_ok());
    }
}

#[test]
fn timestamps_are_believed_for_five_minutes_in_both_directions() {
    let sent = SENT.to_string();
    assert_eq!(verify(&sent, SIGNATURE, SENT + 300), Ok(()));
    assert_eq!(verify(&sent, SIGNATURE, SENT + 301), Err(VerifyError::TooOld));
    assert_eq!(verify(&sent, SIGNATURE, SENT - 300), Ok(()));
    assert_eq!(verify(&sent, SIGNATURE, SENT - 301), Err(VerifyError::TooNew));
    for bad in
        ["", "+1614265330", "01614265330", "1614265330.0", "-1", " 1", "99999999999999999999"]
    {
        assert_eq!(verify(bad, SIGNATURE, SENT), Err(VerifyError::Timestamp), "{bad}");
    }
    let strict = verifier().with_tolerance(0);
    assert!(strict.verify(ID, &sent, SIGNATURE, BODY, SENT).is_ok());
    assert!(strict.verify(ID, &sent, SIGNATURE, BODY, SENT + 1).is_err());
}

#[test]
fn no_flipped_bit_passes() {
    let sent = SENT.to_string();
    for bit in 0..BODY.len() * 8 {
        let mut body = BODY.to_vec();
        body[bit / 8] ^= 1 << (bit % 8);
        assert!(verifier().verify(ID, &sent, SIGNATURE, &body, SENT).is_err());
    }
    assert!(verifier().verify("msg_2", &sent, SIGNATURE, BODY, SENT).is_err());
    assert!(verify(&(SENT + 1).to_string(), SIGNATURE, SENT).is_err());
}

/// `a` + `.5.` + `6.x` is what `a.5` + `.6.` + `x` would be.
#[test]
fn the_same_signed_bytes_cannot_be_read_in_two_ways() {
    let signature = signer(&[SECRET]).sign(&id("a"), 5, b"6.x");
    assert!(verifier().verify("a", "5", &signature, b"6.x", 6).is_ok());
    assert_eq!(verifier().verify("a.5", "6", &signature, b"x", 6), Err(VerifyError::Id));
    for bad in ["", "a b", "a\r\nb", "ä", &"x".repeat(129)] {
        assert!(MessageId::new(bad).is_none(), "{bad}");
    }
}

#[test]
fn secrets_are_of_the_allowed_length_and_are_not_shown() {
    let of = |bytes: usize| Secret::from_bytes(&vec![7; bytes]).is_ok();
    assert_eq!([23, 24, 64, 65].map(of), [false, true, true, false]);
    let longest = Secret::from_bytes(&[7; 64]).unwrap();
    assert_eq!(longest.reveal().parse(), Ok(longest));
    let secret: Secret = SECRET.parse().unwrap();
    assert_eq!(secret.reveal(), SECRET);
    assert_eq!(SECRET.trim_start_matches("whsec_").parse(), Ok(secret.clone()));
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    assert!(!format!("{:?}", signer(&[SECRET])).contains("49"), "no bytes of it either");
    for bad in ["", "whsec_", "whsec_***", &format!("whsec_{}", "A".repeat(4000))] {
        assert!(bad.parse::<Secret>().is_err());
    }
    let secrets = |count| Signer::new(vec![secret.clone(); count]).is_ok();
    assert_eq!([0, 1, 8, 9].map(secrets), [false, true, true, false]);
}

#[test]
fn urls_are_read_in_one_way_only() {
    let url = |text: &str| text.parse::<HookUrl>();
    let whole = url("HTTPS://Example.com:8443/a/b?c=d").unwrap();
    assert_eq!((whole.is_tls(), whole.host(), whole.port()), (true, "example.com", 8443));
    assert_eq!((whole.path(), whole.authority().as_str()), ("/a/b?c=d", "example.com:8443"));
    assert_eq!(url("http://a?x").unwrap().to_string(), "http://a/?x");
    let v6 = url("https://[2606::1]:9/").unwrap();
    assert_eq!((v6.address(), v6.authority()), ("2606::1".parse().ok(), "[2606::1]:9".into()));
    for bad in [
        "",
        "example.com",
        "ftp://a/",
        "https://",
        "https:///x",
        "https://a:0/",
        "https://a:+1/",
        "https://a:70000/",
        "https://user@a/",
        "https://a@b:1/",
        "https://a#b@c/",
        "https://a\\b/",
        "https://a b/",
        "https://a/\r\nX: y",
        "https://[::1/",
        "https://[::1]x/",
        "https://[a]/",
        "https://a%00b/",
        "https://ä/",
        "https://::1/",
    ] {
        assert!(url(bad).is_err(), "{bad}");
    }
    assert!(url(&format!("https://a/{}", "x".repeat(2048))).is_err());
}

#[test]
fn three_quick_retries_then_the_standard_schedule() {
    let schedule = Schedule { jitter_percent: 0, ..Schedule::default() };
    let random = &mut 0;
    let pauses: Vec<_> = (1..).map_while(|n| schedule.pause(n, None, random)).collect();
    assert!(pauses[..3].iter().all(|&pause| pause <= Duration::from_secs(2)));
    assert_eq!(pauses[3..], STANDARD_PAUSES);
    let total: Duration = STANDARD_PAUSES.iter().sum();
    assert_eq!(total, Duration::from_secs(75 * 3600 + 35 * 60 + 5));
    assert_eq!(schedule.pause(0, None, random), None);

    let schedule = Schedule::default();
    let mut drawn = std::collections::HashSet::new();
    for seed in 0..1000 {
        let pause = schedule.pause(4, None, &mut { seed }).unwrap();
        assert!(pause >= Duration::from_secs(5) && pause <= Duration::from_secs(6));
        drawn.insert(pause);
    }
    assert!(drawn.len() > 990 && drawn.iter().max() > Some(&Duration::from_millis(5900)));
    let day = Duration::from_secs(86_400);
    let asked = schedule.pause(1, Some(Duration::MAX), &mut 0).unwrap();
    assert!(asked >= day && asked <= day * 6 / 5);
}

#[test]
fn retry_after_is_read_as_seconds() {
    let read = parse_retry_after;
    assert_eq!(read(" 120 "), Some(Duration::from_secs(120)));
    assert_eq!(read("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
    for none in ["", "-1", "+1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        assert_eq!(read(none), None, "{none}");
    }
}

fn endpoint(url: &str, events: &[&str]) -> Endpoint {
    let events = events.iter().map(|&event| event.to_owned()).collect();
    Endpoint { url: url.parse().unwrap(), events, signer: signer(&[SECRET]) }
}

#[test]
fn what_is_too_much_is_refused() {
    let config =
        WebhookConfig { max_endpoints: 2, max_pending: 3, max_payload: 10, ..Default::default() };
    let mut hooks = Dispatcher::new(config);
    let plain = hooks.register(endpoint("http://a/", &["e"]));
    assert_eq!(plain, Err(RegisterError::NotTls));
    assert_eq!(hooks.register(endpoint("https://a/", &[])), Err(RegisterError::Events));
    assert_eq!(hooks.register(endpoint("https://a/", &["e"; 65])), Err(RegisterError::Events));
    let first = hooks.register(endpoint("https://a/", &["e"])).unwrap();
    hooks.register(endpoint("https://b/", &["*"])).unwrap();
    let full = hooks.register(endpoint("https://c/", &["e"]));
    assert_eq!(full, Err(RegisterError::Full { limit: 2 }));
    assert!(hooks.update(first, endpoint("http://a/", &["e"])).is_err());

    let now = Duration::ZERO;
    let large = hooks.publish(id("m0"), "e", vec![0; 11], now);
    assert_eq!(large, Err(PublishError::TooLarge { limit: 10 }));
    assert_eq!(hooks.publish(id("m1"), "e", vec![0; 10], now), Ok(2));
    assert_eq!(hooks.publish(id("m1"), "e", vec![0; 10], now), Err(PublishError::Duplicate));
    assert_eq!(hooks.publish(id("m2"), "e", vec![], now), Err(PublishError::Full));
    assert_eq!(hooks.publish(id("m2"), "other", vec![], now), Ok(1));
    assert_eq!((hooks.stats().pending, hooks.stats().pending_bytes), (3, 20));
    assert_eq!(hooks.stats().refused, 3);
}

#[test]
fn gone_disables_the_endpoint_and_drops_what_waits() {
    let mut hooks = Dispatcher::new(WebhookConfig::default());
    let one = hooks.register(endpoint("https://a/", &["e"])).unwrap();
    let now = Duration::from_secs(1);
    for number in 0..5 {
        hooks.publish(id(&format!("m{number}")), "e", vec![1], now).unwrap();
    }
    let Next::Send(job) = hooks.next(now) else { panic!() };
    let Next::Send(late) = hooks.next(now) else { panic!() };
    let gone = Outcome::Status { code: 410, retry_after: None };
    assert_eq!(hooks.finish(job, gone, now), Fate::Gone);
    assert!(!hooks.status(one).unwrap().enabled);
    assert_eq!((hooks.stats().pending, hooks.stats().dropped), (1, 4));
    assert_eq!(hooks.publish(id("m9"), "e", vec![1], now), Ok(0));
    // What was under way is not tried again, but may still arrive.
    let arrived = Outcome::Status { code: 200, retry_after: None };
    assert_eq!(hooks.finish(late, arrived, now), Fate::Delivered);
    assert!(hooks.enable(one));
    assert_eq!(hooks.publish(id("m10"), "e", vec![1], now), Ok(1));
    assert!(matches!(hooks.next(now), Next::Send(_)));
}

#[test]
fn after_a_break_one_attempt_tries_and_a_late_result_changes_nothing() {
    let mut hooks = Dispatcher::new(WebhookConfig { in_flight: 10, ..Default::default() });
    let one = hooks.register(endpoint("https://a/", &["e"])).unwrap();
    let mut now = Duration::ZERO;
    for number in 0..9 {
        hooks.publish(id(&format!("m{number}")), "e", vec![1], now).unwrap();
    }
    let mut jobs: Vec<_> = (0..6)
        .map(|_| match hooks.next(now) {
            Next::Send(job) => job,
            other @ (Next::WaitUntil(_) | Next::Idle) => panic!("{other:?}"),
        })
        .collect();
    let late = jobs.pop().unwrap();
    for job in jobs {
        hooks.finish(job, Outcome::Timeout, now);
    }
    let Next::Idle = hooks.next(now) else { panic!("the late one counts as the trial") };
    let ok = Outcome::Status { code: 200, retry_after: None };
    hooks.finish(late, ok, now);
    assert_eq!(hooks.status(one).unwrap().failures, 5, "a success from before the break");
    let Next::WaitUntil(at) = hooks.next(now) else { panic!() };
    assert!(at >= Duration::from_secs(60) && at <= Duration::from_secs(72));
    now = at;
    let Next::Send(trial) = hooks.next(now) else { panic!() };
    assert!(matches!(hooks.next(now), Next::Idle));
    hooks.finish(trial, Outcome::Timeout, now);
    let Next::WaitUntil(again) = hooks.next(now) else { panic!() };
    assert!(again - now >= Duration::from_secs(120), "twice as long");
    now = again;
    let Next::Send(trial) = hooks.next(now) else { panic!() };
    hooks.finish(trial, ok, now);
    assert_eq!(hooks.status(one).unwrap().failures, 0);
    for _ in 0..5 {
        assert!(matches!(hooks.next(now), Next::Send(_)));
    }
}
