//! Files that a command makes: whole, or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::secret_file;

/// Writes a file that is not there yet: to one beside it first, so that a full disk leaves no half of it
/// behind. One that exists is left alone.
pub(super) fn write_new<T, E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
) -> Result<T, E> {
    write_as(path, Readers::All, write)
}

/// The same of a file that nobody but its owner may read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_as(path, Readers::Owner, |file| file.write_all(bytes))
}

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readers {
    /// Whoever the user lets read files.
    All,
    Owner,
}

fn write_as<T, E: From<io::Error>>(
    path: &Path,
    readers: Readers,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
) -> Result<T, E> {
    if path.exists() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = write_synced(&partial, readers, write);
    let renamed = written.and_then(|done| Ok(std::fs::rename(&partial, path).map(|()| done)?));
    if renamed.is_err() {
        // The error that counts is the first one.
        let _ = std::fs::remove_file(&partial);
    }
    renamed
}

fn write_synced<T, E: From<io::Error>>(
    path: &Path,
    readers: Readers,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, E>,
) -> Result<T, E> {
    let file = match readers {
        Readers::All => File::create(path)?,
        Readers::Owner => secret_file::open_new(path)?,
    };
    let mut file = BufWriter::new(file);
    let done = write(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(done)
}
