//! `ironlight filter status|check`: the compact filters that the node keeps.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::Failure;
use super::ask::{AskArgs, RunningNode, path, print_json};
use super::progress::Progress;
use crate::api::{FilterFaultDto, FiltersCheckDto, FiltersDto, HeightsDto};
use crate::cli::table::size;

/// The node answers after some seconds, with as much as it did until then.
const DEADLINE: Duration = Duration::from_secs(30);
/// Faults that are kept; more would tell nobody anything.
const MAX_FAULTS: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum FilterCommand {
    /// Which filters there are, and how the node stands with its peers about them.
    Status(StatusArgs),
    /// Read the stored filters again and check them against their headers, and against blocks; fails
    /// where one is wrong.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    ask: AskArgs,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The first height [default: the first one held].
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u32>,
    /// The last height [default: the last one held].
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u32>,
    /// Fetch the blocks, too, and look in each filter for all that its block says that it must have.
    #[arg(long)]
    blocks: bool,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(command: &FilterCommand) -> Result<(), Failure> {
    match command {
        FilterCommand::Status(args) => status(args),
        FilterCommand::Check(args) => check(args),
    }
}

fn status(args: &StatusArgs) -> Result<(), Failure> {
    let found: FiltersDto = args.ask.node()?.get("/v1/filters")?;
    if args.ask.json {
        return print_json(&found);
    }
    let FiltersDto { headers, wanted_from, next, synced, held, bytes, peers, undecided, disputes } =
        found;
    let to =
        |height: Option<u32>| height.map_or_else(|| "none".to_owned(), |to| format!("up to {to}"));
    say!("headers    {}", to(headers));
    say!("held       {}, {}", ranges(&held), size(bytes));
    match wanted_from {
        Some(from) => {
            say!("wanted     from {from} on, {}", if synced { "all there" } else { "on their way" })
        }
        None => say!("wanted     none: nothing is watched, and --filters-from was not given"),
    }
    if let Some(next) = next.filter(|_| !synced) {
        say!("next       {next}");
    }
    say!("peers      {peers} serve filters");
    say!("disputes   {disputes} being settled, {undecided} blocks undecided");
    Ok(())
}

/// The heights that are held, for people.
pub(super) fn ranges(held: &[HeightsDto]) -> String {
    if held.is_empty() {
        return "none".to_owned();
    }
    let range = |HeightsDto { from, to }: &HeightsDto| format!("{from} to {to}");
    held.iter().map(range).collect::<Vec<_>>().join(", ")
}

fn check(args: &CheckArgs) -> Result<(), Failure> {
    let checked = check_all(&args.ask.node()?, args)?;
    if args.ask.json {
        print_json(&checked)?;
    } else {
        print(&checked);
    }
    match checked.faults.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let FilterFaultDto { height, fault } = first;
            let count = checked.wrong;
            Err(format!("{count} filters are wrong, the first at height {height}: {fault}").into())
        }
    }
}

/// Asks for one piece after the other.
fn check_all(node: &RunningNode, args: &CheckArgs) -> Result<FiltersCheckDto, Failure> {
    let blocks = args.blocks.then(|| "true".to_owned());
    let ask = |from: Option<u32>| -> Result<FiltersCheckDto, Failure> {
        let number = |height: u32| height.to_string();
        let query =
            [("from", from.map(number)), ("to", args.to.map(number)), ("blocks", blocks.clone())];
        node.get_within(&path("/v1/filters/check", &query)?, DEADLINE)
    };
    let mut all = ask(args.from)?;
    let last = match args.to {
        Some(to) => to,
        None => {
            let filters: FiltersDto = node.get("/v1/filters")?;
            filters.held.last().map_or(all.heights.to, |held| held.to)
        }
    };
    let total = u64::from(last.saturating_sub(all.heights.from)) + 1;
    let mut progress = Progress::new("checking", total);
    while let Some(next) = all.next {
        progress.left(u64::from(last.saturating_sub(next)) + 1);
        join(&mut all, ask(Some(next))?);
    }
    Ok(all)
}

fn join(all: &mut FiltersCheckDto, more: FiltersCheckDto) {
    let FiltersCheckDto { heights, sound, with_block, rebuilt, undecided, missing, .. } = more;
    all.heights.to = heights.to;
    all.sound += sound;
    all.with_block += with_block;
    all.rebuilt += rebuilt;
    all.undecided += undecided;
    all.missing += missing;
    all.without_block += more.without_block;
    all.wrong += more.wrong;
    let room = MAX_FAULTS.saturating_sub(all.faults.len());
    all.faults.extend(more.faults.into_iter().take(room));
    all.next = more.next;
}

fn print(checked: &FiltersCheckDto) {
    let FiltersCheckDto { heights, sound, with_block, rebuilt, undecided, missing, .. } = checked;
    say!("heights    {} to {}", heights.from, heights.to);
    say!("sound      {sound} filters are those that their headers commit to");
    say!("by blocks  {with_block} of these have all that their blocks say, {rebuilt} were rebuilt");
    if *undecided > 0 {
        say!("undecided  {undecided}: these blocks are looked into");
    }
    if *missing > 0 {
        say!("missing    {missing}: not held");
    }
    if checked.without_block > 0 {
        say!("no block   {}: it could not be had", checked.without_block);
    }
    for FilterFaultDto { height, fault } in &checked.faults {
        say!("wrong      {height}: {fault}");
    }
}
