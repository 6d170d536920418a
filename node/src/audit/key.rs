//! The secret that signs the audit log's checkpoints, in a network's directory.
//!
//! Whoever has it can sign another past; so a checkpoint proves something to whoever keeps it, and the
//! public key, elsewhere.

use std::path::{Path, PathBuf};

use ironlight_hardening::audit::{CheckpointKey, Hash, PublicKey};

use crate::secret_file::{self, Refused};

/// The file's name in a network's directory.
const FILE_NAME: &str = "audit_key";
/// Of it no more is read.
const LONGEST: u64 = 256;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others could read the key.
    #[error(
        "{} has mode {mode:04o}: others could sign in this node's name; make it 0600 (chmod 600), \
         or remove it for a new key",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What is in the file is no key.
    #[error("{} does not hold 64 hexadecimal digits: remove it for a new key", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {source}")]
    NoRandomness {
        /// What it says.
        source: getrandom::Error,
    },
}

/// The key kept in a directory; a new one where there is none.
pub(crate) fn load_or_create(directory: &Path, origin: &str) -> Result<CheckpointKey, KeyError> {
    let seed = match load(directory)? {
        Some(seed) => seed,
        None => create(directory)?,
    };
    Ok(CheckpointKey::new(seed, origin))
}

/// The public half of the key kept in a directory, if there is one.
#[cfg(feature = "daemon")]
pub(crate) fn public(directory: &Path) -> Result<Option<PublicKey>, KeyError> {
    Ok(load(directory)?.map(|seed| CheckpointKey::new(seed, "").public()))
}

/// As people are shown it: 64 hexadecimal digits.
pub(crate) fn in_words(key: PublicKey) -> String {
    Hash(key.0).to_string()
}

/// Reads what [`in_words`] gives.
#[cfg(feature = "daemon")]
pub(crate) fn from_words(text: &str) -> Option<PublicKey> {
    Hash::from_hex(text.as_bytes()).map(|hash| PublicKey(hash.0))
}

fn load(directory: &Path) -> Result<Option<[u8; 32]>, KeyError> {
    let path = directory.join(FILE_NAME);
    match secret_file::read(&path, LONGEST) {
        Ok(Some(bytes)) => match Hash::from_hex(bytes.trim_ascii_end()) {
            Some(seed) => Ok(Some(seed.0)),
            None => Err(KeyError::Unreadable { path }),
        },
        Ok(None) => Ok(None),
        Err(Refused::File(source)) => Err(KeyError::File { path, source }),
        Err(Refused::Exposed { mode }) => Err(KeyError::Exposed { path, mode }),
    }
}

fn create(directory: &Path) -> Result<[u8; 32], KeyError> {
    let path = directory.join(FILE_NAME);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|source| KeyError::NoRandomness { source })?;
    let text = format!("{}\n", Hash(seed));
    secret_file::create(directory, &path, text.as_bytes())
        .map_err(|source| KeyError::File { path, source })?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_alone_and_a_broken_one_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let made = load_or_create(directory.path(), "a").unwrap();
        let again = load_or_create(directory.path(), "b").unwrap();
        assert_eq!(made.public(), again.public());
        assert_ne!(made.seed(), [0; 32]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |mode| std::fs::Permissions::from_mode(mode);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            std::fs::set_permissions(&path, mode(0o644)).unwrap();
            let refused = load_or_create(directory.path(), "a").unwrap_err();
            assert!(matches!(refused, KeyError::Exposed { mode: 0o644, .. }), "{refused}");
            std::fs::set_permissions(&path, mode(0o600)).unwrap();
        }
        std::fs::write(&path, b"no key").unwrap();
        let refused = load_or_create(directory.path(), "a").unwrap_err();
        assert!(matches!(refused, KeyError::Unreadable { .. }), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"no key");
    }
}
