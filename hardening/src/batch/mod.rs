//! Small things done together.
//!
//! [`Batcher`] is the pure state: a bounded queue, and when it is time for a batch: when there are
//! enough items, enough bytes, or the oldest has waited long enough. `BatchProcessor` (feature
//! `tokio`) is a task over it.
//!
//! Invariants: items leave in the order in which they came, each once; a batch has at most
//! [`max_items`](BatchConfig::max_items), and at most [`max_bytes`](BatchConfig::max_bytes) unless
//! it is one item that alone is larger; what was accepted before [`Batcher::close`] still leaves.
//!
//! What an attacker can grow: the queue, up to [`queue_items`](BatchConfig::queue_items) and
//! [`queue_bytes`](BatchConfig::queue_bytes); what is beyond is given back to whoever pushes.
//!
#![cfg_attr(feature = "tokio", doc = "```")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use ironlight_hardening::batch::{BatchConfig, BatchProcessor};
//! use std::sync::{Arc, Mutex};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let written = Arc::new(Mutex::new(Vec::new()));
//! let to = written.clone();
//! let config = BatchConfig { max_items: 3, ..BatchConfig::default() };
//! let processor = BatchProcessor::spawn(config, move |batch: Vec<u32>| {
//!     to.lock().unwrap().push(batch);
//!     async { Ok::<_, std::io::Error>(()) }
//! });
//! for number in 0..4 {
//!     processor.push(number, 4).unwrap();
//! }
//! processor.shutdown().await; // the last batch is not full, and not lost
//! assert_eq!(*written.lock().unwrap(), [vec![0, 1, 2], vec![3]]);
//! # }
//! ```

mod state;
#[cfg(feature = "tokio")]
mod task;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod task_tests;

pub use state::{Adaptive, Batch, BatchConfig, BatchStats, Batcher, PushError, Reason};
#[cfg(feature = "tokio")]
pub use task::{BatchDone, BatchProcessor};
