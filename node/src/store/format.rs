//! The FORMAT file: plain text, read before any database is opened, so that a newer format can be
//! refused without touching what an older version does not understand.
//!
//! ```text
//! ironlight-store 1
//! backend sled
//! ```
//!
//! Invariant: the number here is never lower than the one in the database's Meta table, because it
//! is raised first. The Meta table decides which migrations still have to run; this file decides
//! who may open the directory at all.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::error::io;
use super::{Backend, StoreError, files};

/// The name of the file.
pub(crate) const FORMAT_FILE: &str = "FORMAT";

const MAGIC: &str = "ironlight-store";

/// A FORMAT file is some 30 bytes; no more than this is read of one.
const MAX_BYTES: u64 = 4096;

/// What the FORMAT file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// There is none.
    Missing,
    /// There is one that makes no sense.
    Damaged(String),
    /// A format up to the one asked about.
    Known { version: u32, backend: Backend },
}

/// Reads the file, and changes nothing.
///
/// # Errors
/// If the number is higher than `known`, whatever else stands in the file.
pub(crate) fn read(dir: &Path, known: u32) -> Result<Recorded, StoreError> {
    let path = dir.join(FORMAT_FILE);
    match fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Recorded::Missing),
        Err(error) => return Err(io("look at", &path)(error)),
        Ok(meta) if meta.len() > MAX_BYTES => {
            return Ok(Recorded::Damaged(format!("it has {} bytes", meta.len())));
        }
        Ok(_) => {}
    }
    let bytes = fs::read(&path).map_err(io("read", &path))?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    let version = field(lines.next(), MAGIC).and_then(|number| number.parse::<u32>().ok());
    let Some(version) = version.filter(|&version| version > 0) else {
        return Ok(Recorded::Damaged(format!("its first line is not \"{MAGIC} NUMBER\"")));
    };
    if version > known {
        return Err(StoreError::NewerFormat { dir: dir.to_owned(), found: version, known });
    }
    let backend = field(lines.next(), "backend").and_then(|name| name.parse::<Backend>().ok());
    Ok(match backend.filter(|backend| backend.file_name().is_some()) {
        Some(backend) => Recorded::Known { version, backend },
        None => Recorded::Damaged("its second line does not name a backend".to_owned()),
    })
}

fn field<'a>(line: Option<&'a str>, name: &str) -> Option<&'a str> {
    line?.strip_prefix(name)?.strip_prefix(' ')
}

/// Writes the file: whole, and on disk when this returns.
pub(crate) fn write(dir: &Path, version: u32, backend: Backend) -> Result<(), StoreError> {
    let text = format!("{MAGIC} {version}\nbackend {backend}\n");
    files::replace(dir, FORMAT_FILE, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(text: &[u8], known: u32) -> Result<Recorded, StoreError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FORMAT_FILE), text).unwrap();
        read(dir.path(), known)
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), 1).unwrap(), Recorded::Missing);
        write(dir.path(), 1, Backend::Redb).unwrap();
        assert_eq!(
            fs::read(dir.path().join(FORMAT_FILE)).unwrap(),
            b"ironlight-store 1\nbackend redb\n"
        );
        let known = Recorded::Known { version: 1, backend: Backend::Redb };
        assert_eq!(read(dir.path(), 1).unwrap(), known);
    }

    #[test]
    fn newer_number_is_refused_whatever_follows() {
        for rest in ["", "backend sled\n", "something of the future\n"] {
            let outcome = reading(format!("ironlight-store 2\n{rest}").as_bytes(), 1);
            assert!(matches!(outcome, Err(StoreError::NewerFormat { found: 2, known: 1, .. })));
        }
    }

    #[test]
    fn nonsense_is_damage() {
        let long = vec![b'x'; 5000];
        let cases: [&[u8]; 8] = [
            b"",
            b"\xff\x00",
            b"ironlight-store",
            b"ironlight-store x\n",
            b"ironlight-store 0\nbackend sled\n",
            b"ironlight-store 1\n",
            b"ironlight-store 1\nbackend memory\n",
            &long,
        ];
        for text in cases {
            assert!(matches!(reading(text, 1), Ok(Recorded::Damaged(_))), "{text:?}");
        }
    }
}
