//! The key that a node is known by among light nodes.

use std::path::{Path, PathBuf};

use libp2p::identity::Keypair;

use crate::secret_file::{self, Refused};

/// The file's name in a network's directory.
pub const FILE_NAME: &str = "node_key";
/// A key in libp2p's protobuf form is 68 bytes long.
const LONGEST: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
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
        "{} has mode {mode:04o}: others could take this node's name; make it 0600 (chmod 600), or \
         remove it for a new identity",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// What is in the file is no key.
    #[error("{} holds no libp2p key ({reason}): remove it for a new identity", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// The key kept in a directory; a new one where there is none, readable by its owner only.
///
/// # Errors
/// [`IdentityError`]
pub fn load_or_create(directory: &Path) -> Result<Keypair, IdentityError> {
    let path = directory.join(FILE_NAME);
    let failed = |source| IdentityError::File { path: path.clone(), source };
    let unreadable = |reason: String| IdentityError::Unreadable { path: path.clone(), reason };
    match secret_file::read(&path, LONGEST) {
        Ok(Some(bytes)) => {
            Keypair::from_protobuf_encoding(&bytes).map_err(|error| unreadable(error.to_string()))
        }
        Ok(None) => {
            let key = Keypair::generate_ed25519();
            let bytes =
                key.to_protobuf_encoding().map_err(|error| unreadable(error.to_string()))?;
            secret_file::create(directory, &path, &bytes).map_err(failed)?;
            Ok(key)
        }
        Err(Refused::File(source)) => Err(failed(source)),
        Err(Refused::Exposed { mode }) => Err(IdentityError::Exposed { path, mode }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_node_keeps_its_name_and_its_key_to_itself() {
        let directory = tempfile::tempdir().unwrap();
        let key = load_or_create(directory.path()).unwrap();
        let again = load_or_create(directory.path()).unwrap();
        assert_eq!(key.public(), again.public());
        let path = directory.path().join(FILE_NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_so_is_a_broken_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        load_or_create(directory.path()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = load_or_create(directory.path()).unwrap_err();
        assert!(matches!(refused, IdentityError::Exposed { mode: 0o640, .. }));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"no key").unwrap();
        let refused = load_or_create(directory.path()).unwrap_err();
        assert!(matches!(refused, IdentityError::Unreadable { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), b"no key", "nothing is overwritten");
    }

    #[test]
    fn a_draft_that_a_crash_left_does_not_stand_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("node_key.new"), b"half").unwrap();
        load_or_create(directory.path()).unwrap();
    }
}
