//! Every rule: what breaks it, with which evidence, and the last thing that does not.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, CompactTarget, Target, Work};
use ironlight_spv::chain::{Blame, Unapplied};
use ironlight_spv::rules::difficulty;
use ironlight_spv::rules::timestamp::MAX_FUTURE;
use ironlight_spv::{
    Basis, BitsError, BlockHeight, Header, HeaderChain, Network, Params, TrustedStart, UnixTime,
    Violation, decode_compact, parse_work,
};

use crate::plain::Number;
use crate::support::{
    EASIEST, LATER, accept, bits, branch, chain_of, child, easy, mined, refuse, regtest,
    regtest_of, violation,
};

/// The first header on a chain's tip whose hash does not meet its own target.
fn without_work(parent: &Header) -> Header {
    let mut body = child(parent, 1);
    let target = Target::from_compact(body.bits);
    while target.is_met_by(body.with_parent(parent.hash()).hash()) {
        body.nonce += 1;
    }
    body.with_parent(parent.hash())
}

fn work(hexadecimal: &str) -> Work {
    parse_work(hexadecimal).expect("hexadecimal")
}

#[test]
fn bits_stand_for_what_cores_own_test_vectors_say() {
    // Bitcoin Core, arith_uint256_tests.cpp, bignum_SetCompact.
    for zero in [
        0,
        0x0012_3456,
        0x0100_3456,
        0x0200_0056,
        0x0300_0000,
        0x0400_0000,
        0x0092_3456,
        0x0180_3456,
        0x0280_0056,
        0x0380_0000,
        0x0480_0000,
        0x0180_0000,
        0x00ff_ffff,
        0xff00_0000,
    ] {
        assert_eq!(decode_compact(bits(zero)), Err(BitsError::Zero), "{zero:08x}");
    }
    for negative in [0x01fe_dcba, 0x0492_3456, 0x2080_0001, 0x0380_0001] {
        assert_eq!(decode_compact(bits(negative)), Err(BitsError::Negative), "{negative:08x}");
    }
    for overflow in [0xff12_3456, 0x2300_0001, 0x2200_0100, 0x2101_0000] {
        assert_eq!(decode_compact(bits(overflow)), Err(BitsError::Overflow), "{overflow:08x}");
    }
    for (compact, number) in [
        (0x0112_3456, "12"),
        (0x0212_3456, "1234"),
        (0x0312_3456, "123456"),
        (0x0412_3456, "12345600"),
        (0x0500_9234, "92340000"),
        (0x2012_3456, "1234560000000000000000000000000000000000000000000000000000000000"),
        (0x2200_00ff, "ff00000000000000000000000000000000000000000000000000000000000000"),
        (0x2100_ffff, "ffff000000000000000000000000000000000000000000000000000000000000"),
    ] {
        let target = decode_compact(bits(compact)).expect("a target");
        assert_eq!(target.to_be_bytes(), work(number).to_be_bytes(), "{compact:08x}");
    }
}

#[test]
fn bits_of_every_size_and_edge_agree_with_the_plain_implementation() {
    let edges = [0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7f_ffff];
    for size in 0..=u8::MAX {
        for word in edges.into_iter().flat_map(|word| [word, word | 0x80_0000]) {
            let compact = (u32::from(size) << 24) | word;
            let plain = Number::of_bits(compact).map(Number::low_32_bytes);
            let ours = decode_compact(bits(compact)).ok().map(|target| target.to_be_bytes());
            assert_eq!(ours, plain, "{compact:08x}");
        }
    }
}

#[test]
fn bits_without_a_target_are_invalid() {
    let chain = regtest();
    let genesis = chain.start().header;
    for (compact, reason) in [
        (0x2080_0001, BitsError::Negative),
        (0x2000_0000, BitsError::Zero),
        (0x2300_0001, BitsError::Overflow),
    ] {
        let mut body = child(&genesis, 1);
        body.bits = bits(compact);
        let header = body.with_parent(genesis.hash());
        let expected = Violation::InvalidBits { bits: bits(compact), reason };
        assert_eq!(violation(&chain, header), expected);
    }
}

#[test]
fn a_target_above_the_limit_is_invalid() {
    let chain = regtest();
    let genesis = chain.start().header;
    let mut body = child(&genesis, 1);
    body.bits = bits(0x2100_ffff);
    let header = body.with_parent(genesis.hash());
    let expected = Violation::AboveLimit { bits: body.bits, limit: bits(EASIEST) };
    assert_eq!(violation(&chain, header), expected);
}

#[test]
fn a_hash_above_the_target_is_no_work() {
    let chain = regtest();
    let header = without_work(&chain.start().header);
    let expected = Violation::HashAboveTarget { bits: bits(EASIEST) };
    assert_eq!(violation(&chain, header), expected);
}

