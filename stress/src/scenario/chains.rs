//! What the scenarios with headers share.

use ironlight_spv::generate::Miner;
use ironlight_spv::{Header, HeaderChain, Network, Params, TipChange, UnixTime};

use crate::measure::Class;

/// Seconds between two headers.
pub(super) const SPACING: u32 = 600;

/// A header was refused that is valid.
pub(super) const REFUSED: Class = "header_refused";
/// The chain had changed between verifying and applying, with nobody there to change it.
pub(super) const STALE: Class = "stale_batch";
/// An answer was given that is not the right one.
pub(super) const WRONG: Class = "wrong_answer";

/// A chain that holds regtest's genesis.
pub(super) fn regtest() -> HeaderChain {
    HeaderChain::new(Params::new(Network::Regtest))
}

/// The wall clock when the last of these was mined.
pub(super) fn now(headers: &[Header]) -> UnixTime {
    headers.last().map_or(UnixTime::MAX, Header::time)
}

/// Verifies and applies: what a node does with a message of headers, but for the store.
pub(super) fn take_in(chain: &mut HeaderChain, headers: &[Header]) -> Result<TipChange, Class> {
    let verified = chain.verify(headers, now(headers)).map_err(|_refused| REFUSED)?;
    chain.apply(verified).map_err(|_stale| STALE)
}

/// The next so many headers on a parent; nothing for a count of none.
pub(super) fn mine_on(miner: &mut Miner, parent: &mut Header, count: u64) -> Vec<Header> {
    let headers = miner.run(parent, usize::try_from(count).unwrap_or(0), SPACING);
    *parent = headers.last().copied().unwrap_or(*parent);
    headers
}

/// The sizes of the pieces that a count is done in.
pub(super) fn pieces(count: u64, size: u64) -> impl Iterator<Item = u64> {
    (0..count.div_ceil(size)).map(move |piece| size.min(count - piece * size))
}

/// A number below a limit, from the seed.
pub(super) fn below(random: &mut Miner, limit: u64) -> u64 {
    random.random() % limit.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_and_only_the_last_is_smaller() {
        assert_eq!(pieces(4_500, 2_000).collect::<Vec<_>>(), [2_000, 2_000, 500]);
        assert_eq!(pieces(4_000, 2_000).collect::<Vec<_>>(), [2_000, 2_000]);
        assert_eq!(pieces(1, 2_000).collect::<Vec<_>>(), [1]);
        assert_eq!(pieces(0, 2_000).count(), 0);
    }
}
