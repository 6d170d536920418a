//! New tips: what others gossip is judged by our own verification before it goes on, and never by
//! who says it.

use std::time::Duration;

use ironlight_spv::Header;
use ironlight_spv::peers::{DisconnectCause, Offence};
use ironlight_spv::sync::TipVerdict;
use libp2p::PeerId as LightPeerId;
use libp2p::gossipsub::{Event, MessageAcceptance, MessageId, PublishError};
use tracing::{debug, warn};

use super::Swarm;
use crate::net::swarm::handle::LightEvent;
use crate::net::swarm::wire::TIP_SIZE;

/// A tip whose parent is missing waits so long for it: gossipsub keeps a message for five seconds.
const WAIT: Duration = Duration::from_secs(4);
/// Tips that wait; more are ignored.
const MAX_WAITING: usize = 32;
/// With so many events waiting for the node, gossip is no news: it has to catch up first.
const MAX_EVENTS: usize = 256;

/// A tip that cannot be judged yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) until: Duration,
    id: MessageId,
    from: LightPeerId,
    header: Header,
}

impl Swarm {
    pub(super) fn on_gossip(&mut self, event: Event) {
        let Event::Message { propagation_source: from, message_id: id, message } = event else {
            return;
        };
        if !self.may_gossip(from) {
            self.settle(&id, from, MessageAcceptance::Ignore);
            return self.hang_up(from, DisconnectCause::Misbehaved, "it gossips too much");
        }
        if !self.switches.gossip.is_on() {
            return self.settle(&id, from, MessageAcceptance::Ignore);
        }
        let Ok(bytes) = <[u8; TIP_SIZE]>::try_from(message.data.as_slice()) else {
            warn!(peer = %from, bytes = message.data.len(), "gossip that is no header");
            return self.reject(&id, from, Offence::ProtocolViolation);
        };
        let header = Header::from_bytes(bytes);
        let until = self.clock.now().elapsed + WAIT;
        self.judge_tip(Pending { until, id, from, header }, true);
    }

    fn may_gossip(&mut self, from: LightPeerId) -> bool {
        let now = self.clock.now().elapsed;
        let neighbour = self.neighbours.get_mut(&from);
        neighbour.is_none_or(|neighbour| neighbour.gossip.check(1, now).is_ok())
    }

    fn judge_tip(&mut self, tip: Pending, first_time: bool) {
        let verdict = match &self.sources.chain {
            Some(source) => source.judge(&tip.header),
            None => TipVerdict::Unconnected,
        };
        let Pending { id, from, header, .. } = &tip;
        match verdict {
            TipVerdict::New => {
                self.pass_on(id, *from, header);
                self.tell_news(*from, *header);
            }
            TipVerdict::Current => self.pass_on(id, *from, header),
            TipVerdict::Old | TipVerdict::Undecided => {
                self.settle(id, *from, MessageAcceptance::Ignore);
            }
            TipVerdict::Invalid(offence) => {
                warn!(peer = %from, %offence, "gossip of an invalid header");
                self.reject(id, *from, Offence::InvalidHeader);
            }
            TipVerdict::Unconnected if self.pending_tips.len() >= MAX_WAITING => {
                self.settle(id, *from, MessageAcceptance::Ignore);
            }
            TipVerdict::Unconnected => {
                if first_time {
                    // The sync machine asks whoever sent it for what is missing.
                    self.tell_news(*from, *header);
                }
                self.pending_tips.push(tip);
            }
        }
    }

    fn settle(&mut self, id: &MessageId, from: LightPeerId, acceptance: MessageAcceptance) {
        debug!(%id, ?acceptance, "gossip");
        let gossip = &mut self.inner.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, &from, acceptance);
    }

    fn pass_on(&mut self, id: &MessageId, from: LightPeerId, header: &Header) {
        self.passed_on = Some(header.hash());
        self.settle(id, from, MessageAcceptance::Accept);
    }

    fn reject(&mut self, id: &MessageId, from: LightPeerId, offence: Offence) {
        self.settle(id, from, MessageAcceptance::Reject);
        self.judge(from, offence);
    }

    /// Tells the sync machine of a header as if the peer had announced it.
    fn tell_news(&mut self, from: LightPeerId, header: Header) {
        let number = self.neighbours.get(&from).and_then(|neighbour| neighbour.number());
        if let Some(peer) = number.filter(|_| self.outbox.len() < MAX_EVENTS) {
            self.tell(LightEvent::Headers { peer, headers: vec![header] });
        }
    }

    /// Our tip has changed: those that waited for it are judged again, and everybody is told.
    pub(super) fn announce(&mut self, header: &Header) {
        if !self.switches.gossip.is_on() {
            // What still waits ends by itself, unjudged.
            return;
        }
        for tip in std::mem::take(&mut self.pending_tips) {
            self.judge_tip(tip, false);
        }
        if self.passed_on == Some(header.hash()) || !self.announces {
            return;
        }
        let (topic, data) = (self.names.tips.clone(), header.as_bytes().to_vec());
        match self.inner.behaviour_mut().gossip.publish(topic, data) {
            Ok(_) | Err(PublishError::Duplicate | PublishError::NoPeersSubscribedToTopic) => {}
            Err(error) => debug!(%error, "the tip was not gossiped"),
        }
    }

    /// What is still without a parent is ignored.
    pub(super) fn settle_tips(&mut self, now: Duration) {
        let (late, waiting) = std::mem::take(&mut self.pending_tips)
            .into_iter()
            .partition(|tip: &Pending| tip.until <= now);
        self.pending_tips = waiting;
        for Pending { id, from, .. } in late {
            self.settle(&id, from, MessageAcceptance::Ignore);
        }
    }

    pub(super) fn forget_tips_of(&mut self, id: LightPeerId) {
        self.pending_tips.retain(|tip| tip.from != id);
    }
}
