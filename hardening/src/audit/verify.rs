//! Finds the first record that is wrong.
//!
//! What it promises: any change to a record that leaves the later ones as they are is found, and so
//! are records that were deleted, added, doubled or exchanged, each with the first index that is
//! wrong. What it cannot see alone: a tail that was cut off at the end of a record, and a log that
//! was written anew from some record on. Both need a [`Checkpoint`] that was kept elsewhere.

use std::io::{self, BufRead, Read};

use super::chain::{Chain, is_segment};
use super::checkpoint::Checkpoint;
use super::damage::{Damage, Tampering, VerifyError};
use super::event::TraceId;
use super::hash::Hash;
use super::record::{MAX_LINE, Record, verify_event};

/// What was found in a log.
///
/// See [`detect_tampering`] for an example.
#[derive(Clone, Debug)]
pub struct Report {
    /// The index of the first record that is there: 0, unless older segments were taken away.
    pub first: u64,
    /// The size of the log up to where it is right; for [`Damage::OtherHistory`], up to where that
    /// showed.
    pub size: u64,
    /// The last right record's hash.
    pub head: Hash,
    /// The root of the tree up to there.
    pub root: Hash,
    /// The first record that is wrong, if any is.
    pub tampering: Option<Tampering>,
}

/// Judges records one by one.
///
/// ```
/// use ironlight_hardening::audit::{Chain, Event, EventKind, Verifier};
///
/// let (mut chain, mut line) = (Chain::new(), Vec::new());
/// chain.append(1_767_225_600_000, &Event::new(EventKind::Start), &mut line);
/// let mut verifier = Verifier::new();
/// let record = verifier.feed(line.trim_ascii_end()).unwrap();
/// assert_eq!(record.event.kind(), &EventKind::Start);
/// assert!(verifier.finish().is_ok());
/// assert_eq!(verifier.chain().head(), chain.head());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    chain: Chain,
    first: u64,
    /// The size up to which a checkpoint agreed.
    agreed: u64,
    /// Sizes and roots yet to be compared, the next one last.
    expected: Vec<(u64, Hash)>,
}

impl Verifier {
    /// From the beginning of a log, without checkpoints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, compared with checkpoints of this log. Their signatures have been verified: that
    /// is how a [`Checkpoint`] is read.
    ///
    /// ```
    /// use ironlight_hardening::audit::{
    ///     Chain, CheckpointKey, Damage, Event, EventKind, Verifier, verify_checkpoint,
    /// };
    ///
    /// let (mut chain, mut log) = (Chain::new(), Vec::new());
    /// chain.append(1_767_225_600_000, &Event::new(EventKind::Start), &mut log);
    /// let mut key = CheckpointKey::new([7; 32], "node-7");
    /// let note = key.sign(chain.size(), chain.root(), 1_767_225_600_000);
    /// let checkpoint = verify_checkpoint(&note, "node-7", key.public()).unwrap();
    /// let mut verifier = Verifier::new().with_checkpoints(&[checkpoint]);
    /// // All of the log was taken away:
    /// assert_eq!(verifier.finish().unwrap_err().what, Damage::Cut { size: 1 });
    /// ```
    #[must_use]
    pub fn with_checkpoints(mut self, checkpoints: &[Checkpoint]) -> Self {
        self.expected.extend(checkpoints.iter().map(|made| (made.size, made.root)));
        self.expected.sort_unstable_by_key(|(size, _)| core::cmp::Reverse(*size));
        self
    }

    /// The log so far.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The index of the first record that was there.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Starts at a segment whose predecessors are not there, on its own word.
    pub(super) fn start_at(&mut self, line: &[u8]) -> Result<(), Tampering> {
        let found = verify_event(line).map_err(|what| Tampering { index: 0, what })?;
        let wrong = Tampering { index: found.index, what: Damage::WrongSegment };
        self.chain = Chain::before_segment(&found).ok_or(wrong)?;
        self.first = self.chain.size();
        self.agreed = self.first;
        // What is older cannot be compared.
        self.expected.retain(|(size, _)| *size >= self.first);
        Ok(())
    }

