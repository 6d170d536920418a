//! `ironlight selftest`: the main job on this machine, offline.
//!
//! Generates a regtest chain, verifies it by all rules, stores it, reopens the store, which
//! verifies every header again, and follows a reorg.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use ironlight_spv::generate::Miner;
use ironlight_spv::{
    Header, HeaderChain, Network, Params, TipChange, UnixTime, VerifiedBatch, lanes,
};

use super::Failure;
use super::config::parse_backend;
use super::progress::Progress;
use super::scratch::Scratch;
use crate::store::{self, Backend, Store, headers};

/// Headers verified and committed at a time: as many as a peer sends.
const BATCH: usize = 2000;
/// Seconds between blocks; the chain ends well before any real clock.
const SPACING: u32 = 60;
/// Blocks that the reorg takes off.
const REORG: usize = 6;

#[derive(Debug, Args)]
pub(super) struct SelftestArgs {
    /// How many headers.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=2_000_000))]
    headers: u32,
    /// Where to store; a temporary directory without it.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// sled or redb.
    #[arg(long, value_name = "BACKEND", default_value = "sled", value_parser = parse_backend)]
    store: Backend,
}

pub(super) fn run(args: &SelftestArgs) -> Result<(), Failure> {
    let scratch = Scratch::new(args.data_dir.clone(), "selftest", "regtest")?;
    let count = usize::try_from(args.headers)?;
    say!("ironlight {} selftest: {} regtest headers", crate::VERSION, args.headers);
    say!("{}", lanes::report());

    let started = Instant::now();
    let genesis = Params::new(Network::Regtest).genesis;
    let mined = Miner::new(1).run(&genesis, count, SPACING);
    figure("generated", count, started.elapsed());

    let opened = open(&scratch, args.store)?;
    let chain = store_chain(opened.store.as_ref(), &mined)?;
    let tip = chain.tip();
    say!("tip        {tip}");
    say!("on disk    {} bytes ({})", opened.store.bytes_on_disk()?, args.store);
    drop((opened, chain));

    let started = Instant::now();
    let opened = open(&scratch, args.store)?;
    let chain = load(opened.store.as_ref())?;
    figure("reopened", count, started.elapsed());
    expect("the reopened tip", chain.tip() == tip)?;

    reorg(opened.store.as_ref(), chain, &mined)?;
    say!("selftest passed");
    Ok(())
}

/// Verifies, commits and applies batch by batch, and prints what each cost.
fn store_chain(store: &dyn Store, mined: &[Header]) -> Result<HeaderChain, Failure> {
    let mut chain = HeaderChain::new(Params::new(Network::Regtest));
    store.commit(headers::begin(&chain))?;
    let (mut verifying, mut storing) = (Duration::ZERO, Duration::ZERO);
    let mut progress = Progress::new("storing", mined.len() as u64);
    for headers in mined.chunks(BATCH) {
        let started = Instant::now();
        let batch = chain.verify(headers, crate::clock::unix_now())?;
        verifying += started.elapsed();
        let started = Instant::now();
        take_in(store, &mut chain, batch)?;
        storing += started.elapsed();
        progress.add(headers.len());
    }
    drop(progress);
    figure("verified", mined.len(), verifying);
    figure("stored", mined.len(), storing);
    Ok(chain)
}

fn take_in(
    store: &dyn Store,
    chain: &mut HeaderChain,
    batch: VerifiedBatch,
) -> Result<TipChange, Failure> {
    store.commit(headers::batch_for(chain, batch.change()))?;
    Ok(chain.apply(batch)?)
}

/// A branch that is one block longer takes over; the store follows.
fn reorg(store: &dyn Store, mut chain: HeaderChain, mined: &[Header]) -> Result<(), Failure> {
    let fork = mined.len().saturating_sub(REORG + 1);
    let fork = mined.get(fork).ok_or("too few headers for a reorg")?;
    let branch = Miner::new(2).run(fork, REORG + 1, SPACING);
    let batch = chain.verify(&branch, UnixTime::MAX)?;
    let change = take_in(store, &mut chain, batch)?;
    let TipChange::Reorg { disconnected, connected, fork_point } = change else {
        return Err("the longer branch did not take over: this is a bug, report it".into());
    };
    say!(
        "reorg      {} off, {} on, above height {}",
        disconnected.len(),
        connected.len(),
        fork_point.height
    );
    expect("the stored reorg", load(store)?.tip() == chain.tip())
}

fn load(store: &dyn Store) -> Result<HeaderChain, Failure> {
    let loaded = headers::load(store, &Params::new(Network::Regtest))?;
    let loaded = loaded.ok_or("the store lost its chain: this is a bug, report it")?;
    match loaded.cut {
        Some(cut) => Err(cut.to_string().into()),
        None => Ok(loaded.chain),
    }
}

fn expect(what: &str, holds: bool) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("{what} is wrong: this is a bug, report it").into()) }
}

fn figure(what: &str, count: usize, spent: Duration) {
    #[allow(clippy::cast_precision_loss, reason = "figures for people to read")]
    let each = spent.as_nanos() as f64 / count as f64;
    say!("{what:<10} {count} headers in {:.4} s, {each:.0} ns each", spent.as_secs_f64());
}

fn open(scratch: &Scratch, backend: Backend) -> Result<store::Opened, Failure> {
    let dir = scratch.path().join("regtest");
    let now = crate::clock::unix_now().0;
    Ok(store::open(store::Options { dir, backend: Some(backend), now })?)
}
