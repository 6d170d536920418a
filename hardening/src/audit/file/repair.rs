//! Repair, on command only: what is wrong is set aside, never deleted.

use core::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::segments::{self, Forms, packed_name, raw_name};
use super::whole::{Whole, lines_before, read_whole};
use super::{FileConfig, FileSink};
use crate::audit::damage::{Damage, Tampering};
use crate::audit::event::Event;
use crate::audit::kind::{EventKind, LogKind};
use crate::audit::sink::{Sink, SinkError};

/// What a repair did.
///
/// See [`repair`] for an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// What was wrong first.
    pub tampering: Tampering,
    /// The folder that the files with what was wrong, and all that came after, were moved to.
    pub aside: PathBuf,
    /// The size of the log now, with the record of the repair.
    pub size: u64,
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; set aside in {}", self.tampering, self.aside.display())
    }
}

/// Makes a log right again, and writes a record of that (`log_repaired`): it goes back to the last
/// record before the first wrong one. Where only a compressed file differs from its seal, or has
/// none, and its records are right, all records stay and it is sealed anew. None if nothing was
/// wrong. `at` is the time in milliseconds since 1970; the name stands in the log's new segments.
///
/// Afterwards checkpoints of what was set aside contradict the log, as they must.
///
/// ```
/// use ironlight_hardening::audit::{AuditConfig, AuditLog, Event, EventKind, FileConfig, FileSink, repair};
///
/// let dir = tempfile::tempdir().unwrap();
/// let sink = FileSink::new(FileConfig::new(dir.path()));
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
/// log.emit(Event::new(EventKind::Start)).unwrap();
/// log.shutdown();
///
/// assert!(repair(dir.path(), "audit", 0).unwrap().is_none(), "there is nothing to repair");
/// ```
///
/// # Errors
/// [`SinkError::InUse`] while a writer has the log; [`SinkError::Io`] from the operating system: it
/// can be called again then, and what was set aside before stays where it is.
pub fn repair(dir: &Path, name: &str, at: u64) -> Result<Option<Repaired>, SinkError> {
    let mut sink = FileSink::new(FileConfig::new(dir));
    sink.take_lock()?;
    let whole = read_whole(dir, &[], |_| ()).map_err(SinkError::io("read the log"))?;
    let Some(tampering) = whole.report.tampering.clone() else { return Ok(None) };
    let aside = segments::free_name(dir, "aside");
    segments::make_dir(&aside).map_err(SinkError::io("make a folder"))?;
    cut(dir, &whole, &tampering, &aside).map_err(SinkError::io("set aside"))?;
    let size = write_down(&mut sink, name, at, &tampering, &aside)?;
    Ok(Some(Repaired { tampering, aside, size }))
}

fn cut(dir: &Path, whole: &Whole, tampering: &Tampering, aside: &Path) -> io::Result<()> {
    let only_seal = matches!(tampering.what, Damage::WrongSeal | Damage::NotSealed);
    // Records that are right stay: those up to where the chain holds.
    let end = if only_seal { whole.report.size } else { tampering.index };
    let kept = whole.segments.range(..end).next_back().map(|(first, _)| *first);
    for (first, forms) in &whole.segments {
        let (first, forms) = (*first, *forms);
        let sealed = whole.seals.get(&packed_name(first)).is_some_and(|hash| {
            let found = segments::hash_file(&dir.join(packed_name(first)));
            found.is_ok_and(|(found, _)| found == *hash)
        });
        let older = kept.is_some_and(|kept| first < kept);
        if (older && (forms.raw || sealed)) || (only_seal && forms.raw && first < end) {
            continue;
        }
        set_aside(dir, (first, forms), end, aside)?;
    }
    segments::sync_dir(dir)
}

/// In an order in which a crash loses nothing: what is copied is replaced in one step, what is
/// moved was unpacked before.
fn set_aside(dir: &Path, segment: (u64, Forms), end: u64, aside: &Path) -> io::Result<()> {
    let (first, forms) = segment;
    let (raw, packed) = (raw_name(first), packed_name(first));
    let lines = (first < end).then(|| lines_before(dir, segment, end)).transpose()?;
    if forms.raw {
        fs::copy(dir.join(&raw), aside.join(&raw))?;
        fs::File::open(aside.join(&raw))?.sync_all()?;
    }
    match lines {
        Some(lines) => segments::write_whole(dir, first, &lines[..])?,
        None => segments::remove_if_there(&dir.join(&raw))?,
    }
    if forms.packed {
        fs::rename(dir.join(&packed), aside.join(&packed))?;
    }
    Ok(())
}

fn write_down(
    sink: &mut FileSink,
    name: &str,
    at: u64,
    tampering: &Tampering,
    aside: &Path,
) -> Result<u64, SinkError> {
    let mut chain = sink.open()?;
    let folder = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let event = Event::of(EventKind::Log(LogKind::Repaired))
        .on(folder)
        .with("record", tampering.index)
        .with("what", tampering.what.to_string());
    let mut events = sink.notices();
    events.push(event);
    let mut lines = Vec::new();
    if sink.wants_segment() {
        sink.begin_segment(chain.size())?;
        chain.begin_segment(at, name, &mut lines);
    }
    for event in &events {
        chain.append_any(at, event, &mut lines);
    }
    sink.write(&lines)?;
    sink.flush()?;
    sink.close();
    Ok(chain.size())
}
