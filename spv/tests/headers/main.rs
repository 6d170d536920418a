//! The header chain through its public interface: every rule, forks, lookups, the codec, and all
//! of it against a plain implementation that shares no code with the crate.

#[cfg(test)]
mod chain;
#[cfg(test)]
mod codec;
#[cfg(test)]
mod difficulty;
#[cfg(test)]
mod forks;
#[cfg(test)]
mod model;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod starts;
#[cfg(test)]
mod support;
mod times;
