//! Guards the hot paths by the instructions that they take, which no other load on the machine changes.
//!
//! `just instructions` counts one pass over each path with valgrind's callgrind, and fails where one takes
//! over 5 percent more than `benches/instructions.txt` says; with `--write` it writes that file anew. valgrind 3.19
//! knows neither AVX-512 nor the SHA instructions and hides them, so that the run-time detection takes the portable
//! paths; the lanes are guarded by a ratio, without valgrind.
//!
//! The same program and input give the same count, but for tables whose hashers draw a seed (a tenth of a percent).
//! Other compilers and other C libraries lay the same source out anew, which is what the tolerance is for: a path
//! that has lost its shape costs much more.

#![allow(clippy::panic, clippy::print_stdout, reason = "figures are what a bench is for")]

mod counted;
mod easy_mainnet;
#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod figures;
mod scripts;
mod side_by_side;
#[allow(dead_code, reason = "not every bench has a use for all of it")]
mod stacks;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use counted::{COUNTED, PATHS, Path, counted_once};
use ironlight_benches::recorded::compiler;
use ironlight_spv::lanes::{self, Way};

/// Of a path's figure.
const TOLERANCE_PERCENT: u64 = 5;
/// What the program is told when it is to do one path: for callgrind.
const ONE: &str = "--path";
/// What asks for counts and ratios: without it `cargo bench`, which runs all benches, goes on.
const COUNT: &str = "--count";
/// What it ends with where this processor does not take the path.
const NOT_HERE: u8 = 3;

type Failure = Box<dyn Error>;

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, ..] = arguments.as_slice()
        && flag == ONE
    {
        return one(name);
    }
    if !arguments.iter().any(|argument| argument == COUNT) {
        println!("instructions: left to `just instructions`");
        return Ok(ExitCode::SUCCESS);
    }
    let counts = counts()?;
    if arguments.iter().any(|argument| argument == "--write") {
        write(&counts)?;
    }
    let hold = [compare(&counts)?, side_by_side::hold()];
    Ok(if hold == [true; 2] { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does one path's work, under callgrind.
fn one(name: &str) -> Result<ExitCode, Failure> {
    let path = PATHS.iter().find(|path| path.name == name).ok_or("there is no such path")?;
    let fastest = lanes::report().fastest();
    if fastest != Way::Portable {
        return Err(
            format!("valgrind lets {fastest} through: the figures are of plain code").into()
        );
    }
    if !(path.here)() {
        return Ok(ExitCode::from(NOT_HERE));
    }
    let mut work = (path.make)().ok_or("its input cannot be made")?;
    counted_once(&mut work);
    Ok(ExitCode::SUCCESS)
}

/// By name; those that this processor does not take are left out.
fn counts() -> Result<BTreeMap<&'static str, u64>, Failure> {
    let folder = tempfile::tempdir()?;
    let mut counts = BTreeMap::new();
    for Path { name, .. } in &PATHS {
        let out = folder.path().join(name);
        let done = Command::new("valgrind")
            .args(["--quiet", "--tool=callgrind"])
            .arg(format!("--toggle-collect=*{COUNTED}*"))
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(std::env::current_exe()?)
            .args([ONE, *name])
            .status()?;
        if done.code() == Some(NOT_HERE.into()) {
            continue;
        }
        if !done.success() {
            return Err(format!("{name} failed under valgrind").into());
        }
        match summary(&std::fs::read_to_string(out)?) {
            None | Some(0) => return Err(format!("callgrind has counted nothing of {name}").into()),
            Some(count) => _ = counts.insert(*name, count),
        }
    }
    Ok(counts)
}

/// Instructions in all, of what callgrind writes.
fn summary(written: &str) -> Option<u64> {
    written.lines().find_map(|line| line.strip_prefix("summary: "))?.trim().parse().ok()
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))
}

/// The figures of the file, and the compiler that they are of.
fn figures(text: &str) -> (BTreeMap<&str, u64>, &str) {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let figures = lines.clone().filter_map(|(name, rest)| Some((name, rest.trim().parse().ok()?)));
    let compiler = lines.clone().find(|(name, _)| *name == "compiler").map_or("", |(_, it)| it);
    (figures.collect(), compiler.trim())
}

fn write(counts: &BTreeMap<&str, u64>) -> Result<(), Failure> {
    let mut text =
        "# Instructions of one pass over each path: `just instructions --write`.\n".to_owned();
    writeln!(text, "{:<16} {}", "compiler", compiler()?)?;
    for (name, count) in counts {
        writeln!(text, "{name:<16} {count:>11}")?;
    }
    Ok(std::fs::write(file(), text)?)
}

/// Prints what each path takes beside its figure, and says whether none takes too much.
fn compare(counts: &BTreeMap<&str, u64>) -> Result<bool, Failure> {
    let text = std::fs::read_to_string(file())?;
    let (figures, taken_with) = figures(&text);
    let mut hold = true;
    for Path { name, does, .. } in &PATHS {
        let verdict = match (counts.get(name), figures.get(name)) {
            (None, _) => "not by this processor".to_owned(),
            (Some(count), None) => {
                hold = false;
                format!("{count:>11}  without a figure: `just instructions --write`")
            }
            (Some(count), Some(figure)) => {
                hold &= !over(*count, *figure);
                format!("{count:>11}  {}", judged(*count, *figure))
            }
        };
        println!("{does:<48} {verdict}");
    }
    let ours = compiler()?;
    if ours != taken_with {
        println!("the figures are of {taken_with}, these counts of {ours}");
    }
    Ok(hold)
}

const fn over(count: u64, figure: u64) -> bool {
    count * 100 > figure * (100 + TOLERANCE_PERCENT)
}

/// What the count is beside the figure.
#[allow(clippy::cast_precision_loss, reason = "to be read, and far below 53 bits")]
fn judged(count: u64, figure: u64) -> String {
    let percent = (count as f64 / figure as f64 - 1.0) * 100.0;
    let verdict = if over(count, figure) {
        "TOO MANY: make it cheaper, or say in the commit why it costs that and move the figure"
    } else if over(figure, count) {
        "fewer: `just instructions --write` moves the figure"
    } else {
        ""
    };
    format!("{percent:>+6.1} %  {verdict}").trim_end().to_owned()
}
