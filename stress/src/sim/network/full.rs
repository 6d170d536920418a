//! A full node: it mines, serves headers, and follows other full nodes by the plainest means, so
//! that what is on trial, the light nodes' machines, does not decide what the honest tip is.

use std::collections::BTreeMap;

use ironlight_spv::chain::Violation;
use ironlight_spv::generate::Miner;
use ironlight_spv::peers::PeerId;
use ironlight_spv::sync::MAX_HEADERS;
use ironlight_spv::{BlockHeight, Header, HeaderChain, TipChange, UnixTime};

use super::event::{Message, Output};
use crate::sim::chains::{grow, replay, served};

/// New blocks announced by their headers at most (Bitcoin Core, `MAX_BLOCKS_TO_ANNOUNCE`).
const MAX_ANNOUNCED: usize = 8;
/// Seconds from block to block.
const SPACING: u32 = 600;

#[derive(Debug)]
pub(super) struct FullNode {
    pub(super) chain: HeaderChain,
    miner: Miner,
    /// Whoever is connected, and whether it is a full node.
    neighbours: BTreeMap<PeerId, bool>,
}

impl FullNode {
    pub(super) const fn new(chain: HeaderChain, seed: u64) -> Self {
        Self { chain, miner: Miner::new(seed), neighbours: BTreeMap::new() }
    }

    pub(super) fn joined(&mut self, link: PeerId, full: bool) -> Vec<Output> {
        self.neighbours.insert(link, full);
        if full { vec![self.question(link)] } else { Vec::new() }
    }

    pub(super) fn left(&mut self, link: PeerId) {
        self.neighbours.remove(&link);
    }

    /// It goes down.
    pub(super) fn stop(&mut self) {
        self.neighbours.clear();
    }

    fn question(&self, link: PeerId) -> Output {
        Output::send(link, Message::GetHeaders { locator: self.chain.locator(), stop: None })
    }

    /// Mines on its tip.
    pub(super) fn mine(&mut self, count: usize) -> Vec<Output> {
        let mined = grow(&mut self.chain, &mut self.miner, count, SPACING);
        self.announce(&mined, None)
    }

    /// Replaces its last blocks by as many and one more.
    pub(super) fn reorg(&mut self, depth: u32) -> Vec<Output> {
        let tip = self.chain.tip().height;
        let fork = tip.minus(depth).unwrap_or(BlockHeight(0));
        let count = usize::try_from(tip.0 - fork.0).unwrap_or(usize::MAX).saturating_add(1);
        let kept = usize::try_from(fork.0).unwrap_or(usize::MAX);
        let mut branch = replay(&self.chain, kept);
        let mined = grow(&mut branch, &mut self.miner, count, SPACING);
        let connected = self.take_in(&mined, UnixTime::MAX).unwrap_or_default();
        self.announce(&connected, None)
    }

    /// The headers that are new on the best chain; the error where a parent is missing. What is
    /// invalid is left out.
    fn take_in(&mut self, headers: &[Header], now: UnixTime) -> Result<Vec<Header>, MissingParent> {
        let verified = match self.chain.verify(headers, now) {
            Ok(verified) => verified,
            Err(error) if matches!(error.violation, Violation::UnknownParent { .. }) => {
                return Err(MissingParent);
            }
            Err(mut error) => match error.prefix.take() {
                Some(prefix) => *prefix,
                None => return Ok(Vec::new()),
            },
        };
        Ok(match self.chain.apply(verified) {
            Ok(TipChange::Extended { connected } | TipChange::Reorg { connected, .. }) => {
                connected.headers().to_vec()
            }
            Ok(TipChange::Unchanged) | Err(_) => Vec::new(),
        })
    }

    pub(super) fn handle(&mut self, link: PeerId, message: Message, now: UnixTime) -> Vec<Output> {
        match message {
            Message::GetHeaders { locator, stop } => {
                let headers = served(&self.chain, &locator, stop);
                vec![Output::send(link, Message::Headers(headers))]
            }
            // Full nodes hear of blocks from full nodes.
            Message::Headers(_) | Message::Inv(_) | Message::Tip(_)
                if self.neighbours.get(&link) != Some(&true) =>
            {
                Vec::new()
            }
            Message::Headers(headers) => self.follow(link, &headers, now),
            Message::Inv(hashes) if hashes.iter().all(|hash| self.chain.contains(hash)) => {
                Vec::new()
            }
            Message::Inv(_) => vec![self.question(link)],
            Message::Tip(header) => self.follow(link, &[header], now),
        }
    }

    fn follow(&mut self, link: PeerId, headers: &[Header], now: UnixTime) -> Vec<Output> {
        let Ok(connected) = self.take_in(headers, now) else { return vec![self.question(link)] };
        let mut outputs = self.announce(&connected, Some(link));
        if let Some(last) = headers.last().filter(|_| headers.len() >= MAX_HEADERS) {
            let locator = self.chain.locator_from(&last.hash());
            outputs.push(Output::send(link, Message::GetHeaders { locator, stop: None }));
        }
        outputs
    }

    /// Tells everybody but one of what is new: by headers where they are few.
    fn announce(&self, connected: &[Header], but: Option<PeerId>) -> Vec<Output> {
        let Some(last) = connected.last() else { return Vec::new() };
        let message = if connected.len() <= MAX_ANNOUNCED {
            Message::Headers(connected.to_vec())
        } else {
            Message::Inv(vec![last.hash()])
        };
        let others = self.neighbours.keys().filter(|link| Some(**link) != but);
        others.map(|link| Output::send(*link, message.clone())).collect()
    }

    /// Tells full nodes of its tip once more: what was lost on the way is made up for.
    pub(super) fn tick(&self) -> Vec<Output> {
        let tip = Message::Inv(vec![self.chain.tip().hash]);
        let full = self.neighbours.iter().filter(|(_, full)| **full);
        full.map(|(link, _)| Output::send(*link, tip.clone())).collect()
    }
}

#[derive(Debug)]
struct MissingParent;
