//! The chain: gives each event its place after the one before, in the log and in its trace, and
//! knows what the next record must say.
//!
//! What an attacker can grow: the trace table, to [`MAX_TRACES`] places (about 150 bytes each).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::damage::Damage;
use super::event::{Event, TraceId, Value};
use super::hash::Hash;
use super::kind::{EventKind, LogKind};
use super::record::{Place, Record, encode};
use super::tree::Frontier;

/// How many traces are followed at once. A part of the format: see [`super::record`].
pub const MAX_TRACES: usize = 4_096;

/// The end of a log: all that is needed to write the next record, or to judge it.
///
/// ```
/// use ironlight_hardening::audit::{Chain, Event, EventKind};
///
/// let (mut chain, mut log) = (Chain::new(), Vec::new());
/// let hash = chain.append(1_767_225_600_000, &Event::new(EventKind::Start), &mut log);
/// assert_eq!((chain.size(), chain.head()), (1, hash));
/// assert!(log.ends_with(b"}\n"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Chain {
    head: Hash,
    frontier: Frontier,
    traces: Traces,
}

impl Chain {
    /// The beginning of a log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of records, which is the index of the next one.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The last record's hash; zeros in an empty log.
    #[must_use]
    pub const fn head(&self) -> Hash {
        self.head
    }

    /// The root of the tree over all records.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Writes the event as the next record, with its line feed, and returns its hash. `at` is in
    /// milliseconds since 1970. A kind that only the log writes becomes `claimed_by_caller`.
    pub fn append(&mut self, at: u64, event: &Event, line: &mut Vec<u8>) -> Hash {
        if matches!(event.kind, EventKind::Log(_)) {
            return self.append_any(at, &event.clone().not_of_the_log(), line);
        }
        self.append_any(at, event, line)
    }

    pub(super) fn append_any(&mut self, at: u64, event: &Event, line: &mut Vec<u8>) -> Hash {
        let place = Place {
            index: self.size(),
            at,
            trace_previous: event.trace.map(|trace| self.traces.last(trace)),
            previous: self.head,
        };
        let hash = encode(event, &place, line);
        self.advance(event, hash);
        hash
    }

    /// Writes the record that begins a file of the log: from there on the log verifies alone. Every
    /// trace starts again. Of the name at most 256 bytes are kept.
    pub fn begin_segment(&mut self, at: u64, log: &str, line: &mut Vec<u8>) -> Hash {
        let mut event = Event::of(EventKind::Log(LogKind::Segment)).on(log.to_owned());
        event.data.push((Cow::Borrowed("tree"), Value::Text(self.tree_text().into())));
        self.append_any(at, &event, line)
    }

    /// Judges the next record and, if it is right, moves on.
    pub(super) fn accept(&mut self, record: &Record) -> Result<(), Damage> {
        if record.index != self.size() {
            return Err(Damage::WrongIndex { expected: self.size() });
        }
        if record.previous != self.head {
            return Err(Damage::WrongPrevious);
        }
        let of_trace = record.event.trace.map(|trace| self.traces.last(trace));
        if record.trace_previous != of_trace {
            return Err(Damage::WrongTracePrevious);
        }
        if is_segment(&record.event) && tree_of(&record.event) != Some(&self.tree_text()) {
            return Err(Damage::WrongTree);
        }
        self.advance(&record.event, record.hash);
        Ok(())
    }

    /// The end of the log before a segment's first record, taken on that record's word; none if it
    /// is no such record.
    pub(super) fn before_segment(record: &Record) -> Option<Self> {
        if !is_segment(&record.event) {
            return None;
        }
        let (digits, rest) = tree_of(&record.event)?.as_bytes().as_chunks::<64>();
        let roots = digits.iter().map(|hash| Hash::from_hex(hash)).collect::<Option<Vec<_>>>()?;
        let frontier = Frontier::from_roots(record.index, roots)?;
        rest.is_empty().then(|| Self { head: record.previous, frontier, traces: Traces::default() })
    }

    fn advance(&mut self, event: &Event, hash: Hash) {
        if is_segment(event) {
            self.traces = Traces::default();
        }
        if let Some(trace) = event.trace {
            self.traces.set(trace, hash, self.size());
        }
        self.head = hash;
        self.frontier.push(&hash.0);
    }

    fn tree_text(&self) -> String {
        self.frontier.roots().iter().map(Hash::to_string).collect()
    }
}

impl Default for Hash {
    fn default() -> Self {
        Self::ZERO
    }
}

pub(super) const fn is_segment(event: &Event) -> bool {
    matches!(event.kind, EventKind::Log(LogKind::Segment))
}

fn tree_of(event: &Event) -> Option<&str> {
    match event.value("tree")? {
        Value::Text(text) => Some(text),
        Value::Number(_) | Value::Flag(_) => None,
    }
}

/// The last hash of each trace that was written to lately.
#[derive(Clone, Debug, Default)]
struct Traces {
    last: HashMap<TraceId, (Hash, u64)>,
    by_index: BTreeMap<u64, TraceId>,
}

impl Traces {
    fn last(&self, trace: TraceId) -> Hash {
        self.last.get(&trace).map_or(Hash::ZERO, |(hash, _)| *hash)
    }

    fn set(&mut self, trace: TraceId, hash: Hash, index: u64) {
        if let Some((_, old)) = self.last.insert(trace, (hash, index)) {
            self.by_index.remove(&old);
        } else if self.last.len() > MAX_TRACES
            && let Some((_, oldest)) = self.by_index.pop_first()
        {
            self.last.remove(&oldest);
        }
        self.by_index.insert(index, trace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    /// The trace that was written to last stands at the end.
    #[derive(Default)]
    struct Naive(Vec<(TraceId, Hash)>);

    impl Naive {
        fn last(&self, trace: TraceId) -> Hash {
            let found = self.0.iter().rev().find(|(known, _)| *known == trace);
            found.map_or(Hash::ZERO, |(_, hash)| *hash)
        }

        fn set(&mut self, trace: TraceId, hash: Hash) {
            self.0.retain(|(known, _)| *known != trace);
            self.0.push((trace, hash));
            if self.0.len() > MAX_TRACES {
                self.0.remove(0);
            }
        }
    }

    #[test]
    fn traces_are_a_list_in_the_order_of_their_last_records() {
        let (mut traces, mut naive) = (Traces::default(), Naive::default());
        let (mut numbers, mut unknown) = (Numbers(1), 0_u32);
        for index in 0..100_000 {
            // A few are written to often, many seldom; more than there is room for.
            let end = [40, 9_000][usize::from(numbers.below(3) > 0)];
            let trace = TraceId(u128::from(numbers.below(end)).to_be_bytes());
            assert_eq!(traces.last(trace), naive.last(trace), "record {index}");
            unknown += u32::from(naive.last(trace) == Hash::ZERO);
            let hash = Hash::of(&[&u64::to_be_bytes(index)]);
            traces.set(trace, hash, index);
            naive.set(trace, hash);
            assert_eq!((traces.last.len(), traces.by_index.len()), (naive.0.len(), naive.0.len()));
        }
        assert!(unknown > 20_000, "{unknown} were new, or had fallen out");
    }
}
