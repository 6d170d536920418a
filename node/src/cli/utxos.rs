//! `ironlight utxos`: coins that are not spent.

use clap::Args;

use super::Failure;
use super::amount::{Unit, UnitArgs};
use super::ask::{AskArgs, path, print_json};
use super::scan;
use crate::api::{UtxoDto, UtxosDto};
use crate::cli::table::{Align, render};

#[derive(Debug, Args)]
pub(super) struct UtxosArgs {
    /// Of this account only.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    #[command(flatten)]
    unit: UnitArgs,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(args: &UtxosArgs) -> Result<(), Failure> {
    let path = path("/v1/utxos", &[("account", args.account.clone())])?;
    let found: UtxosDto = args.ask.node()?.get(&path)?;
    if args.ask.json {
        return print_json(&found);
    }
    let unit = args.unit.unit;
    let head = [
        ("height", Align::Right),
        (unit.name(), Align::Right),
        ("confirmed", Align::Right),
        ("output", Align::Left),
        ("address or script", Align::Left),
        ("note", Align::Left),
    ];
    let rows: Vec<Vec<String>> = found.utxos.iter().map(|utxo| row(utxo, unit)).collect();
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
    say!("{}", scan::in_words(&found.scan));
    Ok(())
}

fn row(utxo: &UtxoDto, unit: Unit) -> Vec<String> {
    let note = match (&utxo.pending_spend, utxo.mature) {
        (Some(by), _) => format!("spent by {by}, which is in no block"),
        (None, false) => "mined, not mature".to_owned(),
        (None, true) => String::new(),
    };
    vec![
        utxo.height.to_string(),
        unit.show(utxo.value),
        utxo.confirmations.to_string(),
        format!("{}:{}", utxo.txid, utxo.vout),
        utxo.address.clone().unwrap_or_else(|| utxo.script.clone()),
        note,
    ]
}
