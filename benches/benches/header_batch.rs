//! What a header costs: all rules by us, proof of work and links by `bitcoin`, each way of
//! hashing alone, and taking a verified batch in. One core, no threads.
//!
//! The generated chain follows mainnet's rules with an easy limit and retargets three times;
//! real headers are measured too where `IRONLIGHT_TEST_DATA` (or `../shared/data`) has them.

#![allow(clippy::panic, clippy::print_stdout, reason = "figures are what a bench is for")]

mod easy_mainnet;

use std::hint::black_box;

use bitcoin::block::Header as PeerHeader;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironlight_benches::settings::BATCHES;
use ironlight_spv::lanes::{self, Way};
use ironlight_spv::{
    BlockHeight, Header, HeaderChain, Network, Params, TrustedStart, UnixTime, Work, parse_work,
};
use ironlight_tests::real_data;

/// The batch that a peer sends, a difficulty period, and four of them.
const LENGTHS: [usize; 3] = [2_000, 2_016, 8_064];

/// A chain to verify on, and the headers that follow it.
struct Input {
    name: &'static str,
    chain: HeaderChain,
    headers: Vec<Header>,
}

/// Four periods.
fn generated() -> Input {
    let (chain, headers) = easy_mainnet::generated(8_064);
    let mut bits: Vec<_> = headers.iter().map(Header::compact_target).collect();
    bits.dedup();
    assert!(bits.len() >= 4, "the generated chain retargets");
    Input { name: "generated", chain, headers }
}

/// Mainnet from 822528 on, where the data folder is there.
fn real() -> Option<Input> {
    let bytes = std::fs::read(real_data("mainnet-headers-822528-830592.bin")).ok()?;
    let mut headers: Vec<Header> =
        bytes.as_chunks::<80>().0.iter().map(|bytes| Header::from_bytes(*bytes)).collect();
    let work: Work = parse_work("624c5a3c876e3e6fffd9c800")?;
    let start = TrustedStart::bare(BlockHeight(822_528), headers.remove(0), work);
    let chain = HeaderChain::from_start(Params::new(Network::Mainnet), start).ok()?;
    Some(Input { name: "mainnet", chain, headers })
}

/// Proof of work and links by the `bitcoin` crate: how many headers pass.
fn peer_passes(parent: bitcoin::BlockHash, headers: &[PeerHeader]) -> usize {
    let mut parent = parent;
    headers
        .iter()
        .take_while(|header| {
            let Ok(hash) = header.validate_pow(header.target()) else { return false };
            let linked = header.prev_blockhash == parent;
            parent = hash;
            linked
        })
        .count()
}

/// How many headers pass all our rules.
fn our_passes(chain: &HeaderChain, headers: &[Header]) -> usize {
    match chain.verify(headers, UnixTime::MAX) {
        Ok(_) => headers.len(),
        Err(error) => error.index,
    }
}

fn peer_headers(headers: &[Header]) -> Vec<PeerHeader> {
    headers.iter().copied().map(PeerHeader::from).collect()
}

/// Both must agree on the chain as it is, and on where it breaks once it is damaged.
fn assert_equal_verdicts(input: &Input) {
    let parent = input.chain.tip().hash;
    let whole = our_passes(&input.chain, &input.headers);
    assert_eq!(whole, input.headers.len());
    assert_eq!(whole, peer_passes(parent, &peer_headers(&input.headers)));
    for (place, byte) in [(0, 4), (15, 40), (1_000, 36), (1_999, 5), (input.headers.len() - 1, 60)]
    {
        let mut damaged = input.headers.clone();
        if let Some(header) = damaged.get_mut(place) {
            let mut bytes = *header.as_bytes();
            if let Some(byte) = bytes.get_mut(byte) {
                *byte ^= 1;
            }
            *header = Header::from_bytes(bytes);
        }
        let ours = our_passes(&input.chain, &damaged);
        assert_eq!(ours, peer_passes(parent, &peer_headers(&damaged)), "damaged at {place}");
    }
}

fn header_batch(criterion: &mut Criterion) {
    let inputs: Vec<Input> = [Some(generated()), real()].into_iter().flatten().collect();
    println!("{}", lanes::report());
    let mut group = criterion.benchmark_group("header_batch");
    for input in &inputs {
        assert_equal_verdicts(input);
        let parent = input.chain.tip().hash;
        for length in LENGTHS {
            let Some(headers) = input.headers.get(..length) else { continue };
            let theirs = peer_headers(headers);
            let parameter = format!("{}/{length}", input.name);
            group.throughput(Throughput::Elements(headers.len() as u64));
            group.bench_with_input(
                BenchmarkId::new("ironlight: all rules", &parameter),
                headers,
                |bencher, headers| bencher.iter(|| our_passes(&input.chain, black_box(headers))),
            );
            group.bench_with_input(
                BenchmarkId::new("bitcoin: validate_pow and link", &parameter),
                &theirs,
                |bencher, theirs| bencher.iter(|| peer_passes(parent, black_box(theirs))),
            );
        }
    }
    group.finish();
    if let Some(input) = inputs.first() {
        hashing(criterion, &input.headers);
        apply(criterion, input);
    }
}

/// Hashing alone, by each way that this processor has, and by the one that it takes.
fn hashing(criterion: &mut Criterion, headers: &[Header]) {
    let headers = headers.get(..2_016).unwrap_or(headers);
    let mut hashes = vec![[0; 32]; headers.len()];
    let mut group = criterion.benchmark_group("header_hashing");
    group.throughput(Throughput::Elements(headers.len() as u64));
    for way in [Way::Avx512x16, Way::ShaNiX2, Way::Portable] {
        if !lanes::sha256d_80_with(way, headers, &mut hashes) {
            println!("header_hashing/{way}: not on this processor");
            continue;
        }
        group.bench_function(way.to_string(), |bencher| {
            bencher.iter(|| lanes::sha256d_80_with(way, black_box(headers), &mut hashes));
        });
    }
    group.bench_function("the fastest way", |bencher| {
        bencher.iter(|| lanes::sha256d_80(black_box(headers), &mut hashes));
    });
    group.finish();
}

/// Taking a verified batch into memory: packing, anchors, index.
fn apply(criterion: &mut Criterion, input: &Input) {
    let mut group = criterion.benchmark_group("header_apply");
    let Some(headers) = input.headers.get(..2_016) else { return };
    let Ok(verified) = input.chain.verify(headers, UnixTime::MAX) else { return };
    group.throughput(Throughput::Elements(headers.len() as u64));
    group.bench_function("ironlight/2016", |bencher| {
        bencher.iter_batched(
            || (input.chain.clone(), verified.clone()),
            |(mut chain, batch)| {
                let change = chain.apply(batch);
                (chain, change)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group! { name = benches; config = BATCHES.criterion(); targets = header_batch }
criterion_main!(benches);
