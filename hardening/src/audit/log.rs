//! The log that programs hold: cheap to clone, never waits, and flushes when it ends.

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;

use super::config::AuditConfig;
use super::event::Event;
use super::handover::{fallback_event, open_first};
use super::kind::{EventKind, LogKind};
use super::observer::Observers;
use super::shared::{AuditStatus, NotTaken, Shared};
use super::sink::{Sink, SinkError};
use super::writer::Writer;

/// An audit log. Clones are the same log; when the last one is dropped it is shut down.
///
/// ```
/// use ironlight_hardening::audit::{AuditConfig, AuditLog, Event, EventKind, MemorySink};
///
/// let sink = MemorySink::default();
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink.clone())]).unwrap();
/// log.emit(Event::new(EventKind::Ban).on("192.0.2.7").with("score", 100_u32)).unwrap();
/// assert!(log.shutdown());
/// assert!(sink.lines().contains(r#""kind":"ban""#));
/// ```
#[derive(Clone)]
pub struct AuditLog(Arc<Owner>);

struct Owner {
    shared: Arc<Shared>,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
    timeout: Duration,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.wait_for_end(self.timeout);
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditLog").field(&self.status()).finish()
    }
}

impl AuditLog {
    /// Starts with the first sink that opens. The others are there for when it gives up.
    ///
    /// # Errors
    /// The last sink's error, if none opens; [`SinkError::Io`] if no thread can be started, or there
    /// is no sink.
    pub fn start(
        mut config: AuditConfig,
        mut sinks: Vec<Box<dyn Sink>>,
    ) -> Result<Self, SinkError> {
        let mut failed = Vec::new();
        let opened = open_first(&mut sinks, 0, |name, error| {
            failed.push(format!("{name}: {error}"));
        });
        let (active, chain) = opened.map_err(|error| error.unwrap_or_else(no_sink))?;
        let mut counts = AuditStatus {
            size: chain.size(),
            head: chain.head(),
            last_error: failed.last().cloned(),
            handed_over: failed.len() as u64,
            ..AuditStatus::default()
        };
        let mut first: Vec<Event> =
            failed.into_iter().map(|reason| fallback_event(reason, 0, String::new())).collect();
        if let Some(sink) = sinks.get_mut(active) {
            counts.sink = sink.name().to_owned();
            first.extend(sink.notices());
        }
        let shared = Arc::new(Shared::new(config.queue, counts));
        let owner = Owner {
            shared: Arc::clone(&shared),
            clock: Arc::clone(&config.clock),
            timeout: config.shutdown_timeout,
        };
        let exports = config.checkpoints.as_mut().map(|made| core::mem::take(&mut made.export));
        let observers = core::mem::take(&mut config.observers);
        let observers = Observers::start(observers, exports.unwrap_or_default(), &shared)
            .map_err(SinkError::io("start the observers' thread"))?;
        let writer = Writer::new(config, Arc::clone(&shared), sinks, (active, chain), observers);
        shared.thread_started();
        let spawned = thread::Builder::new().name("audit".to_owned()).spawn(|| writer.run(first));
        if let Err(source) = spawned {
            shared.writer_ended();
            return Err(SinkError::Io { doing: "start the writer's thread", source });
        }
        Ok(Self(Arc::new(owner)))
    }

    /// Offers an event that happens now. It never waits for a sink.
    ///
    /// # Errors
    /// [`NotTaken`] if there was no room, which the log itself will tell by a gap record, or the log
    /// is closed. Both are counted in [`AuditLog::status`].
    pub fn emit(&self, event: Event) -> Result<(), NotTaken> {
        self.emit_at((self.0.clock)(), event)
    }

