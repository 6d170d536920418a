//! `ironlight fees`: what a transaction should pay, and what that rests on.

use std::time::Duration;

use clap::Args;

use super::Failure;
use super::ask::{AskArgs, path, print_json};
use crate::api::{FeeBasisDto, FeesDto};
use crate::cli::table::{Align, render};

/// Blocks may have to be fetched for it.
const DEADLINE: Duration = Duration::from_secs(200);

#[derive(Debug, Args)]
pub(super) struct FeesArgs {
    /// Blocks within which the transaction is to confirm; several for several estimates.
    #[arg(value_name = "BLOCKS", default_values_t = [1, 6, 36])]
    targets: Vec<u16>,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(args: &FeesArgs) -> Result<(), Failure> {
    let node = args.ask.node()?;
    let ask = |target: &u16| -> Result<FeesDto, Failure> {
        node.get_within(&path("/v1/fees", &[("target", Some(target.to_string()))])?, DEADLINE)
    };
    let found = args.targets.iter().map(ask).collect::<Result<Vec<FeesDto>, Failure>>()?;
    if args.ask.json {
        return print_json(&found);
    }
    let head = [("blocks", Align::Right), ("sat/vB", Align::Right), ("because", Align::Left)];
    let row = |fees: &FeesDto| {
        vec![fees.target.to_string(), per_vbyte(fees.sat_per_kvb), because(&fees.basis)]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    render(&head, &rows).iter().for_each(|line| say!("{line}"));
    Ok(())
}

fn per_vbyte(sat_per_kvb: u64) -> String {
    format!("{}.{:03}", sat_per_kvb / 1_000, sat_per_kvb % 1_000)
}

fn because(basis: &FeeBasisDto) -> String {
    let FeeBasisDto { blocks, newest_block, stretches, enough_in_percent, .. } = basis;
    let FeeBasisDto { peers, floor_sat_per_kvb, at_floor, .. } = basis;
    let of_peers = match floor_sat_per_kvb {
        Some(floor) => format!("{peers} peers relay from {} on", per_vbyte(*floor)),
        None => "no peer has said what it relays".to_owned(),
    };
    match (newest_block, at_floor) {
        (None, _) => format!("{of_peers}; no block was seen whole"),
        (Some(_), true) => format!("{of_peers}; {blocks} blocks earned less"),
        (Some(newest), false) => format!(
            "enough in {enough_in_percent} % of {stretches} stretches, by the averages of {blocks} \
             blocks up to {newest}; {of_peers}"
        ),
    }
}
