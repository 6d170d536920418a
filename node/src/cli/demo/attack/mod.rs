//! Attacks, and what the nodes did about each by their own words.

mod flipped_bit;
mod kill;
mod liar;
mod lies;

pub(super) use flipped_bit::flipped_bit;
pub(super) use kill::kill;
pub(super) use lies::lies;
