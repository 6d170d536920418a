//! What becomes of an answer.

use super::action::FilterAnswer;
use super::ask::{InFlight, Purpose};
use super::machine::FilterSync;
use super::peer::Peer;
use crate::chain::HeaderChain;
use crate::header::BlockHeight;
use crate::time::Now;

/// Whether an answer was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Useful {
    Yes,
    No,
}

impl FilterSync {
    /// What became of the answer to a question.
    pub(super) fn take_answer(
        &mut self,
        chain: &HeaderChain,
        asked: &InFlight,
        answer: FilterAnswer,
        now: Now,
    ) {
        let peer = asked.peer;
        self.give_back(asked);
        // What was asked about another branch is of no use, and nobody's fault.
        let current = chain.hash_at(BlockHeight(asked.stop.0)) == Some(asked.stop.1);
        if !current || self.peers.get(&peer).is_none_or(Peer::is_refused) {
            return;
        }
        let useful = match (asked.purpose, answer) {
            (Purpose::List, FilterAnswer::Checkpoints(headers)) => {
                self.take_list(chain, asked, &headers)
            }
            (Purpose::Claim { start }, FilterAnswer::Headers { previous, hashes }) => {
                self.take_claim(chain, asked, start, previous, &hashes, now)
            }
            (Purpose::Range { start }, FilterAnswer::Headers { previous, hashes }) => {
                self.take_range(chain, asked, start, previous, hashes, now)
            }
            (Purpose::Filters { start }, FilterAnswer::Filters(served)) => {
                self.take_filters(chain, asked, start, served, now)
            }
            (Purpose::Evidence { hash }, FilterAnswer::Filters(served)) => {
                self.take_evidence(asked, hash, served, now)
            }
            (Purpose::Block, FilterAnswer::Block(block)) => self.take_block(chain, asked, &block),
            (
                Purpose::List
                | Purpose::Claim { .. }
                | Purpose::Range { .. }
                | Purpose::Filters { .. }
                | Purpose::Evidence { .. }
                | Purpose::Block,
                FilterAnswer::Checkpoints(_)
                | FilterAnswer::Headers { .. }
                | FilterAnswer::Filters(_)
                | FilterAnswer::Block(_),
            ) => Useful::No,
        };
        match useful {
            Useful::Yes => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.strikes = 0;
                    if asked.overdue {
                        // Late, but it came.
                        known.backoff = None;
                    }
                }
            }
            Useful::No => self.strike(peer, asked.overdue, now),
        }
    }
}
