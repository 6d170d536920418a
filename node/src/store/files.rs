//! Files and directories, in the orders that survive a crash.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::error::io as io_error;

/// Makes the directory and its parents, readable by the owner alone. One that is there keeps its
/// mode.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io_error("create", dir))
}

/// Makes names in the directory (created, renamed) survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    // Windows cannot open a directory as a file, and needs no such call.
    if cfg!(unix) {
        let opened = File::open(dir).map_err(io_error("open", dir))?;
        opened.sync_all().map_err(io_error("sync", dir))?;
    }
    Ok(())
}

/// Replaces a small file: after a crash there is the old one or the new one, never a part.
pub(crate) fn replace(dir: &Path, name: &str, contents: &[u8]) -> Result<(), StoreError> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{name}.new"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(io_error("write", &path))?;
    sync_dir(dir)
}

/// Whether there is something of that name.
pub(crate) fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(io_error("look at", path))
}

/// Removes a file or a directory with its contents, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    let outcome = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    outcome.map_err(io_error("remove", path))
}

/// The size of a file, or of all files below a directory. Files that vanish meanwhile count 0.
#[cfg(any(feature = "sled", feature = "redb"))]
pub(crate) fn bytes(path: &Path) -> Result<u64, StoreError> {
    let mut total = 0_u64;
    let mut waiting: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let meta = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(io_error("look at", &path))?,
        };
        if !meta.is_dir() {
            total = total.saturating_add(meta.len());
            continue;
        }
        for entry in fs::read_dir(&path).map_err(io_error("list", &path))? {
            waiting.push(entry.map_err(io_error("list", &path))?.path());
        }
    }
    Ok(total)
}

/// Renames a damaged file or directory to `<name>.damaged-<now>`, or with a counter behind it if
/// that is taken. The caller holds the directory's lock, so the free name stays free.
pub(crate) fn set_aside(
    dir: &Path,
    name: &str,
    now: u32,
) -> Result<(PathBuf, PathBuf), StoreError> {
    let from = dir.join(name);
    let mut to = dir.join(format!("{name}.damaged-{now}"));
    let mut counter = 2_u32;
    while fs::symlink_metadata(&to).is_ok() {
        to = dir.join(format!("{name}.damaged-{now}-{counter}"));
        counter = counter.saturating_add(1);
    }
    fs::rename(&from, &to).map_err(io_error("rename", &from))?;
    sync_dir(dir)?;
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_file_leaves_no_temporary_behind() {
        let dir = tempfile::tempdir().unwrap();
        replace(dir.path(), "name", b"one").unwrap();
        replace(dir.path(), "name", b"two").unwrap();
        assert_eq!(fs::read(dir.path().join("name")).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_set_aside_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        for (text, name) in
            [("1", "db.damaged-5"), ("2", "db.damaged-5-2"), ("3", "db.damaged-5-3")]
        {
            fs::write(dir.path().join("db"), text).unwrap();
            let (_, to) = set_aside(dir.path(), "db", 5).unwrap();
            assert_eq!(to, dir.path().join(name));
        }
        assert_eq!(fs::read(dir.path().join("db.damaged-5")).unwrap(), b"1");
    }

    #[cfg(unix)]
    #[test]
    fn new_directory_is_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        create_private_dir(&below).unwrap();
        assert_eq!(fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
