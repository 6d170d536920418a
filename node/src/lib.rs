//! Ironlight: a hardened Bitcoin light-client node.
//!
//! A wallet embeds it in a few lines; [`Node::builder`] brings the network, the chain and the store
//! together, a [`NodeHandle`] reads it, hears of its changes and tells it what to do:
//!
//! ```no_run
//! # async fn example() -> Result<(), ironlight::NodeError> {
//! use ironlight::{Network, Node};
//!
//! let node = Node::builder(Network::Signet).build().await?;
//! let tip = node.handle().headers_synced().await?;
//! println!("{} at height {}", tip.hash, tip.height);
//! node.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Features: `sled` and `redb` add stores on disk (without either, the chain lives in memory);
//! `libp2p` the network of light nodes; `audit` a log of what matters later, beside a store on disk;
//! `snapshot` files of all headers; `wallet` watched scripts, accounts, broadcast and fees; `bdk` a
//! `bdk_wallet` wallet on this node; `daemon` what the program `ironlight` needs, control socket and command line.

#![cfg_attr(
    not(all(feature = "libp2p", feature = "wallet", feature = "audit", feature = "snapshot")),
    allow(
        dead_code,
        reason = "light nodes, the wallet, the audit log and snapshots each call what no other does"
    )
)]

#[cfg(feature = "daemon")]
pub mod api;
mod audit;
#[cfg(feature = "bdk")]
pub mod bdk;
mod blocks;
mod bridge;
mod builder;
pub mod chain;
#[cfg(feature = "daemon")]
pub mod cli;
pub mod clock;
#[cfg(feature = "daemon")]
pub mod devnet;
pub mod events;
pub mod filters;
pub mod flags;
pub mod handle;
mod health;
pub mod net;
mod node;
mod opened;
mod proven;
#[cfg(any(feature = "audit", feature = "libp2p"))]
mod secret_file;
mod services;
#[cfg(feature = "snapshot")]
pub mod snapshot;
pub mod states;
pub mod store;
mod tasks;
#[cfg(feature = "wallet")]
pub mod wallet;

pub use blocks::BlockError;
pub use builder::NodeBuilder;
pub use handle::NodeHandle;
pub use ironlight_hardening as hardening;
pub use ironlight_spv as spv;
pub use ironlight_spv::{BlockHash, BlockHeight, ChainTip, Network, Params};
pub use node::{Node, NodeConfig, NodeError, StartPoint, Storage};

/// This crate's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What headers cannot prove on a signet.
pub const SIGNET_CAVEAT: &str =
    "signet blocks are signed outside their headers: headers prove work only";

/// The README's examples are compiled with the documentation tests, where all that they use is there.
#[cfg(all(doctest, feature = "libp2p", feature = "wallet"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So are those of account states.
#[cfg(all(doctest, feature = "redb"))]
#[doc = include_str!("../../docs/STATES.md")]
struct States;
