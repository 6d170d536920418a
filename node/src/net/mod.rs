//! The networks that the node talks to.

pub mod bitcoin;
