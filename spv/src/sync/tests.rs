//! The machine by itself, one call at a time.

use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use bitcoin::{CompactTarget, Work};

use crate::chain::{BlockLocator, HeaderChain, TrustedStart, Violation};
use crate::generate::Miner;
use crate::header::{BlockHeight, Header};
use crate::params::{Network, Params};
use crate::time::{Now, UnixTime};

const ONE: PeerId = PeerId(1);
const TWO: PeerId = PeerId(2);

fn at(seconds: u64) -> Now {
    Now { unix: UnixTime(1_790_000_000), elapsed: Duration::from_secs(seconds) }
}

struct Setup {
    sync: HeaderSync,
    chain: HeaderChain,
    miner: Miner,
}

impl Setup {
    fn new() -> Self {
        Self::with(SyncConfig::default())
    }

    fn with(config: SyncConfig) -> Self {
        let chain = HeaderChain::new(Params::new(Network::Regtest));
        Self { sync: HeaderSync::new(config, 7), chain, miner: Miner::new(7) }
    }

    fn connect(&mut self, peer: PeerId, seconds: u64) {
        self.sync.handle_connected(&self.chain, peer, at(seconds));
    }

    fn headers(&mut self, peer: PeerId, headers: &[Header], seconds: u64) {
        self.sync.handle_headers(&self.chain, peer, headers.to_vec(), at(seconds));
    }

    fn on_tip(&mut self, count: usize) -> Vec<Header> {
        let tip = self.chain.get(self.chain.tip().height).unwrap();
        self.miner.run(&tip.header, count, 600)
    }

    /// Does what a driver does, and gives the questions and the faults.
    fn settle(&mut self, seconds: u64) -> (Vec<(PeerId, BlockLocator)>, Vec<SyncOffence>) {
        let (mut questions, mut faults) = (Vec::new(), Vec::new());
        while let Some(action) = self.sync.poll() {
            match action {
                SyncAction::GetHeaders { peer, locator, .. } => questions.push((peer, locator)),
                SyncAction::Apply { peer, batch } => {
                    let outcome = self.chain.verify_linked(batch, at(seconds).unix);
                    let outcome = outcome.map(|verified| self.chain.apply(verified).unwrap());
                    self.sync.handle_applied(&self.chain, peer, outcome.as_ref(), at(seconds));
                }
                SyncAction::Misbehaved { offence, .. } => faults.push(offence),
                SyncAction::Pin(_) | SyncAction::Unpin(_) | SyncAction::Event(_) => {}
            }
        }
        (questions, faults)
    }

    fn asked(&mut self, seconds: u64) -> Vec<PeerId> {
        self.settle(seconds).0.into_iter().map(|(peer, _)| peer).collect()
    }
}

#[test]
fn one_of_two_peers_is_asked_first_and_the_other_after_its_short_answer() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.connect(TWO, 0);
    assert_eq!(setup.asked(0), [ONE]);
    let headers = setup.on_tip(10);
    setup.headers(ONE, &headers, 1);
    assert_eq!(setup.asked(1), [TWO]);
    assert!(!setup.sync.status().is_synced());
    setup.headers(TWO, &[], 2);
    setup.settle(2);
    assert!(setup.sync.status().is_synced());
}

#[test]
fn a_single_peer_is_enough_to_be_synced() {
    let mut setup = Setup::new();
    assert_eq!(setup.sync.status().state, SyncState::NoPeers);
    setup.connect(ONE, 0);
    assert_eq!(setup.sync.status().state, SyncState::Syncing);
    setup.headers(ONE, &[], 1);
    assert!(setup.sync.status().is_synced());
}

#[test]
fn a_request_that_is_overdue_moves_to_another_peer_and_the_first_is_asked_later() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    // The second opinion would be due at the same time as the deadline.
    setup.connect(TWO, 5);
    assert_eq!(setup.sync.poll_timeout(), Some(Duration::from_secs(20)));
    setup.sync.handle_timeout(&setup.chain, at(20));
    assert_eq!(setup.asked(20), [TWO]);
    let status = setup.sync.status();
    assert!(status.peers[0].slow && status.peers[0].phase == PeerPhase::Backoff);
    setup.headers(TWO, &[], 21);
    setup.sync.handle_timeout(&setup.chain, at(50));
    assert_eq!(setup.asked(50), [ONE]);
}