#[test]
fn a_gap_inside_a_batch_is_named_with_both_hashes() {
    let chain = regtest();
    let mut headers = branch(&chain.start().header, 4, 1);
    headers.remove(2);
    let error = refuse(&chain, &headers);
    let expected =
        Violation::NotConsecutive { expected: headers[1].hash(), got: headers[2].prev_hash() };
    assert_eq!((error.index, error.height), (2, Some(BlockHeight(3))));
    assert_eq!(error.violation, expected);
    assert_eq!(error.prefix.map(|prefix| prefix.end().hash), Some(headers[1].hash()));
}

#[test]
fn a_header_on_an_unknown_parent_is_nobodys_fault() {
    let chain = regtest();
    let headers = branch(&chain.start().header, 2, 1);
    let error = refuse(&chain, &headers[1..]);
    assert_eq!(error.violation, Violation::UnknownParent { parent: headers[0].hash() });
    assert_eq!((error.index, error.height, error.blame()), (0, None, Blame::Local));
}

#[test]
fn an_invalid_header_and_its_descendants_are_refused_once_it_is_remembered() {
    let mut chain = regtest();
    let mut body = child(&chain.start().header, 1);
    body.version = 1;
    let invalid = mined(body, &chain.start().header);
    let descendants = branch(&invalid, 2, 2);
    chain.remember_invalid(&refuse(&chain, &[invalid]));

    let expected = Violation::KnownInvalid { invalid: invalid.hash() };
    assert_eq!(violation(&chain, invalid), expected);
    let error = refuse(&chain, &descendants);
    assert_eq!(error.violation, expected);
    assert_eq!(error.hash, descendants[0].hash());

    chain.remember_invalid(&error);
    let expected = Violation::KnownInvalid { invalid: descendants[0].hash() };
    assert_eq!(violation(&chain, descendants[1]), expected);
}

#[test]
fn headers_without_work_do_not_push_invalid_ones_out_of_memory() {
    let mut chain = regtest();
    let mut body = child(&chain.start().header, 1);
    body.version = 1;
    let invalid = mined(body, &chain.start().header);
    chain.remember_invalid(&refuse(&chain, &[invalid]));

    for seed in 0..2_000 {
        let mut body = child(&chain.start().header, seed);
        body.bits = bits(0x2100_ffff);
        let workless = body.with_parent(chain.tip().hash);
        chain.remember_invalid(&refuse(&chain, &[workless]));
    }

    assert_eq!(violation(&chain, invalid), Violation::KnownInvalid { invalid: invalid.hash() });
}

#[test]
fn the_oldest_invalid_header_is_forgotten_first() {
    let mut chain = regtest();
    let outdated = |seed| {
        let genesis = Params::new(Network::Regtest).genesis;
        let mut body = child(&genesis, seed);
        body.version = 1;
        mined(body, &genesis)
    };
    for seed in 0..=1_024 {
        chain.remember_invalid(&refuse(&chain, &[outdated(seed)]));
    }
    assert_eq!(violation(&chain, outdated(0)), Violation::OutdatedVersion { minimum: 4, got: 1 });
    let second = outdated(1);
    assert_eq!(violation(&chain, second), Violation::KnownInvalid { invalid: second.hash() });
}

#[test]
fn a_header_from_the_future_is_not_remembered_as_invalid() {
    let mut chain = regtest();
    let headers = branch(&chain.start().header, 1, 1);
    let now = UnixTime(headers[0].time().0 - MAX_FUTURE - 1);
    let error = chain.verify(&headers, now).expect_err("one second too new");
    chain.remember_invalid(&error);
    accept(&mut chain, &headers);
    assert_eq!(chain.tip().hash, headers[0].hash());
}

#[test]
fn a_start_at_height_0_is_genesis() {
    let params = easy(Network::Regtest);
    let genesis = params.genesis.hash();
    let other = mined(child(&params.genesis, 1), &params.genesis);
    let start = TrustedStart::bare(BlockHeight::GENESIS, other, work("2"));
    let error = HeaderChain::from_start(params, start).expect_err("not genesis");
    assert_eq!(error.violation, Violation::WrongStart { expected: genesis });
    assert_eq!((error.height, error.hash), (Some(BlockHeight(0)), other.hash()));
}

#[test]
fn a_start_with_less_work_than_its_own_or_too_much_to_add_to_is_refused() {
    let params = easy(Network::Regtest);
    let own = work("2");
    let start = |total| TrustedStart::bare(BlockHeight(7), params.genesis, total);
    for got in [work("0"), work("1"), work(&"f".repeat(64)), work(&format!("8{:063}", 0))] {
        let error = HeaderChain::from_start(params.clone(), start(got)).expect_err("impossible");
        assert_eq!(error.violation, Violation::ImpossibleWork { own, got });
    }
    for possible in [own, work("624c5a3c876e3e6fffd9c800"), work(&format!("7{}", "f".repeat(63)))] {
        let chain = HeaderChain::from_start(params.clone(), start(possible)).expect("possible");
        assert_eq!(chain.tip().work, possible);
    }
}

