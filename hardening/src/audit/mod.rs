//! Who did what, written down so that nobody can change it unseen.
//!
//! An [`Event`] is offered to an [`AuditLog`] and becomes a line of JSON with the hashes of the
//! record before it in the log and in its trace; the format stands in [`record`], with test vectors.
//! All records are leaves of a Merkle tree as in Certificate Transparency ([`Tree`]), and signed
//! [`Checkpoint`]s say how long the log was and what stood in it.
//!
//! ```
//! use ironlight_hardening::audit::{
//!     AuditConfig, AuditLog, CheckpointConfig, CheckpointKey, Event, EventKind, FileConfig,
//!     FileSink, read_notes, verify_checkpoints, verify_dir,
//! };
//!
//! let dir = tempfile::tempdir().unwrap();
//! // 32 secret random bytes, kept where the log's readers are not.
//! let key = CheckpointKey::new([7; 32], "node-7.example/audit").evolving();
//! let public = key.public();
//! let config = AuditConfig {
//!     checkpoints: Some(CheckpointConfig::new(key)),
//!     ..AuditConfig::default()
//! }
//! .with_observer("console", |written| {
//!     assert_eq!(written.event.kind(), &EventKind::Ban);
//!     Ok(())
//! });
//! let sink = FileSink::new(FileConfig::new(dir.path()));
//! let log = AuditLog::start(config, vec![Box::new(sink)]).unwrap();
//! log.emit(Event::new(EventKind::Ban).on("192.0.2.7:8333").with("reason", "flood")).unwrap();
//! log.shutdown();
//!
//! let notes = read_notes(dir.path()).unwrap();
//! let notes = notes.iter().map(String::as_str);
//! let checkpoints = verify_checkpoints(notes, "node-7.example/audit", public).unwrap();
//! let report = verify_dir(dir.path(), &checkpoints).unwrap();
//! assert_eq!((report.size, report.tampering), (2, None));
//! ```
//!
//! # What it promises
//!
//! - **What is changed is found**, with the first index that is wrong: every changed bit, and every
//!   record deleted, added, doubled or moved ([`detect_tampering`], [`verify_dir`]). A compressed
//!   file is sealed by the hash of its bytes.
//! - **A cut is not seen without a checkpoint.** A log that ends earlier, at the end of a record, is
//!   a right log; and whoever can write the files can write the whole log anew from some record on,
//!   for the hashes are no secret. Both are found with one checkpoint from later that was kept
//!   elsewhere: export them ([`CheckpointConfig::export`]). Those that are kept beside the log are
//!   a convenience, and may be taken away with it.
//! - **Emitting never waits for a sink.** What there is no room for is counted, and a record
//!   (`log_gap`) says how much is missing, where it is missing. Bans, repairs and failed
//!   authentication have places of their own.
//! - **What was written survives the death of the process; what was flushed, a power cut.** Before
//!   it is written an event waits for [`AuditConfig::gather`], and dies with the process.
//! - **At least once.** When a sink fails in the middle, its last batch may stand in it and in the
//!   log of the next sink too; the first records of that one (`log_fallback`) say so.
//! - A policy judges every event before it is written. Observers run in a thread of their own.
//!
//! # What an attacker can grow
//!
//! The queue to [`QueueConfig`], the batch in hand to 2,048 events, what observers have not seen yet
//! to 8 batches, the trace table to [`MAX_TRACES`]. An event's texts are cut, its values counted:
//! a line is at most [`MAX_LINE`] bytes long. The log itself grows with what is emitted: limit
//! what strangers can cause ([`rate_limit`](crate::rate_limit)), and watch the disk.

mod chain;
mod checkpoint;
mod config;
mod damage;
mod event;
mod file;
mod handover;
mod hash;
mod http;
mod json;
mod kind;
mod log;
mod observer;
mod policy;
mod queue;
pub mod record;
mod shared;
mod sink;
mod tree;
mod verify;
mod writer;

pub use chain::{Chain, MAX_TRACES};
pub use checkpoint::{
    Checkpoint, CheckpointError, CheckpointKey, MAX_NOTE, PublicKey, split_notes,
    verify_checkpoint, verify_checkpoints,
};
pub use config::{AuditConfig, CheckpointConfig, Export, SaveSeed};
pub use damage::{Damage, Tampering, VerifyError};
pub use event::{Event, MAX_FIELDS, MAX_NAME_TEXT, MAX_TEXT, TraceId, Value};
pub use file::{
    FileConfig, FileSink, Repaired, read_log, read_notes, repair, tree_of_dir, verify_dir,
};
pub use hash::Hash;
pub use http::{HttpPost, HttpSink};
pub use kind::{EventKind, KindName, LogKind, MAX_KEY};
pub use log::{AuditLog, AuditSlot};
pub use observer::{Observer, Written};
pub use policy::{Policy, Rules, Verdict};
pub use queue::QueueConfig;
pub use record::{MAX_LINE, Record, verify_event};
pub use shared::{AuditStatus, NotTaken};
pub use sink::{MemorySink, Sink, SinkError};
pub use tree::{Frontier, Tree, leaf_hash, node_hash, verify_consistency, verify_inclusion};
pub use verify::{Report, TraceReport, Verifier, detect_tampering, verify_chain, verify_trace};

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod tamper_tests;
#[cfg(test)]
mod tests;