/// The questions that wait, each with whether it is a retry.
fn retries(setup: &mut Setup) -> Vec<(PeerId, bool)> {
    let questions = core::iter::from_fn(|| setup.sync.poll()).filter_map(|action| match action {
        SyncAction::GetHeaders { peer, retry, .. } => Some((peer, retry)),
        SyncAction::Apply { .. }
        | SyncAction::Misbehaved { .. }
        | SyncAction::Pin(_)
        | SyncAction::Unpin(_)
        | SyncAction::Event(_) => None,
    });
    questions.collect()
}

#[test]
fn a_question_without_an_answer_is_asked_of_another_peer_at_once_and_that_is_a_retry() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    assert_eq!(retries(&mut setup), [(ONE, false)]);
    setup.connect(TWO, 0);
    setup.sync.handle_unanswered(&setup.chain, ONE, Unanswered::NoAnswer, at(1));
    assert_eq!(retries(&mut setup), [(TWO, true)]);
    assert!(setup.sync.status().peers[0].slow);
    // Told twice, it counts once; and the first one's next turn is no retry.
    setup.sync.handle_unanswered(&setup.chain, ONE, Unanswered::NoAnswer, at(1));
    setup.headers(TWO, &[], 2);
    setup.sync.handle_timeout(&setup.chain, at(31));
    assert_eq!(retries(&mut setup), [(ONE, false)]);
}

#[test]
fn what_stands_in_for_a_retry_that_was_refused_is_one_too() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    setup.connect(TWO, 0);
    setup.connect(PeerId(3), 0);
    setup.sync.handle_unanswered(&setup.chain, ONE, Unanswered::NoAnswer, at(1));
    let [(first, true)] = retries(&mut setup)[..] else { panic!("one retry") };
    let refused = Unanswered::Refused { retry_after: Duration::from_secs(1) };
    setup.sync.handle_unanswered(&setup.chain, first, refused, at(1));
    let [(second, true)] = retries(&mut setup)[..] else { panic!("one retry") };
    assert_ne!(first, second);
    setup.sync.handle_unanswered(&setup.chain, second, refused, at(1));
    assert_eq!(retries(&mut setup), []);
    // Later it is a new question.
    setup.sync.handle_timeout(&setup.chain, at(2));
    assert!(matches!(retries(&mut setup)[..], [(_, false), ..]));
}

#[test]
fn a_peer_that_the_driver_will_not_ask_is_put_off_for_as_long_as_it_says_without_blame() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    setup.connect(TWO, 0);
    let refused = Unanswered::Refused { retry_after: Duration::from_secs(7) };
    setup.sync.handle_unanswered(&setup.chain, ONE, refused, at(1));
    assert_eq!(retries(&mut setup), [(TWO, false)]);
    let status = setup.sync.status();
    assert!(!status.peers[0].slow && status.peers[0].phase == PeerPhase::Backoff);
    setup.headers(TWO, &[], 2);
    assert!(setup.sync.status().is_synced(), "nobody waits for the one that cannot be asked");
    assert_eq!(setup.sync.poll_timeout(), Some(Duration::from_secs(8)));
    setup.sync.handle_timeout(&setup.chain, at(8));
    assert_eq!(setup.asked(8), [ONE]);
    // However long the driver says, it is asked again; and not at once, however short.
    let refused = Unanswered::Refused { retry_after: Duration::MAX };
    setup.sync.handle_unanswered(&setup.chain, ONE, refused, at(9));
    assert_eq!(setup.sync.poll_timeout(), Some(Duration::from_secs(9 + 600)));
}

#[test]
fn at_most_one_question_is_in_flight_a_peer() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    assert_eq!(setup.asked(0).len(), 1);
    let unknown = setup.on_tip(3);
    for seconds in 1..10 {
        setup.headers(ONE, &unknown[2..], seconds);
        setup.sync.handle_block_inv(&setup.chain, ONE, &[unknown[1].hash()], at(seconds));
    }
    assert!(setup.asked(10).is_empty());
    // What was announced meanwhile is asked for once the answer is here, unless it brought it.
    setup.headers(ONE, &unknown[..1], 11);
    assert_eq!(setup.asked(11), [ONE]);
    setup.headers(ONE, &unknown[1..], 12);
    assert!(setup.asked(12).is_empty());
}

