//! `ironlight watch add|list|remove`: what the node looks for in the chain.

use std::io::Read as _;

use clap::{Args, Subcommand, ValueEnum};

use super::ask::{AskArgs, print_json};
use super::{Failure, date, scan};
use crate::api::{BirthdayDto, UnwatchedDto, WatchDto, WatchRequestDto, WatchedDto, WatchesDto};
use crate::cli::table::{Align, render};

/// Numbers below are heights, others are times (as with a transaction's lock time: Core,
/// `LOCKTIME_THRESHOLD`).
const FIRST_TIME: u32 = 500_000_000;
/// Bytes that are read from standard input.
const MAX_INPUT: u64 = 64 * 1024;
/// Characters of a descriptor in a table.
const SHOWN: usize = 62;

#[derive(Debug, Subcommand)]
pub(super) enum WatchCommand {
    /// Watch an address, a script or an output descriptor.
    Add(AddArgs),
    /// List what is watched.
    List(ListArgs),
    /// Watch something no more; its coins and history are forgotten.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// An address, a script in hexadecimal, a descriptor with public keys, or - to read it from
    /// standard input: a descriptor tells all payments of its owner, and arguments end up in the
    /// shell's history.
    #[arg(value_name = "TARGET")]
    target: String,
    /// What the target is, where that is not what it looks like.
    #[arg(long = "as", value_enum)]
    kind: Option<Kind>,
    /// Count it under this name [default: default].
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// What it is to you.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// When it can have been paid first: a height, a day as YYYY-MM-DD, or a time in seconds since
    /// 1970. Blocks before are not looked at [default: the tip].
    #[arg(long, value_name = "WHEN", value_parser = parse_birthday)]
    birthday: Option<BirthdayDto>,
    /// Unused addresses of a descriptor that are watched behind the last used one [default: 20].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    gap_limit: Option<u32>,
    /// Wait until the blocks since its birthday were looked at.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Its number, as `watch list` has it.
    id: u32,
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Address,
    Script,
    Descriptor,
}

impl Kind {
    /// A descriptor has brackets; an address that is all hexadecimal digits has a checksum that says
    /// so in one of 2^32 cases.
    fn looked_like(target: &str) -> Self {
        if target.contains('(') {
            Self::Descriptor
        } else if target.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Self::Script
        } else {
            Self::Address
        }
    }
}

fn parse_birthday(text: &str) -> Result<BirthdayDto, String> {
    if let Some(day) = date::parse_day(text) {
        return Ok(BirthdayDto::Time(day));
    }
    match text.parse() {
        Ok(height @ 0..FIRST_TIME) => Ok(BirthdayDto::Height(height)),
        Ok(time) => Ok(BirthdayDto::Time(time)),
        Err(_) => Err("expected a height, YYYY-MM-DD, or seconds since 1970".to_owned()),
    }
}

pub(super) fn run(command: WatchCommand) -> Result<(), Failure> {
    match command {
        WatchCommand::Add(args) => add(args),
        WatchCommand::List(args) => list(&args),
        WatchCommand::Remove(args) => remove(&args),
    }
}

fn add(args: AddArgs) -> Result<(), Failure> {
    let AddArgs { target, kind, account, label, birthday, gap_limit, wait, ask } = args;
    let target = if target == "-" { read_input()? } else { target };
    let mut request =
        WatchRequestDto { account, label, birthday, gap_limit, ..WatchRequestDto::default() };
    let looks_like = Kind::looked_like(&target);
    if kind.is_none() && looks_like == Kind::Script && is_public_key(&target) {
        let what = "a public key has many scripts: watch wpkh(KEY), pkh(KEY), or whatever is paid to \
                    with it";
        return Err(what.into());
    }
    *match kind.unwrap_or(looks_like) {
        Kind::Address => &mut request.address,
        Kind::Script => &mut request.script,
        Kind::Descriptor => &mut request.descriptor,
    } = Some(target);
    let node = ask.node()?;
    let watched: WatchedDto = node.post("/v1/watch", &request)?;
    if wait {
        scan::wait(&node)?;
    }
    if ask.json {
        return print_json(&watched);
    }
    print_watched(&watched, wait);
    Ok(())
}

