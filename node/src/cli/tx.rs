//! `ironlight tx send|status|list|forget|prove`: transactions on their way, and proofs that they arrived.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use super::amount::UnitArgs;
use super::ask::{AskArgs, path, print_json, txid};
use super::{Failure, date, history};
use crate::api::{
    BroadcastDto, BroadcastsDto, ForgottenDto, ProofDto, SendDto, SubmittedDto,
    WalletTransactionDto,
};
use crate::cli::table::{Align, render};

/// The block may have to be fetched.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes that are read from standard input: the node takes no transaction that has more digits.
const MAX_INPUT: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum TxCommand {
    /// Bring a signed transaction to the network, again and again until it is in a block.
    Send(SendArgs),
    /// Say what is known of a transaction.
    Status(StatusArgs),
    /// List the transactions that were sent from here.
    List(ListArgs),
    /// Follow a transaction no more. Peers that have it keep it.
    Forget(OneArgs),
    /// Prove that a transaction is in a block of the best chain; prints what Bitcoin Core's
    /// `verifytxoutproof` and `ironlight proof verify` read.
    Prove(ProveArgs),
}

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The transaction in hexadecimal, or - to read it from standard input.
    hex: String,
    /// Bring it over connections that are used for nothing else, so that who relays it cannot tell
    /// what else this node asks.
    #[arg(long)]
    apart: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Its id.
    txid: String,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Its id.
    txid: String,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    /// Its id.
    txid: String,
    /// The block that it is in; not needed where the transaction is one of what is watched.
    #[arg(long, value_name = "HASH|HEIGHT", value_parser = parse_block)]
    block: Option<InBlock>,
    /// Write the proof to this file instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Clone, Debug)]
enum InBlock {
    Hash(String),
    Height(u32),
}

fn parse_block(text: &str) -> Result<InBlock, String> {
    if text.parse::<bitcoin::BlockHash>().is_ok() {
        return Ok(InBlock::Hash(text.to_owned()));
    }
    let expected = "expected a height or a block hash of 64 hexadecimal digits";
    text.parse().map(InBlock::Height).map_err(|_| expected.to_owned())
}

pub(super) fn run(command: &TxCommand) -> Result<(), Failure> {
    match command {
        TxCommand::Send(args) => send(args),
        TxCommand::Status(args) => status(args),
        TxCommand::List(args) => list(args),
        TxCommand::Forget(args) => forget(args),
        TxCommand::Prove(args) => prove(args),
    }
}

fn send(args: &SendArgs) -> Result<(), Failure> {
    let hex = match args.hex.as_str() {
        "-" => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
            read.map_err(|error| format!("standard input cannot be read: {error}"))?;
            text.trim().to_owned()
        }
        hex => hex.to_owned(),
    };
    let sent: SubmittedDto =
        args.ask.node()?.post("/v1/tx", &SendDto { hex, apart: args.apart })?;
    if args.ask.json {
        return print_json(&sent);
    }
    let what = match sent.outcome.as_str() {
        "new" => "it is brought to the network from now on",
        "again" => "it had been given up, and gets another try",
        _ => "it was sent before, and is followed still",
    };
    say!("txid     {}", sent.txid);
    say!("outcome  {what}");
    if let Some(broadcast) = &sent.broadcast {
        say!("state    {}", state(broadcast));
    }
    Ok(())
}

/// A broadcast's state, and how sure that is.
fn state(broadcast: &BroadcastDto) -> String {
    let BroadcastDto { state, announced, requested, relayed_back, height, .. } = broadcast;
    let height = height.unwrap_or_default();
    match state.as_str() {
        "waiting" => "waits for a peer that relays transactions".to_owned(),
        "announced" => format!("announced, {announced} times"),
        "requested" => format!("asked for by peers, {requested} times"),
        "relayed_back" => format!("relayed back by {relayed_back} peers that had it from others"),
        "inferred_rejected" => {
            "announced, and nobody asks for it: inferred that peers refuse it, or \
                                have it already"
                .to_owned()
        }
        "confirmed" => format!("confirmed in block {height}"),
        "conflicted" => {
            let by = broadcast.conflicts_with.as_deref().unwrap_or_default();
            format!("cannot confirm: {by} in block {height} spends the same")
        }
        "given_up" => "given up: it did not confirm in all its time".to_owned(),
        other => other.to_owned(),
    }
}

fn status(args: &StatusArgs) -> Result<(), Failure> {
    let path = format!("/v1/tx/{}", txid(&args.txid)?);
    let found: WalletTransactionDto = args.ask.node()?.get(&path)?;
    if args.ask.json {
        return print_json(&found);
    }
    let WalletTransactionDto { txid, confirmed, pending, broadcast } = found;
    say!("txid       {txid}");
    if let Some(at) = confirmed {
        let (height, block, count) = (at.height, at.block, at.confirmations);
        say!("confirmed  {count} times, in block {height} {block}");
    }
    if let Some(broadcast) = broadcast {
        say!("sent       {}, {}", date::minute(broadcast.since), state(&broadcast));
    }
    if let Some(pending) = pending {
        history::print_pending(&[pending], args.unit.unit);
    }
    Ok(())
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let found: BroadcastsDto = args.ask.node()?.get("/v1/tx")?;
    if args.ask.json {
        return print_json(&found);
    }
    let head = [("sent", Align::Left), ("transaction", Align::Left), ("state", Align::Left)];
    let row = |of: &BroadcastDto| vec![date::minute(of.since), of.txid.clone(), state(of)];
    let rows: Vec<Vec<String>> = found.transactions.iter().map(row).collect();
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
    Ok(())
}

fn forget(args: &OneArgs) -> Result<(), Failure> {
    let path = format!("/v1/tx/{}", txid(&args.txid)?);
    let forgotten: ForgottenDto = args.ask.node()?.delete(&path)?;
    if args.ask.json {
        return print_json(&forgotten);
    }
    say!("{} is followed no more; peers that have it keep it", forgotten.txid);
    Ok(())
}

fn prove(args: &ProveArgs) -> Result<(), Failure> {
    let (block, height) = match &args.block {
        None => (None, None),
        Some(InBlock::Hash(hash)) => (Some(hash.clone()), None),
        Some(InBlock::Height(height)) => (None, Some(height.to_string())),
    };
    let base = format!("/v1/tx/{}/proof", txid(&args.txid)?);
    let path = path(&base, &[("block", block), ("height", height)])?;
    let proof: ProofDto = args.ask.node()?.get_within(&path, DEADLINE)?;
    if let Some(file) = &args.out {
        write(file, &proof.proof)?;
    }
    match (&args.out, args.ask.json) {
        (_, true) => print_json(&proof),
        (None, false) => {
            say!("{}", proof.proof);
            Ok(())
        }
        (Some(file), false) => {
            let ProofDto { txid, height, block, confirmations, .. } = proof;
            say!("{txid} is confirmed {confirmations} times, in block {height} {block}");
            say!("the proof is in {}; `ironlight proof verify` checks it", file.display());
            Ok(())
        }
    }
}

fn write(file: &Path, hex: &str) -> Result<(), Failure> {
    let written = std::fs::write(file, format!("{hex}\n"));
    Ok(written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?)
}
