//! Random operations on a tree of headers, by the crate and by the plain implementation: the
//! same verdicts, the same tip, the same answers to every question.

use std::collections::BTreeSet;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use ironlight_spv::chain::Position;
use ironlight_spv::generate::Miner;
use ironlight_spv::{
    BlockHeight, Header, HeaderChain, Network, Params, TipChange, UnixTime, VerifiedBatch,
};

use crate::plain::{self, Plain, Rules};
use crate::support::{EASIEST, bits, child, easy, mined};

const NOW: u32 = 1_000_200_000;

pub(crate) fn plain_rules(params: &Params) -> Rules {
    Rules {
        limit: params.pow_limit.to_consensus(),
        period: params.period,
        timespan: params.timespan,
        spacing: params.spacing,
        no_retargeting: params.no_retargeting,
        minimum_difficulty: params.minimum_difficulty_blocks,
        bip94: params.bip94,
        versions: [
            (params.bip34_height.0, 2),
            (params.bip66_height.0, 3),
            (params.bip65_height.0, 4),
        ],
    }
}

/// Rules with periods so short that a small tree crosses many.
fn short_periods(network: Network) -> Params {
    let mut params = easy(network);
    params.period = 8;
    params.timespan = 8 * 600;
    params.bip34_height = BlockHeight(2);
    params.bip66_height = BlockHeight(4);
    params.bip65_height = BlockHeight(6);
    params
}

struct Pair {
    chain: HeaderChain,
    plain: Plain,
    miner: Miner,
    known: Vec<Header>,
    /// How often the tip moved to another branch, and by which rules headers were refused.
    reorgs: usize,
    refused: Vec<&'static str>,
    refused_headers: Vec<Header>,
}