    /// Judges the next line, without its line feed.
    ///
    /// # Errors
    /// What is wrong. The verifier stands before that record then; but after it, if it is
    /// [`Damage::OtherHistory`].
    pub fn feed(&mut self, line: &[u8]) -> Result<Record, Tampering> {
        let index = self.chain.size();
        let wrong = |what| Tampering { index, what };
        let record = verify_event(line).map_err(wrong)?;
        self.chain.accept(&record).map_err(wrong)?;
        self.compare()?;
        Ok(record)
    }

    fn compare(&mut self) -> Result<(), Tampering> {
        while let Some((size, root)) = self.expected.last().copied()
            && size <= self.chain.size()
        {
            if size == self.chain.size() && root != self.chain.root() {
                let what = Damage::OtherHistory { size };
                return Err(Tampering { index: self.agreed, what });
            }
            self.agreed = size;
            self.expected.pop();
        }
        Ok(())
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// [`Damage::Cut`] if a checkpoint knows of more records.
    pub fn finish(&mut self) -> Result<(), Tampering> {
        let index = self.chain.size();
        match self.expected.first() {
            Some((size, _)) if *size > index => {
                Err(Tampering { index, what: Damage::Cut { size: *size } })
            }
            _ => Ok(()),
        }
    }

    /// Judges all lines of a file; the error in the answer is damage, the outer one of the reader.
    pub(super) fn feed_all(
        &mut self,
        reader: impl BufRead,
        mut see: impl FnMut(&Record),
    ) -> io::Result<Result<(), Tampering>> {
        let mut first = true;
        each_line(reader, |line, ended| {
            if !ended {
                return Err(Tampering { index: self.chain.size(), what: Damage::Torn });
            }
            // Only the very first record of all may stand for those that are not there.
            if core::mem::take(&mut first) && self.chain.size() == 0 && names_a_later_one(line) {
                self.start_at(line)?;
            }
            see(&self.feed(line)?);
            Ok(())
        })
    }

    pub(super) fn report(&self, tampering: Option<Tampering>) -> Report {
        Report {
            first: self.first,
            size: self.chain.size(),
            head: self.chain.head(),
            root: self.chain.root(),
            tampering,
        }
    }
}

fn names_a_later_one(line: &[u8]) -> bool {
    verify_event(line).is_ok_and(|record| record.index > 0 && is_segment(&record.event))
}

/// Every line, and whether it had an end. Of a line that is too long only so much is kept.
fn each_line<E>(
    mut reader: impl BufRead,
    mut see: impl FnMut(&[u8], bool) -> Result<(), E>,
) -> io::Result<Result<(), E>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let longest = MAX_LINE as u64;
        if reader.by_ref().take(longest).read_until(b'\n', &mut line)? == 0 {
            return Ok(Ok(()));
        }
        let text = line.strip_suffix(b"\n");
        let ended = text.is_some() || line.len() == MAX_LINE;
        if let Err(error) = see(text.unwrap_or(&line), ended) {
            return Ok(Err(error));
        }
    }
}

/// Reads a whole log, compares it with checkpoints that were kept elsewhere, and says up to where
/// it is right. Without a checkpoint a cut at the end of a record is not seen.
///
/// A log that begins with a later segment's first record is taken on that record's word: see
/// [`Report::first`].
///
/// # Errors
/// The reader's.
///
/// ```
/// use ironlight_hardening::audit::{Chain, Damage, Event, EventKind, detect_tampering};
///
/// let (mut chain, mut log) = (Chain::new(), Vec::new());
/// for _ in 0..3 {
///     chain.append(1_767_225_600_000, &Event::new(EventKind::Ban), &mut log);
/// }
/// let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
/// let without_the_second = [lines[0], lines[2]].concat();
/// let report = detect_tampering(&without_the_second[..], &[]).unwrap();
/// let tampering = report.tampering.unwrap();
/// assert_eq!((tampering.index, tampering.what), (1, Damage::WrongIndex { expected: 1 }));
/// ```
pub fn detect_tampering(log: impl BufRead, checkpoints: &[Checkpoint]) -> io::Result<Report> {
    let mut verifier = Verifier::new().with_checkpoints(checkpoints);
    let found = verifier.feed_all(log, |_| ())?.and_then(|()| verifier.finish());
    Ok(verifier.report(found.err()))
}

