//! `ironlight rescan`: looks at blocks again.

use clap::Args;

use super::ask::{AskArgs, print_json};
use super::{Failure, scan};
use crate::api::{RescanDto, ScanDto};

#[derive(Debug, Args)]
pub(super) struct RescanArgs {
    /// The first block to look at again.
    from: u32,
    /// For this item only, by its number in `watch list`.
    #[arg(long, value_name = "ITEM")]
    watch: Option<u32>,
    /// Wait until it is done.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    ask: AskArgs,
}

pub(super) fn run(args: &RescanArgs) -> Result<(), Failure> {
    let RescanArgs { from, watch, wait, ask } = args;
    let node = ask.node()?;
    let body = RescanDto { from: *from, watch: *watch };
    let mut scanned: ScanDto = node.post("/v1/rescan", &body)?;
    if *wait {
        scanned = scan::wait(&node)?;
    }
    if ask.json {
        return print_json(&scanned);
    }
    match wait {
        true => say!("looked at again from block {from} on, {}", scan::in_words(&scanned)),
        false => say!("blocks from {from} on are looked at again; `balance` says how far they are"),
    }
    Ok(())
}
