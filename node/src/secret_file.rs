//! Small files that nobody but their owner may read: keys.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// Why such a file is not used.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The system.
    File(io::Error),
    /// Others than the owner may do something with it.
    Exposed {
        /// Its mode.
        mode: u32,
    },
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// What is in it, at most so many bytes; none where there is no such file.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Option<Vec<u8>>, Refused> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mode = mode(&file)?;
    if mode & 0o077 != 0 {
        return Err(Refused::Exposed { mode });
    }
    let mut bytes = Vec::new();
    io::Read::by_ref(&mut file).take(longest).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// An empty one, in place of what is there: that may be readable for others.
pub(crate) fn open_new(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes one with its directory. Written whole under another name first: a crash leaves no half of
/// a key.
pub(crate) fn create(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let draft = path.with_extension("new");
    let mut file = open_new(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    // Windows cannot open a directory as a file, and needs no such call.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn mode(file: &File) -> io::Result<u32> {
    let permissions = file.metadata()?.permissions();
    Ok(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o7777)
}

/// Such systems have other ways, which the user's directory has already.
#[cfg(not(unix))]
fn mode(_file: &File) -> io::Result<u32> {
    Ok(0o600)
}
