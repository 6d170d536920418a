//! One endpoint: its queue and its breaker.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::schedule::jittered;
use super::types::{Endpoint, EndpointStatus, Outcome, WebhookConfig};

/// All that is known of an endpoint.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) target: Arc<Endpoint>,
    pub(super) enabled: bool,
    /// When each is due, and its number.
    pub(super) queue: BTreeSet<(Duration, u64)>,
    pub(super) in_flight: u32,
    pub(super) failures: u32,
    pub(super) breaks: u32,
    pub(super) paused_until: Duration,
    /// When its last attempt began, so that those with a backlog take turns.
    pub(super) served_at: Duration,
    /// Grows with each break: results of attempts from before it say nothing about now.
    pub(super) epoch: u64,
    /// Its place in `ready`.
    pub(super) indexed: Option<Duration>,
}

impl Entry {
    pub(super) fn new(target: Endpoint) -> Self {
        Self {
            target: Arc::new(target),
            enabled: true,
            queue: BTreeSet::new(),
            in_flight: 0,
            failures: 0,
            breaks: 0,
            paused_until: Duration::ZERO,
            served_at: Duration::ZERO,
            epoch: 0,
            indexed: None,
        }
    }

    pub(super) fn wants(&self, event: &str) -> bool {
        self.enabled && self.target.events.iter().any(|name| name == event || name == "*")
    }

    /// As if it had never failed.
    pub(super) fn forgive(&mut self) {
        (self.failures, self.breaks, self.paused_until) = (0, 0, Duration::ZERO);
        self.epoch += 1;
    }

    /// When the next attempt may begin; none while enough are under way, or nothing waits.
    pub(super) fn ready_at(&self, config: &WebhookConfig) -> Option<Duration> {
        let trying = self.failures >= config.breaker.failures.max(1);
        let limit = if trying { 1 } else { config.in_flight.max(1) };
        let &(due, _) = self.queue.first().filter(|_| self.in_flight < limit)?;
        Some(due.max(self.paused_until).max(self.served_at))
    }

    /// The result of an attempt of this epoch. Says whether the breaker opened.
    pub(super) fn feel(
        &mut self,
        outcome: Outcome,
        config: &WebhookConfig,
        now: Duration,
        random: &mut u64,
    ) -> bool {
        if outcome.is_success() {
            self.epoch += u64::from(self.breaks > 0);
            (self.failures, self.breaks) = (0, 0);
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if let Outcome::Status { code: 429 | 503, retry_after: Some(asked) } = outcome {
            let asked = asked.min(config.schedule.max_retry_after);
            self.paused_until = self.paused_until.max(now.saturating_add(asked));
        }
        let opens = self.failures >= config.breaker.failures.max(1);
        if opens {
            let pause = config.breaker.break_after(self.breaks);
            let until = now.saturating_add(jittered(pause, config.schedule.jitter_percent, random));
            self.paused_until = self.paused_until.max(until);
            self.breaks = self.breaks.saturating_add(1);
            self.epoch += 1;
        }
        opens
    }

    pub(super) fn status(&self) -> EndpointStatus {
        EndpointStatus {
            enabled: self.enabled,
            failures: self.failures,
            paused_until: self.paused_until,
            in_flight: self.in_flight,
            waiting: self.queue.len(),
        }
    }
}
