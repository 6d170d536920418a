//! From one sink to the next: trying again, giving up, and what the next log says of it.

use super::chain::Chain;
use super::event::Event;
use super::kind::{EventKind, LogKind};
use super::sink::{Sink, SinkError};
use super::writer::Writer;
use crate::error::Classify;
use crate::retry::Backoff;

/// Why something was not done.
pub(super) enum Undone {
    /// Another sink, with another log, took the place of the one that it was meant for.
    HandedOver,
    /// No sink took it, and the log is being closed.
    Closing,
}

/// Tries the sinks one after the other from `from` on, each once.
pub(super) fn open_first(
    sinks: &mut [Box<dyn Sink>],
    from: usize,
    mut failed: impl FnMut(&str, &SinkError),
) -> Result<(usize, Chain), Option<SinkError>> {
    let mut last = None;
    let count = sinks.len();
    for i in (from..count).chain(0..from.min(count)) {
        let Some(sink) = sinks.get_mut(i) else { continue };
        match sink.open() {
            Ok(chain) => return Ok((i, chain)),
            Err(error) => {
                failed(sink.name(), &error);
                last = Some(error);
            }
        }
    }
    Err(last)
}

impl Writer {
    pub(super) fn sink<T>(
        &mut self,
        act: impl FnOnce(&mut dyn Sink) -> Result<T, SinkError>,
    ) -> Option<T> {
        let sink = self.sinks.get_mut(self.active)?;
        match act(sink.as_mut()) {
            Ok(done) => Some(done),
            Err(error) => {
                let text = format!("{}: {error}", sink.name());
                self.shared.count(|counts| counts.last_error = Some(text));
                None
            }
        }
    }

    /// Tries until it works, another sink takes over, or there is no more time.
    pub(super) fn attempt(
        &mut self,
        mut act: impl FnMut(&mut dyn Sink) -> Result<(), SinkError>,
    ) -> Result<(), Undone> {
        let mut backoff = Backoff::new(self.config.backoff, self.chain.size());
        let mut tried = 0;
        loop {
            let Some(sink) = self.sinks.get_mut(self.active) else { return Err(Undone::Closing) };
            let Err(error) = act(sink.as_mut()) else { return Ok(()) };
            tried += 1;
            let text = format!("{}: {error}", sink.name());
            self.shared.count(|counts| counts.last_error = Some(text.clone()));
            let closing = if error.class().is_retryable() && tried < self.config.attempts {
                self.shared.pause(backoff.next_delay())
            } else {
                return self.hand_over();
            };
            // When it is being closed, what remains is tried once more here and once elsewhere.
            if closing && tried > 1 {
                return self.hand_over();
            }
        }
    }

    /// Gives the active sink up for the next one that opens: itself again, if no other does.
    fn hand_over(&mut self) -> Result<(), Undone> {
        self.close_sink();
        if let Some(note) = self.unkept.take() {
            // It is about this sink's log; the next one has no place for it.
            self.save_seed();
            self.observers.export(note, &self.shared);
        }
        let mut backoff = Backoff::new(self.config.backoff, self.chain.size() ^ 1);
        loop {
            let shared = &self.shared;
            let opened = open_first(&mut self.sinks, self.active + 1, |name, error| {
                let text = format!("{name}: {error}");
                shared.count(|counts| counts.last_error = Some(text));
            });
            if let Ok((active, chain)) = opened {
                (self.active, self.chain) = (active, chain);
                self.checkpoint_size = self.chain.size();
                let name = self.sinks.get(active).map(|sink| sink.name().to_owned());
                self.shared.count(|counts| {
                    counts.sink = name.unwrap_or_default();
                    counts.handed_over += 1;
                });
                return Err(Undone::HandedOver);
            }
            if self.shared.pause(backoff.next_delay()) {
                return Err(Undone::Closing);
            }
        }
    }

    pub(super) fn start_of_fallback(&mut self) -> Vec<Event> {
        let status = self.shared.status();
        let reason = status.last_error.unwrap_or_default();
        let mut said = self.sink(|sink| Ok(sink.notices())).unwrap_or_default();
        said.push(fallback_event(reason, status.size, status.head.to_string()));
        said
    }

    pub(super) fn close_sink(&mut self) {
        if let Some(sink) = self.sinks.get_mut(self.active) {
            sink.close();
        }
    }
}

/// Says in a log that it goes on where another could not.
pub(super) fn fallback_event(reason: String, size: u64, head: String) -> Event {
    Event::of(EventKind::Log(LogKind::Fallback))
        .with("reason", reason)
        .with("other_size", size)
        .with("other_head", head)
}
