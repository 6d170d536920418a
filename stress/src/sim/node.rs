//! The node of a simulation: the real machine and chain, driven as the real driver does it.

use std::collections::BTreeSet;

use ironlight_spv::chain::BlockLocator;
use ironlight_spv::peers::Offence;
use ironlight_spv::sync::{HeaderSync, PeerId, SyncAction, SyncConfig, SyncEvent, SyncOffence};
use ironlight_spv::{
    BlockHash, Header, HeaderChain, HeaderError, LinkedBatch, Now, TipChange, VerifiedBatch,
};

use super::chains::replay;

/// What a store would have been given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// Commits.
    pub commits: u64,
    /// Headers in them.
    pub headers: u64,
}

/// A message that the node wants sent.
#[derive(Debug)]
pub struct Question {
    /// To whom.
    pub peer: PeerId,
    /// Newest first.
    pub locator: BlockLocator,
    /// The last header wanted.
    pub stop: Option<BlockHash>,
}

/// The machine, the chain and a counter in place of a store.
#[derive(Debug)]
pub struct Node {
    /// The machine.
    pub sync: HeaderSync,
    /// The chain.
    pub chain: HeaderChain,
    /// What was written.
    pub writes: Writes,
    /// Provable faults.
    pub blamed: Vec<(PeerId, SyncOffence)>,
    /// What the machine told.
    pub events: Vec<SyncEvent>,
    /// Pins that were not taken back.
    pub pins: BTreeSet<BlockHash>,
    /// Faults and events that were reported.
    reported: (usize, usize),
}

impl Node {
    /// A node that starts with a chain.
    #[must_use]
    pub fn new(chain: HeaderChain, config: SyncConfig, seed: u64) -> Self {
        Self {
            sync: HeaderSync::new(config, seed),
            chain,
            writes: Writes::default(),
            blamed: Vec::new(),
            events: Vec::new(),
            pins: BTreeSet::new(),
            reported: (0, 0),
        }
    }

    /// The node after a restart: it has its best chain, verified anew, and nothing else.
    #[must_use]
    pub fn restarted(&self, config: SyncConfig, seed: u64) -> Self {
        Self::new(replay(&self.chain, usize::MAX), config, seed)
    }

    /// What the peer policy is to be told of, and has not been.
    pub fn reports(&mut self) -> Vec<(PeerId, Offence)> {
        let (faults, events) = self.reported;
        self.reported = (self.blamed.len(), self.events.len());
        let faults =
            self.blamed.iter().skip(faults).map(|(peer, offence)| (*peer, offence.offence()));
        let stalls = self.events.iter().skip(events).filter_map(|event| {
            let SyncEvent::Stalled { peer } = event else { return None };
            Some((*peer, Offence::Stalled))
        });
        faults.chain(stalls).collect()
    }

    /// Does what the machine says until it has nothing to say.
    pub fn settle(&mut self, now: Now, questions: &mut Vec<Question>) {
        while let Some(action) = self.sync.poll() {
            match action {
                SyncAction::GetHeaders { peer, locator, stop, .. } => {
                    questions.push(Question { peer, locator, stop });
                }
                SyncAction::Apply { peer, batch } => self.apply(peer, batch, now),
                SyncAction::Pin(hash) => {
                    self.pins.insert(hash);
                    self.chain.pin(hash);
                }
                SyncAction::Unpin(hash) => {
                    self.pins.remove(&hash);
                    self.chain.unpin(&hash);
                }
                SyncAction::Misbehaved { peer, offence } => self.blamed.push((peer, offence)),
                SyncAction::Event(event) => self.events.push(event),
                other => unreachable!("an action that the driver does not know: {other:?}"),
            }
        }
    }

    fn apply(&mut self, peer: PeerId, batch: LinkedBatch, now: Now) {
        match self.chain.verify_linked(batch, now.unix) {
            Ok(verified) => {
                let change = self.commit(verified);
                self.sync.handle_applied(&self.chain, peer, Ok(&change), now);
            }
            Err(mut error) => {
                self.refuse(&mut error);
                self.sync.handle_applied(&self.chain, peer, Err(&error), now);
            }
        }
    }

    fn refuse(&mut self, error: &mut HeaderError) {
        if let Some(prefix) = error.prefix.take() {
            self.commit(*prefix);
        }
        self.chain.remember_invalid(error);
    }

    fn commit(&mut self, verified: VerifiedBatch) -> TipChange {
        let written = match verified.change() {
            TipChange::Unchanged => verified.side_branch().len(),
            TipChange::Extended { connected } | TipChange::Reorg { connected, .. } => {
                connected.len()
            }
        };
        if written > 0 {
            self.writes.commits += 1;
            self.writes.headers += u64::try_from(written).unwrap_or(u64::MAX);
        }
        self.chain.apply(verified).unwrap_or(TipChange::Unchanged)
    }

    /// Headers arrive.
    pub fn take_headers(&mut self, peer: PeerId, headers: Vec<Header>, now: Now) {
        self.sync.handle_headers(&self.chain, peer, headers, now);
    }

    /// How often a peer was blamed.
    #[must_use]
    pub fn blames(&self, peer: PeerId) -> usize {
        self.blamed.iter().filter(|(blamed, _)| *blamed == peer).count()
    }
}
