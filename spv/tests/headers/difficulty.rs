//! The difficulty rules on whole periods of 2,016 blocks, against the plain implementation, with
//! proof that every branch of the rules was taken.

use std::collections::BTreeMap;

use bitcoin::hashes::Hash as _;
use ironlight_spv::{Header, HeaderChain, Network, Params, UnixTime, Violation};

use crate::model::plain_rules;
use crate::plain::{Branch, Plain, Span};
use crate::support::{EASIEST, LATER, accept, bits, child, easy, mined, violation};

const PERIOD: u32 = 2_016;

/// The chain, its plain twin, and how often each branch of the rules was taken.
struct Twins {
    chain: HeaderChain,
    plain: Plain,
    tip: Header,
    taken: BTreeMap<Branch, u32>,
    seed: u64,
    /// Headers that the chain has not been given yet.
    waiting: Vec<Header>,
}

impl Twins {
    fn new(network: Network) -> Self {
        let params = easy(network);
        Self {
            plain: Plain::new(plain_rules(&params), *params.genesis.as_bytes()),
            tip: params.genesis,
            chain: HeaderChain::new(params),
            taken: BTreeMap::new(),
            seed: 0,
            waiting: Vec::new(),
        }
    }

    fn height(&self) -> u32 {
        self.plain.entry(self.tip.hash().as_byte_array()).expect("the tip is known").height
    }

    /// A header on a parent at a time, with these bits.
    fn header(&mut self, parent: &Header, time: UnixTime, compact: u32) -> Header {
        self.seed += 1;
        let mut body = child(parent, self.seed);
        body.time = time;
        body.bits = bits(compact);
        mined(body, parent)
    }

    /// Adds a header `step` seconds after the tip, with the bits that the plain rules demand.
    fn add(&mut self, step: i32) -> Branch {
        let time = UnixTime(self.tip.time().0.checked_add_signed(step).expect("a time"));
        let (compact, branch) = self.plain.required(self.tip.hash().as_byte_array(), time.0);
        *self.taken.entry(branch).or_default() += 1;
        let header = self.header(&self.tip.clone(), time, compact);
        self.plain.insert(header.as_bytes());
        self.waiting.push(header);
        self.tip = header;
        branch
    }

    /// Gives the chain what it lacks; it must agree.
    #[track_caller]
    fn flush(&mut self) {
        accept(&mut self.chain, &self.waiting);
        self.waiting.clear();
        assert_eq!(self.chain.tip().hash, self.tip.hash());
        assert_eq!(self.chain.tip().hash.to_byte_array(), self.plain.tip);
    }

    /// Adds headers until the next one would start a period.
    fn fill_period(&mut self, step: i32) {
        while !(self.height() + 1).is_multiple_of(PERIOD) {
            self.add(step);
        }
    }

    /// Asserts that a child of the tip at a time must have exactly the bits that the plain rules
    /// demand: these are accepted, others are refused with the right evidence.
    #[track_caller]
    fn only_required_bits_pass(&mut self, step: i32) {
        self.flush();
        let tip = self.tip;
        let time = UnixTime(tip.time().0.checked_add_signed(step).expect("a time"));
        let (required, _) = self.plain.required(tip.hash().as_byte_array(), time.0);
        assert_eq!(self.chain.required_after_tip(time), bits(required));
        let right = self.header(&tip, time, required);
        assert!(self.chain.verify(&[right], LATER).is_ok());
        for wrong in [required - 1, required + 1, tip.compact_target().to_consensus(), EASIEST] {
            if wrong == required || wrong > EASIEST {
                continue;
            }
            let header = self.header(&tip, time, wrong);
            let expected = Violation::WrongTarget { expected: bits(required), got: bits(wrong) };
            assert_eq!(violation(&self.chain, header), expected);
        }
    }

    /// The first header of the next period, and what decided its bits.
    #[track_caller]
    fn cross_boundary(&mut self, step: i32) -> Branch {
        assert!((self.height() + 1).is_multiple_of(PERIOD), "the next header starts a period");
        self.only_required_bits_pass(step);
        let branch = self.add(step);
        self.flush();
        branch
    }
}

