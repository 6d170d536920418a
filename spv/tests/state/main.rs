//! Compressed states through the crate's public interface, beside a plain model and a plain tree.

#[cfg(test)]
mod flips;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod model;
#[cfg(test)]
mod plain;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trees;
