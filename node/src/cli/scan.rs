//! Waiting until blocks were looked at, and saying how far they were.

use std::time::Duration;

use super::Failure;
use super::ask::RunningNode;
use super::progress::Progress;
use crate::api::ScanDto;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(100);

/// Waits until all that is watched was looked for up to the tip, with a bar; for as long as it takes.
pub(super) fn wait(node: &RunningNode) -> Result<ScanDto, Failure> {
    let mut scan: ScanDto = node.get("/v1/scan")?;
    let mut progress = Progress::new("scanning", u64::from(scan.blocks_left));
    while !scan.synced {
        std::thread::sleep(EVERY);
        scan = node.get("/v1/scan")?;
        progress.left(u64::from(scan.blocks_left));
    }
    Ok(scan)
}

/// How far what is shown is true.
pub(super) fn in_words(scan: &ScanDto) -> String {
    let ScanDto { tip, blocks_left, synced } = scan;
    let Some(tip) = tip else { return "no block was looked at yet".to_owned() };
    let at = format!("as of block {} {}", tip.height, tip.hash);
    match (synced, blocks_left) {
        (true, _) => at,
        (false, 0) => format!("{at}; the chain is not synced yet"),
        (false, left) => format!("{at}; {left} blocks are to be looked at still"),
    }
}
