//! One bit of a stopped node's database is flipped.
//!
//! A database keeps old copies of what it rewrites, which nobody reads again: a bit that was
//! flipped there is harmless and goes unnoticed. So the place is searched for: the Merkle root of
//! a known header, the last copy first, until the node finds the damage.

use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::hashes::Hash as _;

use crate::cli::Failure;
use crate::cli::demo::acts;
use crate::cli::demo::fleet::Tell;
use crate::cli::demo::light_node::LightNode;
use crate::cli::demo::stage::Stage;

/// Copies that are tried.
const TRIES: usize = 8;

/// See above.
pub(in crate::cli::demo) async fn flipped_bit(stage: &mut Stage) -> Result<(), Failure> {
    let index = stage.last_of_line();
    let tip = stage.devnet.tip();
    let height = tip.height.0 / 2;
    let root = stage.devnet.read(|ledger| {
        ledger.tree().at(height).map(|entry| entry.block.header.merkle_root.to_byte_array())
    });
    let root = root.ok_or_else(|| format!("the full node has no block at height {height}"))?;
    let name = stage.fleet.node(index)?.name.clone();
    stage.story.title(format!("Attack: a bit flips in {name}'s database while it is stopped."));
    let prefix = format!("{}/", stage.fleet.root.display());
    for _ in 0..TRIES {
        acts::stop(stage, index).await?;
        let (file, place) = flip(stage.fleet.node(index)?.data_dir(), &root)?;
        let file = file.display();
        let about =
            format!("header {height}'s Merkle root: bit 0 of byte {place} of {file} flipped");
        stage.story.tell(&name, about.replace(&prefix, ""));
        acts::start_again(stage, index).await?;
        let found = noticed(stage.fleet.node(index)?)?;
        if found.is_empty() {
            stage.story.tell(&name, "read all that it stored and found nothing: an old copy, then");
            continue;
        }
        stage.story.tell(&name, "found it; its log:");
        found.iter().for_each(|line| stage.story.more(line.replace(&prefix, "")));
        return stage.fleet.reach_of(vec![index], tip, Tell::SinceStart).await;
    }
    Err(format!("{name} has noticed none of {TRIES} flipped bits").into())
}

/// Warnings of the store since the node's start.
fn noticed(node: &LightNode) -> Result<Vec<String>, Failure> {
    let entries = node.log.entries()?;
    let warnings = entries.iter().filter(|entry| {
        let place = ["ironlight::node", "ironlight::opened", "ironlight::store"];
        entry.level == "WARN" && place.iter().any(|place| entry.target.starts_with(place))
    });
    Ok(warnings.map(|entry| format!("WARN {}", entry.message())).collect())
}

/// Flips a bit in the last copy of something among the files of a directory; gives the file and
/// the byte.
fn flip(directory: &Path, what: &[u8]) -> Result<(PathBuf, usize), Failure> {
    for file in files_below(directory)? {
        let mut bytes = fs::read(&file)?;
        let place = bytes.windows(what.len()).rposition(|window| window == what);
        if let Some(byte) = place.and_then(|place| bytes.get_mut(place)) {
            *byte ^= 1;
            fs::write(&file, &bytes)?;
            return Ok((file, place.unwrap_or_default()));
        }
    }
    Err(format!("no header in {} has the Merkle root that is looked for", directory.display())
        .into())
}

/// Files of a directory of ours, which has no links.
fn files_below(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_of_the_last_copy_is_flipped() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("store")).unwrap();
        let file = directory.path().join("store/db");
        fs::write(&file, b"..root..root..").unwrap();
        assert_eq!(flip(directory.path(), b"root").unwrap(), (file.clone(), 8));
        assert_eq!(fs::read(&file).unwrap(), b"..root..soot..");
        assert_eq!(flip(directory.path(), b"root").unwrap().1, 2);
        assert!(flip(directory.path(), b"root").is_err());
    }
}
