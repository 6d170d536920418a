//! A log in files: appended to, begun anew at a size, the old ones compressed and sealed.
//!
//! Every batch is one `write`, so that what was written survives the death of the process; what was
//! flushed survives a power cut too. A last record without an end, which is what death in the
//! middle of a `write` leaves, is set aside by the next writer, and a record says so. A record that
//! has an end and is wrong is never touched: [`FileSink::open`](Sink::open) refuses, and
//! [`repair`](super::repair()) sets it aside on command.
//!
//! When a file has reached its size, the next one begins with a record that names the tree so far.
//! The old one is then compressed, its compressed bytes are hashed, and a record with that hash
//! (`log_sealed`) seals it. It is removed only after that record is flushed, so that at any moment of
//! a crash one of both forms is whole.
//!
//! What an attacker can grow: the log, by whatever makes the program write; the operator watches
//! the disk, and may take the oldest sealed files away, which [`Report::first`](super::Report::first)
//! shows.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

mod repair;
mod segments;
#[cfg(test)]
mod tests;
mod whole;

pub use repair::{Repaired, repair};
pub use whole::{read_log, read_notes, tree_of_dir, verify_dir};

use self::segments::{Forms, notes_name, packed_name, raw_name};
use super::chain::Chain;
use super::checkpoint::split_notes;
use super::damage::{Damage, Tampering};
use super::event::{Event, Value};
use super::hash::Hash;
use super::kind::{EventKind, LogKind};
use super::record::Record;
use super::sink::{Sink, SinkError};
use super::verify::Verifier;

/// Where a log's files are, and how large they become.
///
/// The [module](super) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// The folder, for this log alone. It is made if it is not there.
    pub dir: PathBuf,
    /// A new segment begins after so many bytes; a batch is never divided.
    pub segment_bytes: u64,
}

impl FileConfig {
    /// Segments of 8 MiB, which are compressed in some hundredth of a second.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), segment_bytes: 8 << 20 }
    }
}

/// Writes a log to files.
///
/// ```
/// use ironlight_hardening::audit::{
///     AuditConfig, AuditLog, Event, EventKind, FileConfig, FileSink, verify_dir,
/// };
///
/// let dir = tempfile::tempdir().unwrap();
/// let sink = FileSink::new(FileConfig::new(dir.path()));
/// let log = AuditLog::start(AuditConfig::default(), vec![Box::new(sink)]).unwrap();
/// log.emit(Event::new(EventKind::Ban).on("192.0.2.7").with("reason", "flood")).unwrap();
/// assert!(log.shutdown());
/// let report = verify_dir(dir.path(), &[]).unwrap();
/// assert_eq!((report.size, report.tampering), (2, None));
/// ```
#[derive(Debug)]
pub struct FileSink {
    config: FileConfig,
    name: String,
    lock: Option<File>,
    active: Option<Active>,
    /// Old segments that no record seals yet.
    to_seal: VecDeque<u64>,
    /// Their originals, once a record seals them, until that is flushed.
    to_remove: Vec<PathBuf>,
    said: Vec<Event>,
}

#[derive(Debug)]
struct Active {
    first: u64,
    file: File,
    /// Whole records only.
    length: u64,
    /// A write failed, and something may stand behind them.
    rest: bool,
}

