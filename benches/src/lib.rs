//! What the benches in `benches/` share, one file a path there, the peers' crates measured in the same run: how long each
//! is measured, figures that criterion does not know, the goals, and the report that is made of all of it.

pub mod goals;
pub mod measured;
pub mod recorded;
pub mod report;
pub mod settings;
