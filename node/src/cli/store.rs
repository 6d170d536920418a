//! `ironlight store info|check`: look at a data directory while no node runs on it.

use clap::{Args, Subcommand};

use super::Failure;
use super::config::NetworkArgs;
use crate::store::headers::{self, Cut};
use crate::store::{self, Note};

/// What to do about damage.
const NEXT: &str = "start the node, which fetches again what is missing";

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// What the store is and holds. (A database file that cannot be opened is set aside, as at any
    /// start.)
    Info(StoreArgs),
    /// Check every value, verify every header again, and name what is damaged. (A database file
    /// that cannot be opened is set aside, as at any start.)
    Check(StoreArgs),
}

#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    #[command(flatten)]
    location: NetworkArgs,
}

pub(super) fn run(command: StoreCommand) -> Result<(), Failure> {
    let (StoreCommand::Info(args) | StoreCommand::Check(args)) = &command;
    let location = args.location.clone().resolve()?;
    let params = location.params()?;
    let directory = location.network_dir()?;
    if !store::exists(&directory) {
        return Err(format!("nothing is stored in {}", directory.display()).into());
    }
    let now = crate::clock::unix_now().0;
    let opened = store::open(store::Options { dir: directory.clone(), backend: None, now })?;
    for note in &opened.notes {
        say!("note     {note}");
    }
    say!("store    {}", directory.display());
    say!("backend  {}", opened.store.backend());
    say!("format   {}", store::FORMAT_VERSION);
    say!("on disk  {} bytes", opened.store.bytes_on_disk()?);
    let lost = opened.notes.iter().any(Note::loses_rows);
    let checking = matches!(command, StoreCommand::Check(_));
    if checking {
        store::check_values(opened.store.as_ref()).map_err(|error| format!("{error}: {NEXT}"))?;
    }
    let Some(loaded) = headers::read(opened.store.as_ref(), &params)? else {
        say!("headers  none yet");
        return if checking { verdict(lost, None) } else { Ok(()) };
    };
    let chain = &loaded.chain;
    say!("headers  {} to {}", chain.start_height(), chain.tip().height);
    say!("tip      {}", chain.tip());
    say!("basis    {}", chain.basis());
    match loaded.cut {
        cut if checking => verdict(lost, cut),
        Some(cut) => {
            say!("damage   {cut}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// What a check found; every value was whole, or it would not have come this far.
fn verdict(lost: bool, cut: Option<Cut>) -> Result<(), Failure> {
    match cut {
        Some(cut) => Err(format!("{cut}: {NEXT}").into()),
        None if lost => Err(format!("the database was damaged, see above: {NEXT}").into()),
        None => {
            say!("check    every value is whole and every header valid");
            Ok(())
        }
    }
}