impl FileSink {
    /// Nothing is touched before it is opened.
    #[must_use]
    pub fn new(config: FileConfig) -> Self {
        let name = format!("files in {}", config.dir.display());
        Self {
            config,
            name,
            lock: None,
            active: None,
            to_seal: VecDeque::new(),
            to_remove: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Goes on in the newest file that has a whole record.
    fn resume(&mut self) -> Result<Chain, SinkError> {
        let dir = self.config.dir.clone();
        let mut segments = segments::list(&dir).map_err(SinkError::io("list the log's files"))?;
        while let Some((first, forms)) = segments.pop_last() {
            if !forms.raw {
                // The newest file is always an original: someone took it away.
                let what = Damage::Cut { size: first.saturating_add(1) };
                return Err(SinkError::Damaged(Tampering { index: first, what }));
            }
            let read = read_active(&dir, first)?;
            let path = dir.join(raw_name(first));
            let length = self.set_rest_aside(&path).map_err(SinkError::io("set aside"))?;
            if length == 0 {
                fs::remove_file(&path).map_err(SinkError::io("remove an empty file"))?;
                continue;
            }
            let file = OpenOptions::new().append(true).open(&path);
            let file = file.map_err(SinkError::io("open the newest file"))?;
            self.active = Some(Active { first, file, length, rest: false });
            self.cut_torn_note(first).map_err(SinkError::io("read the checkpoints"))?;
            self.find_unsealed(&segments, &read.seals)?;
            return Ok(read.chain);
        }
        Ok(Chain::new())
    }

    /// Sets what stands behind the last whole record aside; the length of what remains.
    fn set_rest_aside(&mut self, path: &Path) -> io::Result<u64> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        // Whole records were verified, so a rest is shorter than the longest line.
        let tail = size.saturating_sub(super::record::MAX_LINE as u64);
        file.seek(SeekFrom::Start(tail))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = bytes.split_off(whole);
        let length = size - rest.len() as u64;
        if rest.is_empty() {
            return Ok(length);
        }
        let aside = segments::free_name(&self.config.dir, "torn");
        let mut copy = segments::create(&aside, false)?;
        copy.write_all(&rest)?;
        copy.sync_all()?;
        segments::sync_dir(&self.config.dir)?;
        file.set_len(length)?;
        file.sync_all()?;
        let name = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let torn = Event::of(EventKind::Log(LogKind::Torn)).on(name);
        let torn = torn.with("bytes", rest.len() as u64).with("lost_at_most", 1_i64);
        self.said.push(torn.with("sha256", Hash::of(&[&rest]).to_string()));
        Ok(length)
    }

    fn find_unsealed(
        &mut self,
        older: &BTreeMap<u64, Forms>,
        seals: &BTreeMap<String, Hash>,
    ) -> Result<(), SinkError> {
        let dir = &self.config.dir;
        for (first, _) in older.iter().filter(|(_, forms)| forms.raw) {
            let name = packed_name(*first);
            let packed = segments::hash_file(&dir.join(&name)).ok().map(|(hash, _)| hash);
            if packed.is_some() && packed.as_ref() == seals.get(&name) {
                let path = dir.join(raw_name(*first));
                fs::remove_file(path).map_err(SinkError::io("remove a sealed original"))?;
            } else {
                self.to_seal.push_back(*first);
            }
        }
        Ok(())
    }

    fn cut_torn_note(&self, first: u64) -> io::Result<()> {
        let path = self.config.dir.join(notes_name(first));
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let whole: usize = split_notes(&text).map(str::len).sum();
        if whole < text.len() {
            OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
        }
        Ok(())
    }

    fn take_lock(&mut self) -> Result<(), SinkError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        segments::owner_only(&mut options);
        let file = options.open(self.config.dir.join("lock"));
        let file = file.map_err(SinkError::io("open the lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SinkError::InUse),
            Err(TryLockError::Error(source)) => {
                return Err(SinkError::Io { doing: "lock the folder", source });
            }
        }
        self.lock = Some(file);
        Ok(())
    }

    fn seal(&mut self, first: u64) -> io::Result<Event> {
        let (hash, bytes) = segments::pack(&self.config.dir, first)?;
        self.to_remove.push(self.config.dir.join(raw_name(first)));
        let sealed = Event::of(EventKind::Log(LogKind::Sealed)).on(packed_name(first));
        Ok(sealed.with("sha256", hash.to_string()).with("bytes", bytes).with("first", first))
    }

    fn active(&mut self) -> Result<&mut Active, SinkError> {
        let closed = || SinkError::Io {
            doing: "write to a closed file",
            source: io::ErrorKind::NotConnected.into(),
        };
        self.active.as_mut().ok_or_else(closed)
    }
}

struct ReadActive {
    chain: Chain,
    seals: BTreeMap<String, Hash>,
}

fn read_active(dir: &Path, first: u64) -> Result<ReadActive, SinkError> {
    let forms = Forms { raw: true, packed: false };
    let lines = segments::read(dir, first, forms).map_err(SinkError::io("open the newest file"))?;
    let (mut verifier, mut seals) = (Verifier::new(), BTreeMap::new());
    let found = verifier.feed_all(lines, |record| seals.extend(seal_of(record)));
    match found.map_err(SinkError::io("read the newest file"))? {
        Ok(()) | Err(Tampering { what: Damage::Torn, .. }) => {}
        Err(tampering) => return Err(SinkError::Damaged(tampering)),
    }
    let chain = verifier.chain().clone();
    if chain.size() > 0 && verifier.first() != first {
        let what = Damage::WrongSegment;
        return Err(SinkError::Damaged(Tampering { index: verifier.first(), what }));
    }
    Ok(ReadActive { chain, seals })
}

/// The file that a record seals, and the hash of its bytes.
fn seal_of(record: &Record) -> Option<(String, Hash)> {
    if record.event.kind != EventKind::Log(LogKind::Sealed) {
        return None;
    }
    let Some(Value::Text(hash)) = record.event.value("sha256") else { return None };
    Some((record.event.subject().to_owned(), Hash::from_hex(hash.as_bytes())?))
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&mut self) -> Result<Chain, SinkError> {
        self.close();
        segments::make_dir(&self.config.dir).map_err(SinkError::io("make the folder"))?;
        self.take_lock()?;
        let resumed = self.resume();
        if resumed.is_err() {
            self.close();
        }
        resumed
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), SinkError> {
        let active = self.active()?;
        if active.rest {
            active.file.set_len(active.length).map_err(SinkError::io("cut a failed write off"))?;
        }
        active.rest = true;
        active.file.write_all(lines).map_err(SinkError::io("write"))?;
        active.rest = false;
        active.length += lines.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        if let Some(active) = &self.active {
            active.file.sync_data().map_err(SinkError::NotFlushed)?;
        }
        // Their seals are on the disk now. One that stays is found again at the next start.
        for original in self.to_remove.drain(..) {
            let _stays = fs::remove_file(original);
        }
        Ok(())
    }

