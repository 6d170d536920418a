//! What is asked of whom, and when to look again.

use std::time::Duration;

use ironlight_spv::peers::PeerId;

use super::{
    End, Fetch, GRACE, IN_FLIGHT, OFFER_PATIENCE, PATIENCE, STANDSTILL, Source, Stage, Step, WINDOW,
};

impl<T> Fetch<T> {
    /// What is to be done next; none until something happens or [`poll_timeout`](Self::poll_timeout).
    pub(crate) fn poll(&mut self, now: Duration) -> Option<Step<T>> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        match self.stage {
            Stage::Agreeing => self.agree(now),
            Stage::Proving => {
                let target = self.after_target().saturating_sub(1);
                self.ask(target..target.saturating_add(1), now);
            }
            Stage::Fetching => {
                if let Some(chunk) = self.waiting.remove(&self.next) {
                    let period = self.next;
                    self.next += 1;
                    self.last_progress = now;
                    return Some(Step::Take { period, chunk });
                }
                if self.next >= self.after_target() {
                    self.end(End::Done);
                } else {
                    let end = self.next.saturating_add(WINDOW).min(self.after_target());
                    self.ask(self.next..end, now);
                }
            }
            Stage::Over => {}
        }
        self.steps.pop_front()
    }

    /// Asks for the first of these periods that somebody can be asked for.
    fn ask(&mut self, periods: std::ops::Range<u32>, now: Duration) {
        let first = periods.start;
        if now >= self.last_progress + STANDSTILL {
            return self.end(End::Standstill(STANDSTILL));
        }
        for period in periods {
            if self.waiting.contains_key(&period) {
                continue;
            }
            let place = self.place(period);
            if period == first && !self.sources.values().any(|source| source.may_give(place)) {
                return self.end(End::NobodyLeft { period });
            }
            let Some(retry) = self.is_to_be_asked(period, now) else { continue };
            let Some(peer) = self.least_loaded(period, now) else { continue };
            let Some(address) = self.address(period) else { continue };
            if let Some(source) = self.sources.get_mut(&peer) {
                source.asked.insert(period, now);
            }
            self.steps.push_back(Step::AskChunk { peer, period, address, retry });
            return;
        }
    }

    /// Where nobody is asked for it, or all who are take too long; and whether there are such.
    fn is_to_be_asked(&self, period: u32, now: Duration) -> Option<bool> {
        let mut since = self.sources.values().filter_map(|source| source.asked.get(&period));
        let retry = since.clone().next().is_some();
        since.all(|since| now >= *since + PATIENCE).then_some(retry)
    }

    /// Of those that have a period and room for a question, the one that is asked for least.
    fn least_loaded(&self, period: u32, now: Duration) -> Option<PeerId> {
        let place = self.place(period);
        let can = self.sources.iter().filter(|(_, source)| {
            source.may_give(place)
                && source.asked.len() < IN_FLIGHT
                && !source.asked.contains_key(&period)
                && source.paused_until <= now
        });
        can.min_by_key(|(_, source)| (source.asked.len(), source.given)).map(|(peer, _)| *peer)
    }

    /// When to poll again though nothing has happened.
    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let due: Vec<Duration> = match self.stage {
            Stage::Agreeing => vec![GRACE, GRACE + OFFER_PATIENCE],
            Stage::Proving | Stage::Fetching => {
                let overdue = self.sources.values().flat_map(|source| source.asked.values());
                let overdue = overdue.map(|since| *since + PATIENCE);
                let paused = self.sources.values().map(|source| source.paused_until);
                overdue.chain(paused).chain([self.last_progress + STANDSTILL]).collect()
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
