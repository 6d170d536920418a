//! Makes the attempts that the state machine asks for.

use core::fmt;
use core::future::{Future, poll_fn};
use core::net::SocketAddr;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::http::{HttpRequest, HttpResponse, HttpSend, Resolve};
use super::sign::MessageId;
use super::state::Dispatcher;
use super::types::{
    Endpoint, EndpointId, EndpointStatus, Job, LogEntry, Next, Outcome, PublishError,
    RegisterError, WebhookStats,
};
use super::url::HookUrl;
use crate::clock::Timer;
use crate::net_guard::AddressGuard;

type Listener = Arc<dyn Fn(&LogEntry) + Send + Sync>;

/// How attempts are made.
///
/// ```
/// use core::time::Duration;
/// use ironlight_hardening::webhook::SendConfig;
///
/// let config = SendConfig { max_redirects: 0, ..SendConfig::default() };
/// assert_eq!(config.timeout, Duration::from_secs(10));
/// assert!(config.guard.check("127.0.0.1".parse().unwrap()).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct SendConfig {
    /// An attempt with all its redirects ends after this time.
    pub timeout: Duration,
    /// Redirects (307 and 308, which keep the method) that are followed. Each address is checked,
    /// and TLS is not given up.
    pub max_redirects: u32,
    /// Which addresses may be connected to.
    pub guard: AddressGuard,
}

impl Default for SendConfig {
    /// 10 seconds, no redirects, public addresses only.
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self { timeout, max_redirects: 0, guard: AddressGuard::public_only() }
    }
}

/// The webhooks of a program: register endpoints, publish, and let some [`Self::work`] futures
/// run, as many as attempts may be under way at once. Clones share all.
///
/// The [module](super) has an example.
pub struct Webhooks<H, R, T> {
    shared: Arc<Shared<H, R, T>>,
}

struct Shared<H, R, T> {
    state: Mutex<State>,
    http: H,
    resolve: R,
    timer: T,
    config: SendConfig,
    listeners: Vec<Listener>,
    unix: fn() -> u64,
}

struct State {
    hooks: Dispatcher,
    /// Changes with each reason to look again.
    changes: u64,
    /// Those who wait for a change: one for each worker.
    waiting: Vec<Waker>,
    closed: bool,
}

fn system_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

impl<H: HttpSend, R: Resolve, T: Timer> Webhooks<H, R, T> {
    /// Nothing is sent until somebody works.
    pub fn new(hooks: Dispatcher, config: SendConfig, http: H, resolve: R, timer: T) -> Self {
        let state = State { hooks, changes: 0, waiting: Vec::new(), closed: false };
        let state = Mutex::new(state);
        let (listeners, unix) = (Vec::new(), system_time as fn() -> u64);
        let shared = Shared { state, http, resolve, timer, config, listeners, unix };
        Self { shared: Arc::new(shared) }
    }

    /// Calls the listener with each line of the log that an attempt makes, in the worker's task:
    /// it must not block. If it panics, the work goes on. To be called before the first clone is
    /// made; says whether it was.
    pub fn on_attempt(&mut self, listener: impl Fn(&LogEntry) + Send + Sync + 'static) -> bool {
        let shared = Arc::get_mut(&mut self.shared);
        shared.map(|shared| shared.listeners.push(Arc::new(listener))).is_some()
    }

    /// Another wall clock, in seconds since 1970; to be called before the first clone is made.
    pub fn with_wall_clock(&mut self, unix: fn() -> u64) -> bool {
        Arc::get_mut(&mut self.shared).map(|shared| shared.unix = unix).is_some()
    }

