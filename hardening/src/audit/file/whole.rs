//! A whole log in its files: verified from the first to the last.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, Read};
use std::path::Path;

use super::seal_of;
use super::segments::{self, Forms, packed_name};
use crate::audit::checkpoint::{Checkpoint, split_notes};
use crate::audit::damage::{Damage, Tampering};
use crate::audit::hash::Hash;
use crate::audit::record::Record;
use crate::audit::tree::Tree;
use crate::audit::verify::{Report, Verifier};

/// Everything that was found.
pub(super) struct Whole {
    pub(super) report: Report,
    pub(super) segments: BTreeMap<u64, Forms>,
    /// File names and their hashes, from all records up to the first wrong one.
    pub(super) seals: BTreeMap<String, Hash>,
}

/// Verifies a log in its files: every record, that nothing is missing between them, and the seals
/// of compressed ones. It needs no lock, but a log that is being written to may look torn.
///
/// Without a checkpoint that was kept elsewhere, a cut at the end is not seen, nor is a log that
/// was written anew.
///
/// ```
/// use ironlight_hardening::audit::{AuditConfig, AuditLog, Event, EventKind, FileConfig, FileSink, verify_dir};
///
/// let dir = tempfile::tempdir().unwrap();
/// let sink = FileSink::new(FileConfig::new(dir.path()));
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
/// log.emit(Event::new(EventKind::Start)).unwrap();
/// log.shutdown();
///
/// let report = verify_dir(dir.path(), &[]).unwrap();
/// assert_eq!(report.tampering, None);
/// ```
///
/// # Errors
/// The operating system's.
pub fn verify_dir(dir: &Path, checkpoints: &[Checkpoint]) -> io::Result<Report> {
    Ok(read_whole(dir, checkpoints, |_| ())?.report)
}

/// Reads a log from its folder, or from one of its files, verifies it as [`verify_dir`] does, and
/// shows every right record, up to the first wrong one.
///
/// Of one file: it is taken for all of the log from its first record on, so a checkpoint from later
/// than its end shows a cut; and a compressed one is compared with no seal, which stands in a later file.
///
/// # Errors
/// The operating system's.
///
/// ```
/// use ironlight_hardening::audit::{
///     AuditConfig, AuditLog, Event, EventKind, FileConfig, FileSink, read_log,
/// };
///
/// let dir = tempfile::tempdir().unwrap();
/// let sink = FileSink::new(FileConfig::new(dir.path()));
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
/// log.emit(Event::new(EventKind::Start)).unwrap();
/// log.shutdown();
///
/// let mut kinds = Vec::new();
/// let report = read_log(dir.path(), &[], |record| {
///     kinds.push(record.event.kind().name().to_owned());
/// });
/// assert_eq!((report.unwrap().size, kinds), (2, vec!["log_segment".into(), "start".into()]));
/// ```
pub fn read_log(
    path: &Path,
    checkpoints: &[Checkpoint],
    see: impl FnMut(&Record),
) -> io::Result<Report> {
    if fs::metadata(path)?.is_dir() {
        return Ok(read_whole(path, checkpoints, see)?.report);
    }
    let mut verifier = Verifier::new().with_checkpoints(checkpoints);
    let (lines, packed) = segments::read_path(path)?;
    let found = judge_lines(lines, packed, &mut verifier, see)?;
    let wrong = found.and_then(|()| verifier.finish()).err();
    Ok(verifier.report(wrong))
}

/// The tree over a log that begins at 0, to make proofs from; it takes 64 bytes a record. It ends
/// where the log is wrong.
///
/// ```
/// use ironlight_hardening::audit::{AuditConfig, AuditLog, Event, EventKind, FileConfig, FileSink, tree_of_dir};
///
/// let dir = tempfile::tempdir().unwrap();
/// let sink = FileSink::new(FileConfig::new(dir.path()));
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
/// log.emit(Event::new(EventKind::Start)).unwrap();
/// log.shutdown();
///
/// let (tree, report) = tree_of_dir(dir.path()).unwrap();
/// assert_eq!((tree.size(), tree.root_at(report.size)), (report.size, Some(report.root)));
/// ```
///
/// # Errors
/// The operating system's; [`io::ErrorKind::Unsupported`] if older segments were taken away.
pub fn tree_of_dir(dir: &Path) -> io::Result<(Tree, Report)> {
    let mut tree = Tree::default();
    let whole = read_whole(dir, &[], |record| tree.push(&record.hash.0))?;
    if whole.report.first > 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok((tree, whole.report))
}

