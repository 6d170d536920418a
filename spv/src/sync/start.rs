//! From a height and a hash that the user trusts to a [`TrustedStart`].
//!
//! A full node answers a getheaders with an empty locator and a stop hash with that one header. So
//! the trusted header itself is asked for, then its parent, and so on: each answer is proved by the
//! hash that it was asked for, and no peer needs to be trusted. Ten headers before the start give
//! the median time past; walking on to the period's first header, where it is near, gives the exact
//! difficulty. Peers that do not know a header answer nothing or an empty message; the next is
//! asked. What cannot be had within [`StartConfig::max_steps`] is left out, and the chain's
//! [`Basis`](crate::Basis) says so.
//!
//! A header does not tell the work before it, so the start's work is that of the header alone. It
//! compares branches from the start on just as well, but a minimum chain work of the network means
//! nothing then: [`HeaderChain`](crate::HeaderChain) does not ask for it on such a chain.
//!
//! What an attacker can grow: nothing. One question is in flight, at most
//! [`StartConfig::max_peers`] peers are known, at most [`StartConfig::max_steps`] headers are kept.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bitcoin::BlockHash;

use super::peer::PeerId;
use crate::chain::{TrustedStart, work_of};
use crate::header::{BlockHeight, Header};
use crate::params::Params;
use crate::rules::difficulty::PeriodFirst;
use crate::rules::pow::PowCheck;
use crate::rules::timestamp::MEDIAN_SPAN;
use crate::time::Now;

/// The knobs of [`StartFetch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartConfig {
    /// An unanswered question goes to the next peer.
    pub request_timeout: Duration,
    /// Headers before the start that are fetched at most; at least ten make sense.
    pub max_steps: usize,
    /// Peers that are known to the machine at most.
    pub max_peers: usize,
    /// Once the start is known, its context is given up after so many questions in a row that
    /// nobody answered.
    pub max_misses: u32,
}

impl Default for StartConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            max_steps: 32,
            max_peers: 64,
            max_misses: 8,
        }
    }
}

/// What the driver is to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartAction {
    /// Send a getheaders with an empty locator and this stop hash.
    GetHeader {
        /// To whom.
        peer: PeerId,
        /// The header wanted.
        hash: BlockHash,
    },
    /// The start, with the context that was found. Nothing more follows.
    Finished(TrustedStart),
}

/// Turns a height and hash that the user trusts into a [`TrustedStart`], header by header, each
/// proved by the hash that it was asked for.
///
/// A header does not tell the work before it: the start's work is that of the header alone. The
/// network's minimum chain work means nothing on such a chain, and
/// [`HeaderChain`](crate::HeaderChain) sets it to zero there by itself.
#[derive(Debug)]
pub struct StartFetch {
    params: Params,
    config: StartConfig,
    height: BlockHeight,
    /// The start, then those before it.
    found: Vec<Header>,
    wanted: BlockHash,
    /// Peers, and how often each was asked.
    peers: BTreeMap<PeerId, u32>,
    asked: Option<(PeerId, Duration)>,
    /// Everybody was asked in vain: the next round begins then.
    pause_until: Option<Duration>,
    misses: u32,
    finished: bool,
    actions: VecDeque<StartAction>,
}

impl StartFetch {
    /// Looks for the header with a hash, which the user says has this height.
    #[must_use]
    pub fn new(params: Params, config: StartConfig, height: BlockHeight, hash: BlockHash) -> Self {
        Self {
            params,
            config,
            height,
            found: Vec::new(),
            wanted: hash,
            peers: BTreeMap::new(),
            asked: None,
            pause_until: None,
            misses: 0,
            finished: false,
            actions: VecDeque::new(),
        }
    }

    /// A peer can be asked now. Beyond [`StartConfig::max_peers`] it is left alone, also if another
    /// one leaves later.
    pub fn handle_connected(&mut self, peer: PeerId, now: Now) {
        if self.peers.len() < self.config.max_peers {
            self.peers.insert(peer, 0);
            self.pause_until = None;
        }
        self.ask(now);
    }

    /// A peer is gone.
    pub fn handle_disconnected(&mut self, peer: PeerId, now: Now) {
        self.peers.remove(&peer);
        if self.asked.is_some_and(|(asked, _)| asked == peer) {
            self.asked = None;
        }
        self.ask(now);
    }