const fn retarget(span: Span, capped: bool) -> Branch {
    Branch::Retarget { span, capped }
}

fn tip_bits(twins: &Twins) -> u32 {
    twins.tip.compact_target().to_consensus()
}

#[test]
fn mainnets_retargets_take_every_branch_as_the_plain_implementation_does() {
    let mut twins = Twins::new(Network::Mainnet);
    for (step, jump, expected) in [
        (1, 0, retarget(Span::RaisedToQuarter, false)),
        (1, 0, retarget(Span::RaisedToQuarter, false)),
        (500, 0, retarget(Span::Shorter, false)),
        (700, 0, retarget(Span::Longer, false)),
        (600, 9_000_000, retarget(Span::LoweredToFourfold, false)),
        (600, 9_000_000, retarget(Span::LoweredToFourfold, false)),
        (600, 9_000_000, retarget(Span::LoweredToFourfold, true)),
        (700, 0, retarget(Span::Longer, true)),
    ] {
        twins.add(600);
        twins.only_required_bits_pass(601);
        twins.only_required_bits_pass(10_000);
        while !(twins.height() + 2).is_multiple_of(PERIOD) {
            twins.add(step);
        }
        twins.add(step + jump);
        assert_eq!(twins.cross_boundary(600), expected, "step {step}, jump {jump}");
    }
    // A period that ends before it began: a span below zero counts as a short one.
    twins.fill_period(600);
    twins.cross_boundary(7_000);
    let first = twins.tip.time();
    twins.add(-6_999);
    twins.fill_period(1);
    assert!(twins.tip.time() < first);
    assert_eq!(twins.cross_boundary(600), retarget(Span::RaisedToQuarter, false));

    let all = twins.taken.keys().filter(|branch| **branch != Branch::SameAsParent).count();
    assert_eq!(all, 6, "{:?}", twins.taken);
    assert!(twins.taken[&Branch::SameAsParent] > 16_000);
}

#[test]
fn regtest_never_retargets_but_names_its_limit_at_every_time() {
    let mut params = Params::new(Network::Regtest);
    params.genesis = easy(Network::Regtest).genesis;
    let mut twins = Twins::new(Network::Regtest);
    twins.chain = HeaderChain::new(params);
    for _ in 0..300 {
        let step = if twins.height().is_multiple_of(5) { 1_201 } else { 1 };
        twins.only_required_bits_pass(step);
        twins.add(step);
        assert_eq!(tip_bits(&twins), EASIEST);
    }
    assert!(twins.taken[&Branch::NoRetargeting] >= 2);
}

/// What both testnets share: the first periods, up to a boundary whose old target is an ordinary
/// one, with every way to find the bits inside a period.
fn through_minimum_difficulty(twins: &mut Twins) {
    // A quick period brings the target below the limit.
    twins.fill_period(1);
    assert_eq!(twins.cross_boundary(600), retarget(Span::RaisedToQuarter, false));
    let ordinary = tip_bits(twins);
    assert_eq!(ordinary, 0x201f_ffff);

    // Minimum-difficulty blocks right after the period's first: the walk back ends there.
    for _ in 0..3 {
        twins.only_required_bits_pass(1_201);
        assert_eq!(twins.add(1_201), Branch::MinimumDifficulty);
        assert_eq!(tip_bits(twins), EASIEST);
    }
    twins.only_required_bits_pass(1_200);
    assert_eq!(twins.add(1_200), Branch::WalkedToStart);
    assert_eq!(tip_bits(twins), ordinary);

    // Exactly twenty minutes are not enough, one second more leaves no choice.
    twins.only_required_bits_pass(1_200);
    assert_eq!(twins.add(1_200), Branch::ParentIsOrdinary);
    twins.only_required_bits_pass(1_201);
    for length in [1, 2, 7] {
        for _ in 0..length {
            assert_eq!(twins.add(1_201), Branch::MinimumDifficulty);
        }
        twins.only_required_bits_pass(600);
        assert_eq!(twins.add(600), Branch::WalkedBack);
        assert_eq!(tip_bits(twins), ordinary);
    }
    // A time before the parent's is no pause either.
    twins.add(1_201);
    twins.only_required_bits_pass(-100);
    assert_eq!(twins.add(-100), Branch::WalkedBack);
}

