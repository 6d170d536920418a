//! What a compact filter costs: matching sets of 1, 100 and 10,000 scripts against a filter of 5,000 elements, and
//! building it, by us and by the `bitcoin` crate; and each way of hashing alone. One core, no threads.
//!
//! Scripts have the lengths of P2WPKH, P2TR, P2PKH and P2SH in equal parts. "Late" is the last case to be found, for
//! both: the filter's last element, which is also the last script that we hash.

#![allow(clippy::panic, clippy::print_stdout, reason = "figures are what a bench is for")]

mod scripts;

use std::hint::black_box;
use std::num::NonZeroUsize;

use bitcoin::bip158::{BlockFilter, Error};
use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, ScriptBuf};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironlight_benches::settings::BATCHES;
use ironlight_spv::filter::{Filter, FilterKey, MatchScratch, ScriptSet};
use ironlight_spv::lanes::siphash::{self, Key, LANES, Way};
use ironlight_spv::peers::SplitMix64;
use scripts::{block, scripts};

const ELEMENTS: usize = 5_000;
const SETS: [usize; 3] = [1, 100, 10_000];

/// The same filter twice.
struct Filters {
    ours: Filter,
    theirs: BlockFilter,
    hash: BlockHash,
}

fn our_filter(block: &Block) -> Filter {
    Filter::of_block(block, []).unwrap_or_else(|error| panic!("{error}"))
}

fn their_filter(block: &Block) -> BlockFilter {
    BlockFilter::new_script_filter::<_, ScriptBuf>(block, |outpoint| {
        Err(Error::UtxoMissing(*outpoint))
    })
    .unwrap_or_else(|error| panic!("{error}"))
}

impl Filters {
    fn of(block: &Block) -> Self {
        let (ours, theirs) = (our_filter(block), their_filter(block));
        assert_eq!(ours.as_bytes(), theirs.content, "both build the same filter");
        assert_eq!(usize::try_from(ours.elements()), Ok(ELEMENTS));
        // As it comes from a peer.
        let hash = block.block_hash();
        let Ok(ours) = Filter::decode(FilterKey::new(hash), ours.into_bytes()) else {
            panic!("what was built can be read")
        };
        Self { ours, theirs, hash }
    }

    fn our_answer(&self, set: &ScriptSet, scratch: &mut MatchScratch) -> bool {
        self.ours.match_any(set, scratch).unwrap_or_else(|error| panic!("{error}"))
    }

    fn their_answer(&self, scripts: &[ScriptBuf]) -> bool {
        let query = scripts.iter().map(|script| script.as_bytes());
        self.theirs.match_any(&self.hash, query).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The element that a sorted walk comes to last, among those that are hashed last.
    fn last(&self, elements: &[ScriptBuf]) -> ScriptBuf {
        let (words, _) = self.hash.as_byte_array().as_chunks::<8>();
        let [k0, k1, ..] = words else { panic!("a hash has 32 bytes") };
        let key = Key { k0: u64::from_le_bytes(*k0), k1: u64::from_le_bytes(*k1) };
        let longest = elements.iter().filter(|script| script.len() == 34);
        let last = longest.max_by_key(|script| siphash::hash(key, script.as_bytes()));
        last.cloned().unwrap_or_else(|| panic!("a quarter of the elements is that long"))
    }
}

fn matching(criterion: &mut Criterion, filters: &Filters, elements: &[ScriptBuf]) {
    let mut random = SplitMix64::new(2);
    let mut scratch = MatchScratch::new();
    let mut group = criterion.benchmark_group("filter_match");
    for size in SETS {
        for (case, expected) in [("none", false), ("late", true)] {
            let mut scripts = scripts(&mut random, size);
            if expected {
                scripts.pop();
                scripts.push(filters.last(elements));
            }
            let set: ScriptSet = scripts.iter().collect();
            assert_eq!(filters.our_answer(&set, &mut scratch), expected, "{size} scripts, {case}");
            assert_eq!(filters.their_answer(&scripts), expected, "{size} scripts, {case}");
            let parameter = format!("{size}/{case}");
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::new("ironlight", &parameter), |bencher| {
                bencher.iter(|| filters.our_answer(black_box(&set), &mut scratch));
            });
            group.bench_function(BenchmarkId::new("bitcoin", &parameter), |bencher| {
                bencher.iter(|| filters.their_answer(black_box(&scripts)));
            });
        }
    }
    group.finish();
}

fn building(criterion: &mut Criterion, block: &Block) {
    let mut group = criterion.benchmark_group("filter_build");
    group.throughput(Throughput::Elements(ELEMENTS as u64));
    group.bench_function("ironlight", |bencher| bencher.iter(|| our_filter(black_box(block))));
    group.bench_function("bitcoin", |bencher| bencher.iter(|| their_filter(black_box(block))));
    group.finish();
}

/// Hashing 10,000 scripts of four blocks, by each way that this processor has.
fn hashing(criterion: &mut Criterion) {
    let key = Key { k0: 1, k1: 2 };
    let Some(blocks) = NonZeroUsize::new(4) else { return };
    let mut hashes = vec![[0; LANES]; 10_000 / LANES];
    let rows = vec![[3; LANES]; hashes.len() * blocks.get()];
    let mut group = criterion.benchmark_group("filter_hashing");
    group.throughput(Throughput::Elements(10_000));
    for way in [Way::Avx512x8, Way::Avx2x8, Way::Portable] {
        if !siphash::hash_groups_with(way, key, &rows, blocks, &mut hashes) {
            println!("filter_hashing/{way}: not on this processor");
            continue;
        }
        group.bench_function(way.to_string(), |bencher| {
            bencher.iter(|| {
                siphash::hash_groups_with(way, key, black_box(&rows), blocks, &mut hashes)
            });
        });
    }
    group.finish();
}

fn filters(criterion: &mut Criterion) {
    println!("{}", siphash::report());
    let elements = scripts(&mut SplitMix64::new(1), ELEMENTS);
    let block = block(&elements);
    matching(criterion, &Filters::of(&block), &elements);
    building(criterion, &block);
    hashing(criterion);
}

criterion_group! { name = benches; config = BATCHES.criterion(); targets = filters }
criterion_main!(benches);
