//! What the state machine should do, by searching lists from end to end.

use core::time::Duration;

use super::{EndpointId, Fate, Outcome, PublishError};

/// In seconds.
pub(super) const PAUSES: [u64; 3] = [1, 5, 30];

/// In seconds.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) id: EndpointId,
    pub(super) event: &'static str,
    pub(super) enabled: bool,
    pub(super) failures: u32,
    pub(super) breaks: u32,
    pub(super) paused_until: u64,
    pub(super) served_at: u64,
    pub(super) epoch: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) hook: EndpointId,
    pub(super) id: String,
    pub(super) bytes: usize,
    pub(super) attempts: u32,
    pub(super) due: u64,
    /// The order among those that are due at once.
    pub(super) number: u64,
    /// The epoch in which it was sent.
    pub(super) in_flight: Option<u64>,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) hooks: Vec<Hook>,
    pub(super) items: Vec<Item>,
    pub(super) ids: Vec<String>,
    pub(super) numbers: u64,
}

impl Model {
    pub(super) fn hook(&mut self, id: EndpointId) -> Option<&mut Hook> {
        self.hooks.iter_mut().find(|hook| hook.id == id)
    }

    pub(super) fn publish(
        &mut self,
        id: &str,
        event: &str,
        bytes: usize,
        now: u64,
    ) -> Result<usize, PublishError> {
        let wants = |hook: &&Hook| hook.enabled && (hook.event == "*" || hook.event == event);
        let to = self.hooks.iter().filter(wants);
        let to: Vec<_> = to.map(|hook| hook.id).collect();
        if bytes > 100 {
            return Err(PublishError::TooLarge { limit: 100 });
        }
        if self.ids.iter().rev().take(30).any(|known| known == id) {
            return Err(PublishError::Duplicate);
        }
        let all_bytes: usize = self.items.iter().map(|item| item.bytes).sum();
        if self.items.len() + to.len() > 40 || all_bytes + bytes * to.len() > 1000 {
            return Err(PublishError::Full);
        }
        self.ids.push(id.to_owned());
        for &hook in &to {
            self.numbers += 1;
            self.items.push(Item {
                hook,
                id: id.to_owned(),
                bytes,
                attempts: 0,
                due: now,
                number: self.numbers,
                in_flight: None,
            });
        }
        Ok(to.len())
    }

    /// The one to be served: when, whose, which.
    fn first(&self) -> Option<(u64, EndpointId, usize)> {
        let all = self.hooks.iter().filter_map(|hook| {
            let mine = |item: &&Item| item.hook == hook.id;
            let flying = self.items.iter().filter(mine).filter(|i| i.in_flight.is_some()).count();
            if flying >= if hook.failures >= 3 { 1 } else { 2 } {
                return None;
            }
            let waiting = self.items.iter().enumerate().filter(|(_, item)| mine(item));
            let waiting = waiting.filter(|(_, item)| item.in_flight.is_none());
            let (at, item) = waiting.min_by_key(|(_, item)| (item.due, item.number))?;
            Some((item.due.max(hook.paused_until).max(hook.served_at), hook.id, at))
        });
        all.min()
    }

    pub(super) fn next(&mut self, now: u64) -> Result<(EndpointId, String, u32), Option<u64>> {
        let (at, id, index) = self.first().ok_or(None)?;
        if at > now {
            return Err(Some(at));
        }
        let hook = self.hook(id).unwrap();
        hook.served_at = now;
        let epoch = hook.epoch;
        let item = &mut self.items[index];
        item.in_flight = Some(epoch);
        Ok((id, item.id.clone(), item.attempts + 1))
    }

    /// The result reaches the breaker, unless it is from before a break.
    fn feel(&mut self, id: EndpointId, epoch: u64, outcome: Outcome, now: u64) {
        let Some(hook) = self.hook(id).filter(|hook| hook.epoch == epoch) else { return };
        if outcome.is_success() {
            if hook.breaks > 0 {
                hook.epoch += 1;
            }
            (hook.failures, hook.breaks) = (0, 0);
            return;
        }
        hook.failures += 1;
        if let Outcome::Status { code: 429 | 503, retry_after: Some(asked) } = outcome {
            hook.paused_until = hook.paused_until.max(now + asked.as_secs().min(60));
        }
        if hook.failures >= 3 {
            let pause = (10 << hook.breaks.min(8)).min(35);
            hook.paused_until = hook.paused_until.max(now + pause);
            hook.breaks += 1;
            hook.epoch += 1;
        }
    }

    pub(super) fn finish(&mut self, index: usize, outcome: Outcome, now: u64) -> Fate {
        let item = self.items[index].clone();
        self.feel(item.hook, item.in_flight.unwrap(), outcome, now);
        let alive = self.hook(item.hook).is_some_and(|hook| hook.enabled);
        self.items[index].in_flight = None;
        self.items[index].attempts += 1;
        let asked = match outcome {
            Outcome::Status { retry_after, .. } => retry_after.map_or(0, |asked| asked.as_secs()),
            Outcome::Timeout | Outcome::Unreachable | Outcome::Refused => 0,
        };
        let pause = PAUSES.get(item.attempts as usize).map(|pause| *pause.max(&asked.min(60)));
        let fate = match (outcome, alive, pause) {
            (Outcome::Status { code: 200..=299, .. }, _, _) => Fate::Delivered,
            (_, false, _) => Fate::Dropped,
            (Outcome::Status { code: 410, .. }, true, _) => Fate::Gone,
            (_, true, None) => Fate::Exhausted,
            (_, true, Some(pause)) => Fate::Retry { at: Duration::from_secs(now + pause) },
        };
        if let Fate::Retry { at } = fate {
            self.items[index].due = at.as_secs();
        } else {
            self.items.remove(index);
        }
        if fate == Fate::Gone {
            self.disable(item.hook);
        }
        fate
    }

    pub(super) fn abandon(&mut self, index: usize) {
        let hook = self.items[index].hook;
        if self.hook(hook).is_some_and(|hook| hook.enabled) {
            self.items[index].in_flight = None;
        } else {
            self.items.remove(index);
        }
    }

    pub(super) fn disable(&mut self, id: EndpointId) {
        if let Some(hook) = self.hook(id) {
            hook.enabled = false;
        }
        self.items.retain(|item| item.hook != id || item.in_flight.is_some());
    }
}
