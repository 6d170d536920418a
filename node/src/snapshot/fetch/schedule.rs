//! What is asked of whom, and when to look again.

use std::collections::BTreeSet;
use std::time::Duration;

use ironlight_spv::BlockHash;
use ironlight_spv::peers::PeerId;

use super::{
    CHUNKS_IN_FLIGHT, End, Fetch, GRACE, LEAST_CHUNKS, MAX_DUPLICATES, MAX_HELD, OFFER_PATIENCE,
    PATIENCE, RATE_TIME, Source, Stage, Step, TOGETHER, WINDOW,
};

impl<T> Fetch<T> {
    /// What is to be done next; none until something happens or [`poll_timeout`](Self::poll_timeout).
    pub(crate) fn poll(&mut self, now: Duration) -> Option<Step<T>> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        match self.stage {
            Stage::Agreeing => self.agree(now),
            Stage::Fetching => self.fetch(now),
            Stage::Over => {}
        }
        self.steps.pop_front()
    }

    /// Asks for what can be asked for, and hands out what there is.
    fn fetch(&mut self, now: Duration) {
        let first = if self.is_shown() { self.next } else { self.linked };
        if let Some(end) = self.end_at(first, now) {
            return self.end(end);
        }
        let end = first.saturating_add(WINDOW).min(self.after_target());
        self.ask(first..end, now);
        if self.steps.is_empty() && self.is_shown() {
            self.hand_out(now);
        }
    }

    /// Whether it is over, where this is the first period of the window.
    fn end_at(&mut self, first: u32, now: Duration) -> Option<End> {
        if self.next >= self.after_target() {
            return Some(End::Done);
        }
        let no_more = first >= self.after_target() || first.saturating_sub(self.next) >= MAX_HELD;
        if no_more && !self.is_shown() {
            return Some(End::TooLittleWork);
        }
        if self.waiting.contains_key(&first) {
            return None;
        }
        let place = self.place(first);
        if !self.sources.values().any(|source| source.may_give(place)) {
            return Some(End::NobodyLeft { period: first });
        }
        self.is_too_slow(now).then_some(End::TooSlow { chunks: self.came, time: RATE_TIME })
    }

    fn is_too_slow(&mut self, now: Duration) -> bool {
        if now < self.counted_since + RATE_TIME {
            return false;
        }
        if self.came < LEAST_CHUNKS {
            return true;
        }
        self.count_from(now);
        false
    }

    const fn count_from(&mut self, now: Duration) {
        (self.came, self.counted_since) = (0, now);
    }

    fn hand_out(&mut self, now: Duration) {
        let first = self.next;
        // Where the window is full nobody is asked, and how few come is not the peers' doing.
        if self.linked.saturating_sub(first) >= WINDOW {
            self.count_from(now);
        }
        let chunks: Vec<_> =
            (first..).map_while(|period| self.take_out(period)).take(TOGETHER).collect();
        if !chunks.is_empty() {
            self.steps.push_back(Step::Take { first, chunks });
        }
    }

    fn take_out(&mut self, period: u32) -> Option<(BlockHash, T)> {
        let address = self.address(period)?;
        let held = self.waiting.remove(&period)?;
        self.next = period + 1;
        Some((address, held.chunk))
    }

    /// Asks for the first of these periods that somebody can be asked for.
    fn ask(&mut self, mut periods: std::ops::Range<u32>, now: Duration) {
        let question = periods.find_map(|period| {
            let wanted = !self.waiting.contains_key(&period) && self.is_to_be_asked(period, now);
            let peer = wanted.then(|| self.least_loaded(period, now))??;
            Some((peer, period, self.address(period)?))
        });
        let Some((peer, period, address)) = question else { return };
        if let Some(source) = self.sources.get_mut(&peer) {
            source.asked.insert(period, now);
        }
        self.steps.push_back(Step::AskChunk { peer, period, address });
    }

    /// Where nobody is asked for it, or all who are take too long.
    fn is_to_be_asked(&self, period: u32, now: Duration) -> bool {
        let mut since = self.sources.values().filter_map(|source| source.asked.get(&period));
        match since.next() {
            None => true,
            Some(first) => {
                let overdue = since.chain([first]).all(|since| now >= *since + PATIENCE);
                overdue && self.duplicates() < MAX_DUPLICATES
            }
        }
    }

    /// Questions in flight that somebody else is asked, too.
    fn duplicates(&self) -> usize {
        let asked = || self.sources.values().flat_map(|source| source.asked.keys());
        asked().count() - asked().collect::<BTreeSet<_>>().len()
    }

    /// Of those that have a period and room for a question, the one that is asked for least.
    fn least_loaded(&self, period: u32, now: Duration) -> Option<PeerId> {
        let place = self.place(period);
        let can = self.sources.iter().filter(|(_, source)| {
            source.may_give(place)
                && source.asked.len() < CHUNKS_IN_FLIGHT
                && !source.asked.contains_key(&period)
                && source.paused_until <= now
        });
        can.min_by_key(|(_, source)| (source.asked.len(), source.given)).map(|(peer, _)| *peer)
    }

    /// When to poll again though nothing has happened.
    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let due: Vec<Duration> = match self.stage {
            Stage::Agreeing => vec![GRACE, GRACE + OFFER_PATIENCE],
            Stage::Fetching => {
                let overdue = self.sources.values().flat_map(|source| source.asked.values());
                let overdue = overdue.map(|since| *since + PATIENCE);
                let paused = self.sources.values().map(|source| source.paused_until);
                overdue.chain(paused).chain([self.counted_since + RATE_TIME]).collect()
            }
            Stage::Over => Vec::new(),
        };
        // What is due already was done as far as it could be.
        due.into_iter().filter(|due| *due > now).min()
    }
}

impl Source {
    const fn may_give(&self, place: usize) -> bool {
        self.is_of_use() && place < self.has && place < self.lacks
    }
}
