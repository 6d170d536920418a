//! `ironlight store info|check`: look at a data directory while no node runs on it.

use clap::{Args, Subcommand};

use super::Failure;
use super::config::NetworkArgs;
use crate::states::{self, Listed, Summary};
use crate::store::headers::{self, Cut};
use crate::store::{self, Note, Store, StoreError, Table};

/// What to do about damage.
const NEXT: &str = "start the node, which fetches again what is missing";
/// The same for account states, which nobody can give again.
const NEXT_OF_STATES: &str = "open that collection of account states, which names the row and what it \
                              costs, or remove it";

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
        store::check_values(opened.store.as_ref())
            .map_err(|error| format!("{error}: {}", next(&error)))?;
    }
    for line in states_lines(opened.store.as_ref())? {
        say!("{line}");
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

fn next(error: &StoreError) -> &'static str {
    let of_states = matches!(error, StoreError::Damaged(damage) if damage.table == Table::States);
    if of_states { NEXT_OF_STATES } else { NEXT }
}

/// A line for each collection of account states.
fn states_lines(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    let line = |Listed { name, head }| match head {
        Ok(Summary { kind, heights: Some((oldest, newest)), claim }) => {
            let claim = if claim.is_some() { ", a claim" } else { "" };
            format!("states   {name:?}, kind {kind}, heights {oldest} to {newest}{claim}")
        }
        Ok(Summary { kind, heights: None, .. }) => {
            format!("states   {name:?}, kind {kind}, none yet")
        }
        Err(fault) => format!("states   {name:?}, head damaged: {fault}"),
    };
    Ok(states::list(store)?.into_iter().map(line).collect())
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ironlight_spv::BlockHeight;
    use ironlight_spv::compress::state::{Account, Salt};

    use super::*;
    use crate::states::StoredStates;
    use crate::store::{MemoryStore, WriteBatch};

    #[test]
    fn collections_of_states_are_shown_and_their_damage_is_not_said_to_be_fetched_again() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut states = StoredStates::<Account>::open(&store, "mine", Salt::None).unwrap().0;
        let none = [r#"states   "mine", kind 1, none yet"#];
        assert_eq!(states_lines(store.as_ref()).unwrap(), none);
        states.seal(BlockHeight(7), [], b"").unwrap();
        states.seal(BlockHeight(9), [], b"").unwrap();
        let two = [r#"states   "mine", kind 1, heights 7 to 9"#];
        assert_eq!(states_lines(store.as_ref()).unwrap(), two);
        store::check_values(store.as_ref()).unwrap();
        let mut batch = WriteBatch::new();
        batch.put(Table::States, b"\x04mineH", "short");
        store.commit(batch).unwrap();
        let damaged = states_lines(store.as_ref()).unwrap();
        assert!(damaged[0].starts_with(r#"states   "mine", head damaged: "#), "{damaged:?}");
        let error = store::check_values(store.as_ref()).unwrap_err();
        assert_eq!(next(&error), NEXT_OF_STATES);
        assert_eq!(next(&StoreError::NoNetwork), NEXT);
    }
}
