//! The command line of `ironlight`: one file a command.
//!
//! Exit codes: 0 done, 1 failed (with one line that says what to do), 2 wrong usage.

/// Prints a line of a command's result.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::say_line(format_args!($($part)*)) };
}

/// Prints a line about what is going on, beside the result.
macro_rules! note {
    ($($part:tt)*) => { $crate::cli::note_line(format_args!($($part)*)) };
}

mod amount;
mod ask;
mod audit;
mod balance;
mod config;
mod date;
mod demo;
mod devnet;
mod fees;
mod filter;
mod flags;
mod headers;
mod history;
mod light;
mod logs;
mod new_file;
mod progress;
mod proof;
mod query;
mod rescan;
mod run;
mod scan;
mod scratch;
mod selftest;
mod snapshot;
mod store;
mod table;
mod tx;
mod utxos;
mod version;
mod wallet;
mod wallet_file;
mod wallet_state;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use config::{ConfigError, NetworkArgs};

/// A command's failure: anything that says in one line what is wrong and what to do.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A hardened Bitcoin light-client node.
#[derive(Debug, Parser)]
#[command(name = "ironlight", version, about, propagate_version = true)]
struct Cli {
    /// How logs are written.
    #[arg(long, global = true, value_enum, default_value_t = logs::LogFormat::Text)]
    log_format: logs::LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a full node and light nodes at work, on this machine alone.
    Demo(demo::DemoArgs),
    /// Run a node until Ctrl-C.
    Run(run::RunArgs),
    /// Ask a running node how it stands.
    Status(ask::AskArgs),
    /// Ask a running node for its peers, on both networks.
    Peers(ask::AskArgs),
    /// Ask a running node whether it works; fails where it does not.
    Health(ask::AskArgs),
    /// Ask a running node for a header, by height or hash.
    Header(query::HeaderArgs),
    /// Watch addresses, scripts and descriptors.
    #[command(subcommand)]
    Watch(watch::WatchCommand),
    /// Show what accounts have.
    Balance(balance::BalanceArgs),
    /// Show transactions of what is watched, the newest first.
    History(history::HistoryArgs),
    /// Show coins that are not spent.
    Utxos(utxos::UtxosArgs),
    /// Ask what the wallet had at any height, and move it as one file.
    #[command(subcommand)]
    Wallet(wallet_state::WalletCommand),
    /// Look at blocks again, from filters that are kept so far as they are.
    Rescan(rescan::RescanArgs),
    /// Send transactions, and prove that they are confirmed.
    #[command(subcommand)]
    Tx(tx::TxCommand),
    /// Estimate what a transaction should pay.
    Fees(fees::FeesArgs),
    /// Look at compact filters.
    #[command(subcommand)]
    Filter(filter::FilterCommand),
    /// Check proofs that transactions are in blocks, offline.
    #[command(subcommand)]
    Proof(proof::ProofCommand),
    /// Turn parts of a running node off and on.
    #[command(subcommand)]
    Flags(flags::FlagsCommand),
    /// Verify, show or repair an audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Verify, import or export files of headers.
    #[command(subcommand)]
    Headers(headers::HeadersCommand),
    /// Bring all headers into one compact file, and take them from one.
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Look at a data directory while no node runs on it.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Run a full node on regtest as a sandbox, or drive one that runs.
    Devnet(devnet::DevnetArgs),
    /// Generate, verify, store and reopen a chain, and print the figures.
    Selftest(selftest::SelftestArgs),
    /// Print the version and what this build can do.
    Version,
}

/// Parses the arguments, runs the command, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    quiet_contained_panics();
    logs::init(cli.log_format);
    let done = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(args),
        Command::Status(args) => query::status(&args),
        Command::Peers(args) => query::peers(&args),
        Command::Health(args) => query::health(&args),
        Command::Header(args) => query::header(&args),
        Command::Watch(command) => watch::run(command),
        Command::Balance(args) => balance::run(&args),
        Command::History(args) => history::run(&args),
        Command::Utxos(args) => utxos::run(&args),
        Command::Rescan(args) => rescan::run(&args),
        Command::Wallet(command) => wallet_state::run(&command),
        Command::Tx(command) => tx::run(&command),
        Command::Fees(args) => fees::run(&args),
        Command::Filter(command) => filter::run(&command),
        Command::Proof(command) => proof::run(&command),
        Command::Flags(command) => flags::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Headers(command) => headers::run(command),
        Command::Snapshot(command) => snapshot::run(command),
        Command::Store(command) => store::run(command),
        Command::Devnet(args) => devnet::run(args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Version => {
            version::print();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note!("error: {}", in_one_line(failure.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// An error and what caused it, down to the first cause.
fn in_one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        // Some libraries repeat their cause in their own message.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = source.source();
    }
    line.replace('\n', "; ")
}

/// A work in hexadecimal, without leading zeros.
fn short_work(digits: &str) -> String {
    format!("0x{}", digits.trim_start_matches('0'))
}

/// Writes a line to standard output. A reader that has seen enough ends the program quietly; where
/// the result cannot be written at all, the program has failed.
fn say_line(line: std::fmt::Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    if let Err(error) = writeln!(output, "{line}") {
        let enough = error.kind() == std::io::ErrorKind::BrokenPipe;
        if !enough {
            note_line(format_args!("error: the result cannot be written: {error}"));
        }
        std::process::exit(i32::from(!enough));
    }
}

/// Writes a line to standard error; where that is closed, nobody wants to know.
fn note_line(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// What the store keeps in is told by the store, with what to do; its panic message would only
/// frighten.
fn quiet_contained_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !crate::store::panic_is_contained() {
            report(panic);
        }
    }));
}

/// The runtime of the commands that need one.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?)
}
