//! What peers offer alike, and whether it is to be fetched.

use std::collections::BTreeSet;
use std::time::Duration;

use ironlight_spv::rules::timestamp::MAX_FUTURE;
use ironlight_spv::{BlockHash, Work};

use super::{
    End, Fetch, FetchStart, GRACE, HASTE, LEAST_PERIODS, OFFER_PATIENCE, Offered, Source, Stage,
    Step, last_height,
};
use ironlight_spv::compress::snapshot::FRAME_HEADERS;

/// How many addresses two lists begin with alike.
pub(super) fn alike(left: &[BlockHash], right: &[BlockHash]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// Whether a period has its share of the minimum: as much as the average one of a chain up to here.
pub(super) fn shows_work(start: &FetchStart, period: u32, work: Work) -> bool {
    let periods = u64::from(period) + 1;
    start.minimum.is_none_or(|minimum| work >= share(minimum, periods))
}

/// A part of work, rounded down.
fn share(work: Work, parts: u64) -> Work {
    let mut rest = 0;
    Work::from_be_bytes(work.to_be_bytes().map(|byte| {
        let dividend = (rest << 8) | u64::from(byte);
        rest = dividend % parts;
        // The rest is less than the parts, so this is less than 256.
        u8::try_from(dividend / parts).unwrap_or(u8::MAX)
    }))
}

impl<T> Fetch<T> {
    /// Chooses the target as soon as nobody is to be waited for.
    pub(super) fn agree(&mut self, now: Duration) {
        let asked = |source: &Source| matches!(source.offered, Offered::Asked);
        let waits = self.sources.values().any(asked) && now < GRACE + OFFER_PATIENCE;
        let all_there = self.joined >= self.start.expected || now >= GRACE;
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
        let headers = last_height(target).saturating_sub(self.start.tip.0);
        if headers <= LEAST_PERIODS * FRAME_HEADERS {
            return self.end(End::Near { headers });
        }
        let most = self.allowed();
        if u64::from(headers) > most {
            return self.end(End::TooMany { headers, most });
        }
        self.stage = if self.start.minimum.is_some() { Stage::Proving } else { Stage::Fetching };
        self.last_progress = now;
        self.steps.push_back(Step::Begun { from: self.start.first, to: target });
    }

    /// The headers that time allows after our tip.
    fn allowed(&self) -> u64 {
        let FetchStart { now, tip_time, spacing, .. } = self.start;
        let seconds = u64::from(now.0.saturating_sub(tip_time.0)) + u64::from(MAX_FUTURE);
        HASTE * seconds / u64::from(spacing.max(1))
    }

    /// Whether two peers of different owners that have not lied offer the whole of it.
    pub(super) fn is_supported(&self) -> bool {
        let whole = self.addresses.len();
        self.owners(|source| !source.lied && source.has >= whole) >= 2
    }

    fn owners(&self, counts: impl Fn(&Source) -> bool) -> usize {
        let owners = self.sources.values().filter(|source| counts(source));
        owners.map(|source| source.owner).collect::<BTreeSet<_>>().len()
    }
}
