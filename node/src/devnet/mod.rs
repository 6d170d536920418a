//! An embedded full node on regtest: a sandbox, and the ground that tests and demos stand on.
//!
//! Purpose: real blocks with really signed transactions, without any program to install. The
//! [`ledger`] decides everything and does no I/O; [`Devnet`] puts it behind Bitcoin's wire
//! protocol on loopback. Bitcoin Core accepts its blocks and syncs from it as from any peer.
//!
//! Invariant: the chain follows from the seed, the first block's time and the order of commands
//! alone, so that a failing run can be made again. Its clock is a mock one: each block is
//! [`DevnetConfig::spacing`] after its parent, however fast it is mined, and 10,000 blocks from the
//! default start stay more than a decade in the past.
//!
//! The state is in memory and gone at the end. It validates its own blocks only; blocks that peers
//! send are read past. Transactions that they announce are fetched, and those that could be mined wait
//! for the next block, but their scripts are not run: it takes a signature for what it says.
//!
//! What an attacker can grow: nothing is reachable but from this machine, since it listens on
//! loopback only. Peers are at most [`MAX_PEERS`], each with one request being received (at most
//! 4 MB, a `tx`) and one answer being sent; waiting transactions are at most
//! [`ledger::MAX_WAITING`]. The chain grows with the commands of its user, by about 2 KB a block.
//!
//! ```no_run
//! # async fn example() -> Result<(), ironlight::devnet::DevnetError> {
//! use ironlight::devnet::{Devnet, DevnetConfig};
//!
//! let devnet = Devnet::start(DevnetConfig { blocks: 101, ..DevnetConfig::default() }).await?;
//! println!("a full node on {}, tip {}", devnet.address(), devnet.tip());
//! devnet.mine(10).await?;
//! devnet.reorg(3).await?;
//! devnet.stop().await;
//! # Ok(())
//! # }
//! ```

pub mod control;
pub mod ledger;
mod node;
mod server;
mod shared;
pub mod wallet;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::UnixTime;

pub use node::Devnet;
pub use server::MAX_PEERS;

/// Blocks that one command mines at most.
pub const MAX_BLOCKS: u32 = 100_000;

/// What a devnet is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevnetConfig {
    /// Keys, coins and choices follow from it.
    pub seed: u64,
    /// The port of 127.0.0.1 to listen on; 0 for any that is free.
    pub port: u16,
    /// Blocks mined before it listens, at most [`MAX_BLOCKS`].
    pub blocks: u32,
    /// A block is mined each time that so much of real time has passed; none for blocks on
    /// command only.
    pub interval: Option<Duration>,
    /// The time that the block after genesis claims, in seconds since 1970. It must be later than
    /// regtest's genesis (1,296,688,602).
    pub first_time: UnixTime,
    /// Seconds between the times that two blocks claim, however fast they are mined.
    pub spacing: u32,
}

impl Default for DevnetConfig {
    /// Seed 0, any free port, no blocks but genesis, blocks on command only, a minute between
    /// blocks, and the first one a minute after regtest's genesis (2 February 2011).
    fn default() -> Self {
        Self {
            seed: 0,
            port: 0,
            blocks: 0,
            interval: None,
            first_time: UnixTime(1_296_688_602 + 60),
            spacing: 60,
        }
    }
}

/// Why a devnet did not start, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevnetError {
    /// Its port.
    #[error("cannot listen on {address} ({source}): choose another --port, or 0 for a free one")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The command.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
    /// More than one command may mine.
    #[error("{asked} blocks at once: at most {MAX_BLOCKS}")]
    TooManyBlocks {
        /// What was asked for.
        asked: u32,
    },
    /// A task panicked: a bug.
    #[error("a task of the devnet failed ({reason}): this is a bug, report it")]
    Task {
        /// What the runtime says.
        reason: String,
    },
}
