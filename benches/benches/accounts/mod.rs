//! The accounts of the benches of compressed states: how many, and how many a block changes.

pub(crate) use ironlight_stress::scenario::Accounts;

pub(crate) const ACCOUNTS: u32 = 100_000;
pub(crate) const CHANGED: u32 = ACCOUNTS / 100;
