//! Growing a chain, batches and their failures, and what it answers when asked.

use bitcoin::Work;
use bitcoin::hashes::Hash as _;
use ironlight_spv::chain::{Position, StaleBatch};
use ironlight_spv::generate::Miner;
use ironlight_spv::{
    BlockHash, BlockHeight, Header, HeaderChain, LinkedBatch, Network, Params, TipChange, UnixTime,
    Violation,
};

use crate::plain::{self, Number};
use crate::support::{
    LATER, accept, bits, branch, chain_of, child, easy, mined, new_tip, refuse, regtest, regtest_of,
};

/// Headers whose bits change often: testnet3's rules, and every few blocks a long pause.
fn with_changing_bits(count: usize) -> (Params, Vec<Header>) {
    let mut params = easy(Network::Testnet3);
    params.period = 50;
    params.timespan = 50 * 600;
    let mut chain = HeaderChain::new(params.clone());
    let mut miner = Miner::new(3);
    let mut headers = Vec::new();
    for place in 0..count {
        let step =
            if place % 7 < 2 { 1_201 } else { 200 + u32::try_from(place % 11).unwrap() * 35 };
        let header = miner.extend(&chain, chain.tip_time().plus_seconds(step));
        accept(&mut chain, &[header]);
        headers.push(header);
    }
    (params, headers)
}

/// Compares every answer about the best chain with the headers themselves.
fn assert_holds_exactly(chain: &HeaderChain, headers: &[Header]) {
    let mut all = vec![chain.start().header];
    all.extend_from_slice(headers);
    let mut work = Number::ZERO;
    for (height, header) in all.iter().enumerate() {
        let height = BlockHeight(u32::try_from(height).unwrap());
        let target = Number::of_bits(header.compact_target().to_consensus()).unwrap();
        work = work.plus(Number::work_of_target(target));
        let entry = chain.get(height).expect("held");
        assert_eq!((entry.header, entry.height), (*header, height));
        assert_eq!(entry.hash, header.hash());
        assert_eq!(entry.work, Work::from_be_bytes(work.low_32_bytes()), "work at {height}");
        assert_eq!(chain.hash_at(height), Some(entry.hash));
        assert_eq!(chain.find(&entry.hash), Some((entry, Position::Best)));
        assert!(chain.contains(&entry.hash));
    }
    let above = BlockHeight(u32::try_from(all.len()).unwrap());
    assert_eq!(chain.tip().height.next(), above);
    assert_eq!(chain.tip().work, Work::from_be_bytes(work.low_32_bytes()));
    for height in [above, above.next(), BlockHeight(u32::MAX)] {
        assert_eq!((chain.get(height), chain.hash_at(height)), (None, None));
    }
}

#[test]
fn headers_on_the_tip_extend_it() {
    let mut chain = regtest();
    let headers = branch(&chain.start().header, 3, 1);
    let verified = chain.verify(&headers, LATER).expect("right");
    assert_eq!(verified.end().hash, headers[2].hash());
    assert_eq!(chain.tip().height, BlockHeight::GENESIS, "verifying changes nothing");

    let change = chain.apply(verified).expect("fresh");

    let TipChange::Extended { connected } = change else { panic!("{change:?}") };
    assert_eq!(connected.headers(), headers);
    assert_eq!(connected.first_height(), BlockHeight(1));
    assert_holds_exactly(&chain, &headers);
}

#[test]
fn known_headers_change_nothing() {
    let mut chain = regtest();
    let headers = branch(&chain.start().header, 5, 1);
    accept(&mut chain, &headers);
    let with_genesis = [&[chain.start().header], &headers[..]].concat();
    for known in [&headers[..], &headers[..1], &headers[2..4], &with_genesis[..], &[]] {
        let verified = chain.verify(known, LATER).expect("known headers are fine");
        assert!(verified.is_empty());
        assert_eq!(*verified.change(), TipChange::Unchanged);
        let end = known.last().map_or(chain.tip().hash, Header::hash);
        assert_eq!(verified.end().hash, end);
        assert_eq!(accept(&mut chain, known), TipChange::Unchanged);
    }
    assert_holds_exactly(&chain, &headers);
}

