//! Proves Ironlight: simulated networks, repeatable by seed, that run the real machines.
//!
//! - [`sim::World`]: one node and scripted peers, for what one sync machine has to get right.
//! - [`sim::network::SimNetwork`]: many nodes, full, light and lying, for what only shows between
//!   them: who dials whom, lines of light nodes that serve each other, partitions, restarts.
//!
//! Both simulate time, latency, loss, reordering and lies, and run the real sync machine, chain and
//! peer policy. Neither simulates bytes, handshakes, bandwidth, what nodes compute, disks, or the
//! spread of addresses: those have tests on real sockets and files.
//!
//! Nothing in here does I/O or reads a clock.

pub mod sim;
