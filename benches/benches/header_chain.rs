//! A chain of 100,000 headers taken in, in the batches that peers send, and a reorg of 100 in it; beside the `bitcoin`
//! crate's proof of work and links over a `Vec` of headers and a `HashMap` from hash to height, which is what a
//! client without a chain of its own begins with. One core.
//!
//! Ours checks all rules, counts work, and looks for forks; theirs is told where the branch begins.

#![allow(clippy::panic, reason = "a bench ends where it fails")]

use std::collections::HashMap;
use std::hint::black_box;

use bitcoin::BlockHash;
use bitcoin::block::Header as PeerHeader;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ironlight_benches::settings::JOURNEYS;
use ironlight_spv::generate::Miner;
use ironlight_spv::{BlockHeight, Header, HeaderChain, Network, Params, TipChange, UnixTime};

const HEADERS: usize = 100_000;
/// The headers of a full message.
const BATCH: usize = 2_000;
/// Headers that the reorg takes off.
const DEPTH: usize = 100;

/// The same headers for both, the branch's too.
struct Input {
    headers: Vec<Header>,
    branch: Vec<Header>,
    their_headers: Vec<PeerHeader>,
    their_branch: Vec<PeerHeader>,
}

fn input() -> Input {
    let mut miner = Miner::new(1);
    let headers = miner.run(&Params::new(Network::Regtest).genesis, HEADERS, 600);
    let Some(fork) = headers.get(HEADERS - DEPTH - 1) else { panic!("there are as many") };
    let branch = miner.run(fork, DEPTH + 1, 601);
    let theirs = |headers: &[Header]| headers.iter().copied().map(PeerHeader::from).collect();
    Input { their_headers: theirs(&headers), their_branch: theirs(&branch), headers, branch }
}

fn take_in(chain: &mut HeaderChain, headers: &[Header]) -> TipChange {
    let Ok(verified) = chain.verify(headers, UnixTime::MAX) else {
        panic!("the headers are valid")
    };
    let Ok(change) = chain.apply(verified) else { panic!("the batch is not stale") };
    change
}

fn built(headers: &[Header]) -> HeaderChain {
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    for batch in headers.chunks(BATCH) {
        take_in(&mut chain, batch);
    }
    chain
}

/// Headers by height, genesis first, and their heights by hash.
#[derive(Clone)]
struct Plain {
    headers: Vec<PeerHeader>,
    heights: HashMap<BlockHash, u32>,
    tip: BlockHash,
}

impl Plain {
    fn new() -> Self {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest).header;
        let tip = genesis.block_hash();
        Self { headers: vec![genesis], heights: HashMap::from([(tip, 0)]), tip }
    }

    fn take_in(&mut self, headers: &[PeerHeader]) {
        for header in headers {
            let Ok(hash) = header.validate_pow(header.target()) else { panic!("it has its work") };
            assert_eq!(header.prev_blockhash, self.tip);
            self.heights.insert(hash, u32::try_from(self.headers.len()).unwrap_or(u32::MAX));
            self.headers.push(*header);
            self.tip = hash;
        }
    }

    fn built(headers: &[PeerHeader]) -> Self {
        let mut plain = Self::new();
        for batch in headers.chunks(BATCH) {
            plain.take_in(batch);
        }
        plain
    }

    /// Back to the height of a header, and on with the branch.
    fn reorganise(&mut self, branch: &[PeerHeader]) {
        let Some(parent) = branch.first().map(|header| header.prev_blockhash) else { return };
        let Some(height) = self.heights.get(&parent).copied() else {
            panic!("the parent is known")
        };
        let off = self.headers.split_off(usize::try_from(height).unwrap_or(usize::MAX) + 1);
        for header in off {
            self.heights.remove(&header.block_hash());
        }
        self.tip = parent;
        self.take_in(branch);
    }
}

/// Both hold the same chain, before the reorg and after it.
fn assert_equal_chains(ours: &HeaderChain, theirs: &Plain) {
    assert_eq!(ours.tip().hash, theirs.tip);
    assert_eq!(usize::try_from(ours.tip().height.0), Ok(theirs.headers.len() - 1));
    for (hash, height) in &theirs.heights {
        assert_eq!(ours.hash_at(BlockHeight(*height)), Some(*hash));
    }
}

fn header_chain(criterion: &mut Criterion) {
    let input = input();
    let (ours, theirs) = (built(&input.headers), Plain::built(&input.their_headers));
    assert_equal_chains(&ours, &theirs);
    let (mut ours_after, mut theirs_after) = (ours.clone(), theirs.clone());
    assert!(matches!(take_in(&mut ours_after, &input.branch), TipChange::Reorg { .. }));
    theirs_after.reorganise(&input.their_branch);
    assert_equal_chains(&ours_after, &theirs_after);

    let mut group = criterion.benchmark_group("header_chain");
    group.throughput(Throughput::Elements(HEADERS as u64));
    group.bench_function("build: ironlight", |bencher| {
        bencher.iter_with_large_drop(|| built(black_box(&input.headers)));
    });
    group.bench_function("build: bitcoin, Vec and HashMap", |bencher| {
        bencher.iter_with_large_drop(|| Plain::built(black_box(&input.their_headers)));
    });
    group.throughput(Throughput::Elements(DEPTH as u64));
    group.bench_function("reorg: ironlight", |bencher| {
        let reorganise = |mut chain: HeaderChain| {
            take_in(&mut chain, black_box(&input.branch));
            chain
        };
        bencher.iter_batched(|| ours.clone(), reorganise, BatchSize::PerIteration);
    });
    group.bench_function("reorg: bitcoin, Vec and HashMap", |bencher| {
        let reorganise = |mut plain: Plain| {
            plain.reorganise(black_box(&input.their_branch));
            plain
        };
        // A clone of a `Vec` has no room left, and growing it is not what a reorg costs.
        let roomy = || {
            let mut plain = theirs.clone();
            plain.headers.reserve(BATCH);
            plain
        };
        bencher.iter_batched(roomy, reorganise, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group! { name = benches; config = JOURNEYS.criterion(); targets = header_chain }
criterion_main!(benches);