#[test]
fn known_headers_before_new_ones_are_passed_over() {
    for known in 0..40 {
        let mut chain = regtest();
        let headers = branch(&chain.start().header, 40, 1);
        accept(&mut chain, &headers[..known]);
        let verified = chain.verify(&headers, LATER).expect("right");
        let TipChange::Extended { connected } = verified.change() else { panic!("it grows") };
        assert_eq!(connected.headers(), &headers[known..]);
        chain.apply(verified).expect("fresh");
        assert_holds_exactly(&chain, &headers);
    }
}

#[test]
fn the_headers_before_a_bad_one_apply() {
    for bad in 0..20 {
        let mut chain = regtest();
        let mut headers = branch(&chain.start().header, 20, 1);
        let parent = if bad == 0 { chain.start().header } else { headers[bad - 1] };
        let mut body = child(&parent, 9);
        body.version = 3;
        headers[bad] = mined(body, &parent);
        headers.truncate(bad + 1);

        let error = refuse(&chain, &headers);

        let height = BlockHeight(u32::try_from(bad).unwrap() + 1);
        assert_eq!((error.index, error.height), (bad, Some(height)));
        assert_eq!(error.violation, Violation::OutdatedVersion { minimum: 4, got: 3 });
        assert_eq!(error.hash, headers[bad].hash());
        assert_eq!(error.prefix.is_some(), bad > 0);
        if let Some(prefix) = error.prefix {
            chain.apply(*prefix).expect("fresh");
        }
        assert_holds_exactly(&chain, &headers[..bad]);
    }
}

#[test]
fn a_failing_batch_has_no_prefix_where_all_before_the_bad_header_is_known() {
    let mut chain = regtest();
    let headers = branch(&chain.start().header, 3, 1);
    accept(&mut chain, &headers);
    let mut body = child(&headers[2], 9);
    body.version = 3;
    let error = refuse(&chain, &[&headers[..], &[mined(body, &headers[2])]].concat());
    assert_eq!((error.index, error.height), (3, Some(BlockHeight(4))));
    assert!(error.prefix.is_none());
}

#[test]
fn one_flipped_bit_anywhere_in_a_batch_is_found_where_it_is() {
    let chain = regtest();
    let headers = branch(&chain.start().header, 40, 1);
    let mut miner = Miner::new(5);
    for _ in 0..2_000 {
        let place = usize::try_from(miner.random() % 39).unwrap();
        let bit = usize::try_from(miner.random() % 640).unwrap();
        let mut flipped = headers.clone();
        let mut bytes = *flipped[place].as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        flipped[place] = Header::from_bytes(bytes);
        let error = refuse(&chain, &flipped);
        // With luck the flipped header is right by itself; then the next one does not follow it.
        assert!(error.index == place || error.index == place + 1, "bit {bit} of {place}: {error}");
        if let Some(height) = error.height {
            let prefix = error.prefix.map_or(0, |prefix| prefix.end().height.0);
            assert_eq!(prefix + 1, height.0);
            assert_eq!(usize::try_from(prefix).unwrap(), error.index);
        } else {
            assert_eq!(place, 0, "only the first header names a parent that is not in the batch");
        }
    }
}

#[test]
fn a_batch_verified_before_the_chain_changed_is_stale() {
    let mut chain = regtest();
    let ours = branch(&chain.start().header, 2, 1);
    let theirs = branch(&chain.start().header, 1, 2);
    let (first, second) =
        (chain.verify(&ours, LATER).expect("right"), chain.verify(&theirs, LATER).expect("right"));
    chain.apply(first).expect("fresh");
    assert_eq!(chain.apply(second).expect_err("stale"), StaleBatch);
    assert_holds_exactly(&chain, &ours);
    assert_eq!(chain.side_headers(), 0);
}

#[test]
fn a_side_branch_verified_twice_applies_once() {
    let mut chain = regtest_of(5);
    let side = branch(&chain.start().header, 2, 2);
    let verify = |chain: &HeaderChain| chain.verify(&side, LATER).expect("right");
    let (first, second) = (verify(&chain), verify(&chain));
    chain.apply(first).expect("fresh");
    assert_eq!(chain.apply(second).expect_err("stale"), StaleBatch);
    assert_eq!(chain.side_headers(), 2);
}

#[test]
fn a_batch_that_changes_nothing_makes_no_other_stale() {
    let mut chain = regtest();
    let headers = branch(&chain.start().header, 2, 1);
    accept(&mut chain, &headers[..1]);
    let next = chain.verify(&headers, LATER).expect("right");
    accept(&mut chain, &headers[..1]);
    assert_eq!(new_tip(&chain.apply(next).expect("still fresh")), Some(headers[1].hash()));
}

