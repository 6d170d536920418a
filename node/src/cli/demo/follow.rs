//! The demo goes on until Ctrl-C: blocks come, and everybody follows.

use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::stage::Stage;
use super::view::View;
use crate::cli::Failure;
use crate::cli::run::Signals;

const BLOCK_EVERY: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Mines and shows until a signal comes.
pub(super) async fn until(stage: &mut Stage, signals: &mut Signals) -> Result<(), Failure> {
    print_where_to_look(stage);
    let (mut blocks, mut looks) = (interval(BLOCK_EVERY), interval(LOOK_EVERY));
    blocks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut view = View::following(stage.devnet.tip().height.0);
    loop {
        tokio::select! {
            biased;
            () = signals.next() => return Ok(()),
            _ = blocks.tick() => {
                let tip = stage.devnet.mine(1).await?;
                view.aim(tip.height.0);
                let block = format!("block {} {}", tip.height, tip.hash);
                view.aside(|| stage.story.tell("devnet", block));
            }
            _ = looks.tick() => {
                let looked = stage.fleet.look().await;
                if looked.is_err() && signals.come_soon().await {
                    return Ok(());
                }
                looked?;
                stage.fleet.nodes.iter().for_each(|node| view.show(node, stage.story));
            }
        }
    }
}

fn print_where_to_look(stage: &Stage) {
    stage.story.title(format!(
        "The full node mines a block every {} s until Ctrl-C. Meanwhile, in another terminal:",
        BLOCK_EVERY.as_secs()
    ));
    for node in stage.fleet.nodes.iter().filter(|node| node.runs()) {
        let directory = shell_word(node.data_dir());
        say!("  ironlight status --network regtest --data-dir {directory}");
        say!("  ironlight peers  --network regtest --data-dir {directory}");
        say!("  tail -f {}", shell_word(node.log.path()));
    }
    say!("");
}

/// A path as a shell takes it for one word.
fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_can_be_pasted_into_a_shell() {
        assert_eq!(shell_word(Path::new("/tmp/demo-1/node1")), "/tmp/demo-1/node1");
        assert_eq!(shell_word(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