/// Fills the period such that its last header is a minimum-difficulty block.
fn end_at_minimum_difficulty(twins: &mut Twins, step: i32, pause: i32) {
    while !(twins.height() + 2).is_multiple_of(PERIOD) {
        twins.add(step);
    }
    assert_eq!(twins.add(pause), Branch::MinimumDifficulty);
    assert_eq!(tip_bits(twins), EASIEST);
}

/// The rest of both tests: spans of every kind, from a target below the limit.
fn through_every_span(twins: &mut Twins) {
    for (step, pause, expected) in [
        (1, 1, retarget(Span::RaisedToQuarter, false)),
        (1, 1, retarget(Span::RaisedToQuarter, false)),
        (500, 500, retarget(Span::Shorter, false)),
        (700, 700, retarget(Span::Longer, false)),
    ] {
        while !(twins.height() + 2).is_multiple_of(PERIOD) {
            twins.add(step);
        }
        twins.add(pause);
        assert_eq!(twins.cross_boundary(600), expected, "step {step}");
    }
    // Long pauses in the middle: four times as easy each, until the limit caps it.
    while tip_bits(twins) != EASIEST {
        twins.add(600);
        assert_eq!(twins.add(5_000_000), Branch::MinimumDifficulty);
        twins.fill_period(600);
        let branch = twins.cross_boundary(600);
        assert!(matches!(branch, Branch::Retarget { span: Span::LoweredToFourfold, .. }));
    }
    // The period's first is at the limit itself: the walk back stops there and stays there.
    assert_eq!(tip_bits(twins), EASIEST);
    twins.add(600);
    assert_eq!(twins.add(600), Branch::WalkedToStart);
    assert_eq!(tip_bits(twins), EASIEST);
}

/// Every branch that a network with minimum-difficulty blocks has.
fn assert_all_taken(twins: &Twins) {
    for branch in [
        Branch::MinimumDifficulty,
        Branch::ParentIsOrdinary,
        Branch::WalkedBack,
        Branch::WalkedToStart,
        retarget(Span::RaisedToQuarter, false),
        retarget(Span::Shorter, false),
        retarget(Span::Longer, false),
        retarget(Span::LoweredToFourfold, false),
        retarget(Span::LoweredToFourfold, true),
    ] {
        assert!(twins.taken.contains_key(&branch), "{branch:?} not in {:?}", twins.taken);
    }
    assert!(!twins.taken.contains_key(&Branch::SameAsParent));
}

#[test]
fn testnet3s_difficulty_takes_every_branch_as_the_plain_implementation_does() {
    let mut twins = Twins::new(Network::Testnet3);
    through_minimum_difficulty(&mut twins);

    // The last block at minimum difficulty sets the whole next period to the limit.
    end_at_minimum_difficulty(&mut twins, 599, 1_201);
    assert_eq!(twins.cross_boundary(600), retarget(Span::Longer, true));
    assert_eq!(tip_bits(&twins), EASIEST);
    // A quick one whose last block is at minimum difficulty starts from the limit, too.
    end_at_minimum_difficulty(&mut twins, 1, 1_201);
    assert_eq!(twins.cross_boundary(600), retarget(Span::RaisedToQuarter, false));
    assert_eq!(tip_bits(&twins), 0x201f_ffff);

    // No rule of testnet3 keeps a period from starting early.
    twins.fill_period(600);
    twins.cross_boundary(-2_000);

    through_every_span(&mut twins);
    assert_all_taken(&twins);
}

