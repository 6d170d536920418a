//! `ironlight devnet`: a full node on regtest as a sandbox, and the commands that drive it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::{Amount, BlockHash, Denomination};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::run::Signals;
use super::{Failure, NetworkArgs};
use crate::api::client::{self, ClientError};
use crate::devnet::control::{
    BlockDto, BranchDto, DevnetStatusDto, MineDto, PayDto, ReorgDto, TransactionDto,
};
use crate::devnet::{Devnet, DevnetConfig};
use crate::store::DirLock;

/// Its directory in the data directory, beside those of the networks.
const DIRECTORY: &str = "devnet";
/// Blocks that one request mines: each is answered well within the client's deadline.
const BLOCKS_A_REQUEST: u32 = 500;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DevnetArgs {
    #[command(subcommand)]
    command: Option<DevnetCommand>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum DevnetCommand {
    /// Run one until Ctrl-C; its chain is in memory and gone then.
    Run(RunArgs),
    /// Mine blocks.
    Mine {
        /// How many.
        #[arg(default_value_t = 1)]
        blocks: u32,
        #[command(flatten)]
        place: Place,
    },
    /// Pay an address; the next block has the transaction.
    Pay {
        /// A regtest address.
        address: String,
        /// In bitcoin, such as 0.5.
        amount: String,
        #[command(flatten)]
        place: Place,
    },
    /// Take a mined payment back, by a branch that spends its coins otherwise.
    DoubleSpend {
        /// What `pay` printed.
        txid: String,
        #[command(flatten)]
        place: Place,
    },
    /// Replace the last blocks by one more than that.
    Reorg {
        /// How many are replaced.
        depth: u32,
        #[command(flatten)]
        place: Place,
    },
    /// Ask how it stands.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Blocks to mine before it listens.
    #[arg(long, value_name = "N", default_value_t = 101)]
    blocks: u32,
    /// Mine a block each so many seconds; without it on command only.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    interval: Option<u64>,
    /// Port of 127.0.0.1 to listen on; 0 for any free one.
    #[arg(long, default_value_t = 18_444)]
    port: u16,
    /// Keys, coins and blocks follow from it: the same seed and commands give the same chain.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// Where its control socket is; it has a directory of its own in it.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn directory(&self) -> Result<PathBuf, Failure> {
        let location = NetworkArgs { data_dir: self.data_dir.clone(), ..NetworkArgs::default() };
        Ok(location.resolve()?.data_dir()?.join(DIRECTORY))
    }
}

pub(super) fn run(args: DevnetArgs) -> Result<(), Failure> {
    match args.command.unwrap_or(DevnetCommand::Run(args.run)) {
        DevnetCommand::Run(args) => {
            let runtime = super::runtime()?;
            runtime.block_on(run_devnet(&args))
        }
        DevnetCommand::Mine { blocks, place } => mine(blocks, &place),
        DevnetCommand::Pay { address, amount, place } => pay(address, &amount, &place),
        DevnetCommand::DoubleSpend { txid, place } => {
            let done: BranchDto = place.post("double-spend", &TransactionDto { txid })?;
            let (replaced, by) = (done.replaced.clone(), done.replaced_by.clone());
            say!("replaced {}", replaced.unwrap_or_default());
            say!("by       {}", by.unwrap_or_default());
            print_branch(&done);
            Ok(())
        }
        DevnetCommand::Reorg { depth, place } => {
            print_branch(&place.post("reorg", &ReorgDto { depth })?);
            Ok(())
        }
        DevnetCommand::Status { json, place } => status(json, &place),
    }
}

async fn run_devnet(args: &RunArgs) -> Result<(), Failure> {
    let directory = args.place.directory()?;
    std::fs::create_dir_all(&directory)
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let _lock = DirLock::take(&directory)?;
    let mut signals = Signals::listen()?;
    let config = DevnetConfig {
        seed: args.seed,
        port: args.port,
        blocks: args.blocks,
        interval: args.interval.map(Duration::from_secs),
        ..DevnetConfig::default()
    };
    let mut devnet = tokio::select! {
        devnet = Devnet::start(config) => devnet?,
        () = signals.next() => return Ok(()),
    };
    devnet.open_control_socket(&directory)?;
    let mut changed = devnet.watch();
    let mut tip = devnet.tip().hash;
    print_welcome(&devnet, args.place.data_dir.as_deref());
    loop {
        tokio::select! {
            () = signals.next() => break,
            Ok(()) = changed.changed() => tip = print_changes(&devnet, tip),
        }
    }
    devnet.stop().await;
    Ok(())
}