    /// Adds an endpoint.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register(&self, endpoint: Endpoint) -> Result<EndpointId, RegisterError> {
        self.lock().hooks.register(endpoint)
    }

    /// Changes an endpoint; says whether it was there.
    ///
    /// # Errors
    /// [`RegisterError`], and it stays as it was.
    pub fn update(&self, id: EndpointId, endpoint: Endpoint) -> Result<bool, RegisterError> {
        self.lock().hooks.update(id, endpoint)
    }

    /// Forgets an endpoint and drops what waits for it; says whether it was there.
    pub fn remove(&self, id: EndpointId) -> bool {
        let now = self.shared.timer.now();
        self.lock().hooks.remove(id, now)
    }

    /// Tells a disabled endpoint again; says whether it is there.
    pub fn enable(&self, id: EndpointId) -> bool {
        self.changed(|hooks| hooks.enable(id))
    }

    /// Begins the deliveries of a message, and says how many there are.
    ///
    /// # Errors
    /// [`PublishError`]; none is begun then.
    pub fn publish(
        &self,
        id: MessageId,
        event: &str,
        payload: Vec<u8>,
    ) -> Result<usize, PublishError> {
        let now = self.shared.timer.now();
        self.changed(|hooks| hooks.publish(id, event, payload, now))
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> WebhookStats {
        self.lock().hooks.stats()
    }

    /// The endpoints, oldest first.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointId> {
        self.lock().hooks.endpoints().map(|(id, _)| id).collect()
    }

    /// How an endpoint is doing.
    #[must_use]
    pub fn status(&self, id: EndpointId) -> Option<EndpointStatus> {
        self.lock().hooks.status(id)
    }

    /// The delivery log, oldest first: a copy.
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        self.lock().hooks.log().cloned().collect()
    }

    /// Ends all work after the attempts that are under way. What waits stays where it is.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed(|_| ());
    }

    /// Makes attempts, one after the other, until [`Self::close`]. Dropped at any point, it leaves
    /// the attempt that was under way to another.
    pub async fn work(&self) {
        loop {
            let (next, seen) = {
                let mut state = self.lock();
                if state.closed {
                    return;
                }
                (state.hooks.next(self.shared.timer.now()), state.changes)
            };
            match next {
                Next::Send(job) => self.attempt(job).await,
                Next::Idle => self.change_after(seen).await,
                Next::WaitUntil(at) => {
                    let time = at.saturating_sub(self.shared.timer.now());
                    let sleep = self.shared.timer.sleep(time);
                    either(self.change_after(seen), sleep).await;
                }
            }
        }
    }

    async fn attempt(&self, job: Job) {
        let url = job.target.url.clone();
        let mut guard = JobGuard { webhooks: self, job: Some(job) };
        let Some(job) = &guard.job else { return };
        let sleep = self.shared.timer.sleep(self.shared.config.timeout);
        let outcome = either(self.send(job, url), sleep).await.unwrap_or(Outcome::Timeout);
        let Some(job) = guard.job.take() else { return };
        let entry =
            self.changed(|hooks| hooks.finish_logged(job, outcome, self.shared.timer.now()));
        for listener in &self.shared.listeners {
            drop(catch_unwind(AssertUnwindSafe(|| listener(&entry))));
        }
    }

    /// The request and the redirects that it is sent on to.
    async fn send(&self, job: &Job, mut url: HookUrl) -> Outcome {
        let mut redirects = 0;
        loop {
            let Some(response) = (match self.request(job, &url).await {
                Ok(response) => response,
                Err(outcome) => return outcome,
            }) else {
                return Outcome::Unreachable;
            };
            let HttpResponse { status: code, retry_after, location } = response;
            let location = location.filter(|_| matches!(code, 307 | 308));
            let Some(location) = location.filter(|_| redirects < self.shared.config.max_redirects)
            else {
                return Outcome::Status { code, retry_after };
            };
            redirects += 1;
            match url.join(&location) {
                Ok(next) if next.is_tls() || !url.is_tls() => url = next,
                Ok(_) | Err(_) => return Outcome::Refused,
            }
        }
    }

    /// One request to an address that was checked; none when there was no answer.
    async fn request(&self, job: &Job, url: &HookUrl) -> Result<Option<HttpResponse>, Outcome> {
        let addresses = self.addresses(url).await?;
        // Another one at each attempt.
        let index = usize::try_from(job.attempt.saturating_sub(1)).unwrap_or(0);
        let address = addresses.get(index % addresses.len().max(1)).ok_or(Outcome::Unreachable)?;
        let request = HttpRequest::new(job, url.clone(), *address, (self.shared.unix)());
        Ok(self.shared.http.send(request).await.ok())
    }

    async fn addresses(&self, url: &HookUrl) -> Result<Vec<SocketAddr>, Outcome> {
        let found = match url.address() {
            Some(address) => vec![SocketAddr::new(address, url.port())],
            None => {
                let asked = self.shared.resolve.resolve(url.host().to_owned(), url.port());
                asked.await.map_err(|_| Outcome::Unreachable)?
            }
        };
        if found.is_empty() {
            return Err(Outcome::Unreachable);
        }
        self.shared.config.guard.filter(found).map_err(|_| Outcome::Refused)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that workers may want to know of.
    fn changed<A>(&self, change: impl FnOnce(&mut Dispatcher) -> A) -> A {
        let (answer, waiting) = {
            let mut state = self.lock();
            state.changes = state.changes.wrapping_add(1);
            (change(&mut state.hooks), core::mem::take(&mut state.waiting))
        };
        waiting.into_iter().for_each(Waker::wake);
        answer
    }

    fn change_after(&self, seen: u64) -> impl Future<Output = ()> + Send {
        poll_fn(move |context| {
            let mut state = self.lock();
            if state.changes != seen {
                return Poll::Ready(());
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
    }
}

/// The first to end; none when it is the second. The first is asked first.
async fn either<A>(first: impl Future<Output = A>, second: impl Future<Output = ()>) -> Option<A> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    poll_fn(|context| {
        if let Poll::Ready(answer) = first.as_mut().poll(context) {
            return Poll::Ready(Some(answer));
        }
        second.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Gives a job back when its worker is dropped.
struct JobGuard<'a, H: HttpSend, R: Resolve, T: Timer> {
    webhooks: &'a Webhooks<H, R, T>,
    job: Option<Job>,
}

impl<H: HttpSend, R: Resolve, T: Timer> Drop for JobGuard<'_, H, R, T> {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            let now = self.webhooks.shared.timer.now();
            self.webhooks.changed(|hooks| hooks.abandon(job, now));
        }
    }
}

impl<H, R, T> Clone for Webhooks<H, R, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<H, R, T> fmt::Debug for Webhooks<H, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("config", &self.shared.config).finish_non_exhaustive()
    }
}
