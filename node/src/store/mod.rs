//! What the node keeps on disk: rows in named tables, changed by atomic batches.
//!
//! One trait, three backends (memory, sled, redb) and the user's own, the same keys and values in each. Headers, tip,
//! filters and wallet are tables of one store, so that one [`WriteBatch`] commits them together and
//! no crash leaves a tip that points at headers which are not there.
//!
//! Invariant: a batch is applied whole or not at all, and it is on disk when
//! [`Store::commit`] returns. After a commit that failed, the store refuses every further call with
//! [`StoreError::Stopped`], because memory and disk may disagree until it is reopened.
//!
//! The layers, from the top: the schema seals and opens values ([`checksum`]), [`open`] finds,
//! locks, checks and migrates the directory, and a fence around each backend keeps its panics in.
//! Values are sealed above the backends, not in them: `store check` has to look at every damaged
//! row of a table, and so has to see the stored bytes as they are.
//!
//! What an attacker can grow: nothing by himself. Rows are written for verified data only; a key
//! is at most [`MAX_KEY_BYTES`], a value at most [`MAX_VALUE_BYTES`], the caches are bounded.

#[cfg(feature = "wallet")]
pub(crate) mod apart;
mod backend;
pub mod bans;
#[cfg(feature = "redb")]
mod btree;
pub mod checksum;
mod contain;
mod contract;
mod custom;
#[cfg(feature = "sled")]
mod disk;
mod error;
mod fence;
mod files;
pub mod filter_headers;
pub mod filters;
pub(crate) mod flags;
mod format;
pub mod headers;
mod identity;
mod lent;
mod lock;
mod memory;
mod migrate;
mod note;
mod open;
pub(crate) mod own;
pub mod records;
mod start_record;
#[cfg(feature = "sled")]
mod tally;

#[cfg(test)]
mod conformance;
#[cfg(test)]
#[cfg(any(feature = "sled", feature = "redb"))]
mod damage_tests;
#[cfg(test)]
mod open_tests;

use std::ops::ControlFlow;

pub use backend::Backend;
pub use contain::panic_is_contained;
pub use contract::{Breach, Row, try_store};
pub use custom::{CustomStore, open_custom};
pub use error::StoreError;
#[cfg(feature = "wallet")]
pub(crate) use error::hex;
pub use identity::StoreIdentity;
pub(crate) use lent::Lent;
#[cfg(feature = "daemon")]
pub(crate) use lock::DirLock;
pub use memory::MemoryStore;
pub use note::Note;
pub use open::{FORMAT_VERSION, Opened, Options, exists, open, quarantine};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 512;

/// The longest value, in bytes, its checksum included.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Above this size a database is not read through when it is opened: the check would take longer
/// than an operator waits. Every value still has its checksum.
#[cfg(any(feature = "sled", feature = "redb"))]
const VERIFY_UP_TO: u64 = 1024 * 1024 * 1024;

/// Bytes that a disk backend may use as its cache. Both default to 1 GiB.
#[cfg(any(feature = "sled", feature = "redb"))]
const CACHE_BYTES: u32 = 2 * 1024 * 1024;

/// One list for the enum, its ids, its names and `ALL`, so that no later table is left out of one:
/// a table missing from `ALL` would be lost when a damaged database is rebuilt.
macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident = $id:literal $name:literal,)*) => {
        /// A named table. Ids and names are part of the disk format and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Table {
            $($(#[$doc])* $table,)*
        }

        impl Table {
            /// Every table, in the order of the ids.
            pub const ALL: &'static [Table] = &[$(Table::$table),*];

            /// The byte that stands for the table on disk: never 0 (the backend's own rows) nor
            /// 255.
            #[must_use]
            pub const fn id(self) -> u8 {
                match self { $(Table::$table => $id,)* }
            }

            /// The name that messages use, and redb for its tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Table::$table => $name,)* }
            }
        }
    };
}

