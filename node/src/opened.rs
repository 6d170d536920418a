//! A node's directory, opened: the stored chain, and what is kept beside it.

use std::sync::Arc;

use ironlight_spv::peers::BanEntry;
use ironlight_spv::{HeaderChain, Params};
use tracing::{info, warn};

use crate::audit::NodeAudit;
use crate::clock::{Clock, unix_now};
use crate::flags::NodeFlags;
use crate::node::{NodeError, Storage};
use crate::store::{
    self, CustomStore, MemoryStore, Note, Opened, Store, StoreError, bans, headers, own,
};

/// An open store and what it holds.
struct StoredChain {
    store: Arc<dyn Store>,
    chain: Option<HeaderChain>,
    notes: Vec<String>,
    /// Of these, what was damaged and mended: what in a word, and all about it.
    repairs: Vec<(&'static str, String)>,
}

/// The same with all that is kept beside the chain.
pub(crate) struct OpenedChain {
    /// The first to be given up: see its module.
    pub(crate) audit: NodeAudit,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) chain: Option<HeaderChain>,
    pub(crate) bans: Vec<BanEntry>,
    pub(crate) notes: Vec<String>,
    pub(crate) flags: NodeFlags,
}

impl OpenedChain {
    fn new(stored: StoredChain, audit: NodeAudit) -> Result<Self, NodeError> {
        let StoredChain { store, chain, notes, repairs } = stored;
        for (what, about) in repairs {
            audit.repaired(what, about);
        }
        let bans = bans::load(store.as_ref());
        let (flags, unread) = NodeFlags::open(&store)?;
        if let Some(unread) = &unread {
            audit.repaired("flags unread", unread.clone());
        }
        if let Some(listener) = audit.flip_listener() {
            flags.on_flip(listener)?;
        }
        let notes = notes.into_iter().chain(unread).collect();
        Ok(Self { audit, store, chain, bans, notes, flags })
    }
}

/// Opens the store and loads its chain, off the async threads; beside a store on disk, the audit
/// log.
pub(crate) async fn open(
    storage: Storage,
    params: &Params,
    clock: Clock,
) -> Result<OpenedChain, NodeError> {
    let params = params.clone();
    let task = tokio::task::spawn_blocking(move || {
        let (data_dir, backend) = match storage {
            Storage::Disk { data_dir, backend } => (data_dir, backend),
            Storage::Custom(own) => {
                return OpenedChain::new(open_own(own, &params)?, NodeAudit::default());
            }
            Storage::Memory => {
                let (store, chain) = (Arc::new(MemoryStore::new()), None);
                let stored = StoredChain { store, chain, notes: Vec::new(), repairs: Vec::new() };
                return OpenedChain::new(stored, NodeAudit::default());
            }
        };
        let dir = data_dir.join(params.network.name());
        let options = store::Options { dir, backend, now: unix_now().0 };
        let mut stored = open_and_mend(&options, &params)?;
        // After the store: whoever has that has the directory.
        let (audit, notes) = NodeAudit::open(&options.dir, params.network, clock);
        stored.notes.extend(notes);
        OpenedChain::new(stored, audit)
    });
    task.await.map_err(|error| NodeError::Task { reason: error.to_string() })?
}

/// Opens a store of the user's own. What cannot be read is an error: nobody can set it aside.
fn open_own(own: CustomStore, params: &Params) -> Result<StoredChain, NodeError> {
    let opened = store::open_custom(own)?;
    match headers::load(opened.store.as_ref(), params) {
        Ok(loaded) => Ok(with_chain(opened, loaded)),
        Err(error) if error.is_damage() => {
            Err(StoreError::Unusable { reason: error.to_string() }.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory's store. Where what it holds cannot be read at all, it is set aside and a
/// new one begun: the headers are fetched again, what is the user's own goes along, and nobody has to
/// delete anything.
fn open_and_mend(options: &store::Options, params: &Params) -> Result<StoredChain, NodeError> {
    let opened = store::open(options.clone())?;
    match headers::load(opened.store.as_ref(), params) {
        Ok(loaded) => Ok(with_chain(opened, loaded)),
        Err(error) if error.is_damage() => {
            let backend = opened.store.backend();
            let mut notes = opened.notes;
            let (own, rows) = own::rows(opened.store.as_ref())?;
            drop(opened.store);
            let reason = error.to_string();
            notes.extend(store::quarantine(&options.dir, backend, options.now, &reason)?);
            let mut opened = store::open(options.clone())?;
            if rows > 0 {
                opened.store.commit(own)?;
                opened.notes.push(Note::TakenAlong { rows });
            }
            opened.notes.splice(0..0, notes);
            warn!("a chain that had a trusted start needs it again: give --start-point or import");
            let loaded = headers::load(opened.store.as_ref(), params)?;
            Ok(with_chain(opened, loaded))
        }
        Err(error) => Err(error.into()),
    }
}

fn with_chain(opened: Opened, loaded: Option<headers::Loaded>) -> StoredChain {
    let (mut notes, mut repairs) = (Vec::new(), Vec::new());
    for note in &opened.notes {
        if let Some(what) = note.repair() {
            warn!("{note}");
            repairs.push((what, note.to_string()));
        } else {
            info!("{note}");
        }
        notes.push(note.to_string());
    }
    let chain = loaded.map(|loaded| {
        if let Some(cut) = loaded.cut {
            warn!("{cut}");
            repairs.push(("chain cut", cut.to_string()));
            notes.push(cut.to_string());
        }
        loaded.chain
    });
    StoredChain { store: opened.store, chain, notes, repairs }
}
