//! What an operator can turn off while the node runs: kill switches, all on until somebody does.
//!
//! This is the one place that declares them. The networks ask held handles where each thing happens;
//! what they are set to is kept in the store, and every flip is logged.

use std::sync::{Arc, Weak};

use ironlight_hardening::flags::{Flag, FlagSet, FlagStore, Flags, Serve, StoreFailure, Switch};
pub use ironlight_hardening::flags::{FlagError, FlagStatus, FlipListener};
use tracing::{error, info, warn};

use crate::store::{Store, flags as record};

const SERVING: &str = "serving";
const GOSSIP: &str = "gossip";
const DISCOVERY: &str = "discovery";
const HARDENING: &str = "hardening";

fn declared() -> Result<FlagSet, FlagError> {
    FlagSet::new([
        Flag::kill_switch(SERVING, "Answers to light nodes; off, they are told to wait."),
        Flag::kill_switch(GOSSIP, "Tips to and from light nodes; off, none is told or passed on."),
        Flag::kill_switch(
            DISCOVERY,
            "Looking for light nodes; off, no address is asked or learnt.",
        ),
        Flag::kill_switch(
            HARDENING,
            "Limits and circuit breakers, both ways; off, everybody is asked and answered at once.",
        ),
    ])
}

/// What the networks ask.
#[derive(Clone, Debug)]
pub(crate) struct Switches {
    /// Whether light nodes get answers.
    pub(crate) serving: Switch,
    /// Whether tips are gossiped.
    pub(crate) gossip: Switch,
    /// Whether peers are looked for and learnt of.
    pub(crate) discovery: Switch,
    /// Whether requests are limited, those that go out and those that come in.
    pub(crate) hardening: Switch,
}

/// The node's flags: `serving`, `gossip`, `discovery` and `hardening`, each on or off. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct NodeFlags(Flags);

/// Whether a flag is on.
#[must_use]
pub fn is_on(status: &FlagStatus) -> bool {
    status.setting.otherwise == Serve::Switch(true)
}

impl NodeFlags {
    /// The flags as the store has them. Blocks. Where the record cannot be read all are on, and
    /// the second value says so.
    ///
    /// # Errors
    /// [`FlagError`] where they are declared wrongly: a bug.
    pub(crate) fn open(store: &Arc<dyn Store>) -> Result<(Self, Option<String>), FlagError> {
        let kept = Arc::new(Kept(Arc::downgrade(store)));
        let (flags, note) = match Flags::open(declared()?, Arc::<Kept>::clone(&kept)) {
            Ok(flags) => (flags, None),
            Err(unread) => {
                let note = format!("all flags are on: {unread}; see `ironlight flags`");
                warn!("{note}");
                (Flags::unread(declared()?, kept), Some(note))
            }
        };
        for status in flags.list().iter().filter(|status| !is_on(status)) {
            warn!(flag = status.flag.name(), "a flag is off");
        }
        flags.on_flip(Arc::new(|flip| {
            let (flag, before, after) = (flip.name, &flip.before, &flip.after);
            info!(flag, %before, %after, by = flip.by, saved = flip.saved, "a flag was flipped");
        }))?;
        Ok((Self(flags), note))
    }

    pub(crate) fn switches(&self) -> Result<Switches, FlagError> {
        Ok(Switches {
            serving: self.0.switch(SERVING)?,
            gossip: self.0.switch(GOSSIP)?,
            discovery: self.0.switch(DISCOVERY)?,
            hardening: self.0.switch(HARDENING)?,
        })
    }

    /// All flags and how they are set.
    #[must_use]
    pub fn list(&self) -> Vec<FlagStatus> {
        self.0.list()
    }

