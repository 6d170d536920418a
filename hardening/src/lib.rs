//! Keeps a node standing: each concern in one folder, its state pure and free of clocks.
//!
//! The states here take the time (or a seed) as an argument, so that every decision can be
//! repeated; they need no runtime and can be used alone.

pub mod rate_limit;
pub mod retry;

#[cfg(test)]
mod testing;