#[test]
fn more_headers_than_a_message_may_have_are_an_offence() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    let headers = setup.on_tip(MAX_HEADERS + 1);
    setup.headers(ONE, &headers, 1);
    let count = MAX_HEADERS + 1;
    assert_eq!(setup.settle(1).1, [SyncOffence::TooManyHeaders { count }]);
    setup.headers(ONE, &headers[..5], 2);
    assert!(setup.sync.poll().is_none(), "it is not listened to any more");
}

#[test]
fn a_header_without_proof_of_work_is_an_offence_wherever_it_connects() {
    for connects in [true, false] {
        let mut setup = Setup::new();
        setup.connect(ONE, 0);
        setup.asked(0);
        let mut bytes = *setup.on_tip(1)[0].as_bytes();
        // Far harder than regtest asks for: no hash meets it.
        bytes[72..76].copy_from_slice(&0x1800_ffff_u32.to_le_bytes());
        bytes[4] ^= u8::from(!connects);
        setup.headers(ONE, &[Header::from_bytes(bytes)], 1);
        match setup.settle(1).1.as_slice() {
            [SyncOffence::InvalidHeader { violation, .. }] => {
                assert!(matches!(violation, Violation::HashAboveTarget { .. }));
            }
            faults => panic!("{faults:?}"),
        }
    }
}

#[test]
fn questions_after_unconnecting_headers_are_bounded_until_some_connect() {
    let mut setup = Setup::with(SyncConfig { max_unconnecting: 3, ..SyncConfig::default() });
    setup.connect(ONE, 0);
    setup.headers(ONE, &[], 1);
    setup.settle(1);
    let unknown = setup.on_tip(3);
    let mut questions = 0;
    for seconds in 2..20 {
        setup.headers(ONE, &unknown[2..], seconds);
        questions += setup.asked(seconds).len();
        setup.headers(ONE, &[], seconds);
    }
    assert_eq!(questions, 3);
    assert!(setup.sync.status().peers[0].phase != PeerPhase::Refused);
    setup.headers(ONE, &unknown[..1], 21);
    setup.settle(21);
    setup.headers(ONE, &unknown[2..], 22);
    assert_eq!(setup.asked(22), [ONE]);
}

#[test]
fn a_locator_starts_with_the_newest_header() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    let headers = setup.on_tip(MAX_HEADERS);
    setup.headers(ONE, &headers, 1);
    let (questions, faults) = setup.settle(1);
    assert!(faults.is_empty());
    assert_eq!(questions.len(), 1, "the primary is asked for more while its batch is applied");
    assert_eq!(questions[0].1[0], headers[MAX_HEADERS - 1].hash());
    assert_eq!(questions[0].1.last(), Some(&setup.chain.params().genesis.hash()));
}

#[test]
fn whoever_comes_is_asked_from_before_the_tip_so_that_it_shows_that_it_has_it() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    let headers = setup.on_tip(20);
    setup.headers(ONE, &headers, 1);
    setup.settle(1);
    setup.connect(TWO, 2);
    let (questions, _) = setup.settle(2);
    let (asked, locator) = questions.last().unwrap();
    assert_eq!((*asked, locator[0]), (TWO, headers[18].hash()));
    setup.headers(TWO, &headers[19..], 3);
    assert_eq!(setup.asked(3), [], "its tip is ours: there is no more to ask");
    assert_eq!(setup.sync.status().peers[1].phase, PeerPhase::Done);
}

#[test]
fn a_peer_that_repeats_itself_is_not_asked_for_ever() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    let headers = setup.on_tip(MAX_HEADERS);
    let mut questions = 0;
    for seconds in 1..20 {
        setup.headers(ONE, &headers, seconds);
        questions += setup.asked(seconds).len();
    }
    assert!(questions <= 2, "{questions}");
}

#[test]
fn the_threshold_is_144_blocks_below_the_tip_and_at_least_the_minimum() {
    let mut setup = Setup::new();
    let unit = crate::chain::work_of(setup.chain.params().pow_limit);
    assert_eq!(threshold(&setup.chain), crate::params::no_work());
    let headers = setup.on_tip(200);
    setup.connect(ONE, 0);
    setup.headers(ONE, &headers, 0);
    setup.settle(0);
    // Genesis and 200 blocks, less 144.
    let expected = (0..57).fold(crate::params::no_work(), |sum, _| sum + unit);
    assert_eq!(threshold(&setup.chain), expected);
}

