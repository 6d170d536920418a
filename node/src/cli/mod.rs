//! The command line of `ironlight`: one file a command.
//!
//! Exit codes: 0 done, 1 failed (with one line that says what to do), 2 wrong usage.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod config;
mod headers;
mod logs;
mod progress;
mod query;
mod run;
mod selftest;
mod store;
mod version;

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
    /// Run a node until Ctrl-C.
    Run(run::RunArgs),
    /// Ask a running node how it stands.
    Status(query::StatusArgs),
    /// Ask a running node for a header, by height or hash.
    Header(query::HeaderArgs),
    /// Verify, import or export files of headers.
    #[command(subcommand)]
    Headers(headers::HeadersCommand),
    /// Look at a data directory while no node runs on it.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Generate, verify, store and reopen a chain, and print the figures.
    Selftest(selftest::SelftestArgs),
    /// Print the version and what this build can do.
    Version,
}

/// Parses the arguments, runs the command, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logs::init(cli.log_format);
    let done = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Status(args) => query::status(&args),
        Command::Header(args) => query::header(&args),
        Command::Headers(command) => headers::run(command),
        Command::Store(command) => store::run(command),
        Command::Selftest(args) => selftest::run(&args),
        Command::Version => {
            version::print();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", in_one_line(failure.as_ref()));
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

/// The runtime of the commands that need one.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?)
}