/// The checkpoints that were kept beside the log, oldest first, for
/// [`verify_checkpoints`](crate::audit::verify_checkpoints). Whoever can change the log can take
/// these away too.
///
/// The [module](super::super) has an example.
///
/// # Errors
/// The operating system's.
pub fn read_notes(dir: &Path) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    for first in segments::list_notes(dir)? {
        let bytes = fs::read(dir.join(segments::notes_name(first)))?;
        notes.extend(split_notes(&String::from_utf8_lossy(&bytes)).map(str::to_owned));
    }
    Ok(notes)
}

pub(super) fn read_whole(
    dir: &Path,
    checkpoints: &[Checkpoint],
    mut see: impl FnMut(&Record),
) -> io::Result<Whole> {
    let segments = segments::list(dir)?;
    let mut verifier = Verifier::new().with_checkpoints(checkpoints);
    let mut seals = BTreeMap::new();
    let (mut wrong, mut wrapping) = (None, None);
    for (i, (first, forms)) in segments.iter().enumerate() {
        let found = read_segment(dir, (*first, *forms), i == 0, &mut verifier, |record| {
            seals.extend(seal_of(record));
            see(record);
        })?;
        let Err(tampering) = found else { continue };
        let next = segments.range(first.saturating_add(1)..).next().map(|(next, _)| *next);
        if tampering.what == Damage::Undecodable && next == Some(tampering.index) {
            // All its records were read: no more than the end of the compressed file is wrong.
            wrapping.get_or_insert(Tampering { index: *first, what: Damage::WrongSeal });
            continue;
        }
        wrong = Some(tampering);
        break;
    }
    let sealed = check_seals(dir, &segments, &seals, wrong.is_none())?;
    let wrong = wrong.or_else(|| verifier.finish().err());
    let wrong = wrong.into_iter().chain(wrapping).chain(sealed).min_by_key(|found| found.index);
    Ok(Whole { report: verifier.report(wrong), segments, seals })
}

fn read_segment(
    dir: &Path,
    (first, forms): (u64, Forms),
    oldest: bool,
    verifier: &mut Verifier,
    see: impl FnMut(&Record),
) -> io::Result<Result<(), Tampering>> {
    let expected = verifier.chain().size();
    if !oldest && first != expected {
        let what = Damage::WrongIndex { expected };
        return Ok(Err(Tampering { index: expected, what }));
    }
    let lines = segments::read(dir, first, forms)?;
    let found = judge_lines(lines, !forms.raw, verifier, see)?;
    if found.is_ok() && oldest && verifier.first() != first {
        let what = Damage::WrongSegment;
        return Ok(Err(Tampering { index: verifier.first().min(first), what }));
    }
    Ok(found)
}

/// Judges the lines of a file. What cannot be decompressed is damage, and no error of the reader.
fn judge_lines(
    lines: impl BufRead,
    packed: bool,
    verifier: &mut Verifier,
    see: impl FnMut(&Record),
) -> io::Result<Result<(), Tampering>> {
    match verifier.feed_all(lines, see) {
        Err(error) if packed && is_of_the_data(&error) => {
            let index = verifier.chain().size();
            Ok(Err(Tampering { index, what: Damage::Undecodable }))
        }
        read => read,
    }
}

/// Compares every compressed file with its seal. `all` says whether all records could be read: if
/// not, a missing seal says nothing.
fn check_seals(
    dir: &Path,
    segments: &BTreeMap<u64, Forms>,
    seals: &BTreeMap<String, Hash>,
    all: bool,
) -> io::Result<Option<Tampering>> {
    for (first, _) in segments.iter().filter(|(_, forms)| forms.packed && !forms.raw) {
        let name = packed_name(*first);
        let wrong = match seals.get(&name) {
            Some(hash) => {
                let same = segments::hash_file(&dir.join(&name))?.0 == *hash;
                (!same).then_some(Damage::WrongSeal)
            }
            None => all.then_some(Damage::NotSealed),
        };
        if let Some(what) = wrong {
            return Ok(Some(Tampering { index: *first, what }));
        }
    }
    Ok(None)
}

fn is_of_the_data(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::InvalidData | Kind::InvalidInput | Kind::UnexpectedEof)
}

/// The segment's lines before an index; they were verified.
pub(super) fn lines_before(
    dir: &Path,
    (first, forms): (u64, Forms),
    index: u64,
) -> io::Result<Vec<u8>> {
    let mut lines = segments::read(dir, first, forms)?;
    let mut kept = Vec::new();
    for _ in first..index {
        let longest = crate::audit::record::MAX_LINE as u64;
        if lines.by_ref().take(longest).read_until(b'\n', &mut kept)? == 0 {
            break;
        }
    }
    Ok(kept)
}