#[test]
fn a_start_without_work_is_refused() {
    let params = easy(Network::Regtest);
    let header = without_work(&params.genesis);
    let start = TrustedStart::bare(BlockHeight(7), header, work("10"));
    let error = HeaderChain::from_start(params, start).expect_err("no work");
    assert_eq!(error.violation, Violation::HashAboveTarget { bits: bits(EASIEST) });
}

#[test]
fn a_harder_target_than_required_is_as_wrong_as_an_easier_one() {
    let mut params = easy(Network::Mainnet);
    params.genesis = branch_with_bits(&params.genesis, 0x203f_ffff);
    let chain = HeaderChain::new(params);
    let genesis = chain.start().header;
    for got in [bits(0x203f_fffe), bits(0x2040_0000), bits(EASIEST), bits(0x201f_ffff)] {
        let mut body = child(&genesis, 1);
        body.bits = got;
        let expected = Violation::WrongTarget { expected: bits(0x203f_ffff), got };
        assert_eq!(violation(&chain, mined(body, &genesis)), expected);
    }
}

fn branch_with_bits(parent: &Header, compact: u32) -> Header {
    let mut body = child(parent, 1);
    body.bits = bits(compact);
    mined(body, parent)
}

/// A chain of mainnet's rules that knows nothing before the last header of a period.
fn before_an_unknown_period(compact: u32) -> HeaderChain {
    let params = easy(Network::Mainnet);
    let last = branch_with_bits(&params.genesis, compact);
    let start = TrustedStart::bare(BlockHeight(4_031), last, work("ffff"));
    HeaderChain::from_start(params, start).expect("it has work")
}

#[test]
fn without_the_period_a_boundary_permits_a_factor_of_four_either_way_and_no_more() {
    let chain = before_an_unknown_period(0x200f_ffff);
    let start = chain.start().header;
    let on_start = |compact: u32| {
        let mut body = child(&start, 1);
        body.bits = bits(compact);
        mined(body, &start)
    };
    // A quarter rounds down to 2003ffff, four times is 203ffffc.
    for permitted in [0x2003_ffff, 0x200f_ffff, 0x2010_0000, 0x203f_fffc] {
        assert!(chain.verify(&[on_start(permitted)], LATER).is_ok(), "{permitted:08x}");
    }
    for forbidden in [0x2003_fffe, 0x203f_fffd, 0x207f_ffff] {
        let from = bits(0x200f_ffff);
        let expected = Violation::ForbiddenTransition { from, got: bits(forbidden) };
        assert_eq!(violation(&chain, on_start(forbidden)), expected);
    }
}

#[test]
fn permitted_transitions_are_equal_bits_inside_a_period_and_anything_on_testnets() {
    let mainnet = Params::new(Network::Mainnet);
    let (old, new) = (bits(0x1703_ddd0), bits(0x1703_ddd1));
    assert!(difficulty::is_permitted(&mainnet, BlockHeight(2_017), old, old));
    assert!(!difficulty::is_permitted(&mainnet, BlockHeight(2_017), old, new));
    assert!(difficulty::is_permitted(&mainnet, BlockHeight(2_016), old, new));
    // No easier than the limit, which is exactly permitted.
    let limit = mainnet.pow_limit;
    assert!(difficulty::is_permitted(&mainnet, BlockHeight(2_016), bits(0x1c7f_ffff), limit));
    assert!(!difficulty::is_permitted(&mainnet, BlockHeight(2_016), limit, bits(0x1d01_0000)));
    for invalid in [0, 0x2080_0001, 0x2300_0001] {
        assert!(!difficulty::is_permitted(&mainnet, BlockHeight(2_016), old, bits(invalid)));
        assert!(!difficulty::is_permitted(&mainnet, BlockHeight(2_016), bits(invalid), new));
    }
    for network in [Network::Testnet3, Network::Testnet4, Network::Regtest] {
        let params = Params::new(network);
        assert!(difficulty::is_permitted(&params, BlockHeight(2_017), old, limit), "{network}");
    }
}

#[test]
fn a_checkpoint_demands_its_hash() {
    let mut params = easy(Network::Regtest);
    let wanted = branch(&params.genesis, 3, 1);
    let expected = wanted[1].hash();
    params.checkpoints.insert(BlockHeight(2), expected);

    let chain = HeaderChain::new(params.clone());
    let error = refuse(&chain, &branch(&params.genesis, 3, 2));
    assert_eq!(error.violation, Violation::CheckpointMismatch { expected });
    assert_eq!((error.index, error.height), (1, Some(BlockHeight(2))));
    assert!(chain.verify(&wanted, LATER).is_ok());
}

