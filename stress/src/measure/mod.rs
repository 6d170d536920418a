//! Counts and times what a workload does, in fixed memory.
//!
//! A [`Meter`] belongs to one round of one scenario. It is given its clock, so that whoever runs a
//! scenario decides what time is, and it takes times that a scenario made itself, for those that
//! run in virtual time. What it keeps does not grow with the operations: a histogram, a count for
//! each class of error, and a [`Timeline`] of at most [`Timeline::MOST`] slots.

mod crowd;
mod memory;
mod meter;
mod tally;
mod timeline;

pub use crowd::{Crowd, Remaining};
#[cfg(feature = "program")]
pub use memory::Counts;
pub use memory::MemoryProbe;
pub use meter::{Meter, Progress, Silent, Surroundings, Work, Worker};
pub use tally::{Class, Tally};
pub use timeline::{Slot, Timeline};
