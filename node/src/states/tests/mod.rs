//! Collections against plain maps, on every store that is built.

mod basics;
mod damage;
mod faults;
mod model;
mod once;
mod script;

use std::ops::ControlFlow;
use std::sync::Arc;

use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Account, Change, Importer, Salt, StateValue};

use super::base::Sizes;
use super::error::{Opening, StatesError};
use super::{StoredStates, load};
use crate::store::{Backend, Options, Store, Table, open};

const NAME: &str = "accounts";
const SALT: Salt = Salt::Bytes([7; 32]);

/// Small ones, so that few accounts have many pieces, and these several commits.
const SIZES: Sizes = Sizes { piece: 150, commit: 400, deletes: 3 };

type States = StoredStates<Account>;

fn account(key: u8, balance: u128) -> Account {
    Account { balance, ..Account::blank([key; 32]) }
}

fn put(key: u8, balance: u128) -> Change<Account> {
    Change::Put(account(key, balance))
}

fn try_open(store: &Arc<dyn Store>) -> Result<(States, Opening), StatesError> {
    load::open(store, NAME, SALT, SIZES)
}

fn opened(store: &Arc<dyn Store>) -> (States, Opening) {
    try_open(store).unwrap()
}

/// A directory, or memory that outlives its reopening.
struct Bed {
    dir: tempfile::TempDir,
    backend: Backend,
    memory: Option<Arc<dyn Store>>,
}

impl Bed {
    fn each() -> impl Iterator<Item = Self> {
        let built = Backend::ALL.iter().copied().filter(|backend| backend.is_built());
        built.map(Self::new)
    }

    fn new(backend: Backend) -> Self {
        let memory = (backend == Backend::Memory)
            .then(|| Arc::new(crate::store::MemoryStore::new()) as Arc<dyn Store>);
        Self { dir: tempfile::tempdir().unwrap(), backend, memory }
    }

    /// On disk the one before has to be dropped.
    fn store(&self) -> Arc<dyn Store> {
        self.memory.clone().unwrap_or_else(|| {
            let dir = self.dir.path().join("regtest");
            open(Options { dir, backend: Some(self.backend), now: 1 }).unwrap().store
        })
    }
}

/// Key and value.
type Stored = (Vec<u8>, Vec<u8>);

/// Every row of the table.
fn rows(store: &dyn Store) -> Vec<Stored> {
    let mut rows = Vec::new();
    store
        .scan(Table::States, &[], &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

fn imported(pieces: &[u8]) -> Importer<Account> {
    let mut importer = Importer::new(1_000);
    importer.push(pieces).unwrap();
    importer
}

fn export(states: &States, height: u32) -> Vec<u8> {
    let pieces = states.export(BlockHeight(height)).unwrap();
    pieces.map(Result::unwrap).collect::<Vec<_>>().concat()
}