#[test]
fn testnet4s_difficulty_takes_every_branch_as_the_plain_implementation_does() {
    let mut twins = Twins::new(Network::Testnet4);
    through_minimum_difficulty(&mut twins);
    let ordinary = tip_bits(&twins);

    // The last block at minimum difficulty changes nothing: the period's first decides.
    end_at_minimum_difficulty(&mut twins, 500, 1_201);
    assert_eq!(twins.cross_boundary(600), retarget(Span::Shorter, false));
    assert!((0x2010_0000..ordinary).contains(&tip_bits(&twins)), "{:08x}", tip_bits(&twins));

    // BIP94: ten minutes before the parent at a period's start, not a second more.
    twins.fill_period(600);
    twins.flush();
    let tip = twins.tip;
    let early = UnixTime(tip.time().0 - 601);
    let (required, _) = twins.plain.required(tip.hash().as_byte_array(), early.0);
    let header = twins.header(&tip, early, required);
    let expected = Violation::Timewarp { parent: tip.time(), got: early };
    assert_eq!(violation(&twins.chain, header), expected);
    assert_eq!(twins.plain.broken_in_context(header.as_bytes(), LATER.0), Some("timewarp"));
    twins.cross_boundary(-600);
    // Inside a period a time may be as early as the median allows.
    twins.add(600);
    twins.add(-601);
    twins.flush();

    through_every_span(&mut twins);
    assert_all_taken(&twins);
}

/// Two branches that part shortly before a boundary, at different speeds: each has bits of its
/// own there, on the best chain and beside it, with and without the branch's state at hand.
fn branches_decide_for_themselves(network: Network) {
    let mut twins = Twins::new(network);
    twins.fill_period(1);
    twins.cross_boundary(600);
    while !(twins.height() + 20).is_multiple_of(PERIOD) {
        twins.add(600);
    }
    twins.flush();
    let fork = twins.tip;

    let mut ends = Vec::new();
    for step in [1_100, 7, 1_201] {
        twins.tip = fork;
        for place in 0..40 {
            let before = twins.height();
            twins.add(if place % 3 == 0 { step } else { 400 });
            let crossed = (before + 1).is_multiple_of(PERIOD);
            // One at a time on the way to the boundary, so that each is checked in its turn.
            if crossed || place % 5 == 0 {
                accept(&mut twins.chain, &twins.waiting);
                twins.waiting.clear();
            }
        }
        accept(&mut twins.chain, &twins.waiting);
        twins.waiting.clear();
        ends.push(twins.tip);
        assert_eq!(twins.chain.tip().hash.to_byte_array(), twins.plain.tip);
    }
    let at_boundary: Vec<u32> = ends
        .iter()
        .map(|end| {
            let path = twins.plain.path_down(end.hash().as_byte_array());
            let first = path.iter().map(|hash| twins.plain.entry(hash).unwrap());
            let first = first.into_iter().find(|entry| entry.height.is_multiple_of(PERIOD));
            crate::plain::bits_of(&first.unwrap().raw)
        })
        .collect();
    assert!(at_boundary[0] != at_boundary[1] && at_boundary[1] != at_boundary[2]);

    // Grow them in turn: none may be judged by what was seen last.
    for round in 0..4u64 {
        for end in &mut ends {
            for other in &at_boundary {
                let mut body = child(end, round);
                body.bits = bits(*other);
                let header = mined(body, end);
                let plain = twins.plain.broken_in_context(header.as_bytes(), LATER.0);
                let ours = twins.chain.verify(&[header], LATER).err();
                assert_eq!(ours.map(|error| error.violation.rule()), plain);
            }
            twins.tip = *end;
            twins.add(600);
            accept(&mut twins.chain, &twins.waiting);
            twins.waiting.clear();
            *end = twins.tip;
        }
    }
    assert_eq!(twins.chain.tip().hash.to_byte_array(), twins.plain.tip);
}

#[test]
fn branches_that_part_before_a_boundary_of_mainnet_have_targets_of_their_own() {
    branches_decide_for_themselves(Network::Mainnet);
}

#[test]
fn branches_that_part_before_a_boundary_of_testnet3_have_targets_of_their_own() {
    branches_decide_for_themselves(Network::Testnet3);
}

#[test]
fn branches_that_part_before_a_boundary_of_testnet4_have_targets_of_their_own() {
    branches_decide_for_themselves(Network::Testnet4);
}
