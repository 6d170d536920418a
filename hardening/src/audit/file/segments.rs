//! The files of a log: their names, and how an old one is compressed.
//!
//! `audit-<20 digits>.jsonl` holds the records from that index on, `....jsonl.gz` the same of an old
//! segment, `....notes` the checkpoints that were signed while that segment was written.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::audit::hash::Hash;

const PREFIX: &str = "audit-";

/// The files that there are of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Forms {
    pub(super) raw: bool,
    pub(super) packed: bool,
}

pub(super) fn raw_name(first: u64) -> String {
    format!("{PREFIX}{first:020}.jsonl")
}

pub(super) fn packed_name(first: u64) -> String {
    format!("{PREFIX}{first:020}.jsonl.gz")
}

pub(super) fn notes_name(first: u64) -> String {
    format!("{PREFIX}{first:020}.notes")
}

fn first_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(ending)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// All segments of a folder, oldest first.
pub(super) fn list(dir: &Path) -> io::Result<BTreeMap<u64, Forms>> {
    let mut segments = BTreeMap::<u64, Forms>::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(first) = first_of(name, ".jsonl") {
            segments.entry(first).or_default().raw = true;
        } else if let Some(first) = first_of(name, ".jsonl.gz") {
            segments.entry(first).or_default().packed = true;
        }
    }
    Ok(segments)
}

/// The indices that name the files of checkpoints, oldest first.
pub(super) fn list_notes(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        found.extend(entry?.file_name().to_str().and_then(|name| first_of(name, ".notes")));
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes a folder, and those above it, for the owner alone.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Only for the owner, where the system has owners.
pub(super) fn create(path: &Path, append: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create_new(true);
    if append {
        options.append(true)
    } else {
        options.write(true)
    };
    owner_only(&mut options);
    options.open(path)
}

#[cfg(unix)]
pub(super) fn owner_only(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
pub(super) fn owner_only(_options: &mut OpenOptions) {}

/// Makes new, renamed and removed names survive a power cut, where folders can be flushed.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// SHA-256 of a file's bytes, and their number.
pub(super) fn hash_file(path: &Path) -> io::Result<(Hash, u64)> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let (mut hasher, mut size) = (Sha256::new(), 0);
    loop {
        let bytes = file.fill_buf()?;
        let count = bytes.len();
        if count == 0 {
            return Ok((Hash(hasher.finalize().into()), size));
        }
        hasher.update(bytes);
        size += count as u64;
        file.consume(count);
    }
}

/// Compresses a segment beside itself, and leaves the original. The same input gives the same file.
pub(super) fn pack(dir: &Path, first: u64) -> io::Result<(Hash, u64)> {
    let (packed, partial) = (dir.join(packed_name(first)), dir.join("sealing.tmp"));
    remove_if_there(&partial)?;
    let mut encoder = GzEncoder::new(create(&partial, false)?, Compression::fast());
    io::copy(&mut File::open(dir.join(raw_name(first)))?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&partial, &packed)?;
    sync_dir(dir)?;
    hash_file(&packed)
}

/// A segment's lines, from whichever form there is; the original where both are.
pub(super) fn read(dir: &Path, first: u64, forms: Forms) -> io::Result<Box<dyn BufRead>> {
    let name = if forms.raw { raw_name(first) } else { packed_name(first) };
    Ok(read_path(&dir.join(name))?.0)
}

/// The lines of a file, and whether it is a compressed one, which its name says.
pub(super) fn read_path(path: &Path) -> io::Result<(Box<dyn BufRead>, bool)> {
    let file = BufReader::with_capacity(1 << 16, File::open(path)?);
    if path.extension().is_none_or(|ending| ending != "gz") {
        return Ok((Box::new(file), false));
    }
    Ok((Box::new(BufReader::with_capacity(1 << 16, GzDecoder::new(file))), true))
}

/// Writes a segment's file so that it is there as a whole or not at all.
pub(super) fn write_whole(dir: &Path, first: u64, mut lines: impl Read) -> io::Result<()> {
    let partial = dir.join("repairing.tmp");
    remove_if_there(&partial)?;
    let mut file = create(&partial, false)?;
    io::copy(&mut lines, &mut file)?;
    file.flush()?;
    file.sync_all()?;
    fs::rename(&partial, dir.join(raw_name(first)))?;
    sync_dir(dir)
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A name in the folder that is not taken, for what is set aside.
pub(super) fn free_name(dir: &Path, what: &str) -> PathBuf {
    let path = |i: u32| dir.join(format!("{what}-{i}"));
    let free = (1..u32::MAX).map(path).find(|path| !path.exists());
    free.unwrap_or_else(|| path(u32::MAX))
}