    /// Headers of a peer. Only those that hash to what is wanted are taken, whoever sent them; a
    /// wrong header is ignored, and an answer without the right one sends us to the next peer.
    pub fn handle_headers(&mut self, peer: PeerId, headers: &[Header], now: Now) {
        if self.finished {
            return;
        }
        let found = headers.iter().take(super::MAX_HEADERS).find(|header| self.is_wanted(header));
        if let Some(header) = found {
            self.take(*header);
        } else if self.asked.is_some_and(|(asked, _)| asked == peer) {
            self.miss();
        }
        self.ask(now);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.asked.is_some_and(|(_, deadline)| deadline <= now.elapsed) {
            self.miss();
        }
        if self.pause_until.is_some_and(|until| until <= now.elapsed) {
            self.pause_until = None;
            self.peers.values_mut().for_each(|asked| *asked = 0);
        }
        self.ask(now);
    }

    /// What to do next; none until something happens.
    pub fn poll(&mut self) -> Option<StartAction> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.asked.map(|(_, deadline)| deadline).or(self.pause_until)
    }

    /// The header itself has proof of work, so that not just anything with the right hash gets in.
    /// Of its height neither says anything: a mistyped one shows only when later headers seem to
    /// break the rules of difficulty.
    fn is_wanted(&self, header: &Header) -> bool {
        let hash = header.hash();
        let pow = PowCheck::new(self.params.pow_limit).check(header.compact_target(), &hash);
        hash == self.wanted && pow.is_ok()
    }

    fn take(&mut self, header: Header) {
        self.wanted = header.prev_hash();
        self.found.push(header);
        self.asked = None;
        self.misses = 0;
        self.peers.values_mut().for_each(|asked| *asked = 0);
        if self.wanted == self.params.genesis.hash() {
            // Known anyway.
            self.found.push(self.params.genesis);
        }
        if self.is_enough() {
            self.finish();
        }
    }

    fn miss(&mut self) {
        self.asked = None;
        self.misses = self.misses.saturating_add(1);
        if !self.found.is_empty() && self.misses >= self.config.max_misses {
            self.finish();
        }
    }

    /// Heights from the start down to the period's first header.
    fn blocks_into_period(&self) -> usize {
        usize::try_from(self.height.0 % self.params.period.max(1)).unwrap_or(usize::MAX)
    }

    fn is_enough(&self) -> bool {
        let Some(before) = self.found.len().checked_sub(1) else { return false };
        let down_to_genesis = usize::try_from(self.height.0).unwrap_or(usize::MAX);
        let period = self.blocks_into_period();
        let wanted =
            (MEDIAN_SPAN - 1).max(if period <= self.config.max_steps { period } else { 0 });
        before >= wanted.min(self.config.max_steps).min(down_to_genesis)
    }

    fn finish(&mut self) {
        self.finished = true;
        self.asked = None;
        if let Some(start) = self.start() {
            self.actions.push_back(StartAction::Finished(start));
        }
    }

    fn start(&self) -> Option<TrustedStart> {
        let (header, before) = self.found.split_first()?;
        let work = work_of(header.compact_target());
        let mut start = TrustedStart::bare(self.height, *header, work);
        let times = before.iter().take(MEDIAN_SPAN - 1).rev();
        start.previous_times = times.map(Header::time).collect();
        let first = self.found.get(self.blocks_into_period());
        start.period_first =
            first.map(|first| PeriodFirst { time: first.time(), bits: first.compact_target() });
        start.last_ordinary = self
            .found
            .iter()
            .take(self.blocks_into_period().saturating_add(1))
            .map(Header::compact_target)
            .find(|bits| *bits != self.params.pow_limit)
            .or_else(|| first.map(Header::compact_target));
        Some(start)
    }

    fn ask(&mut self, now: Now) {
        if self.finished || self.asked.is_some() || self.pause_until.is_some() {
            return;
        }
        let least = self.peers.iter_mut().min_by_key(|(peer, asked)| (**asked, **peer));
        let Some((peer, asked)) = least else { return };
        if *asked > 0 {
            self.pause_until = Some(now.elapsed.saturating_add(self.config.request_timeout));
            return;
        }
        *asked = asked.saturating_add(1);
        self.asked = Some((*peer, now.elapsed.saturating_add(self.config.request_timeout)));
        self.actions.push_back(StartAction::GetHeader { peer: *peer, hash: self.wanted });
    }
}
