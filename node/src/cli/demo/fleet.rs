//! All light nodes, and waiting for them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ironlight_spv::ChainTip;

use super::light_node::LightNode;
use super::record::{Names, Source};
use super::story::Story;
use super::view::View;
use crate::cli::Failure;
use crate::cli::table::time;

/// Nothing is waited for longer than that.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks: what times are told of is as exact as that.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// They.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) root: PathBuf,
    pub(super) nodes: Vec<LightNode>,
    pub(super) names: Names,
    pub(super) story: Story,
}

/// What is told of a node that has reached a tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// How long it took from the start of its process, and whom it had headers from since.
    SinceStart,
    /// The same from now on.
    SinceNow,
    /// Nothing.
    Nothing,
}

impl Fleet {
    /// Asks every running node how it stands.
    pub(super) async fn look(&mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            node.look(&self.names).await?;
        }
        Ok(())
    }

    /// The node at a place.
    pub(super) fn node(&mut self, index: usize) -> Result<&mut LightNode, Failure> {
        self.nodes.get_mut(index).ok_or_else(|| format!("there is no node {index}").into())
    }

    /// Starts a node and waits until it answers and listens at so many addresses, which are then
    /// known as its.
    pub(super) async fn start(&mut self, index: usize, listens: usize) -> Result<u32, Failure> {
        let id = self.node(index)?.start()?;
        let began = Instant::now();
        loop {
            // The others go on meanwhile, and when each was where is to be told.
            self.look().await?;
            let Self { nodes, names, .. } = self;
            let node = nodes.get(index).ok_or("no such node")?;
            let addresses = node.standing.as_ref().map(|standing| &standing.listening);
            if let Some(addresses) = addresses.filter(|found| found.len() >= listens) {
                addresses.iter().for_each(|address| names.add(address, &node.name));
                return Ok(id);
            }
            if began.elapsed() > LIMIT {
                let (name, says, log) = (&node.name, node.says(), node.log.path().display());
                let what = format!("listening at {listens} addresses");
                return Err(late(name, &says, &what, &log));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until all running nodes have a tip.
    pub(super) async fn reach(&mut self, tip: ChainTip, tell: Tell) -> Result<(), Failure> {
        let runs = |index: &usize| self.nodes.get(*index).is_some_and(LightNode::runs);
        let running = (0..self.nodes.len()).filter(runs).collect();
        self.reach_of(running, tip, tell).await
    }

    /// Waits until some nodes have a tip.
    pub(super) async fn reach_of(
        &mut self,
        mut missing: Vec<usize>,
        tip: ChainTip,
        tell: Tell,
    ) -> Result<(), Failure> {
        let (began, wanted) = (Instant::now(), tip.hash.to_string());
        let mut view = View::new(tip.height.0);
        let before: Vec<_> = self.nodes.iter().map(|node| node.record.sources()).collect();
        while !missing.is_empty() {
            let mut still = Vec::new();
            for index in missing {
                let Self { nodes, names, story, .. } = self;
                let node = nodes.get_mut(index).ok_or("no such node")?;
                node.look(names).await?;
                view.show(node, *story);
                let on_it = node.standing.as_ref().filter(|standing| standing.hash == wanted);
                let Some(since) = on_it.map(|standing| standing.since) else {
                    still.push(index);
                    continue;
                };
                let first = since.saturating_duration_since(node.started);
                node.synced_in.get_or_insert(first);
                let before = before.get(index).map_or(&[][..], Vec::as_slice);
                if let Some(text) = told(node, since, began, before, tell) {
                    view.aside(|| story.tell(&node.name, text));
                }
            }
            missing = still;
            self.check_limit(&missing, began, tip)?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn check_limit(&self, missing: &[usize], began: Instant, tip: ChainTip) -> Result<(), Failure> {
        let late_one = missing.first().and_then(|&index| self.nodes.get(index));
        match late_one {
            Some(node) if began.elapsed() > LIMIT => {
                let what = format!("tip {} at height {}", tip.hash, tip.height);
                Err(late(&node.name, &node.says(), &what, &node.log.path().display()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What there is to tell of a node that is on the tip since some time.
fn told(
    node: &LightNode,
    since: Instant,
    began: Instant,
    before: &[(Source, u64)],
    tell: Tell,
) -> Option<String> {
    let (from, had) = match tell {
        Tell::SinceStart => (node.started, node.record.sources_of_run()),
        Tell::SinceNow => (began, news(before, node.record.sources())),
        Tell::Nothing => return None,
    };
    Some(format!("on it after {}{}", time(since.saturating_duration_since(from)), list(&had)))
}

fn late(name: &str, says: &str, expected: &str, log: &dyn std::fmt::Display) -> Failure {
    format!("{name} is {says}; within {LIMIT:?} this was expected: {expected}; see {log}").into()
}

/// What was had between two looks.
fn news(before: &[(Source, u64)], after: Vec<(Source, u64)>) -> Vec<(Source, u64)> {
    let had = |source: &Source| {
        before.iter().find(|(known, _)| known == source).map_or(0, |(_, headers)| *headers)
    };
    let new = after.into_iter().map(|(source, headers)| {
        let new = headers.saturating_sub(had(&source));
        (source, new)
    });
    new.filter(|(_, headers)| *headers > 0).collect()
}

fn list(had: &[(Source, u64)]) -> String {
    let parts: Vec<String> =
        had.iter().map(|(source, headers)| format!("{headers} headers from {source}")).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_since_is_told() {
        let from = |who: &str| Source { who: who.to_owned(), way: "bitcoin".to_owned() };
        let before = [(from("a"), 10), (from("b"), 5)];
        let after = vec![(from("a"), 14), (from("b"), 5), (from("c"), 1)];
        let had = news(&before, after);
        assert_eq!(list(&had), ": 4 headers from a (bitcoin), 1 headers from c (bitcoin)");
        assert_eq!(list(&[]), "");
    }
}