tables! {
    /// About the store and its tip: few rows, small ones.
    Meta = 1 "meta",
    /// Block headers: sealed difficulty periods and the open period.
    Headers = 2 "headers",
    /// Addresses of peers.
    Peers = 3 "peers",
    /// What is watched, and what the chain has for it.
    Wallet = 4 "wallet",
    /// Block filters.
    Filters = 5 "filters",
    /// The chain of filter headers.
    FilterHeaders = 6 "filter_headers",
    /// Transactions that are brought to the network.
    Broadcast = 7 "broadcast",
    /// Account states.
    States = 8 "states",
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One change of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOp {
    /// Set a row, whether or not it is there.
    Put {
        /// The table of the row.
        table: Table,
        /// The key of the row.
        key: Vec<u8>,
        /// The new value.
        value: Vec<u8>,
    },
    /// Remove a row, if it is there.
    Delete {
        /// The table of the row.
        table: Table,
        /// The key of the row.
        key: Vec<u8>,
    },
    /// Remove the row of this key and all rows after it in the table.
    DeleteFrom {
        /// The table of the rows.
        table: Table,
        /// The first key to remove; empty for the whole table.
        key: Vec<u8>,
    },
}

/// Changes that happen together or not at all, applied in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    ops: Vec<WriteOp>,
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a row.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        self.ops.push(WriteOp::Put { table, key, value });
    }

    /// Removes a row.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.ops.push(WriteOp::Delete { table, key });
    }

    /// Removes a row and all after it in its table.
    pub fn delete_from(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.ops.push(WriteOp::DeleteFrom { table, key });
    }

    /// Adds the changes of another batch behind these.
    pub fn append(&mut self, other: Self) {
        self.ops.extend(other.ops);
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// The changes, in order.
    #[must_use]
    pub fn ops(&self) -> &[WriteOp] {
        &self.ops
    }

    /// The changes, in order, to own.
    #[must_use]
    pub fn into_ops(self) -> Vec<WriteOp> {
        self.ops
    }

    /// Refuses keys and values over the limits, before anything is changed.
    fn check_sizes(&self) -> Result<(), StoreError> {
        for op in &self.ops {
            let (table, key, value): (_, &[u8], &[u8]) = match op {
                WriteOp::Put { table, key, value } => (*table, key, value),
                WriteOp::Delete { table, key } | WriteOp::DeleteFrom { table, key } => {
                    (*table, key, &[])
                }
            };
            for (what, bytes, limit) in
                [("key", key.len(), MAX_KEY_BYTES), ("value", value.len(), MAX_VALUE_BYTES)]
            {
                if bytes > limit {
                    let key = error::hex(key);
                    return Err(StoreError::TooLarge { table, key, what, bytes, limit });
                }
            }
        }
        Ok(())
    }
}

/// What a scan shows each row to, key and value, until it breaks.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Rows in named tables. Every call blocks: make it off the async threads.
///
/// Whoever writes one of their own ([`CustomStore`]) keeps to this, and [`try_store`] tries most of it:
///
/// - Keys and values are any bytes: keys of at most [`MAX_KEY_BYTES`], the empty one included, values of
///   at most [`MAX_VALUE_BYTES`]. Scans go by the keys' bytes, ascending.
/// - A batch is applied whole or not at all, whatever happens, in the order of its changes, and is on the
///   disk when [`commit`](Self::commit) returns. This alone is what no crash may break.
/// - A scan sees the rows of one moment.
/// - Calls come from several threads at once; only one commits at a time.
/// - [`backend`](Self::backend) is [`Backend::Custom`].
pub trait Store: Send + Sync + 'static {
    /// The value of a row, as stored.
    ///
    /// # Errors
    /// If the backend cannot read it, or finds its file damaged.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Rows in key order from `from` on, until the visitor breaks. They are those of one moment:
    /// no commit falls in between. The visitor must not call the store.
    ///
    /// # Errors
    /// If the backend cannot read on, or finds its file damaged. The rows before were visited.
    fn scan(&self, table: Table, from: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError>;

    /// All of it or nothing, on disk when it returns.
    ///
    /// # Errors
    /// If a key or value is too large (nothing has changed, the store goes on), or if the backend
    /// cannot write (the store then stops: drop it and open it again).
    fn commit(&self, batch: WriteBatch) -> Result<(), StoreError>;

    /// Which backend this is.
    fn backend(&self) -> Backend;

    /// The size of its files; 0 in memory.
    ///
    /// # Errors
    /// If a file's size cannot be read.
    fn bytes_on_disk(&self) -> Result<u64, StoreError>;

    /// Which database this is. A store that passes its calls on to another one gives
    /// [`StoreIdentity::of`] that one; to others what is here is right.
    fn identity(&self) -> StoreIdentity {
        StoreIdentity::place(self)
    }
}

/// Looks at every value of every table.
///
/// # Errors
/// [`StoreError::Damaged`] for the first one that does not match its checksum.
pub fn check_values(store: &dyn Store) -> Result<(), StoreError> {
    for &table in Table::ALL {
        let mut damage = None;
        store.scan(table, &[], &mut |key, stored| match checksum::open(table, key, stored) {
            Ok(_) => ControlFlow::Continue(()),
            Err(found) => {
                damage = Some(found);
                ControlFlow::Break(())
            }
        })?;
        if let Some(damage) = damage {
            return Err(damage.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn table_ids_and_names_are_the_documented_ones() {
        let all: Vec<_> = Table::ALL.iter().map(|table| (table.id(), table.name())).collect();
        let documented = [
            (1, "meta"),
            (2, "headers"),
            (3, "peers"),
            (4, "wallet"),
            (5, "filters"),
            (6, "filter_headers"),
            (7, "broadcast"),
            (8, "states"),
        ];
        assert_eq!(all, documented);
    }
}
