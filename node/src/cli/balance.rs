//! `ironlight balance`: what accounts have.

use clap::Args;

use super::Failure;
use super::amount::{Unit, UnitArgs};
use super::ask::{AskArgs, path, print_json};
use super::{history, scan};
use crate::api::{AccountBalanceDto, BalanceDto};
use crate::cli::table::{Align, render};

#[derive(Debug, Args)]
pub(super) struct BalanceArgs {
    /// Of this account only.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(args: &BalanceArgs) -> Result<(), Failure> {
    let path = path("/v1/balance", &[("account", args.account.clone())])?;
    let balance: BalanceDto = args.ask.node()?.get(&path)?;
    if args.ask.json {
        return print_json(&balance);
    }
    print(&balance, args.unit.unit);
    Ok(())
}

fn print(balance: &BalanceDto, unit: Unit) {
    let head = [
        ("account", Align::Left),
        ("confirmed", Align::Right),
        ("immature", Align::Right),
        ("pending in", Align::Right),
        ("pending out", Align::Right),
    ];
    let row = |name: &str, [confirmed, immature, pending_in, pending_out]: [u64; 4]| {
        let amounts =
            [confirmed, immature, pending_in, pending_out].map(|amount| unit.show(amount));
        std::iter::once(name.to_owned()).chain(amounts).collect::<Vec<_>>()
    };
    let BalanceDto { account, confirmed, immature, pending_in, pending_out, .. } = balance;
    let total = [*confirmed, *immature, *pending_in, *pending_out];
    let mut rows: Vec<Vec<String>> =
        balance.accounts.iter().map(|of| row(&of.account, amounts(of))).collect();
    // One account is its own total.
    if rows.len() != 1 {
        rows.push(row(account.as_deref().unwrap_or("all"), total));
    }
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
    say!("{}, in {}", scan::in_words(&balance.scan), unit.name());
    if !balance.pending.is_empty() {
        say!("");
        history::print_pending(&balance.pending, unit);
    }
}

const fn amounts(of: &AccountBalanceDto) -> [u64; 4] {
    [of.confirmed, of.immature, of.pending_in, of.pending_out]
}