fn print_welcome(devnet: &Devnet, data_dir: Option<&Path>) {
    let place = data_dir.map_or_else(String::new, |dir| format!(" --data-dir {}", dir.display()));
    let (address, tip) = (devnet.address(), devnet.tip());
    say!("a regtest full node listens on {address}, tip {} at height {}", tip.hash, tip.height);
    say!("its chain is in memory and gone when it stops; Ctrl-C stops it");
    say!("  ironlight run --network regtest --connect {address}{place}");
    say!("  ironlight devnet mine 10{place}");
    say!("  ironlight devnet pay ADDRESS 0.5{place}");
    say!("  ironlight devnet double-spend TXID{place}");
    say!("  ironlight devnet reorg 3{place}");
    say!("  ironlight devnet status{place}");
}

/// A line for each block that came since a block was the tip; gives the tip.
fn print_changes(devnet: &Devnet, since: BlockHash) -> BlockHash {
    let changes = devnet.changes_since(&since);
    if !changes.disconnected.is_empty() {
        say!("reorg: {} blocks off", changes.disconnected.len());
    }
    for entry in &changes.connected {
        let transactions = entry.block.txdata.len();
        say!("block {} {} with {transactions} transactions", entry.height, entry.hash);
    }
    changes.connected.last().map_or(since, |entry| entry.hash)
}

impl Place {
    fn post<T: DeserializeOwned>(
        &self,
        command: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let directory = self.directory()?;
        let path = format!("/v1/devnet/{command}");
        let asked = client::post(&directory, &path, body);
        super::runtime()?.block_on(asked).map_err(not_running)
    }
}

/// The client's own words speak of `ironlight run`.
fn not_running(error: ClientError) -> Failure {
    if let ClientError::NotRunning { path, source } = &error {
        let socket = path.display();
        let what = format!(
            "no devnet runs on {socket} ({source}): start one with `ironlight devnet`, or name its \
             --data-dir"
        );
        return what.into();
    }
    error.into()
}

fn mine(blocks: u32, place: &Place) -> Result<(), Failure> {
    let mut left = blocks;
    let mut tip: Option<BlockDto> = None;
    while left > 0 {
        let some = left.min(BLOCKS_A_REQUEST);
        tip = Some(place.post("mine", &MineDto { blocks: some })?);
        left = left.saturating_sub(some);
    }
    if let Some(BlockDto { height, hash }) = tip {
        say!("tip {hash} at height {height}");
    }
    Ok(())
}

fn pay(address: String, amount: &str, place: &Place) -> Result<(), Failure> {
    let amount = Amount::from_str_in(amount, Denomination::Bitcoin)
        .map_err(|error| format!("{amount:?} is no amount in bitcoin, such as 0.5: {error}"))?;
    let paid: TransactionDto = place.post("pay", &PayDto { address, amount: amount.to_sat() })?;
    say!("{}", paid.txid);
    Ok(())
}

fn print_branch(branch: &BranchDto) {
    let (off, on) = (branch.disconnected.len(), branch.connected.len());
    say!("{off} blocks off, {on} on, above height {}", branch.fork_height);
    if let Some(tip) = branch.connected.last() {
        say!("tip {tip}");
    }
}

fn status(json: bool, place: &Place) -> Result<(), Failure> {
    let directory = place.directory()?;
    let asked = client::get(&directory, "/v1/devnet/status");
    let status: DevnetStatusDto = super::runtime()?.block_on(asked).map_err(not_running)?;
    if json {
        say!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    let DevnetStatusDto { version, address, tip, time, side_blocks, waiting, balance, peers } =
        status;
    say!("ironlight {version} devnet on {address}");
    say!("tip      {} {}", tip.height, tip.hash);
    say!("time     {time} (claimed by the tip)");
    say!("forks    {side_blocks} blocks on side branches");
    say!("waiting  {waiting} transactions");
    say!("wallet   {}", Amount::from_sat(balance));
    say!("peers    {peers}");
    Ok(())
}
