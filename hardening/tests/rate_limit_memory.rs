//! A flood of random keys, with every byte counted. Alone in its process, for the counting's sake.

#![cfg(test)]

use core::time::Duration;
use std::alloc::System;
use std::net::IpAddr;

use cap::Cap;
use ironlight_hardening::rate_limit::{IpKey, Quota, RateLimiter, RetryAfter};

#[global_allocator]
static BYTES: Cap<System> = Cap::new(System, usize::MAX);

const FLOOD: u64 = 10_000_000;

#[test]
fn a_flood_of_random_keys_stays_within_the_bound_and_frees_nobody() {
    let before = BYTES.allocated();
    let limiter = RateLimiter::new([Quota::per_minute(60), Quota::per_hour(1000)]);
    let bound = limiter.memory_bound();
    let client = |n: u32| IpKey::from(IpAddr::from(n.to_be_bytes()));
    let start = Duration::from_secs(10);
    for n in 0..1000 {
        assert_eq!(limiter.check(&client(n), 60, start), Ok(()));
    }

    let mut peak = 0;
    for n in 0..FLOOD {
        // Fifty seconds in all, so that buckets fill again meanwhile.
        let now = start + Duration::from_nanos(n * (50_000_000_000 / FLOOD));
        let network = u128::from((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let random = IpAddr::from((network << 64).to_be_bytes());
        let _ = limiter.check(&IpKey::from(random), 1, now);
        if n % 1024 == 0 {
            peak = peak.max(BYTES.allocated() - before);
        }
    }
    let most = BYTES.max_allocated() - before;
    assert!(most <= bound && peak <= most, "{most} of {bound} bytes");
    let stats = limiter.stats();
    assert!(stats.keys <= limiter.config().max_keys && stats.shared > FLOOD / 4, "{stats:?}");
    println!("{FLOOD} keys: {most} bytes at most, bound {bound}; {stats:?}");

    // Who was throttled before still is, to the token: at 60 s 50 are back.
    let after = Duration::from_secs(60);
    for n in 0..1000 {
        assert_eq!(limiter.remaining(&client(n), after), 50);
        let too_many = limiter.check(&client(n), 51, after);
        assert_eq!(too_many, Err(RetryAfter(Duration::from_secs(1))));
    }
    // And when the flood is over, its memory goes too.
    limiter.clean(Duration::from_secs(7200));
    let left = BYTES.allocated() - before;
    assert!(limiter.stats().keys == 0 && left < bound / 20, "{left} bytes");
}
