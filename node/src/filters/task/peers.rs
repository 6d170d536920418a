//! Whom the task asks: who serves filters, who has which block, and who did not have what it was asked for.

use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::BlockHeight;
use ironlight_spv::filter::sync::{
    FilterPeerTraits, FilterRequest, FilterRequestId, FilterUnanswered,
};
use ironlight_spv::peers::PeerId;
use tracing::warn;

use super::super::ask::{Answered, Asking, Outcome, query};
use super::FilterTask;
use crate::events::NodeEvent;
use crate::net::data::{DataPeer, PeerList, Query};
use crate::net::{Direction, PeerNetwork};

/// What could not be asked because peer or chain moved on is asked anew after this.
const SOON: Duration = Duration::from_millis(100);

/// So often the pause doubles: to some three seconds.
const LESS_OFTEN: u32 = 5;

/// How often in a row a peer did not have what it was asked for, and when it is asked again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missing {
    times: u32,
    until: Duration,
}

impl FilterTask {
    /// Tells the machine who has come, who has gone, and who has which block.
    pub(super) fn meet(&mut self) {
        let list = Arc::clone(&self.peers.borrow_and_update());
        let known = std::mem::replace(&mut self.known, Arc::clone(&list));
        let serving = |list: &PeerList, peer| list.get(peer).is_some_and(|it| it.offers.filters);
        for peer in known.keys().filter(|peer| serving(&known, peer) && !serving(&list, peer)) {
            self.missing.remove(peer);
            self.with(|sync, chain, now| sync.handle_disconnected(chain, *peer, now));
        }
        for (peer, entry) in list.iter().filter(|(_, entry)| entry.offers.filters) {
            // A light node may offer filters later than it connects.
            let before = known.get(peer).filter(|old| old.offers.filters);
            if before.is_none() {
                let traits = traits(entry);
                self.with(|sync, chain, now| sync.handle_connected(chain, *peer, traits, now));
            }
            let latest = entry.latest.filter(|_| before.and_then(|old| old.latest) != entry.latest);
            if let Some(block) = latest {
                self.with(|sync, chain, now| sync.handle_peer_block(chain, *peer, block, now));
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        peer: PeerId,
        id: FilterRequestId,
        request: &FilterRequest,
        retry: bool,
    ) {
        let entry = self.known.get(&peer);
        let query = self.chain.read(|chain| query(chain, request));
        let line = entry.map(|entry| Arc::clone(&entry.line));
        // A single one may be a question of evidence, which is worth asking.
        if let (Some(line), Some(Query::Filters { start, blocks })) = (&line, &query)
            && blocks.len() > 1
            && !line.may_have_filter(*start)
        {
            let outcome = Outcome::NotThere;
            self.asking.spawn(async move { Answered { peer, id, outcome } });
            return;
        }
        // One that is not known any more is answered as all others are: not from within.
        let Some((line, query)) = line.zip(query) else {
            let outcome = Outcome::Unanswered(FilterUnanswered::Refused { retry_after: SOON });
            self.asking.spawn(async move { Answered { peer, id, outcome } });
            return;
        };
        let asking = Asking { peer, id, query, retry };
        self.asking.spawn(asking.ask(line));
    }

    pub(super) fn answered(&mut self, answered: Result<Answered, tokio::task::JoinError>) {
        match answered {
            Ok(Answered { peer, id, outcome: Outcome::Answer(answer) }) => {
                self.missing.remove(&peer);
                self.with(|sync, chain, now| sync.handle_answer(chain, peer, id, answer, now));
            }
            Ok(Answered { peer, id, outcome: Outcome::NotThere }) => {
                let why = FilterUnanswered::Refused { retry_after: self.missing_for(peer) };
                self.with(|sync, chain, now| sync.handle_unanswered(chain, peer, id, why, now));
            }
            Ok(Answered { peer, id, outcome: Outcome::Unanswered(why) }) => {
                self.with(|sync, chain, now| sync.handle_unanswered(chain, peer, id, why, now));
            }
            // The machine asks elsewhere when the answer is overdue.
            Err(error) => warn!(%error, "a question to a peer failed: a defect"),
        }
    }

    /// When a peer that did not have what it was asked for is asked again: soon, and less and less
    /// often. What it was asked for at the same time counts once.
    fn missing_for(&mut self, peer: PeerId) -> Duration {
        let now = self.clock.now().elapsed;
        let missing = self.missing.entry(peer).or_default();
        if missing.until <= now {
            missing.until = now + SOON.saturating_mul(1 << missing.times.min(LESS_OFTEN));
            missing.times = missing.times.saturating_add(1);
        }
        missing.until.saturating_sub(now)
    }

    /// Says so where nobody serves filters for too long; gives when to look again.
    pub(super) fn look_for_company(&mut self) -> Option<Duration> {
        let wanted = self.wanted_from.is_some() && self.suspension.silence().is_none();
        let alone = wanted && !self.known.values().any(|entry| entry.offers.filters);
        if !alone {
            (self.alone_since, self.alone_told) = (None, false);
            return None;
        }
        let now = self.clock.now().elapsed;
        let patience = self.config.alone_after;
        let due = *self.alone_since.get_or_insert(now) + patience;
        if self.alone_told {
            return None;
        }
        if now < due {
            return Some(due);
        }
        self.alone_told = true;
        warn!("no peer serves compact filters; dialling on");
        self.chain.publish(NodeEvent::NoFilterPeers { since: patience });
        None
    }
}

fn traits(entry: &DataPeer) -> FilterPeerTraits {
    // The height that a full node says it has tells nothing of its branch, and it hangs up on whoever asks
    // about a block that it lacks (Bitcoin Core, `PrepareBlockFilterRequest`): it is asked about what it has
    // shown. A light node says what it does not have, so nothing is lost by asking.
    let height = match entry.network {
        PeerNetwork::Bitcoin => BlockHeight::GENESIS,
        PeerNetwork::LibP2p => BlockHeight(u32::MAX),
    };
    FilterPeerTraits {
        height,
        called: entry.direction == Direction::Inbound,
        relays: entry.network == PeerNetwork::LibP2p,
    }
}
