//! `ironlight audit verify|show|repair`: a node's audit log, or a copy of one.

mod show;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ironlight_hardening::audit::{self, EventKind, LogKind, Record, SinkError};

use super::{Failure, NetworkArgs};
use crate::audit::{FALLBACK, FOLDER, log_name};
use crate::clock::unix_millis;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Verify every record, compare the log with its checkpoints, and name the first record that is
    /// wrong.
    Verify(verify::VerifyArgs),
    /// Print the records, up to the first that is wrong.
    Show(show::ShowArgs),
    /// Set aside what is wrong and all that follows it, and write that down. Nothing is deleted.
    Repair(LogArgs),
}

/// Which log.
#[derive(Clone, Debug, Args)]
pub(super) struct LogArgs {
    /// The log's folder, or one of its files; without it that of the node in --data-dir.
    path: Option<PathBuf>,
    #[command(flatten)]
    location: NetworkArgs,
}

/// Where a log is.
#[derive(Debug)]
struct Place {
    /// A folder, or a file.
    path: PathBuf,
    /// The folder, also of a file.
    folder: PathBuf,
    /// What a log of the network would be named.
    name: String,
}

pub(super) fn run(command: &AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Verify(args) => verify::run(args),
        AuditCommand::Show(args) => show::run(args),
        AuditCommand::Repair(args) => repair(args),
    }
}

impl LogArgs {
    fn place(&self) -> Result<Place, Failure> {
        let location = self.location.clone().resolve()?;
        let name = log_name(location.params()?.network);
        let own = location.network_dir()?.join(FOLDER);
        let path = self.path.clone().unwrap_or(own);
        let there = fs::metadata(&path);
        let nothing = || Failure::from(format!("no audit log in {}", path.display()));
        let folder = match there {
            Ok(meta) if meta.is_dir() => path.clone(),
            Ok(_) => path.parent().map(Path::to_owned).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(nothing()),
            Err(error) => return Err(unreadable(&path)(error)),
        };
        let place = Place { path, folder, name };
        if place.is_folder() && place.files()?.is_empty() {
            return Err(format!("no audit log in {}", place.path.display()).into());
        }
        Ok(place)
    }
}

impl Place {
    fn is_folder(&self) -> bool {
        self.path == self.folder
    }

    /// The log's files, sorted.
    fn files(&self) -> Result<Vec<PathBuf>, Failure> {
        if !self.is_folder() {
            return Ok(vec![self.path.clone()]);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(unreadable(&self.path))? {
            let file = entry.map_err(unreadable(&self.path))?.path();
            if is_of_a_log(&file) {
                files.push(file);
            }
        }
        files.sort();
        Ok(files)
    }

    /// A log beside this one, which took what this one could not; if there is one.
    fn fallback(&self) -> Option<PathBuf> {
        let beside = self.folder.parent()?.join(FALLBACK);
        (beside != self.folder && beside.is_dir()).then_some(beside)
    }
}

fn is_of_a_log(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("audit-") && (name.ends_with(".jsonl") || name.ends_with(".jsonl.gz"))
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| format!("{}: {error}", path.display()).into()
}

/// The name that the log gives itself.
fn name_in(record: &Record) -> Option<String> {
    let begins = record.event.kind() == &EventKind::Log(LogKind::Segment);
    begins.then(|| record.event.subject().to_owned())
}

fn repair(args: &LogArgs) -> Result<(), Failure> {
    let place = args.place()?;
    if !is_of_a_log(&place.path) && !place.is_folder() {
        let path = place.path.display();
        return Err(format!("{path} is no file of a log: give the log's folder").into());
    }
    let mut name = None;
    let read = audit::read_log(&place.folder, &[], |record| {
        name = name.take().or_else(|| name_in(record));
    });
    read.map_err(unreadable(&place.folder))?;
    let folder = place.folder.display();
    let repaired = match audit::repair(&place.folder, &name.unwrap_or(place.name), unix_millis()) {
        Ok(repaired) => repaired,
        Err(SinkError::InUse) => {
            return Err(format!("a node has the log in {folder} open: stop it first").into());
        }
        Err(error) => return Err(format!("{folder}: {error}").into()),
    };
    say!("log          {folder}");
    let Some(repaired) = repaired else {
        say!("result       nothing is wrong; nothing was done");
        return Ok(());
    };
    say!("wrong        {}", repaired.tampering);
    say!("set aside    {}", repaired.aside.display());
    say!("records      {}, the last of them about this repair", repaired.size);
    say!("result       the log is right; checkpoints of what was set aside contradict it now");
    Ok(())
}
