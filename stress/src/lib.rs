//! Proves Ironlight: simulated networks that run the real machines, and workloads that are measured.
//! Everything is repeatable by seed.
//!
//! - [`sim::World`]: one node and scripted peers, for what one sync machine has to get right.
//! - [`sim::network::SimNetwork`]: many nodes, full, light and lying, for what only shows between
//!   them: who dials whom, lines of light nodes that serve each other, partitions, restarts.
//! - [`scenario`]: workloads, each defined once, for the program `ironlight-stress`, for tests and
//!   for benches. [`runner::run`] does one and gives its [`report`].
//!
//! Both networks simulate time, latency, loss, reordering and lies, and run the real sync machine,
//! chain and peer policy. Neither simulates bytes, handshakes, bandwidth, what nodes compute, disks,
//! or the spread of addresses: those have tests on real sockets and files.
//!
//! Nothing in `sim` and `scenario` does I/O or reads a clock: the runner is given one. (The audit log
//! under load has a writing thread with a clock of its own; so have the nodes of the feature `node`,
//! whose sockets are on loopback; `concurrent-headers` may start processes, and `soak` starts one and asks
//! the system what that takes.) Of the rest,
//! [`report::Machine::here`] and [`report::commit`] ask the system what they run on.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use ironlight_stress::measure::{Silent, Surroundings};
//! use ironlight_stress::runner::{Order, run};
//! use ironlight_stress::scenario::{HeaderChains, Plan};
//!
//! let start = Instant::now();
//! let clock = || start.elapsed();
//! let limit = Duration::from_secs(60);
//! let around = Surroundings { clock: &clock, memory: None, progress: &Silent, limit };
//! let order = Order { count: Some(1_000), ..Order::default() };
//! let result = run(&HeaderChains, &order, around)?;
//! assert_eq!(result.broken().count(), 0);
//! # Ok::<(), ironlight_stress::runner::RunError>(())
//! ```

#[cfg(feature = "program")]
pub mod cli;
pub mod measure;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod sim;
pub mod virtual_time;
