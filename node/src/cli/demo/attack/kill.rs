//! SIGKILL while blocks come in: what a node has published is stored.

use std::time::{Duration, Instant};

use crate::cli::Failure;
use crate::cli::demo::acts;
use crate::cli::demo::fleet::{Fleet, LIMIT, Tell};
use crate::cli::demo::stage::Stage;
use crate::devnet::Devnet;

/// Blocks mined meanwhile, and the pause between them.
const BLOCKS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(10);
/// Blocks that the node has taken in when it is killed.
const FOLLOWED: u32 = 10;

/// See above.
pub(in crate::cli::demo) async fn kill(stage: &mut Stage) -> Result<(), Failure> {
    let index = stage.last_of_line();
    let name = stage.fleet.node(index)?.name.clone();
    stage.story.title(format!("Attack: kill -9 while {name} follows {BLOCKS} new blocks."));
    let Stage { devnet, fleet, .. } = stage;
    let (mined, killed) = tokio::join!(mine(devnet), kill_midway(fleet, index));
    mined?;
    let published = killed?;
    stage.story.tell(&name, format!("killed; it had published height {published} by then"));
    let tip = stage.tell_tip();
    // Whom it comes back to has everything: then what it is behind is its own to make up.
    stage.fleet.reach(tip, Tell::Nothing).await?;
    let stored = acts::start_again(stage, index).await?;
    if stored < u64::from(published) {
        return Err(format!("{name} had published {published}, and stored only {stored}").into());
    }
    stage
        .story
        .tell(&name, format!("nothing published was lost: {stored} is not below {published}"));
    stage.fleet.reach_of(vec![index], tip, Tell::SinceStart).await
}

async fn mine(devnet: &Devnet) -> Result<(), Failure> {
    for _ in 0..BLOCKS {
        devnet.mine(1).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Kills a node once it has followed some blocks, and gives the last height that it told.
async fn kill_midway(fleet: &mut Fleet, index: usize) -> Result<u32, Failure> {
    let (names, began) = (fleet.names.clone(), Instant::now());
    let node = fleet.node(index)?;
    node.look(&names).await?;
    let first = node.standing.as_ref().map_or(0, |standing| standing.height);
    loop {
        node.look(&names).await?;
        let height = node.standing.as_ref().map_or(0, |standing| standing.height);
        if height >= first.saturating_add(FOLLOWED) {
            node.kill()?;
            return Ok(height);
        }
        if began.elapsed() > LIMIT {
            let (name, says) = (&node.name, node.says());
            return Err(format!("{name} does not follow: {says} after {LIMIT:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
