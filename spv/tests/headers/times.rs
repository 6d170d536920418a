//! The rules about times and versions: the last value that passes and the first that does not.

use ironlight_spv::chain::Blame;
use ironlight_spv::rules::timestamp::{RecentTimes, check_future, check_median};
use ironlight_spv::rules::{timestamp, version};
use ironlight_spv::{BlockHeight, HeaderChain, Network, Params, UnixTime, Violation};

use crate::support::{LATER, accept, branch, child, easy, mined, regtest, regtest_of, violation};

#[test]
fn a_time_equal_to_the_median_of_eleven_is_too_old_and_one_second_later_is_not() {
    let mut chain = regtest_of(20);
    let tip = chain.get(chain.tip().height).expect("the tip").header;
    let median = UnixTime(tip.time().0 - 5 * 600);
    assert_eq!(chain.median_time_past(), Some(median));

    let at = |time| {
        let mut body = child(&tip, 1);
        body.time = time;
        mined(body, &tip)
    };
    for got in [median, UnixTime(median.0 - 1), UnixTime(0)] {
        assert_eq!(violation(&chain, at(got)), Violation::TimeTooOld { median, got });
    }
    accept(&mut chain, &[at(median.plus_seconds(1))]);
}

#[test]
fn the_median_of_fewer_than_eleven_is_taken_where_genesis_is_among_them() {
    // Of an even number the later middle one, as Core takes it.
    for (times, median) in [
        (vec![50], 50),
        (vec![50, 60], 60),
        (vec![50, 40, 60], 50),
        (vec![9, 8, 7, 6], 8),
        ((1..=10).collect(), 6),
        ((1..=11).collect(), 6),
        ((1..=12).collect(), 7),
    ] {
        let mut recent = RecentTimes::new(true);
        for time in &times {
            recent.push(UnixTime(*time));
        }
        assert_eq!(recent.median(), Some(UnixTime(median)), "{times:?}");
        assert!(check_median(&recent, UnixTime(median)).is_err(), "{times:?}");
        assert!(check_median(&recent, UnixTime(median + 1)).is_ok(), "{times:?}");
    }
}

#[test]
fn the_median_of_fewer_than_eleven_is_unknown_after_a_trusted_start() {
    let mut recent = RecentTimes::new(false);
    for time in 0..10 {
        assert!(!recent.is_complete());
        assert_eq!(recent.median(), None);
        assert!(check_median(&recent, UnixTime(0)).is_ok());
        recent.push(UnixTime(100 + time));
    }
    recent.push(UnixTime(110));
    assert_eq!(recent.median(), Some(UnixTime(105)));
    assert!(check_median(&recent, UnixTime(105)).is_err());
}

#[test]
fn the_latest_time_that_a_header_can_carry_has_a_median_too() {
    let mut recent = RecentTimes::new(true);
    for time in [u32::MAX, u32::MAX, 5] {
        recent.push(UnixTime(time));
    }
    let expected = Violation::TimeTooOld { median: UnixTime::MAX, got: UnixTime::MAX };
    assert_eq!(check_median(&recent, UnixTime::MAX), Err(expected));
}

#[test]
fn a_time_two_hours_ahead_is_accepted_and_a_second_more_is_too_new() {
    let chain = regtest();
    let headers = branch(&chain.start().header, 3, 1);
    let time = headers[2].time().0;
    assert!(chain.verify(&headers, UnixTime(time - 7_200)).is_ok());

    let error = chain.verify(&headers, UnixTime(time - 7_201)).expect_err("too new");
    let expected = Violation::TimeTooNew { latest: UnixTime(time - 1), got: UnixTime(time) };
    assert_eq!((error.index, error.violation, error.blame()), (2, expected, Blame::Local));
    assert_eq!(error.prefix.map(|prefix| prefix.end().height), Some(BlockHeight(2)));
}

#[test]
fn a_clock_near_the_end_of_time_lets_every_time_pass() {
    assert_eq!(check_future(UnixTime(u32::MAX - 7_200), UnixTime::MAX), Ok(()));
    assert_eq!(check_future(UnixTime::MAX, UnixTime::MAX), Ok(()));
    assert!(check_future(UnixTime(u32::MAX - 7_201), UnixTime::MAX).is_err());
}

#[test]
fn a_period_of_testnet4_starts_at_most_ten_minutes_before_its_parent() {
    let parent = UnixTime(1_000_000);
    for allowed in [999_400, 999_401, 1_000_000, 1_000_001, u32::MAX] {
        assert_eq!(timestamp::check_timewarp(parent, UnixTime(allowed)), Ok(()));
    }
    for got in [UnixTime(999_399), UnixTime(0)] {
        let expected = Err(Violation::Timewarp { parent, got });
        assert_eq!(timestamp::check_timewarp(parent, got), expected);
    }
    assert_eq!(timestamp::check_timewarp(UnixTime::MAX, UnixTime(u32::MAX - 600)), Ok(()));
}

#[test]
fn versions_are_retired_from_their_soft_forks_height_on() {
    for network in Network::ALL {
        let params = Params::new(network);
        let forks = [(params.bip34_height, 2), (params.bip66_height, 3), (params.bip65_height, 4)];
        for (height, minimum) in forks {
            // On some networks all three begin at once.
            let least = forks.iter().filter(|(from, _)| *from <= height).map(|(_, v)| *v).max();
            let least = least.expect("one at least");
            assert!(least >= minimum);
            assert_eq!(version::check(&params, height, least), Ok(()));
            let expected = Violation::OutdatedVersion { minimum: least, got: least - 1 };
            assert_eq!(version::check(&params, height, least - 1), Err(expected));
            let below = BlockHeight(height.0 - 1);
            let before = forks.iter().filter(|(from, _)| *from <= below).map(|(_, v)| *v).max();
            assert_eq!(version::check(&params, below, before.unwrap_or(i32::MIN)), Ok(()));
        }
    }
}

#[test]
fn the_highest_version_bit_makes_it_negative_and_too_low() {
    let chain = regtest();
    let genesis = chain.start().header;
    for got in [-1, i32::MIN, 0, 1, 2, 3] {
        let mut body = child(&genesis, 1);
        body.version = got;
        let expected = Violation::OutdatedVersion { minimum: 4, got };
        assert_eq!(violation(&chain, mined(body, &genesis)), expected);
    }
    for accepted in [4, 0x2000_0000, i32::MAX] {
        let mut body = child(&genesis, 1);
        body.version = accepted;
        assert!(chain.verify(&[mined(body, &genesis)], LATER).is_ok());
    }
}

#[test]
fn before_bip34_any_version_passes() {
    let chain = HeaderChain::new(easy(Network::Mainnet));
    let genesis = chain.start().header;
    for version in [i32::MIN, -1, 0, 1] {
        let mut body = child(&genesis, 1);
        body.version = version;
        assert!(chain.verify(&[mined(body, &genesis)], LATER).is_ok());
    }
}
