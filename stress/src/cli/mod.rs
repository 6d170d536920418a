//! The command line of `ironlight-stress`: one file a command.
//!
//! Exit codes: 0 done and all bounds hold; 1 a bound is broken or something failed, with a line for
//! each that says what; 2 wrong usage.

/// Prints a line of a command's result.
macro_rules! say {
    ($($part:tt)*) => { $crate::cli::say_line(format_args!($($part)*)) };
}

/// Prints a line about what is going on, beside the result.
macro_rules! note {
    ($($part:tt)*) => { $crate::cli::note_line(format_args!($($part)*)) };
}

mod bar;
mod compare;
mod list;
mod run;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::measure::MemoryProbe;
use crate::report::{Report, ReportError};
use crate::runner::RunError;
use crate::scenario::{
    CLIENT, ConcurrentHeaders, NODE, Registry, Soak, SoakNodeError, run_soak_node, verify_headers,
};

/// Drives the parts of Ironlight hard and says what happened.
#[derive(Debug, Parser)]
#[command(name = "ironlight-stress", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario, or all.
    Run(run::RunArgs),
    /// List the scenarios, with their bounds.
    List,
    /// Show what moved from one run to another, and whether more than the noise.
    Compare(compare::CompareArgs),
    /// What `concurrent-headers` starts as processes of their own.
    #[command(name = CLIENT, hide = true)]
    VerifyHeaders,
    /// The node that `soak` starts as a process of its own.
    #[command(name = NODE, hide = true)]
    SoakNode { directory: PathBuf, connect: Vec<SocketAddr> },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum Failure {
    #[error("no scenario {name:?}; there are: {known}")]
    UnknownScenario { name: String, known: String },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{} bound(s) broken", .0)]
    Broken(usize),
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot find this program, to start it as a process: {0}")]
    OwnPath(std::io::Error),
    #[error("{name} takes no minutes: it counts {counts} (--count)")]
    NoMinutes { name: &'static str, counts: &'static str },
    #[error(transparent)]
    SoakNode(#[from] SoakNodeError),
    #[error("headers fed by a pipe: {0}")]
    Pipe(std::io::Error),
    #[error("{}: {source}", path.display())]
    Report { path: PathBuf, source: ReportError },
}

/// Parses the arguments, runs the command, and says how it went. Scenarios start the program that
/// calls this as processes of their own, with arguments that are parsed here.
#[must_use]
pub fn main(registry: Registry, memory: &dyn MemoryProbe) -> ExitCode {
    match command(registry, memory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note!("error: {}", in_one_line(&failure));
            ExitCode::FAILURE
        }
    }
}

fn command(registry: Registry, memory: &dyn MemoryProbe) -> Result<(), Failure> {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args, &with_processes(registry)?, memory),
        Command::List => {
            list::list(&with_processes(registry)?);
            Ok(())
        }
        Command::Compare(args) => compare::run(&args),
        Command::VerifyHeaders => {
            verify_headers(std::io::stdin().lock(), std::io::stdout().lock()).map_err(Failure::Pipe)
        }
        Command::SoakNode { directory, connect } => {
            let log = tracing_subscriber::fmt().json().with_max_level(LevelFilter::WARN);
            log.with_writer(std::io::stderr).init();
            let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
            Ok(run_soak_node(directory, connect, memory, input, output)?)
        }
    }
}

/// Those that start this program as processes of their own, too.
fn with_processes(registry: Registry) -> Result<Registry, Failure> {
    let program = std::env::current_exe().map_err(Failure::OwnPath)?;
    let headers = ConcurrentHeaders::with_processes(program.clone());
    Ok(registry.with(headers).with(Soak::new(program)))
}

/// An error and what caused it, down to the first cause.
fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let text = source.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = source.source();
    }
    line.replace('\n', "; ")
}

fn read_report(path: &Path) -> Result<Report, Failure> {
    let path = path.to_owned();
    match std::fs::read_to_string(&path) {
        Ok(json) => Report::from_json(&json).map_err(|source| Failure::Report { path, source }),
        Err(source) => Err(Failure::Read { path, source }),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let path = path.to_owned();
    std::fs::write(&path, text).map_err(|source| Failure::Write { path, source })
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
