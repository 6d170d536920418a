//! What comes of a request for a chunk, and whose fault it is.

use std::time::Duration;

use ironlight_spv::peers::PeerId;

use super::{End, Fetch, Held, MAX_REMEMBERED, Opened, Outcome, PAUSE, Stage, Step};

impl<T> Fetch<T> {
    /// What became of a request for a chunk.
    pub(crate) fn handle_chunk(
        &mut self,
        peer: PeerId,
        period: u32,
        outcome: Outcome<T>,
        now: Duration,
    ) {
        let place = self.place(period);
        let Some(source) = self.sources.get_mut(&peer) else { return };
        source.asked.remove(&period);
        match outcome {
            Outcome::Chunk(opened) => {
                source.failures = 0;
                source.given += 1;
                self.take(period, opened);
            }
            Outcome::False => self.refuse_liar(peer),
            Outcome::NotFound => source.lacks = source.lacks.min(place),
            Outcome::Later(pause) => source.paused_until = now + pause.max(PAUSE),
            Outcome::NoAnswer => {
                source.failures += 1;
                source.paused_until = now + PAUSE;
            }
        }
    }

    /// A chunk of those that were handed out last breaks a rule of the chain, whose fault that is or not.
    pub(crate) fn handle_refused(&mut self, period: u32, is_a_lie: bool) {
        if is_a_lie {
            self.refuse_chain(period);
        } else {
            self.end(End::NotNow { period });
        }
    }

    fn take(&mut self, period: u32, opened: Opened<T>) {
        let is_wanted = (self.next..self.after_target()).contains(&period);
        if !is_wanted || self.waiting.contains_key(&period) || self.stage == Stage::Over {
            return;
        }
        let before = period.checked_sub(1).filter(|_| period > self.start.first);
        let expected = before.and_then(|before| self.address(before));
        if opened.parent != expected.unwrap_or(self.start.parent) {
            // Where our own chain is the one that differs, nothing says who is wrong.
            return if expected.is_some() {
                self.refuse_chain(period);
            } else {
                self.end(End::OtherBranch { period });
            };
        }
        let Some(work) = opened.work else {
            return self.refuse_chain(period);
        };
        self.came += 1;
        self.waiting.insert(period, Held { work, chunk: opened.chunk });
        self.link();
    }

    /// Adds up those that follow each other.
    fn link(&mut self) {
        while let Some(held) = self.waiting.get(&self.linked) {
            self.work = self.work + held.work;
            self.linked += 1;
        }
    }

    /// Whether what follows our chain has the minimum of work with it.
    pub(crate) fn is_shown(&self) -> bool {
        self.start.minimum.is_none_or(|minimum| self.work >= minimum)
    }

    fn refuse_liar(&mut self, peer: PeerId) {
        // Of several that were in flight the first one is enough.
        let Some(source) = self.sources.get_mut(&peer).filter(|source| !source.lied) else {
            return;
        };
        source.lied = true;
        if self.liars.len() < MAX_REMEMBERED {
            self.liars.insert(source.owner);
        }
        self.steps.push_back(Step::FalseChunk { peer });
        self.shorten();
    }

    /// The target is no further than two owners that have not lied offer alike.
    fn shorten(&mut self) {
        let supported = self.supported();
        if supported <= self.place(self.next) {
            return self.end(End::NoAgreement);
        }
        if supported >= self.addresses.len() {
            return;
        }
        self.addresses.truncate(supported);
        self.sources.values_mut().for_each(|source| source.has = source.has.min(supported));
        let _dropped = self.waiting.split_off(&self.after_target());
        // What was dropped shows nothing any more.
        if !self.is_shown() {
            (self.linked, self.work) = (self.start.first, self.start.work);
            self.link();
        }
    }

    /// All who have offered the address answer for what is at it.
    fn refuse_chain(&mut self, period: u32) {
        let place = self.place(period);
        let guilty = self.sources.iter().filter(|(_, source)| source.has > place);
        let blame = guilty.map(|(peer, _)| Step::FalseChain { peer: *peer });
        self.steps.extend(blame.collect::<Vec<_>>());
        self.end(End::FalseChain { period });
    }
}
