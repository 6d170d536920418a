//! What peers offer alike, and whether it is to be fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use ironlight_spv::BlockHash;
use ironlight_spv::compress::snapshot::{FRAME_HEADERS, period_heights};
use ironlight_spv::peers::NetworkGroup;
use ironlight_spv::rules::timestamp::MAX_FUTURE;

use super::{
    End, Fetch, FetchStart, GRACE, HASTE, LEAST_PERIODS, OFFER_PATIENCE, Offered, Source, Stage,
    Step,
};

/// How many addresses two lists begin with alike.
pub(super) fn alike(left: &[BlockHash], right: &[BlockHash]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// Who owns an address, where two that agree have to be two: a port of an address that is not routed makes
/// nobody another owner.
pub(super) fn in_one_hand(owner: NetworkGroup) -> NetworkGroup {
    match owner {
        NetworkGroup::Unroutable(address) => {
            NetworkGroup::Unroutable(SocketAddr::new(address.ip(), 0))
        }
        NetworkGroup::V4(_) | NetworkGroup::V6(_) => owner,
    }
}

impl<T> Fetch<T> {
    /// Chooses the target as soon as nobody is to be waited for.
    pub(super) fn agree(&mut self, now: Duration) {
        let asked = |source: &Source| matches!(source.offered, Offered::Asked);
        let waits = self.sources.values().any(asked) && now < GRACE + OFFER_PATIENCE;
        let all_there = self.named >= self.start.expected || now >= GRACE;
        if waits || !all_there {
            return;
        }
        if self.owners(|source| matches!(source.offered, Offered::Addresses(_))) < 2 {
            return self.end(End::TooFewPeers);
        }
        let believed = self.believed();
        if believed.is_empty() {
            return self.end(End::NoAgreement);
        }
        self.addresses = believed;
        for source in self.sources.values_mut() {
            if let Offered::Addresses(offered) = &source.offered {
                source.has = alike(&self.addresses, offered);
            }
            source.offered = Offered::Nothing;
        }
        self.begin(now);
    }

    /// The most addresses from our chain on that two peers of different owners offer alike.
    fn believed(&self) -> Vec<BlockHash> {
        let mut best: &[BlockHash] = &[];
        let offers = self.sources.values().filter_map(|source| match &source.offered {
            Offered::Addresses(addresses) => Some((source.owner, addresses.as_slice())),
            Offered::Asked | Offered::Nothing => None,
        });
        let offers: Vec<_> = offers.collect();
        for (place, (owner, left)) in offers.iter().enumerate() {
            for (_, right) in offers.iter().skip(place + 1).filter(|(other, _)| other != owner) {
                let count = alike(left, right);
                if count > best.len() {
                    best = left.get(..count).unwrap_or_default();
                }
            }
        }
        best.to_vec()
    }

    fn begin(&mut self, now: Duration) {
        let target = self.after_target().saturating_sub(1);
        let headers = period_heights(target).end.0.saturating_sub(self.start.tip.next().0);
        if headers <= LEAST_PERIODS * FRAME_HEADERS {
            return self.end(End::Near { headers });
        }
        let most = self.allowed();
        if u64::from(headers) > most {
            return self.end(End::TooMany { headers, most });
        }
        self.stage = Stage::Fetching;
        self.counted_since = now;
        self.steps.push_back(Step::Begun { from: self.start.first, to: target });
    }

    /// The headers that time allows after our tip.
    fn allowed(&self) -> u64 {
        let FetchStart { now, tip_time, spacing, .. } = self.start;
        let seconds = u64::from(now.0.saturating_sub(tip_time.0)) + u64::from(MAX_FUTURE);
        HASTE * seconds / u64::from(spacing.max(1))
    }

    /// How many of the addresses two owners that have not lied offer alike.
    pub(super) fn supported(&self) -> usize {
        let mut most: BTreeMap<NetworkGroup, usize> = BTreeMap::new();
        let honest = |source: &&Source| !source.lied && !self.liars.contains(&source.owner);
        for source in self.sources.values().filter(honest) {
            let has = most.entry(source.owner).or_default();
            *has = source.has.max(*has);
        }
        let mut most: Vec<usize> = most.into_values().collect();
        most.sort_unstable_by(|left, right| right.cmp(left));
        most.get(1).copied().unwrap_or(0)
    }

    fn owners(&self, counts: impl Fn(&Source) -> bool) -> usize {
        let owners = self.sources.values().filter(|source| counts(source));
        owners.map(|source| source.owner).collect::<BTreeSet<_>>().len()
    }
}
