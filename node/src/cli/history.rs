//! `ironlight history`: transactions of what is watched, the newest first.

use clap::Args;

use super::amount::{Unit, UnitArgs};
use super::ask::{AskArgs, path, print_json};
use super::{Failure, date, scan};
use crate::api::{HistoryDto, HistoryEntryDto, PendingDto};
use crate::cli::table::{Align, render};

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Of this account only.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only those before this place, as the end of a page names it.
    #[arg(long, value_name = "HEIGHT:POSITION")]
    before: Option<String>,
    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(args: &HistoryArgs) -> Result<(), Failure> {
    let query = [
        ("account", args.account.clone()),
        ("before", args.before.clone()),
        ("limit", Some(args.limit.to_string())),
    ];
    let page: HistoryDto = args.ask.node()?.get(&path("/v1/history", &query)?)?;
    if args.ask.json {
        return print_json(&page);
    }
    print(&page, args.unit.unit);
    Ok(())
}

fn print(page: &HistoryDto, unit: Unit) {
    let HistoryDto { pending, entries, next, scan } = page;
    if !pending.is_empty() {
        print_pending(pending, unit);
        say!("");
    }
    let head = [
        ("height", Align::Right),
        ("block time", Align::Left),
        (unit.name(), Align::Right),
        ("fee", Align::Right),
        ("confirmed", Align::Right),
        ("transaction", Align::Left),
    ];
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, unit)).collect();
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
    say!("{}", scan::in_words(scan));
    if let Some(next) = next {
        say!("there are older ones: --before {next}");
    }
}

fn row(entry: &HistoryEntryDto, unit: Unit) -> Vec<String> {
    vec![
        entry.height.to_string(),
        entry.time.map(date::minute).unwrap_or_default(),
        unit.show_signed(entry.net),
        entry.fee.map(|fee| unit.show(fee)).unwrap_or_default(),
        entry.confirmations.to_string(),
        entry.txid.clone(),
    ]
}

/// Transactions that are in no block, with what that means.
pub(super) fn print_pending(pending: &[PendingDto], unit: Unit) {
    let head = [
        ("pending", Align::Left),
        ("since", Align::Left),
        (unit.name(), Align::Right),
        ("transaction", Align::Left),
    ];
    let row = |entry: &PendingDto| {
        let who =
            if entry.origin == "own" { "sent from here" } else { "told by a peer, unverified" };
        let since = date::minute(entry.since);
        vec![who.to_owned(), since, unit.show_signed(entry.net), entry.txid.clone()]
    };
    let rows: Vec<Vec<String>> = pending.iter().map(row).collect();
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
}
