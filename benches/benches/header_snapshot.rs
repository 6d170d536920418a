//! 1,000,000 headers from a file: verified by all rules and applied, on two threads, with the memory beside
//! the chain's own, counted by the allocator. What a wallet without it has is the same headers in a
//! file of 80 bytes each, verified by the same rules on one thread.

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints, and ends where it fails")]

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::time::Instant;

use ironlight::snapshot::{self, SnapshotReader};
use ironlight_benches::recorded::{Unit, record};
use ironlight_benches::settings::asked_for;
use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, HeaderChain, Network, Params, UnixTime};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

const HEADERS: usize = 1_000_000;
const ROUNDS: usize = 7;
/// Headers mined and taken in together.
const CHUNK: usize = 2_000;

fn accept(chain: &mut HeaderChain, headers: &[Header]) {
    match chain.verify(headers, UnixTime::MAX) {
        Ok(batch) => assert!(chain.apply(batch).is_ok(), "the batch is not stale"),
        Err(error) => panic!("{error}"),
    }
}

fn empty() -> HeaderChain {
    HeaderChain::new(Params::new(Network::Regtest))
}

fn generated(plain: &mut impl std::io::Write) -> std::io::Result<HeaderChain> {
    let (mut chain, mut miner) = (empty(), Miner::new(1));
    let mut tip = chain.params().genesis;
    for _ in 0..HEADERS / CHUNK {
        let chunk = miner.run(&tip, CHUNK, 600);
        tip = chunk.last().copied().unwrap_or(tip);
        accept(&mut chain, &chunk);
        for header in &chunk {
            plain.write_all(header.as_bytes())?;
        }
    }
    Ok(chain)
}

/// The seconds that it takes, and the bytes above the chain's own at the peak.
fn by_snapshot(file: &File, expected: &HeaderChain) -> std::io::Result<(f64, f64)> {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let began = Instant::now();
    let mut chain = empty();
    let reader = SnapshotReader::open(BufReader::new(file.try_clone()?), chain.params());
    let reader = reader.map_err(std::io::Error::other)?;
    let kept = |_: &HeaderChain, _: &_| Ok::<_, std::io::Error>(());
    let taken = snapshot::take_in(reader, &mut chain, UnixTime::MAX, kept, |_| {});
    let taken = taken.map_err(std::io::Error::other)?;
    let seconds = began.elapsed().as_secs_f64();
    let (held, peak) = (ALLOCATED.current_usage() - before, ALLOCATED.peak_usage() - before);
    assert_eq!(chain.tip(), expected.tip());
    assert_eq!(taken.root.size, u32::try_from(HEADERS + 1).unwrap_or(0));
    println!(
        "snapshot: {:.2} million headers a second; {:.1} MB held by the chain, {:.1} MB above it at the peak",
        HEADERS as f64 / seconds / 1e6,
        held as f64 / 1e6,
        (peak - held) as f64 / 1e6,
    );
    Ok((seconds, (peak - held) as f64))
}

fn by_plain_file(bytes: &[u8], expected: &HeaderChain) -> f64 {
    let began = Instant::now();
    let mut chain = empty();
    let (headers, _) = bytes.as_chunks::<{ Header::SIZE }>();
    for chunk in headers.chunks(2_016) {
        let chunk: Vec<_> = chunk.iter().copied().map(Header::from_bytes).collect();
        accept(&mut chain, &chunk);
    }
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(chain.tip(), expected.tip());
    println!("80 bytes each: {:.2} million headers a second", HEADERS as f64 / seconds / 1e6);
    seconds
}

/// Headers a second, of the round in the middle.
fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    HEADERS as f64 / seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> std::io::Result<()> {
    const NAME: &str = "header_snapshot";
    if !asked_for(NAME) {
        return Ok(());
    }
    let mut plain = Vec::new();
    let chain = generated(&mut plain)?;
    let file = tempfile::NamedTempFile::new()?;
    let began = Instant::now();
    let mut out = BufWriter::new(file.reopen()?);
    let written = snapshot::write(&chain, &mut out, |_| {}).map_err(std::io::Error::other)?;
    out.flush()?;
    let (seconds, headers) = (began.elapsed().as_secs_f64(), HEADERS as f64);
    record(NAME, "written", headers / seconds, Unit::ASecond);
    record(NAME, "a header in the file", written.bytes as f64 / headers, Unit::Bytes);
    record(NAME, "a header as segments", written.plain as f64 / headers, Unit::Bytes);
    let (mut ours, mut plainly, mut above) = (Vec::new(), Vec::new(), 0.0_f64);
    for _ in 0..ROUNDS {
        let (seconds, bytes) = by_snapshot(&file.reopen()?, &chain)?;
        ours.push(seconds);
        above = above.max(bytes);
        plainly.push(by_plain_file(&plain, &chain));
    }
    record(NAME, "import", median(ours), Unit::ASecond);
    record(NAME, "80 bytes each", median(plainly), Unit::ASecond);
    record(NAME, "above the chain, at the peak", above, Unit::Bytes);
    Ok(())
}