#[test]
fn events_that_nobody_polls_do_not_pile_up() {
    let mut setup = Setup::with(SyncConfig { max_peers: 2, ..SyncConfig::default() });
    for round in 0..20_000 {
        setup.sync.handle_disconnected(&setup.chain, ONE, at(round));
        setup.connect(ONE, round);
        setup.headers(ONE, &[], round);
        // The questions, one a connection, are the driver's to take.
        while let Some(SyncAction::GetHeaders { .. }) = setup.sync.poll() {}
    }
    let mut queued = 0;
    while setup.sync.poll().is_some() {
        queued += 1;
    }
    assert!(queued <= MAX_QUEUED_EVENTS + 1, "{queued}");
}

#[test]
fn the_late_answer_to_a_question_that_was_given_up_is_no_reason_to_put_a_peer_off() {
    let mut setup = Setup::new();
    setup.connect(ONE, 0);
    setup.asked(0);
    setup.sync.handle_timeout(&setup.chain, at(20));
    setup.sync.handle_timeout(&setup.chain, at(50));
    assert_eq!(setup.asked(50), [ONE]);
    let unknown = setup.on_tip(20);
    setup.headers(ONE, &unknown[2..], 51);
    assert_eq!(setup.sync.status().peers[0].phase, PeerPhase::Working);
    // Once more it is the answer to the question in flight.
    setup.headers(ONE, &unknown[2..], 52);
    assert_eq!(setup.sync.status().peers[0].phase, PeerPhase::Backoff);
    assert!(setup.settle(52).1.is_empty());
}

/// A message whose bits change where they cannot, on a chain that starts at a height.
fn faults_of_a_forbidden_change(height: u32) -> (Vec<SyncOffence>, PeerPhase) {
    let mut params = Params::new(Network::Regtest);
    params.no_retargeting = false;
    params.minimum_difficulty_blocks = false;
    params.minimum_chain_work = Work::from_be_bytes([1; 32]);
    let genesis = params.genesis;
    let mut setup = Setup::new();
    let mut headers = setup.miner.run(&genesis, 1_999, 600);
    let (parent, harder) = (headers[1_998], CompactTarget::from_consensus(0x2000_ffff));
    headers.push(setup.miner.mine(parent.hash(), parent.time(), harder));
    let mut bytes = [0; 32];
    bytes[30] = 1;
    let start = TrustedStart::bare(BlockHeight(height), genesis, Work::from_be_bytes(bytes));
    setup.chain = match height {
        0 => HeaderChain::new(params),
        _ => HeaderChain::from_start(params, start).unwrap(),
    };
    setup.connect(ONE, 0);
    setup.headers(ONE, &headers, 1);
    (setup.settle(1).1, setup.sync.status().peers[0].phase)
}

#[test]
fn a_forbidden_change_of_difficulty_is_an_offence_unless_the_start_is_the_users_word() {
    let (faults, phase) = faults_of_a_forbidden_change(0);
    assert!(matches!(faults.as_slice(), [SyncOffence::InvalidHeader { .. }]), "{faults:?}");
    assert_eq!(phase, PeerPhase::Refused);
    let (faults, phase) = faults_of_a_forbidden_change(10);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(phase, PeerPhase::Backoff);
}

#[test]
fn a_peer_whose_branch_is_gone_waits_for_a_place_as_others_do() {
    let mut setup = Setup::with(SyncConfig { max_parallel: 1, ..SyncConfig::default() });
    setup.connect(ONE, 0);
    setup.connect(TWO, 0);
    assert_eq!(setup.asked(0), [ONE]);
    let unknown = setup.on_tip(2);
    setup.headers(TWO, &unknown[..1], 1);
    while !matches!(setup.sync.poll(), Some(SyncAction::Apply { peer: TWO, .. })) {}
    let error = setup.chain.verify(&unknown[1..], at(1).unix).unwrap_err();
    assert!(matches!(error.violation, Violation::UnknownParent { .. }));
    setup.sync.handle_applied(&setup.chain, TWO, Err(&error), at(1));
    assert!(setup.asked(1).is_empty());
    assert_eq!(setup.sync.status().peers[1].phase, PeerPhase::Waiting);
}