#[test]
fn a_batch_verified_on_another_chain_is_stale() {
    let headers = branch(&regtest().start().header, 3, 1);
    let other = branch(&regtest().start().header, 3, 2);
    let mut chain = regtest();
    accept(&mut chain, &headers[..2]);
    let mut other_chain = regtest();
    accept(&mut other_chain, &other[..2]);
    let verified = other_chain.verify(&other, LATER).expect("right");
    assert_eq!(chain.apply(verified).expect_err("of another chain"), StaleBatch);
    assert_holds_exactly(&chain, &headers[..2]);
}

#[test]
fn hashing_a_batch_beforehand_changes_no_verdict() {
    let params = Params::new(Network::Regtest);
    let mut chain = regtest();
    let headers = branch(&chain.start().header, 37, 1);
    for broken in [None, Some(0), Some(20), Some(36)] {
        let mut batch = headers.clone();
        if let Some(place) = broken {
            let mut bytes = *batch[place].as_bytes();
            bytes[75] = 0x21;
            batch[place] = Header::from_bytes(bytes);
        }
        let linked = LinkedBatch::new(&params, batch.clone());
        assert_eq!((linked.len(), linked.is_empty()), (37, false));
        match (chain.verify(&batch, LATER), chain.verify_linked(linked, LATER)) {
            (Ok(one), Ok(other)) => assert_eq!(one.change(), other.change()),
            (Err(one), Err(other)) => {
                assert_eq!(one.to_string(), other.to_string());
                assert_eq!(Some(one.index), broken);
            }
            (one, other) => panic!("{one:?} but {other:?}"),
        }
    }
    accept(&mut chain, &headers);
    assert!(LinkedBatch::new(&params, Vec::new()).is_empty());
}

#[test]
fn batches_that_are_joined_are_as_one_that_came_in_whole() {
    let params = Params::new(Network::Regtest);
    let headers = branch(&regtest().start().header, 9, 1);
    for broken in [None, Some(0), Some(3), Some(4), Some(8)] {
        let mut all = headers.clone();
        if let Some(place) = broken {
            let mut bytes = *all[place].as_bytes();
            bytes[75] = 0x21;
            all[place] = Header::from_bytes(bytes);
        }
        for parts in [[0, 0], [0, 9], [4, 4], [3, 5], [1, 8]] {
            let [one, two] = parts;
            let mut joined = LinkedBatch::new(&params, all[..one].to_vec());
            joined.append(LinkedBatch::new(&params, all[one..two].to_vec()));
            joined.append(LinkedBatch::new(&params, all[two..].to_vec()));
            let whole = LinkedBatch::new(&params, all.clone());
            assert_eq!(joined.headers(), whole.headers());
            assert!(joined.hashes().eq(whole.hashes()));
            assert_eq!((joined.passed(), joined.failure()), (whole.passed(), whole.failure()));
        }
    }
}

#[test]
fn every_batch_size_around_the_lanes_gives_the_same_chain() {
    let headers = branch(&regtest().start().header, 200, 1);
    for size in (1..=50).chain([63, 64, 65, 100, 200]) {
        let mut chain = regtest();
        for batch in headers.chunks(size) {
            accept(&mut chain, batch);
        }
        assert_eq!(chain.tip().hash, headers[199].hash(), "in batches of {size}");
    }
}

#[test]
fn lookups_are_exact_around_the_blocks_of_memory() {
    let params = Params::new(Network::Regtest);
    let headers = branch(&params.genesis, 4_040, 1);
    for length in [1, 15, 16, 17, 2_014, 2_015, 2_016, 2_017, 4_030, 4_031, 4_032, 4_033, 4_040] {
        let chain = chain_of(params.clone(), &headers[..length]);
        let tip = chain.get(chain.tip().height).expect("the tip");
        assert_eq!((tip.hash, tip.work), (headers[length - 1].hash(), chain.tip().work));
        assert_eq!(chain.get(chain.tip().height.next()), None);
    }
    assert_holds_exactly(&chain_of(params, &headers), &headers);
}

#[test]
fn total_work_is_exact_at_every_height_where_bits_change_often() {
    let (params, headers) = with_changing_bits(2_100);
    let changes =
        headers.windows(2).filter(|two| two[0].compact_target() != two[1].compact_target());
    assert!(changes.count() > 500);
    assert_holds_exactly(&chain_of(params, &headers), &headers);
}

