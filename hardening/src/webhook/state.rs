//! Endpoints and deliveries: what is sent when.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::entry::Entry;
use super::recent::RecentIds;
use super::sign::MessageId;
use super::types::{
    Endpoint, EndpointId, EndpointStatus, Fate, Job, LogEntry, MAX_EVENT_NAME, Message, Next,
    Outcome, PublishError, RegisterError, WebhookConfig, WebhookStats,
};

#[derive(Debug)]
struct Delivery {
    endpoint: EndpointId,
    message: Arc<Message>,
    attempts: u32,
    due: Duration,
    random: u64,
}

/// The state machine of all webhooks: no clock, no sockets. See the [module](super).
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::webhook::{
///     Dispatcher, Endpoint, Fate, MessageId, Next, Outcome, Signer, WebhookConfig,
/// };
///
/// let mut hooks = Dispatcher::new(WebhookConfig::default());
/// let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
/// hooks.register(Endpoint {
///     url: "https://example.com/hook".parse().unwrap(),
///     events: vec!["block.new".into()],
///     signer: Signer::new([secret]).unwrap(),
/// }).unwrap();
/// let id = MessageId::new("msg_1").unwrap();
/// assert_eq!(hooks.publish(id, "block.new", b"{}".to_vec(), Duration::ZERO), Ok(1));
/// let Next::Send(job) = hooks.next(Duration::ZERO) else { panic!() };
/// let failed = Outcome::Status { code: 503, retry_after: Some(Duration::from_secs(30)) };
/// let fate = hooks.finish(job, failed, Duration::from_secs(1));
/// assert!(matches!(fate, Fate::Retry { at } if at >= Duration::from_secs(31)));
/// ```
#[derive(Debug)]
pub struct Dispatcher {
    config: WebhookConfig,
    endpoints: BTreeMap<EndpointId, Entry>,
    deliveries: BTreeMap<u64, Delivery>,
    /// Endpoints for which an attempt may begin, and when.
    ready: BTreeSet<(Duration, EndpointId)>,
    ids: RecentIds,
    log: VecDeque<LogEntry>,
    stats: WebhookStats,
    next_number: u64,
    random: u64,
}

impl Dispatcher {
    /// Without endpoints.
    #[must_use]
    pub fn new(config: WebhookConfig) -> Self {
        Self {
            random: config.seed,
            config,
            endpoints: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            ready: BTreeSet::new(),
            ids: RecentIds::default(),
            log: VecDeque::new(),
            stats: WebhookStats::default(),
            next_number: 0,
        }
    }

    /// Adds an endpoint.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(&mut self, endpoint: Endpoint) -> Result<EndpointId, RegisterError> {
        if self.endpoints.len() >= self.config.max_endpoints {
            return Err(RegisterError::Full { limit: self.config.max_endpoints });
        }
        self.check(&endpoint)?;
        let id = EndpointId(self.number());
        self.endpoints.insert(id, Entry::new(endpoint));
        Ok(id)
    }

    /// Changes an endpoint, as for another secret; what waits goes there too. Says whether it was
    /// there.
    ///
    /// ```
    /// use core::time::Duration;
    /// use ironlight_hardening::webhook::{Dispatcher, Endpoint, Signer, WebhookConfig};
    ///
    /// let endpoint = |secret: &str| Endpoint {
    ///     url: "https://example.com/hook".parse().unwrap(),
    ///     events: vec!["block.new".into()],
    ///     signer: Signer::new([secret.parse().unwrap()]).unwrap(),
    /// };
    /// let mut hooks = Dispatcher::new(WebhookConfig::default());
    /// let id = hooks.register(endpoint("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
    /// assert_eq!(hooks.update(id, endpoint("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")), Ok(true));
    /// assert!(hooks.disable(id, Duration::ZERO) && hooks.enable(id));
    /// assert!(hooks.remove(id, Duration::ZERO));
    /// assert_eq!(hooks.endpoints().count(), 0);
    /// ```
    ///
    /// # Errors
    /// [`RegisterError`], and it stays as it was.
    pub fn update(&mut self, id: EndpointId, endpoint: Endpoint) -> Result<bool, RegisterError> {
        self.check(&endpoint)?;
        let Some(entry) = self.endpoints.get_mut(&id) else {
            return Ok(false);
        };
        entry.target = Arc::new(endpoint);
        Ok(true)
    }

    fn check(&self, endpoint: &Endpoint) -> Result<(), RegisterError> {
        let good = |name: &String| (1..=MAX_EVENT_NAME).contains(&name.len());
        let count = (1..=self.config.max_events).contains(&endpoint.events.len());
        if !count || !endpoint.events.iter().all(good) {
            return Err(RegisterError::Events);
        }
        if !endpoint.url.is_tls() && !self.config.allow_http {
            return Err(RegisterError::NotTls);
        }
        Ok(())
    }

    /// Forgets an endpoint and drops what waits for it. Says whether it was there.
    pub fn remove(&mut self, id: EndpointId, now: Duration) -> bool {
        self.disable(id, now);
        self.endpoints.remove(&id).is_some()
    }

    /// Tells an endpoint nothing more, and drops what waits for it. Says whether it was there.
    pub fn disable(&mut self, id: EndpointId, now: Duration) -> bool {
        let Some(entry) = self.endpoints.get_mut(&id) else {
            return false;
        };
        entry.enabled = false;
        for (_, number) in core::mem::take(&mut entry.queue) {
            if let Some(delivery) = self.forget(number) {
                self.note(now, &delivery, None, Fate::Dropped);
            }
        }
        self.index(id);
        true
    }

    /// Tells an endpoint again, from now on, as if it had never failed. Says whether it is there.
    pub fn enable(&mut self, id: EndpointId) -> bool {
        let Some(entry) = self.endpoints.get_mut(&id) else {
            return false;
        };
        entry.enabled = true;
        entry.forgive();
        self.index(id);
        true
    }

    /// Begins a delivery to each endpoint that wants to know, and says how many there are.
    ///
    /// # Errors
    /// [`PublishError`]; none is begun then.
    pub fn publish(
        &mut self,
        id: MessageId,
        event: &str,
        payload: Vec<u8>,
        now: Duration,
    ) -> Result<usize, PublishError> {
        let to = self.endpoints.iter().filter(|(_, entry)| entry.wants(event));
        let to: Vec<_> = to.map(|(&id, _)| id).collect();
        if let Err(refused) = self.room_for(&id, payload.len(), to.len()) {
            self.stats.refused += 1;
            return Err(refused);
        }
        self.ids.remember(id.clone(), self.config.max_ids);
        let message = Arc::new(Message { id, event: event.to_owned(), payload });
        for &endpoint in &to {
            self.begin(endpoint, &message, now);
        }
        Ok(to.len())
    }

    fn room_for(&self, id: &MessageId, bytes: usize, count: usize) -> Result<(), PublishError> {
        if bytes > self.config.max_payload {
            return Err(PublishError::TooLarge { limit: self.config.max_payload });
        }
        if self.ids.contains(id) {
            return Err(PublishError::Duplicate);
        }
        let all_bytes = self.stats.pending_bytes.saturating_add(bytes.saturating_mul(count));
        let all = self.deliveries.len().saturating_add(count);
        if all > self.config.max_pending || all_bytes > self.config.max_pending_bytes {
            return Err(PublishError::Full);
        }
        Ok(())
    }

    fn begin(&mut self, endpoint: EndpointId, message: &Arc<Message>, now: Duration) {
        let number = self.number();
        // Each draws its own pauses.
        let random = self.random.wrapping_add(number.wrapping_mul(0xd134_2543_de82_ef95));
        let message = Arc::clone(message);
        self.stats.published += 1;
        self.stats.pending_bytes += message.payload.len();
        let delivery = Delivery { endpoint, message, attempts: 0, due: now, random };
        self.deliveries.insert(number, delivery);
        self.queue(endpoint, number, now);
    }

    /// The next attempt, or when there may be one.
    pub fn next(&mut self, now: Duration) -> Next {
        let Some(&(at, endpoint)) = self.ready.first() else {
            return Next::Idle;
        };
        if at > now {
            return Next::WaitUntil(at);
        }
        self.start(endpoint, now).map_or(Next::Idle, Next::Send)
    }

    /// Only for endpoints in `ready`, which have something that waits.
    fn start(&mut self, id: EndpointId, now: Duration) -> Option<Job> {
        let entry = self.endpoints.get_mut(&id)?;
        let (_, number) = entry.queue.pop_first()?;
        entry.in_flight += 1;
        entry.served_at = now;
        let delivery = self.deliveries.get(&number)?;
        let job = Job {
            delivery: number,
            endpoint: id,
            epoch: entry.epoch,
            attempt: delivery.attempts.saturating_add(1),
            message: Arc::clone(&delivery.message),
            target: Arc::clone(&entry.target),
        };
        self.index(id);
        Some(job)
    }

    /// An attempt ended.
    #[expect(clippy::needless_pass_by_value, reason = "a job ends once")]
    pub fn finish(&mut self, job: Job, outcome: Outcome, now: Duration) -> Fate {
        self.stats.attempts += 1;
        let alive = self.ended(&job, Some(outcome), now);
        let Some(mut delivery) = self.forget(job.delivery) else {
            return Fate::Dropped;
        };
        delivery.attempts = job.attempt;
        let fate = self.judge(&mut delivery, outcome, alive, now);
        self.note(now, &delivery, Some(outcome), fate);
        if let Fate::Retry { at } = fate {
            delivery.due = at;
            self.stats.pending_bytes += delivery.message.payload.len();
            self.deliveries.insert(job.delivery, delivery);
            self.queue(job.endpoint, job.delivery, at);
        }
        if fate == Fate::Gone {
            self.disable(job.endpoint, now);
        }
        self.index(job.endpoint);
        fate
    }

    /// The same, with its line of the log.
    pub(super) fn finish_logged(&mut self, job: Job, outcome: Outcome, at: Duration) -> LogEntry {
        let (endpoint, attempt) = (job.endpoint, job.attempt);
        let message = job.message.id.clone();
        let fate = self.finish(job, outcome, at);
        LogEntry { at, endpoint, message, attempt, outcome: Some(outcome), fate }
    }

    /// An attempt was given up before its end was known: it is made again, and does not count.
    #[expect(clippy::needless_pass_by_value, reason = "a job ends once")]
    pub fn abandon(&mut self, job: Job, now: Duration) {
        if self.ended(&job, None, now) {
            let due = self.deliveries.get(&job.delivery).map_or(now, |delivery| delivery.due);
            self.queue(job.endpoint, job.delivery, due);
        } else if let Some(delivery) = self.forget(job.delivery) {
            self.note(now, &delivery, None, Fate::Dropped);
        }
        self.index(job.endpoint);
    }

    /// The endpoint is free for another. Says whether it is still to be told anything.
    fn ended(&mut self, job: &Job, outcome: Option<Outcome>, now: Duration) -> bool {
        let Some(entry) = self.endpoints.get_mut(&job.endpoint) else {
            return false;
        };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        let Some(outcome) = outcome.filter(|_| job.epoch == entry.epoch) else {
            return entry.enabled;
        };
        let opened = entry.feel(outcome, &self.config, now, &mut self.random);
        self.stats.breaks += u64::from(opened);
        entry.enabled
    }

    fn judge(&self, delivery: &mut Delivery, outcome: Outcome, alive: bool, now: Duration) -> Fate {
        if outcome.is_success() {
            return Fate::Delivered;
        }
        let retry_after = match outcome {
            Outcome::Status { code: 410, .. } if alive => return Fate::Gone,
            Outcome::Status { retry_after, .. } => retry_after,
            Outcome::Timeout | Outcome::Unreachable | Outcome::Refused => None,
        };
        if !alive {
            return Fate::Dropped;
        }
        let random = &mut delivery.random;
        let pause = self.config.schedule.pause(delivery.attempts, retry_after, random);
        pause.map_or(Fate::Exhausted, |pause| Fate::Retry { at: now.saturating_add(pause) })
    }

    fn queue(&mut self, endpoint: EndpointId, number: u64, due: Duration) {
        if let Some(entry) = self.endpoints.get_mut(&endpoint) {
            entry.queue.insert((due, number));
        }
        self.index(endpoint);
    }

    /// Puts an endpoint to its place in `ready`, after any change of it.
    fn index(&mut self, id: EndpointId) {
        let Some(entry) = self.endpoints.get_mut(&id) else {
            return;
        };
        if let Some(before) = entry.indexed.take() {
            self.ready.remove(&(before, id));
        }
        entry.indexed = entry.ready_at(&self.config);
        if let Some(at) = entry.indexed {
            self.ready.insert((at, id));
        }
    }

    fn forget(&mut self, number: u64) -> Option<Delivery> {
        let delivery = self.deliveries.remove(&number)?;
        self.stats.pending_bytes -= delivery.message.payload.len();
        Some(delivery)
    }

    fn note(&mut self, at: Duration, delivery: &Delivery, outcome: Option<Outcome>, fate: Fate) {
        match fate {
            Fate::Delivered => self.stats.delivered += 1,
            Fate::Exhausted => self.stats.exhausted += 1,
            Fate::Gone | Fate::Dropped => self.stats.dropped += 1,
            Fate::Retry { .. } => {}
        }
        self.log.push_back(LogEntry {
            at,
            endpoint: delivery.endpoint,
            message: delivery.message.id.clone(),
            attempt: delivery.attempts,
            outcome,
            fate,
        });
        if self.log.len() > self.config.max_log {
            self.log.pop_front();
            self.stats.log_lost += 1;
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// The log, oldest first.
    pub fn log(&self) -> impl Iterator<Item = &LogEntry> {
        self.log.iter()
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> WebhookStats {
        WebhookStats { pending: self.deliveries.len(), ..self.stats }
    }

    /// The endpoints, oldest first.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        self.endpoints.iter().map(|(&id, entry)| (id, &*entry.target))
    }

    /// How an endpoint is doing.
    #[must_use]
    pub fn status(&self, id: EndpointId) -> Option<EndpointStatus> {
        self.endpoints.get(&id).map(Entry::status)
    }
}
