//! Writes docs/BENCHMARKS.md of what the benches have left in criterion's directory: `just bench-report`.
//!
//! Arguments: the file to write, the date to show, and what else there is to say of the run. Ends with 1, and writes
//! nothing, where a goal is missed without a reason.

#![allow(clippy::print_stderr, reason = "a program says why it fails")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use ironlight_benches::goals;
use ironlight_benches::measured::{json, read};
use ironlight_benches::recorded::{compiler, home};
use ironlight_benches::report::{Run, page};
use ironlight_stress::report::{Machine, commit};

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, date, note] = arguments.as_slice() else {
        return Err("usage: bench-report FILE DATE NOTE".into());
    };
    let run = Run {
        machine: Machine::here(),
        rustc: compiler()?,
        commit: commit(),
        date: date.clone(),
        note: note.clone(),
    };
    let reasons = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("reasons.json"))?;
    std::fs::write(file, page(&run, &read(&home())?, &goals::all(), &reasons)?)?;
    Ok(())
}