#[test]
fn the_median_time_past_is_the_middle_of_the_last_eleven_times() {
    let (params, headers) = with_changing_bits(60);
    let mut chain = HeaderChain::new(params);
    let mut times = vec![chain.start().header.time()];
    for header in headers {
        let mut last: Vec<UnixTime> = times.iter().rev().take(11).copied().collect();
        last.sort_unstable();
        assert_eq!(chain.median_time_past(), Some(last[last.len() / 2]));
        assert_eq!(Some(&chain.tip_time()), times.last());
        accept(&mut chain, &[header]);
        times.push(header.time());
    }
}

#[test]
fn bodies_are_the_headers_without_their_parents() {
    let mut chain = regtest();
    let headers = branch(&chain.start().header, 2_100, 1);
    accept(&mut chain, &headers);
    let all = |from, to| chain.bodies(BlockHeight(from)..BlockHeight(to));
    for (body, header) in all(1, 2_101).zip(&headers) {
        assert_eq!(body.with_parent(header.prev_hash()), *header);
    }
    assert_eq!(all(1, 2_101).count(), 2_100);
    assert_eq!(all(2_090, u32::MAX).count(), 11);
    assert_eq!(all(5_000, 6_000).count(), 0);
    assert_eq!(all(7, 7).count(), 0);
}

#[test]
fn a_hash_that_was_never_seen_is_not_found() {
    let chain = regtest_of(100);
    let mut miner = Miner::new(2);
    for _ in 0..1_000 {
        let mut hash = [0; 32];
        for part in hash.as_chunks_mut::<8>().0 {
            *part = miner.random().to_le_bytes();
        }
        let hash = BlockHash::from_byte_array(hash);
        assert_eq!((chain.find(&hash), chain.contains(&hash)), (None, false));
    }
}

#[test]
fn a_locator_steps_back_as_cores_does_and_ends_with_genesis() {
    // Bitcoin Core, chain.cpp, LocatorEntries.
    let chain = regtest_of(100);
    let heights: Vec<u32> =
        chain.locator().iter().map(|hash| chain.find(hash).expect("its own").0.height.0).collect();
    let expected = [100, 99, 98, 97, 96, 95, 94, 93, 92, 91, 90, 89, 87, 83, 75, 59, 27, 0];
    assert_eq!(heights, expected);
    assert_eq!(regtest().locator(), [regtest().tip().hash]);
}

#[test]
fn the_locator_of_a_side_branch_begins_on_it_and_goes_on_below_its_fork() {
    let mut chain = regtest();
    let best = branch(&chain.start().header, 60, 1);
    accept(&mut chain, &best);
    for length in [1, 9, 10, 11, 30] {
        let side = branch(&best[19], length, 2);
        accept(&mut chain, &side);
        let locator = chain.locator_from(&side[length - 1].hash());
        assert_eq!(locator[0], side[length - 1].hash());
        assert!(locator.contains(&best[19].hash()), "the fork point");
        assert!(!locator.contains(&best[20].hash()), "the other branch");
        assert_eq!(locator.last(), Some(&chain.start().header.hash()));
        assert!(locator.len() <= 101);
    }
    assert_eq!(chain.locator_from(&best[59].hash()), chain.locator());
    assert_eq!(chain.locator_from(&BlockHash::all_zeros()), chain.locator());
    assert_eq!(chain.locator_from(&best[9].hash())[0], best[9].hash());
}

#[test]
fn a_header_is_its_80_bytes_and_converts_both_ways() {
    let mut miner = Miner::new(8);
    for _ in 0..200 {
        let mut raw = [0; 80];
        for part in raw.as_chunks_mut::<8>().0 {
            *part = miner.random().to_le_bytes();
        }
        let header = Header::from_bytes(raw);
        assert_eq!(header.as_bytes(), &raw);
        assert_eq!(header.hash().to_byte_array(), plain::hash_of(&raw));
        let theirs = bitcoin::block::Header::from(header);
        assert_eq!(theirs.block_hash(), header.hash());
        assert_eq!(Header::from(theirs), header);
    }
}

#[test]
fn the_required_target_of_the_tip_is_what_its_child_must_name() {
    let chain = regtest_of(3);
    assert_eq!(chain.required_after_tip(LATER), bits(0x207f_ffff));
    let mainnet = HeaderChain::new(Params::new(Network::Mainnet));
    assert_eq!(mainnet.required_after_tip(LATER), bits(0x1d00_ffff));
}
