//! What is shown in any case.

use super::fleet::Tell;
use super::stage::Stage;
use crate::cli::Failure;

/// Blocks that the reorg takes off.
const REORG: u32 = 3;
/// Blocks that a stopped node misses.
const MISSED: u32 = 5;

/// Everybody catches up.
pub(super) async fn sync(stage: &mut Stage) -> Result<(), Failure> {
    let tip = stage.devnet.tip();
    stage.story.title(format!("All sync to {}.", tip.hash));
    stage.fleet.reach(tip, Tell::SinceStart).await
}

/// The full node changes its mind, and everybody follows.
pub(super) async fn reorg(stage: &mut Stage) -> Result<(), Failure> {
    let old = stage.devnet.tip();
    stage.story.title(format!("A reorg: the full node's last {REORG} blocks are replaced."));
    let branch = stage.devnet.reorg(REORG).await?;
    if stage.devnet.tip().hash == old.hash {
        return Err(format!("the reorg left the full node on {}", old.hash).into());
    }
    let (off, on, fork) = (branch.disconnected.len(), branch.mined.len(), branch.fork_height);
    stage.story.tell("devnet", format!("{off} blocks off, {on} on, above height {fork}"));
    let tip = stage.tell_tip();
    stage.fleet.reach(tip, Tell::SinceNow).await
}

/// A node that knows light nodes only stops, misses blocks, and comes back.
pub(super) async fn restart(stage: &mut Stage) -> Result<(), Failure> {
    let last = stage.last_of_line();
    let name = stage.fleet.node(last)?.name.clone();
    stage
        .story
        .title(format!("{name} stops, misses {MISSED} blocks, and starts on what it stored."));
    stop(stage, last).await?;
    stage.devnet.mine(MISSED).await?;
    let tip = stage.tell_tip();
    stage.fleet.reach(tip, Tell::SinceNow).await?;
    start_again(stage, last).await?;
    stage.fleet.reach_of(vec![last], tip, Tell::SinceStart).await
}

/// SIGTERM.
pub(super) async fn stop(stage: &mut Stage, index: usize) -> Result<(), Failure> {
    let names = stage.fleet.names.clone();
    let node = stage.fleet.node(index)?;
    node.look(&names).await?;
    let height = node.standing.as_ref().map_or(0, |standing| standing.height);
    let (name, began) = (node.name.clone(), std::time::Instant::now());
    node.stop(&names).await?;
    let took = crate::cli::table::time(began.elapsed());
    stage.story.tell(&name, format!("SIGTERM at height {height}; ended in order within {took}"));
    Ok(())
}

/// Starts a stopped node on its data, and tells what it found there.
pub(super) async fn start_again(stage: &mut Stage, index: usize) -> Result<u64, Failure> {
    let id = stage.start_again(index).await?;
    let node = stage.fleet.node(index)?;
    let (name, height) = (node.name.clone(), node.opened_at()?);
    stage.story.tell(&name, format!("process {id}; found its chain up to height {height}"));
    Ok(height)
}

/// At the end nobody is left behind.
pub(super) async fn all_agree(stage: &mut Stage) -> Result<(), Failure> {
    let tip = stage.devnet.tip();
    stage.fleet.reach(tip, Tell::Nothing).await
}