impl Pair {
    fn new(params: &Params, seed: u64) -> Self {
        Self {
            chain: HeaderChain::new(params.clone()),
            plain: Plain::new(plain_rules(params), *params.genesis.as_bytes()),
            miner: Miner::new(seed),
            known: vec![params.genesis],
            reorgs: 0,
            refused: Vec::new(),
            refused_headers: Vec::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.miner.random() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn random_time(&mut self, parent: &Header) -> UnixTime {
        let step = u32::try_from(self.below(1_800)).unwrap();
        match self.below(30) {
            0 => UnixTime(parent.time().0.saturating_sub(step)),
            1 if self.plain.entry(parent.hash().as_byte_array()).is_some() => {
                UnixTime(self.plain.median(parent.hash().as_byte_array()))
            }
            2 => UnixTime(NOW + 7_200),
            3 => UnixTime(NOW + 7_201),
            4 => parent.time().plus_seconds(1_200),
            5 => parent.time().plus_seconds(1_201),
            _ => parent.time().plus_seconds(step),
        }
    }

    /// A header on a parent that is mostly right.
    fn random_child(&mut self, parent: &Header) -> Header {
        let seed = self.miner.random();
        let mut body = child(parent, seed);
        body.time = self.random_time(parent);
        let parent_hash = parent.hash().to_byte_array();
        body.bits = bits(match self.plain.entry(&parent_hash) {
            Some(_) => self.plain.required(&parent_hash, body.time.0).0,
            None => EASIEST,
        });
        match self.below(60) {
            0 => body.bits = bits(0x201f_ffff),
            1 => body.bits = bits(EASIEST),
            2 => body.version = -1,
            3 => body.version = 3,
            4 => return child(parent, seed).with_parent(parent.hash()),
            5 => {
                body.bits = bits(0x2080_0001);
                return body.with_parent(parent.hash());
            }
            6 => {
                body.bits = bits(0x2100_ffff);
                return body.with_parent(parent.hash());
            }
            _ => {}
        }
        mined(body, parent)
    }

    /// Headers in a row on some known header, often newer ones; sometimes with known ones in
    /// front, a gap inside, or on a header that nobody knows.
    fn random_batch(&mut self) -> Vec<Header> {
        let newest = self.known.len().min(12);
        let place = match self.below(4) {
            0 => self.below(self.known.len()),
            1 | 2 => self.known.len() - 1 - self.below(newest),
            _ => self.known.len() - 1,
        };
        let mut parent = self.known[place];
        let mut batch = Vec::new();
        if self.below(3) == 0 {
            let path = self.plain.path_down(parent.hash().as_byte_array());
            let repeated = self.below(path.len().min(20)) + 1;
            let raws = path[..repeated].iter().rev().map(|hash| self.plain.entry(hash).unwrap());
            batch.extend(raws.map(|entry| Header::from_bytes(entry.raw)));
        }
        if self.below(40) == 0 {
            parent = self.random_child(&parent);
        }
        let refused = self.refused_headers.len();
        if refused > 0 && self.below(15) == 0 {
            let place = self.below(refused);
            parent = self.refused_headers[place];
            batch = if self.below(2) == 0 { vec![parent] } else { Vec::new() };
        }
        // The plain one is asked for the bits of each, so it has to know them for a while.
        let tip = self.plain.tip;
        let mut scratch = Vec::new();
        for _ in 0..self.below(6) {
            let next = self.random_child(&parent);
            if self.below(50) != 0 {
                batch.push(next);
            }
            if self.plain.entry(parent.hash().as_byte_array()).is_some()
                && self.plain.entry(next.hash().as_byte_array()).is_none()
                && self.plain.broken_alone(next.as_bytes()).is_none()
            {
                self.plain.insert(next.as_bytes());
                scratch.push(next.hash().to_byte_array());
            }
            parent = next;
        }
        self.plain.forget(&scratch, tip);
        batch
    }

    /// The plain verdict: the place and the rule of the first bad header, and the new ones
    /// before it, which are taken in.
    fn plain_verdict(&mut self, batch: &[Header]) -> Option<(usize, Option<u32>, &'static str)> {
        let raws: Vec<plain::Raw> = batch.iter().map(|header| *header.as_bytes()).collect();
        let linked = raws.iter().enumerate().find_map(|(place, raw)| {
            let alone = self.plain.broken_alone(raw);
            let gap = place > 0 && plain::parent_of(raw) != plain::hash_of(&raws[place - 1]);
            alone.or(gap.then_some("not-consecutive")).map(|rule| (place, rule))
        });
        let passed = linked.map_or(raws.len(), |(place, _)| place);
        let is_known =
            |plain: &Plain, raw: &plain::Raw| plain.entry(&plain::hash_of(raw)).is_some();
        let known = raws[..passed].iter().take_while(|raw| is_known(&self.plain, raw)).count();
        let parent = match known {
            0 => plain::parent_of(raws.first()?),
            _ => plain::hash_of(&raws[known - 1]),
        };
        let Some(parent) = self.plain.entry(&parent).copied() else {
            let invalid = self.plain.invalid.contains(&parent)
                || self.plain.invalid.contains(&plain::hash_of(&raws[known]));
            let rule = if invalid { "known-invalid" } else { "unknown-parent" };
            return linked.map(|(place, rule)| (place, None, rule)).or(Some((known, None, rule)));
        };
        if linked.is_none_or(|(place, _)| place > known)
            && let Some(first) = raws.get(known)
            && self.plain.invalid.contains(&plain::hash_of(first))
        {
            return Some(match linked {
                Some((place, rule)) => (place, None, rule),
                None => (known, Some(parent.height + 1), "known-invalid"),
            });
        }
        let mut height = parent.height + 1;
        for (place, raw) in raws.iter().enumerate().take(passed).skip(known) {
            if let Some(rule) = self.plain.broken_in_context(raw, NOW) {
                return Some((place, Some(height), rule));
            }
            self.plain.insert(raw);
            height += 1;
        }
        linked.map(|(place, rule)| (place, Some(height), rule))
    }

    fn step(&mut self) {
        let batch = self.random_batch();
        let before = self.plain.tip;
        let result = self.chain.verify(&batch, UnixTime(NOW));
        let expected = self.plain_verdict(&batch);
        let verified = match result {
            Ok(verified) => {
                assert_eq!(expected, None, "{batch:?}");
                Some(verified)
            }
            Err(error) => {
                self.refused.push(error.violation.rule());
                self.refused_headers.push(batch[error.index]);
                let got =
                    (error.index, error.height.map(|height| height.0), error.violation.rule());
                assert_eq!(Some(got), expected, "{error}");
                assert_eq!(error.hash, batch[error.index].hash());
                self.remember(&error);
                error.prefix.map(|prefix| *prefix)
            }
        };
        if let Some(verified) = verified {
            self.apply(verified, &before);
        }
        self.known.extend(
            batch.iter().filter(|header| self.plain.entry(header.hash().as_byte_array()).is_some()),
        );
        assert_eq!(self.chain.tip().hash.to_byte_array(), self.plain.tip);
    }

    fn remember(&mut self, error: &ironlight_spv::HeaderError) {
        self.chain.remember_invalid(error);
        let local = ["time-too-new", "unknown-parent"].contains(&error.violation.rule());
        let workless = ["invalid-bits", "target-above-limit", "proof-of-work", "not-consecutive"];
        if !local && !workless.contains(&error.violation.rule()) {
            self.plain.invalid.push(error.hash.to_byte_array());
        }
    }

    fn apply(&mut self, verified: VerifiedBatch, before: &plain::Hash) {
        let planned = verified.change().clone();
        let change = self.chain.apply(verified).expect("verified on this very state");
        assert_eq!(change, planned);
        match change {
            TipChange::Unchanged => assert_eq!(self.plain.tip, *before),
            TipChange::Extended { connected } => {
                let parent = connected.headers()[0].prev_hash();
                assert_eq!(parent.as_byte_array(), before);
            }
            TipChange::Reorg { fork_point, disconnected, connected } => {
                self.reorgs += 1;
                let fork = fork_point.hash.to_byte_array();
                assert_eq!(self.between(&fork, before), hashes(&disconnected));
                let tip = self.plain.tip;
                assert_eq!(self.between(&fork, &tip), hashes(&connected));
                assert_ne!(disconnected.headers()[0], connected.headers()[0]);
            }
        }
    }

    /// The headers above one, up to another, oldest first.
    fn between(&self, below: &plain::Hash, tip: &plain::Hash) -> Vec<plain::Hash> {
        let path = self.plain.path_down(tip);
        path.into_iter()
            .take_while(|hash| hash != below)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect()
    }

    /// Asks the chain everything that it can be asked.
    fn compare_all(&self) {
        let mut best = self.plain.path_down(&self.plain.tip);
        best.reverse();
        for (height, hash) in best.iter().enumerate() {
            let height = BlockHeight(u32::try_from(height).unwrap());
            let entry = self.chain.get(height).expect("it is on the best chain");
            assert_eq!(entry.hash.as_byte_array(), hash);
            assert_eq!(self.chain.hash_at(height), Some(entry.hash));
            assert_eq!(entry.height, height);
        }
        let above = BlockHeight(u32::try_from(best.len()).unwrap());
        assert_eq!(self.chain.get(above), None);
        assert_eq!(self.chain.hash_at(above), None);
        for hash in self.plain.hashes() {
            let plain = self.plain.entry(hash).unwrap();
            let (found, position) =
                self.chain.find(&BlockHash::from_byte_array(*hash)).expect("it was accepted");
            assert_eq!(found.header.as_bytes(), &plain.raw);
            assert_eq!(found.height.0, plain.height);
            assert_eq!(found.work.to_be_bytes(), plain.work.low_32_bytes());
            let on_best = best.get(usize::try_from(plain.height).unwrap()) == Some(hash);
            assert_eq!(position == Position::Best, on_best);
        }
        assert_eq!(self.chain.side_headers(), self.plain.hashes().count() - best.len());
        assert_eq!(
            self.chain.median_time_past(),
            Some(UnixTime(self.plain.median(&self.plain.tip)))
        );
    }
}

fn hashes(run: &ironlight_spv::HeaderRun) -> Vec<plain::Hash> {
    run.iter().map(|(_, hash, _)| hash.to_byte_array()).collect()
}

/// The rules that random headers break often enough on every network.
const BROKEN: [&str; 10] = [
    "difficulty",
    "invalid-bits",
    "known-invalid",
    "median-time-past",
    "not-consecutive",
    "proof-of-work",
    "target-above-limit",
    "time-too-new",
    "unknown-parent",
    "version",
];

fn run_seeds(network: Network, seeds: core::ops::Range<u64>) {
    let params = short_periods(network);
    let (mut reorgs, mut refused) = (0, BTreeSet::new());
    for seed in seeds {
        let mut pair = Pair::new(&params, seed);
        for _ in 0..80 {
            pair.step();
        }
        pair.compare_all();
        reorgs += pair.reorgs;
        refused.extend(pair.refused);
    }
    assert!(reorgs > 100, "{reorgs} reorgs prove little");
    for rule in BROKEN {
        assert!(refused.contains(rule), "no header broke {rule}");
    }
    assert_eq!(refused.contains("timewarp"), params.bip94);
}

#[test]
fn mainnets_rules_agree_with_the_plain_implementation_on_random_trees() {
    run_seeds(Network::Mainnet, 0..200);
}

#[test]
fn testnet3s_rules_agree_with_the_plain_implementation_on_random_trees() {
    run_seeds(Network::Testnet3, 200..400);
}

#[test]
fn testnet4s_rules_agree_with_the_plain_implementation_on_random_trees() {
    run_seeds(Network::Testnet4, 400..600);
}

#[test]
fn regtests_rules_agree_with_the_plain_implementation_on_random_trees() {
    run_seeds(Network::Regtest, 600..800);
}
