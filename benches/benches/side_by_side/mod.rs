//! The lanes beside plain code in one process: a ratio, which holds on a busy machine too.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use ironlight_spv::Header;
use ironlight_spv::generate::Miner;
use ironlight_spv::lanes::siphash::{self, Key, LANES};
use ironlight_spv::lanes::{self, Standing};
use ironlight_spv::{Network, Params};
use sha2::{Digest as _, Sha256};

/// The best of so many runs of each counts, which take turns.
const RUNS: usize = 400;
/// What a run hashes: some tens of microseconds.
const HEADERS: usize = 256;
const SCRIPTS: usize = 2_048;

/// Ways, each with how many times as fast as plain code it must be: far below what was measured, so that
/// only one that has lost its lanes fails.
const OF_HEADERS: [(lanes::Way, f64); 2] =
    [(lanes::Way::Avx512x16, 1.5), (lanes::Way::ShaNiX2, 1.15)];
const OF_SCRIPTS: [(siphash::Way, f64); 2] =
    [(siphash::Way::Avx512x8, 2.0), (siphash::Way::Avx2x8, 1.3)];

/// Prints each way's ratio, and says whether all are fast enough. What the processor lacks is said.
pub(crate) fn hold() -> bool {
    let mut all = true;
    for (way, least) in OF_HEADERS {
        let name = format!("headers by {way}, beside sha2");
        let found = lanes::report().ways().find(|(it, _)| *it == way);
        all &= judge(&name, found.map(|(_, standing)| standing), least, || headers(way));
    }
    for (way, least) in OF_SCRIPTS {
        let name = format!("scripts by {way}, beside plain code");
        let found = siphash::report().ways().find(|(it, _)| *it == way);
        all &= judge(&name, found.map(|(_, standing)| standing), least, || scripts(way));
    }
    all
}

fn judge(
    name: &str,
    standing: Option<Standing>,
    least: f64,
    ratio: impl FnOnce() -> Option<f64>,
) -> bool {
    let (verdict, holds) = match (standing, ratio()) {
        (Some(Standing::Unavailable), _) => ("not on this processor".to_owned(), true),
        (_, Some(ratio)) => {
            let verdict = if ratio >= least { "" } else { ": TOO SLOW" };
            (format!("{ratio:>11.2}  times as fast, at least {least}{verdict}"), ratio >= least)
        }
        (_, None) => ("the way is switched off".to_owned(), false),
    };
    println!("{name:<48} {verdict}");
    holds
}

/// The same headers by a way and one by one by `sha2`, which has the SHA instructions where there are any.
fn headers(way: lanes::Way) -> Option<f64> {
    let headers = Miner::new(1).run(&Params::new(Network::Regtest).genesis, HEADERS, 600);
    let (mut ours, mut plain) = (vec![[0; 32]; HEADERS], vec![[0; 32]; HEADERS]);
    if !lanes::sha256d_80_with(way, &headers, &mut ours) {
        return None;
    }
    let ratio = ratio(
        || _ = lanes::sha256d_80_with(way, black_box(&headers), &mut ours),
        || by_sha2(black_box(&headers), &mut plain),
    );
    assert_eq!(ours, plain);
    Some(ratio)
}

fn by_sha2(headers: &[Header], out: &mut [[u8; 32]]) {
    for (header, place) in headers.iter().zip(out) {
        *place = Sha256::digest(Sha256::digest(header.as_bytes())).into();
    }
}

/// The same scripts of four blocks by a way and by plain code.
fn scripts(way: siphash::Way) -> Option<f64> {
    let (key, blocks) = (Key { k0: 1, k1: 2 }, NonZeroUsize::new(4)?);
    let mut ours = vec![[0; LANES]; SCRIPTS / LANES];
    let mut plain = ours.clone();
    let rows = vec![[3; LANES]; ours.len() * blocks.get()];
    if !siphash::hash_groups_with(way, key, &rows, blocks, &mut ours) {
        return None;
    }
    let hash = |way, out: &mut [siphash::Row]| {
        siphash::hash_groups_with(way, key, black_box(&rows), blocks, out);
    };
    let ratio = ratio(|| hash(way, &mut ours), || hash(siphash::Way::Portable, &mut plain));
    assert_eq!(ours, plain);
    Some(ratio)
}

/// How many times as fast the first is.
fn ratio(mut ours: impl FnMut(), mut plain: impl FnMut()) -> f64 {
    let mut best = [Duration::MAX; 2];
    for _ in 0..RUNS {
        best = [best[0].min(time(&mut ours)), best[1].min(time(&mut plain))];
    }
    best[1].as_secs_f64() / best[0].as_secs_f64()
}

fn time(work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