    fn wants_segment(&self) -> bool {
        self.active.as_ref().is_none_or(|active| active.length >= self.config.segment_bytes)
    }

    fn begin_segment(&mut self, first: u64) -> Result<(), SinkError> {
        if let Some(old) = &self.active {
            if old.first == first {
                return Ok(());
            }
            old.file.sync_data().map_err(SinkError::NotFlushed)?;
        }
        let path = self.config.dir.join(raw_name(first));
        let file = segments::create(&path, true).map_err(SinkError::io("begin a file"))?;
        segments::sync_dir(&self.config.dir).map_err(SinkError::io("flush the folder"))?;
        let old = self.active.replace(Active { first, file, length: 0, rest: false });
        self.to_seal.extend(old.map(|old| old.first));
        Ok(())
    }

    fn notices(&mut self) -> Vec<Event> {
        let mut said = core::mem::take(&mut self.said);
        // Not before the new segment's first record is there: only then the old one is complete.
        if self.active.as_ref().is_some_and(|active| active.length > 0) {
            for first in core::mem::take(&mut self.to_seal) {
                match self.seal(first) {
                    Ok(sealed) => said.push(sealed),
                    // The original stays, and is sealed after the next start.
                    Err(error) => said.push(
                        Event::of(EventKind::Log(LogKind::Sealed))
                            .on(raw_name(first))
                            .with("failed", error.to_string()),
                    ),
                }
            }
        }
        said
    }

    fn keep_checkpoint(&mut self, note: &str) -> Result<(), SinkError> {
        let first = self.active()?.first;
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        segments::owner_only(&mut options);
        let keep = || {
            let mut file = options.open(self.config.dir.join(notes_name(first)))?;
            let length = file.metadata()?.len();
            let written = file.write_all(note.as_bytes()).and_then(|()| file.sync_data());
            written.or_else(|error| file.set_len(length).and(Err(error)))
        };
        keep().map_err(SinkError::io("keep a checkpoint"))
    }

    fn close(&mut self) {
        self.active = None;
        self.lock = None;
        self.to_seal.clear();
        self.to_remove.clear();
        self.said.clear();
    }
}
