//! One process a directory: the lock file, held as long as the store is.
//!
//! It is a lock of the kernel (`flock`), not the file's existence: after kill -9 it is free, and a
//! file left behind means nothing. The process id in it is for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::StoreError;
use super::error::io;

/// The name of the lock file.
pub(crate) const LOCK_FILE: &str = "lock";

/// The lock on a directory. Dropping it frees the directory.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read_pid(&mut file);
                return Err(StoreError::Locked { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
        }
        write_pid(&mut file).map_err(io("write", &path))?;
        Ok(DirLock { _file: file })
    }
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

/// The holder may be about to write it, so "none" is an answer.
fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_told_the_first_ones_pid() {
        let dir = tempfile::tempdir().unwrap();
        let _held = DirLock::take(dir.path()).unwrap();
        let error = DirLock::take(dir.path()).unwrap_err();
        let own = std::process::id();
        assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == own));
    }

    #[test]
    fn file_left_by_a_killed_process_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(LOCK_FILE), "4000000000000\n").unwrap();
        let held = DirLock::take(dir.path()).unwrap();
        drop(held);
        DirLock::take(dir.path()).unwrap();
    }
}