    /// Turns a flag on or off, and keeps it so over restarts; `by` says who does it, for the log.
    /// Given up, it is done or not, and never half.
    ///
    /// # Errors
    /// [`FlagError::Unknown`] naming the flags that there are; [`FlagError::NotSaved`] where the
    /// store failed, or the node has stopped.
    pub async fn turn(&self, name: &str, on: bool, by: &str) -> Result<FlagStatus, FlagError> {
        let flags = self.0.clone();
        let status = flags.status(name)?;
        let (name, by) = (status.flag.name(), by.to_owned());
        let turned = tokio::task::spawn_blocking(move || flags.turn(name, on, &by)).await;
        match turned {
            Ok(turned) => turned?,
            Err(error) => {
                error!(%error, "a flag was not turned: a defect");
                let source = StoreFailure::from(error);
                return Err(FlagError::NotSaved { name, in_force: false, source });
            }
        };
        self.0.status(name)
    }

    /// Adds a listener that hears of every flip, for an audit log.
    ///
    /// # Errors
    /// [`FlagError::Listeners`] where there are too many.
    pub fn on_flip(&self, listener: FlipListener) -> Result<(), FlagError> {
        self.0.on_flip(listener)
    }
}

/// The store's record of flags. Whoever holds flags of a node that has stopped must not keep its
/// directory locked, so the store is held weakly.
struct Kept(Weak<dyn Store>);

impl Kept {
    fn store(&self) -> Result<Arc<dyn Store>, StoreFailure> {
        self.0.upgrade().ok_or_else(|| "the node has stopped".into())
    }
}

impl FlagStore for Kept {
    fn load(&self) -> Result<Option<Vec<u8>>, StoreFailure> {
        Ok(record::load(self.store()?.as_ref())?)
    }

    fn save(&self, settings: &[u8]) -> Result<(), StoreFailure> {
        Ok(self.store()?.commit(record::batch(settings))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryStore, Table, WriteBatch};

    fn store() -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    #[tokio::test]
    async fn a_flag_that_was_turned_off_is_off_after_a_restart_and_the_swarm_sees_it_at_once() {
        let store = store();
        let (flags, note) = NodeFlags::open(&store).unwrap();
        let switches = flags.switches().unwrap();
        assert!(note.is_none() && switches.serving.is_on() && switches.gossip.is_on());
        let status = flags.turn(GOSSIP, false, "test").await.unwrap();
        assert!(!is_on(&status) && !switches.gossip.is_on() && switches.discovery.is_on());
        let (again, note) = NodeFlags::open(&store).unwrap();
        assert!(note.is_none() && !again.switches().unwrap().gossip.is_on());
        assert_eq!(again.list().iter().filter(|status| is_on(status)).count(), 3);
        let error = flags.turn("gossips", true, "test").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no flag \"gossips\": there are serving, gossip, discovery, hardening"
        );
    }

    #[tokio::test]
    async fn a_damaged_record_is_told_of_and_replaced_by_the_next_turn() {
        let store = store();
        let mut batch = WriteBatch::new();
        batch.put(Table::Meta, b"flags", vec![1, 2, 3]);
        store.commit(batch).unwrap();
        let (flags, note) = NodeFlags::open(&store).unwrap();
        assert!(note.unwrap().contains("damaged"), "it says why");
        assert!(flags.list().iter().all(is_on));
        // It is on already; the record is written all the same.
        flags.turn(SERVING, true, "test").await.unwrap();
        let (_, note) = NodeFlags::open(&store).unwrap();
        assert_eq!(note, None);
    }

    #[tokio::test]
    async fn flags_of_a_stopped_node_hold_no_store_and_still_go_off() {
        let store = store();
        let (flags, _) = NodeFlags::open(&store).unwrap();
        assert_eq!(Arc::strong_count(&store), 1);
        drop(store);
        let error = flags.turn(SERVING, false, "test").await.unwrap_err();
        assert!(matches!(error, FlagError::NotSaved { in_force: true, .. }), "{error}");
        assert!(!flags.switches().unwrap().serving.is_on());
    }
}
