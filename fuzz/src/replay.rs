//! Inputs to files, and files to a check.

use std::ffi::OsString;
use std::path::Path;
use std::{env, fs, io};

/// The environment variable that names the directory a target of libFuzzer's writes its seeds to
/// before it starts. It must exist.
pub const SEEDS: &str = "IRONLIGHT_FUZZ_SEEDS";

/// Writes each seed to a file of its own.
///
/// # Errors
/// When the directory cannot be written to.
pub fn write_seeds(directory: &Path, seeds: &[Vec<u8>]) -> io::Result<()> {
    for (index, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("seed-{index:02}")), seed)?;
    }
    Ok(())
}

/// Writes the seeds to the directory that [`SEEDS`] names, if it names one.
///
/// # Panics
/// When that directory cannot be written to: a run without seeds would find less and look the same.
pub fn write_seeds_if_asked(seeds: &[Vec<u8>]) {
    let Some(directory) = env::var_os(SEEDS) else { return };
    if let Err(error) = write_seeds(Path::new(&directory), seeds) {
        panic!("cannot write seeds to {}: {error}", directory.display());
    }
}

/// The program without libFuzzer: for an argument that is a directory, writes the seeds there; for
/// one that is a file, checks it.
///
/// # Errors
/// When a file cannot be read or written.
///
/// # Panics
/// As the check does.
pub fn replay(
    arguments: impl Iterator<Item = OsString>,
    check: fn(&[u8]),
    seeds: &[Vec<u8>],
) -> io::Result<()> {
    for argument in arguments {
        let path = Path::new(&argument);
        if path.is_dir() {
            write_seeds(path, seeds)?;
            eprintln!("{}: {} seeds", path.display(), seeds.len());
        } else {
            check(&fs::read(path)?);
            eprintln!("{}: holds", path.display());
        }
    }
    Ok(())
}
