//! `ironlight wallet state`: what the wallet had at a height, and what a file claims.

use clap::{Args, Subcommand};

use super::Failure;
use super::amount::{Unit, UnitArgs};
use super::ask::{AskArgs, path, print_json};
use super::table::{Align, render};
use super::wallet_file::{self, ExportArgs, ForgetClaimArgs, ImportArgs};
use crate::api::{ClaimDto, DifferenceDto, ScriptAtDto, StateDto, WalletStateDto};

#[derive(Debug, Subcommand)]
pub(super) enum WalletCommand {
    /// Show what the wallet had at a height, with the root that proves it.
    State(StateArgs),
    /// Write what is watched, and what it had at a height, to one file.
    Export(ExportArgs),
    /// Watch what a file has; its balances are a claim until the blocks were looked at.
    Import(ImportArgs),
    /// Drop what the last file claims; what it brought is watched on.
    ForgetClaim(ForgetClaimArgs),
}

#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// Of this address or script in hexadecimal, too.
    #[arg(value_name = "ADDRESS|SCRIPT")]
    of: Option<String>,
    /// After the block of this height [default: the newest at which the history is complete].
    #[arg(long, value_name = "HEIGHT")]
    height: Option<u32>,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(command: &WalletCommand) -> Result<(), Failure> {
    match command {
        WalletCommand::State(args) => state(args),
        WalletCommand::Export(args) => wallet_file::export(args),
        WalletCommand::Import(args) => wallet_file::import(args),
        WalletCommand::ForgetClaim(args) => wallet_file::forget_claim(args),
    }
}

fn state(args: &StateArgs) -> Result<(), Failure> {
    let is_hex = |text: &&String| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let script = args.of.as_ref().filter(is_hex).cloned();
    let address = args.of.clone().filter(|_| script.is_none());
    let height = args.height.map(|height| height.to_string());
    let query = [("height", height), ("address", address), ("script", script)];
    let found: WalletStateDto = args.ask.node()?.get(&path("/v1/wallet/state", &query)?)?;
    if args.ask.json {
        return print_json(&found);
    }
    print(&found, args.unit.unit);
    Ok(())
}

fn print(found: &WalletStateDto, unit: Unit) {
    let WalletStateDto { complete_to, state, claim } = found;
    match (state, complete_to) {
        (Some(state), _) => print_state(state, unit),
        (None, Some(complete)) => {
            say!("the history is complete up to height {complete} only: what follows is a claim");
        }
        (None, None) => say!("the history is not complete at any height yet"),
    }
    if let Some(complete) = complete_to
        .filter(|complete| state.as_ref().is_some_and(|state| state.block.height != *complete))
    {
        say!("the history is complete up to height {complete}");
    }
    if let Some(claim) = claim {
        say!("");
        print_claim(claim, unit);
    }
}

fn print_state(state: &StateDto, unit: Unit) {
    let StateDto { block, root, balance, scripts, accounts, script } = state;
    say!("height   {} {}", block.height, block.hash);
    say!("root     {root}");
    let head = [("account", Align::Left), ("balance", Align::Right), ("scripts", Align::Right)];
    let mut rows: Vec<Vec<String>> = accounts
        .iter()
        .map(|of| vec![of.account.clone(), unit.show(of.balance), of.scripts.to_string()])
        .collect();
    // One account is its own total.
    if rows.len() != 1 {
        rows.push(vec!["all".to_owned(), unit.show(*balance), scripts.to_string()]);
    }
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
    say!("in {}", unit.name());
    if let Some(script) = script {
        print_script(script, unit);
    }
}

fn print_script(of: &ScriptAtDto, unit: Unit) {
    let ScriptAtDto { script, address, balance, transactions, coins_hash } = of;
    say!("script   {}", address.as_ref().unwrap_or(script));
    say!("         {} {}, {transactions} transactions", unit.show(*balance), unit.name());
    say!("         coins {coins_hash}");
}

fn print_claim(claim: &ClaimDto, unit: Unit) {
    let ClaimDto { verdict, block, root, balance, scripts, script, differing, differences } = claim;
    let what = match verdict.as_str() {
        "proven" => "proven: the blocks gave the same",
        "refuted" => "REFUTED: the blocks gave something else",
        _ => "CLAIM of a file, not verified yet",
    };
    say!("{what}");
    say!("height   {} {}", block.height, block.hash);
    say!("root     {root}");
    match balance {
        Some(balance) => {
            say!("claimed  {} {} on {scripts} scripts", unit.show(*balance), unit.name());
        }
        None => say!("claimed  its state is lost: import the file again"),
    }
    if let Some(script) = script {
        print_script(script, unit);
    }
    if let Some(differing) = differing {
        say!("differs  in {differing} scripts");
        print_differences(differences, unit);
    }
}

fn print_differences(differences: &[DifferenceDto], unit: Unit) {
    let head = [("claimed", Align::Right), ("found", Align::Right), ("script", Align::Left)];
    let amount = |amount: Option<u64>| amount.map_or_else(|| "-".to_owned(), |it| unit.show(it));
    let row = |it: &DifferenceDto| {
        let unknown = || format!("of the hash {}", it.script_id);
        let what = it.address.clone().or_else(|| it.script.clone()).unwrap_or_else(unknown);
        vec![amount(it.claimed), amount(it.found), what]
    };
    let rows: Vec<Vec<String>> = differences.iter().map(row).collect();
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
}