/// The same as [`detect_tampering`], for those who want nothing but a right log.
///
/// ```
/// use ironlight_hardening::audit::{Chain, Event, EventKind, VerifyError, verify_chain};
///
/// let (mut chain, mut log) = (Chain::new(), Vec::new());
/// chain.append(1_767_225_600_000, &Event::new(EventKind::Ban), &mut log);
/// assert_eq!(verify_chain(&log[..], &[]).unwrap().size, 1);
/// log[10] ^= 1;
/// assert!(matches!(verify_chain(&log[..], &[]), Err(VerifyError::Tampered(_))));
/// ```
///
/// # Errors
/// [`VerifyError::Tampered`] for a log that is wrong, [`VerifyError::Io`] from the reader.
pub fn verify_chain(log: impl BufRead, checkpoints: &[Checkpoint]) -> Result<Report, VerifyError> {
    let mut report = detect_tampering(log, checkpoints)?;
    report.tampering.take().map_or(Ok(report), |found| Err(found.into()))
}

/// What was found of a trace.
///
/// See [`verify_trace`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceReport {
    /// Its records.
    pub records: u64,
    /// Its parts: one for each segment that it is in, and one more for each time that it fell out
    /// of the trace table. That a whole part is missing can be seen in the log alone.
    pub parts: u64,
    /// The hash of its last record.
    pub head: Hash,
}

/// Verifies one trace, from a log or from nothing but the lines that belong to it; other records
/// are skipped. The index of damage is the one after the last record that could be read.
///
/// ```
/// use ironlight_hardening::audit::{Chain, Event, EventKind, TraceId, verify_trace};
///
/// let (mut chain, mut log, trace) = (Chain::new(), Vec::new(), TraceId([7; 16]));
/// for event in [Event::new(EventKind::Start), Event::new(EventKind::Ban).in_trace(trace)] {
///     chain.append(1_767_225_600_000, &event, &mut log);
/// }
/// assert_eq!(verify_trace(&log[..], trace).unwrap().records, 1);
/// ```
///
/// # Errors
/// [`VerifyError::Tampered`] if a line is wrong in itself, or a record does not continue the trace;
/// [`VerifyError::Io`] from the reader.
pub fn verify_trace(lines: impl BufRead, trace: TraceId) -> Result<TraceReport, VerifyError> {
    let mut report = TraceReport { records: 0, parts: 0, head: Hash::ZERO };
    let mut next = 0;
    let found = each_line(lines, |line, ended| {
        let wrong = |what| Tampering { index: next, what };
        if !ended {
            return Err(wrong(Damage::Torn));
        }
        let record = verify_event(line).map_err(wrong)?;
        let expected = next;
        if record.index < expected {
            return Err(wrong(Damage::WrongIndex { expected }));
        }
        next = record.index.saturating_add(1);
        if record.event.trace != Some(trace) {
            return Ok(());
        }
        if record.trace_previous == Some(Hash::ZERO) {
            report.parts += 1;
        } else if record.trace_previous != Some(report.head) {
            let what = Damage::WrongTracePrevious;
            return Err(Tampering { index: record.index, what });
        }
        report.records += 1;
        report.head = record.hash;
        Ok(())
    })?;
    found?;
    Ok(report)
}
