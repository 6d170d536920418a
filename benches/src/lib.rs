//! What the benches in `benches/` share, one file a path there, the peers' crates measured in the same run: how long each
//! is measured, and figures that criterion does not know.

pub mod recorded;
pub mod settings;
