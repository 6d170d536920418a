//! Liars: what they answer, and what they make up unasked.

use std::collections::BTreeSet;

use ironlight_spv::Header;
use ironlight_spv::generate::Miner;
use ironlight_spv::peers::PeerId;

use super::event::{Message, Output};
use crate::sim::peer::{Role, SimPeer};

/// What a liar does.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What it answers.
    pub role: Role,
    /// What it announces with each tick to everybody that it is connected to.
    pub forges: Vec<Forgery>,
}

impl Behaviour {
    /// Answers, and announces nothing.
    #[must_use]
    pub const fn answers(role: Role) -> Self {
        Self { role, forges: Vec::new() }
    }

    /// The same, with announcements.
    #[must_use]
    pub fn forging(mut self, forgery: Forgery) -> Self {
        self.forges.push(forgery);
        self
    }
}

/// A made-up announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// The hash of a block that does not exist.
    Hash,
    /// A header with proof of work whose parent does not exist.
    Orphan,
    /// A header without proof of work, as full nodes announce it.
    NoWork,
    /// The same as light nodes gossip it.
    TipWithoutWork,
}

#[derive(Debug)]
pub(super) struct Liar {
    peer: SimPeer,
    forges: Vec<Forgery>,
    miner: Miner,
    genesis: Header,
    neighbours: BTreeSet<PeerId>,
}

impl Liar {
    pub(super) fn new(behaviour: Behaviour, genesis: Header, seed: u64) -> Self {
        Self {
            peer: SimPeer::new(behaviour.role),
            forges: behaviour.forges,
            miner: Miner::new(seed),
            genesis,
            neighbours: BTreeSet::new(),
        }
    }

    pub(super) fn joined(&mut self, link: PeerId) {
        self.neighbours.insert(link);
    }

    pub(super) fn left(&mut self, link: PeerId) {
        self.neighbours.remove(&link);
    }

    /// It goes down.
    pub(super) fn stop(&mut self) {
        self.neighbours.clear();
    }

    /// How often it was asked.
    pub(super) const fn questions(&self) -> usize {
        self.peer.questions()
    }

    pub(super) fn handle(&mut self, link: PeerId, message: Message) -> Vec<Output> {
        let Message::GetHeaders { locator, stop } = message else { return Vec::new() };
        let answer = self.peer.answer(&locator, stop);
        let send =
            |(headers, delay)| Output::Send { link, message: Message::Headers(headers), delay };
        answer.map(send).into_iter().collect()
    }

    pub(super) fn tick(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        for link in self.neighbours.clone() {
            for forgery in self.forges.clone() {
                outputs.push(Output::send(link, self.forge(forgery)));
            }
        }
        outputs
    }

    fn forge(&mut self, forgery: Forgery) -> Message {
        let (time, bits) = (self.genesis.time(), self.genesis.compact_target());
        let unknown = self.miner.mine(self.genesis.hash(), time, bits);
        let orphan = self.miner.mine(unknown.hash(), time, bits);
        match forgery {
            Forgery::Hash => Message::Inv(vec![orphan.hash()]),
            Forgery::Orphan => Message::Headers(vec![orphan]),
            Forgery::NoWork => Message::Headers(vec![self.without_work(&orphan)]),
            Forgery::TipWithoutWork => Message::Tip(self.without_work(&orphan)),
        }
    }

    fn without_work(&mut self, like: &Header) -> Header {
        crate::sim::chains::spoil_proof(&mut self.miner, like)
    }
}