#[test]
fn a_start_at_a_checkpoint_has_its_hash() {
    let mut params = easy(Network::Regtest);
    let expected = BlockHash::all_zeros();
    params.checkpoints.insert(BlockHeight(7), expected);
    let start = TrustedStart::bare(BlockHeight(7), params.genesis, work("10"));
    let error = HeaderChain::from_start(params, start).expect_err("another hash");
    assert_eq!(error.violation, Violation::CheckpointMismatch { expected });
}

#[test]
fn no_fork_starts_below_a_checkpoint_that_was_passed() {
    let mut params = easy(Network::Regtest);
    let best = branch(&params.genesis, 6, 1);
    params.checkpoints.insert(BlockHeight(3), best[2].hash());
    let mut chain = HeaderChain::new(params);

    // Before the checkpoint is passed a fork may start anywhere.
    accept(&mut chain, &best[..2]);
    accept(&mut chain, &branch(&best[0], 1, 2));
    accept(&mut chain, &best[2..]);

    for (fork, parent) in [(0, chain.start().header), (1, best[0]), (2, best[1])] {
        let expected =
            Violation::ForkBelowCheckpoint { checkpoint: BlockHeight(3), fork: BlockHeight(fork) };
        assert_eq!(violation(&chain, branch(&parent, 1, 3)[0]), expected);
    }
    // Nor does a fork that is there already grow.
    let old = branch(&best[0], 1, 2)[0];
    let expected =
        Violation::ForkBelowCheckpoint { checkpoint: BlockHeight(3), fork: BlockHeight(1) };
    assert_eq!(violation(&chain, branch(&old, 1, 4)[0]), expected);
    for parent in [best[2], best[3], best[5]] {
        assert!(chain.verify(&branch(&parent, 1, 5), LATER).is_ok());
    }
}

#[test]
fn a_header_that_breaks_several_rules_is_refused_by_the_first_in_cores_order() {
    let chain = regtest_of(12);
    let tip = chain.get(chain.tip().height).expect("the tip").header;
    let mut body = child(&tip, 1);
    body.version = 1;
    assert_eq!(violation(&chain, mined(body, &tip)).rule(), "version");
    body.time = UnixTime(LATER.0 + 7_201);
    assert_eq!(violation(&chain, mined(body, &tip)).rule(), "time-too-new");
    body.time = UnixTime(0);
    assert_eq!(violation(&chain, mined(body, &tip)).rule(), "median-time-past");
    body.bits = bits(0x203f_ffff);
    assert_eq!(violation(&chain, mined(body, &tip)).rule(), "difficulty");
    let elsewhere = body.with_parent(BlockHash::all_zeros());
    assert_eq!(violation(&chain, grind(elsewhere)).rule(), "unknown-parent");
    body.bits = CompactTarget::from_consensus(0x2300_0001);
    assert_eq!(violation(&chain, body.with_parent(BlockHash::all_zeros())).rule(), "invalid-bits");
}

/// The same header with another nonce, such that it has work.
fn grind(header: Header) -> Header {
    let body = ironlight_spv::compress::HeaderBody::from(&header);
    ironlight_spv::generate::Miner::new(0).grind(body, header.prev_hash())
}

#[test]
fn an_error_reads_as_a_sentence_with_height_rule_and_evidence() {
    let chain = regtest();
    let mut body = child(&chain.start().header, 1);
    body.version = -1;
    let header = mined(body, &chain.start().header);
    let text = refuse(&chain, &[header]).to_string();
    let expected = format!(
        "header at height 1 ({}) breaks rule version: \
         version -1 is below 4, the lowest at this height",
        header.hash()
    );
    assert_eq!(text, expected);
}

#[test]
fn a_chain_says_what_its_verdicts_rest_on() {
    assert_eq!(regtest().basis(), Basis::Genesis);
    let chain = chain_of(easy(Network::Mainnet), &branch(&easy(Network::Mainnet).genesis, 20, 1));
    let entry = chain.get(BlockHeight(15)).expect("held");
    let start = TrustedStart::bare(BlockHeight(15), entry.header, entry.work);
    let chain = HeaderChain::from_start(easy(Network::Mainnet), start).expect("it has work");
    let Basis::TrustedStart { height, hash, unapplied } = chain.basis() else {
        panic!("it started from a trusted header");
    };
    assert_eq!((height, hash), (BlockHeight(15), entry.hash));
    let expected = Unapplied {
        median_time_until: Some(BlockHeight(25)),
        difficulty_until: Some(BlockHeight(2_016)),
        minimum_work: false,
    };
    assert_eq!(unapplied, expected);
    let text = chain.basis().to_string();
    assert!(text.contains("median-time rule not applied to heights 16 to 25"), "{text}");
    assert!(text.contains("exact target not checked up to height 2016"), "{text}");
}
