//! Where a log is written to.

use core::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::chain::Chain;
use super::damage::Tampering;
use super::event::Event;
use super::verify::Verifier;
use crate::error::{Classify, ErrorClass};

/// Why a sink did not take what it was given.
///
/// ```
/// use ironlight_hardening::audit::SinkError;
/// use ironlight_hardening::{Classify, ErrorClass};
///
/// assert_eq!(SinkError::Refused { status: 403 }.class(), ErrorClass::Permanent);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum SinkError {
    /// The operating system refused.
    Io {
        /// What was tried.
        doing: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// The operating system could not flush. It may have dropped what it could not write, and would
    /// say next time that all is well (so Linux does): therefore it is not asked again.
    NotFlushed(io::Error),
    /// What is there already is wrong; it is left as it is until it is repaired on command.
    Damaged(Tampering),
    /// Another writer has it.
    InUse,
    /// The other side refused.
    Refused {
        /// Its answer: an HTTP status.
        status: u16,
    },
}

impl SinkError {
    pub(super) const fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

impl Classify for SinkError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Io { source, .. } => source.class(),
            Self::Damaged(_) | Self::NotFlushed(_) => ErrorClass::Permanent,
            Self::InUse => ErrorClass::Temporary,
            Self::Refused { status: 429 } => ErrorClass::RateLimited { retry_after: None },
            Self::Refused { status: 408 | 500..=599 } => ErrorClass::Temporary,
            Self::Refused { .. } => ErrorClass::Permanent,
        }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
            Self::NotFlushed(source) => write!(f, "flush: {source}"),
            Self::Damaged(tampering) => write!(f, "the log is damaged: {tampering}"),
            Self::InUse => f.write_str("another writer has the log"),
            Self::Refused { status } => write!(f, "refused with status {status}"),
        }
    }
}

impl core::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::NotFlushed(source) => Some(source),
            Self::Damaged(tampering) => Some(tampering),
            Self::InUse | Self::Refused { .. } => None,
        }
    }
}

/// Takes a log, from the writer's own thread: it may block, and the emitters do not notice.
///
/// ```
/// use ironlight_hardening::audit::{Chain, Sink, SinkError};
///
/// /// Writes each line to the standard error, and keeps nothing.
/// struct Console;
/// impl Sink for Console {
///     fn name(&self) -> &str {
///         "console"
///     }
///     fn open(&mut self) -> Result<Chain, SinkError> {
///         Ok(Chain::new())
///     }
///     fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
///         eprint!("{}", String::from_utf8_lossy(lines));
///         Ok(())
///     }
///     fn flush(&mut self) -> Result<(), SinkError> {
///         Ok(())
///     }
/// }
/// assert_eq!(Console.open().unwrap().size(), 0);
/// ```
pub trait Sink: Send {
    /// A name for reports.
    fn name(&self) -> &str;

    /// Starts, or starts again, and says where its log ends. Each sink has a log of its own.
    ///
    /// # Errors
    /// Why it cannot start; the next sink is tried then.
    fn open(&mut self) -> Result<Chain, SinkError>;

    /// Takes whole lines: all of them or, with an error, none.
    ///
    /// # Errors
    /// A temporary one ([`Classify`]) for the same lines to be offered again, another one to be
    /// given up for the next sink.
    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError>;

    /// Makes sure that what was taken survives a power cut.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn flush(&mut self) -> Result<(), SinkError>;

    /// Whether a new segment should begin with the next record.
    fn wants_segment(&self) -> bool {
        false
    }

    /// What follows is a new segment whose first record has this index.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn begin_segment(&mut self, _first: u64) -> Result<(), SinkError> {
        Ok(())
    }

    /// What it has to say in the log; asked for after each batch, after [`Sink::open`] and after
    /// [`Sink::begin_segment`].
    fn notices(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// Keeps a signed checkpoint beside the log.
    ///
    /// # Errors
    /// As for [`Sink::write`].
    fn keep_checkpoint(&mut self, _note: &str) -> Result<(), SinkError> {
        Ok(())
    }

    /// Nothing follows; another writer may have it. It can be opened again.
    fn close(&mut self) {}
}

/// Keeps the log in memory, for tests and short-lived programs. It grows with the log; clones show
/// the same.
///
/// ```
/// use ironlight_hardening::audit::{AuditConfig, AuditLog, Event, EventKind, MemorySink};
///
/// let sink = MemorySink::default();
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink.clone())]).unwrap();
/// log.emit(Event::new(EventKind::Start)).unwrap();
/// log.shutdown();
/// assert_eq!(sink.lines().lines().count(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemorySink(Arc<Mutex<Vec<u8>>>);

impl MemorySink {
    /// The log so far.
    #[must_use]
    pub fn lines(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }
}

impl Sink for MemorySink {
    #[allow(clippy::unnecessary_literal_bound, reason = "other sinks have names of their own")]
    fn name(&self) -> &str {
        "memory"
    }

    fn open(&mut self) -> Result<Chain, SinkError> {
        let mut verifier = Verifier::new();
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = verifier.feed_all(&lines[..], |_| ());
        read.map_err(SinkError::io("read"))?.map_err(SinkError::Damaged)?;
        Ok(verifier.chain().clone())
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