    /// As [`AuditLog::emit`], for an event of another time, in milliseconds since 1970.
    ///
    /// ```
    /// use ironlight_hardening::audit::{AuditConfig, AuditLog, Event, EventKind, MemorySink};
    ///
    /// let sink = MemorySink::default();
    /// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink.clone())]).unwrap();
    /// log.emit_at(1_767_225_600_000, Event::new(EventKind::Start)).unwrap();
    /// log.shutdown();
    /// assert!(sink.lines().contains(r#""at":1767225600000,"kind":"start""#));
    /// ```
    ///
    /// # Errors
    /// As [`AuditLog::emit`].
    pub fn emit_at(&self, at: u64, event: Event) -> Result<(), NotTaken> {
        self.0.shared.try_emit(at, event.not_of_the_log())
    }

    /// Waits until all that was emitted before survives a power cut. Whether it does, in time.
    #[must_use]
    pub fn flush(&self, timeout: Duration) -> bool {
        self.0.shared.flush(timeout)
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> AuditStatus {
        self.0.shared.status()
    }

    /// Takes no more events, writes those that wait, flushes, signs a last checkpoint, and waits for
    /// all this as long as configured. Whether it was done in time; what was lost stands in the
    /// status. A second call changes nothing.
    pub fn shutdown(&self) -> bool {
        self.0.shared.close();
        self.0.shared.wait_for_end(self.0.timeout)
    }
}

fn no_sink() -> SinkError {
    let source = std::io::Error::from(std::io::ErrorKind::InvalidInput);
    SinkError::Io { doing: "start without a sink", source }
}

/// A place for the log of a whole program, in a `static`: it can be started, and started again with
/// other settings, while others emit.
///
/// ```
/// use ironlight_hardening::audit::{AuditConfig, AuditSlot, Event, EventKind, MemorySink};
///
/// static AUDIT: AuditSlot = AuditSlot::new();
///
/// let sink = MemorySink::default();
/// AUDIT.install(AuditConfig::default(), vec![Box::new(sink.clone())]).unwrap();
/// AUDIT.emit(Event::new(EventKind::Start)).unwrap();
/// AUDIT.install(AuditConfig::default(), vec![Box::new(sink.clone())]).unwrap();
/// AUDIT.emit(Event::new(EventKind::Stop)).unwrap();
/// AUDIT.remove();
/// assert_eq!(sink.lines().lines().count(), 3);
/// ```
#[derive(Debug, Default)]
pub struct AuditSlot {
    log: RwLock<Option<AuditLog>>,
    /// Held while a log starts, so that two do not.
    installing: std::sync::Mutex<()>,
    missed: core::sync::atomic::AtomicU64,
}

impl AuditSlot {
    /// An empty place.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            log: RwLock::new(None),
            installing: std::sync::Mutex::new(()),
            missed: core::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Shuts the log that is there down, and starts another, which may use the same files. What is
    /// emitted between is counted, and the new log begins with a gap record that says so.
    ///
    /// # Errors
    /// As [`AuditLog::start`]; the place is empty then.
    pub fn install(
        &self,
        config: AuditConfig,
        sinks: Vec<Box<dyn Sink>>,
    ) -> Result<AuditLog, SinkError> {
        let _one = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_out();
        let log = AuditLog::start(config, sinks)?;
        let mut place = self.log.write().unwrap_or_else(PoisonError::into_inner);
        let missed = self.missed.swap(0, core::sync::atomic::Ordering::Relaxed);
        if missed > 0 {
            let gap = Event::of(EventKind::Log(LogKind::Gap)).with("lost", missed);
            log.0.shared.emit((log.0.clock)(), gap);
        }
        *place = Some(log.clone());
        Ok(log)
    }

    /// Shuts the log down; the place is empty afterwards.
    pub fn remove(&self) {
        let _one = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
        self.take_out();
    }

    fn take_out(&self) {
        let old = self.log.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(old) = old {
            old.shutdown();
        }
    }

    /// Offers an event to the log that is there.
    ///
    /// # Errors
    /// As [`AuditLog::emit`]; [`NotTaken::Closed`] if the place is empty.
    pub fn emit(&self, event: Event) -> Result<(), NotTaken> {
        let place = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = place.as_ref() else {
            self.missed.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
            return Err(NotTaken::Closed);
        };
        log.emit(event)
    }
}
