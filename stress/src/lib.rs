//! Proves Ironlight: simulated networks, repeatable by seed, that run the real machines.
//!
//! Nothing in here does I/O or reads a clock.

pub mod sim;
