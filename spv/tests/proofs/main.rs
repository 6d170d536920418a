//! Proofs and whole blocks through the crate's public interface, beside the `bitcoin` crate's.

#[cfg(test)]
mod blocks;
#[cfg(test)]
mod client;
#[cfg(test)]
mod disguises;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trees;
