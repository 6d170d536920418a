//! A directory for a command that shows something: removed at the end, unless the user named it.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Failure;

/// See above.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    temporary: bool,
}

impl Scratch {
    /// The directory that the user named, unless `holds` is in it already: that would be somebody's
    /// data. Without a name, a new one of the user's own among the system's temporary files.
    pub(super) fn new(named: Option<PathBuf>, command: &str, holds: &str) -> Result<Self, Failure> {
        let temporary = named.is_none();
        let unique = || format!("ironlight-{command}-{}", std::process::id());
        let path = named.unwrap_or_else(|| std::env::temp_dir().join(unique()));
        if path.join(holds).exists() {
            let path = path.display();
            return Err(format!("{path} holds {holds} data already: name another").into());
        }
        // A temporary one that is there already is somebody else's.
        std::fs::DirBuilder::new()
            .mode(0o700)
            .recursive(!temporary)
            .create(&path)
            .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self { path, temporary })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is removed at the end.
    pub(super) const fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// Leaves it where it is, for somebody to look at.
    pub(super) const fn keep(&mut self) {
        self.temporary = false;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            note!("{} is left behind: {error}", self.path.display());
        }
    }
}
