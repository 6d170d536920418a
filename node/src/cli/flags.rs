//! `ironlight flags`: what can be turned off on a running node, and turning it.

use clap::{Args, Subcommand, ValueEnum};

use super::Failure;
use super::ask::{AskArgs, print_json};
use crate::api::{FlagDto, FlagsDto, TurnDto};

#[derive(Debug, Subcommand)]
pub(super) enum FlagsCommand {
    /// List what can be turned off, and how it stands.
    List(ListArgs),
    /// Turn a part of the node off or on; it stays so over restarts.
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Its name, as `flags list` has it.
    name: String,
    /// What it is to be.
    #[arg(value_enum)]
    to: OnOff,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnOff {
    On,
    Off,
}

pub(super) fn run(command: &FlagsCommand) -> Result<(), Failure> {
    match command {
        FlagsCommand::List(args) => list(args),
        FlagsCommand::Set(args) => set(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let found: FlagsDto = args.ask.node()?.get("/v1/flags")?;
    if args.ask.json {
        return print_json(&found);
    }
    for flag in &found.flags {
        let FlagDto { name, description, .. } = flag;
        say!("{name:<10} {:<3}  {description}", state(flag));
    }
    Ok(())
}

fn set(args: &SetArgs) -> Result<(), Failure> {
    let SetArgs { name, to, ask } = args;
    // What cannot be a name must not become part of a path.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(format!("{name:?} is no flag: `ironlight flags list` has them").into());
    }
    let (path, turn) = (format!("/v1/flags/{name}"), TurnDto { on: matches!(to, OnOff::On) });
    let flag: FlagDto = ask.node()?.put(&path, &turn)?;
    if ask.json {
        return print_json(&flag);
    }
    say!("{} is {}", flag.name, state(&flag));
    Ok(())
}

const fn state(flag: &FlagDto) -> &'static str {
    if flag.on { "on" } else { "off" }
}