/// What is to be watched, from standard input.
fn read_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    let text = text.trim();
    if text.is_empty() {
        return Err("standard input has nothing to watch".into());
    }
    Ok(text.to_owned())
}

fn is_public_key(hex: &str) -> bool {
    matches!((hex.get(..2), hex.len()), (Some("02" | "03"), 66) | (Some("04"), 130))
}

fn print_watched(watched: &WatchedDto, waited: bool) {
    let WatchedDto { id, change, birthday, added_scripts, scan_from } = watched;
    say!("item     {id}, {change}");
    say!("scripts  {added_scripts} added");
    say!("looked   for from block {birthday} on");
    match scan_from {
        Some(from) if !waited => {
            say!(
                "scan     blocks from {from} on are looked at now; `balance` says how far they are"
            );
        }
        Some(_) => say!("scan     done"),
        None => {}
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let found: WatchesDto = args.ask.node()?.get("/v1/watch")?;
    if args.ask.json {
        return print_json(&found);
    }
    if found.watches.is_empty() {
        say!("nothing is watched: `ironlight watch add ADDRESS` does");
        return Ok(());
    }
    let head = [
        ("item", Align::Right),
        ("account", Align::Left),
        ("from", Align::Right),
        ("scripts", Align::Right),
        ("what", Align::Left),
        ("label", Align::Left),
    ];
    let rows: Vec<Vec<String>> = found.watches.iter().map(row).collect();
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
    Ok(())
}

fn row(watch: &WatchDto) -> Vec<String> {
    let WatchDto { id, address, script, descriptor, account, label, birthday, scripts, .. } = watch;
    // An address is for copying, so that none is shortened.
    let what = address.clone().unwrap_or_else(|| {
        let long = descriptor.as_deref().or(script.as_deref());
        shortened(long.unwrap_or_default())
    });
    vec![
        id.to_string(),
        account.clone(),
        birthday.to_string(),
        scripts.to_string(),
        what,
        label.clone(),
    ]
}

/// Begin and end of what is long; all of it is in the JSON.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= SHOWN {
        return text.to_owned();
    }
    let (begin, end) = (SHOWN / 2, SHOWN - SHOWN / 2 - 3);
    let begin: String = text.chars().take(begin).collect();
    let end: String = text.chars().skip(count - end).collect();
    format!("{begin}...{end}")
}

fn remove(args: &RemoveArgs) -> Result<(), Failure> {
    let removed: UnwatchedDto = args.ask.node()?.delete(&format!("/v1/watch/{}", args.id))?;
    if args.ask.json {
        return print_json(&removed);
    }
    let UnwatchedDto { id, scripts, coins, transactions } = removed;
    say!(
        "item {id} removed; {scripts} scripts, {coins} coins and {transactions} transactions forgotten"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_watched_is_told_by_its_looks() {
        assert_eq!(
            Kind::looked_like("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"),
            Kind::Address
        );
        assert_eq!(Kind::looked_like("0014751e76e8199196d454941c45d1b3a323f1433bd6"), Kind::Script);
        assert_eq!(Kind::looked_like("wpkh(tpub)"), Kind::Descriptor);
        assert!(is_public_key(&format!("02{}", "11".repeat(32))));
        assert!(!is_public_key("0014751e76e8199196d454941c45d1b3a323f1433bd6"));
    }

    #[test]
    fn birthdays_are_heights_days_or_times() {
        assert_eq!(parse_birthday("0"), Ok(BirthdayDto::Height(0)));
        assert_eq!(parse_birthday("499999999"), Ok(BirthdayDto::Height(499_999_999)));
        assert_eq!(parse_birthday("500000000"), Ok(BirthdayDto::Time(500_000_000)));
        assert_eq!(parse_birthday("2026-01-01"), Ok(BirthdayDto::Time(1_767_225_600)));
        assert!(parse_birthday("yesterday").is_err() && parse_birthday("-1").is_err());
    }

    #[test]
    fn long_texts_keep_begin_and_end() {
        let text = shortened(&format!("begin{}end", "x".repeat(200)));
        assert!(text.starts_with("begin") && text.ends_with("end"), "{text}");
        assert_eq!(text.len(), SHOWN);
    }
}
