//! Bitcoin's header rules, one file a rule.
//!
//! Each rule is a pure function of the header and of what it needs from the header's own
//! ancestors. Order and blame are decided by [`crate::chain`], which calls them.

pub mod checkpoint;
pub mod difficulty;
pub mod pow;
pub mod timestamp;
pub mod version;
