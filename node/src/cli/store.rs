//! `ironlight store info|check`: look at a data directory while no node runs on it.

use clap::{Args, Subcommand};

use super::Failure;
use super::config::NetworkArgs;
use crate::store::{self, Note, headers};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// What the store is and holds.
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
    if !directory.is_dir() {
        return Err(format!("nothing is stored in {}", directory.display()).into());
    }
    let now = crate::clock::unix_now().0;
    let opened = store::open(store::Options { dir: directory.clone(), backend: None, now })?;
    for note in &opened.notes {
        println!("note     {note}");
    }
    println!("store    {}", directory.display());
    println!("backend  {}", opened.store.backend());
    println!("format   {}", store::FORMAT_VERSION);
    println!("on disk  {} bytes", opened.store.bytes_on_disk()?);
    let Some(loaded) = headers::read(opened.store.as_ref(), &params)? else {
        println!("headers  none yet");
        return Ok(());
    };
    let chain = &loaded.chain;
    println!("headers  {} to {}", chain.start_height(), chain.tip().height);
    println!("tip      {}", chain.tip());
    println!("basis    {}", chain.basis());
    match (loaded.cut, command) {
        (Some(cut), StoreCommand::Check(_)) => {
            let next = "start the node, which cuts the chain back and fetches the rest again";
            Err(format!("{cut}: {next}").into())
        }
        (Some(cut), StoreCommand::Info(_)) => {
            println!("damage   {cut}");
            Ok(())
        }
        (None, StoreCommand::Check(_)) if opened.notes.iter().any(Note::loses_rows) => {
            Err("the database was damaged, see above: start the node to fetch the rest".into())
        }
        (None, StoreCommand::Check(_)) => {
            println!("check    every value is whole and every header valid");
            Ok(())
        }
        (None, StoreCommand::Info(_)) => Ok(()),
    }
}
