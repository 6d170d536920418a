//! The task that drives filter sync.

mod actions;
mod peers;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::filter::FilterHeaderChain;
use ironlight_spv::filter::sync::FilterSync;
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHash, BlockHeight, HeaderChain, Now};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::peers::Missing;
use super::FilterConfig;
use super::ask::Answered;
use super::kept::{Command, Filters, FiltersStatus};
use crate::chain::{ChainHandle, ChainStatus};
use crate::clock::Clock;
use crate::net::data::{DataPeers, PeerList};
use crate::net::suspend::Suspension;
use crate::store::filters::StoredFilter;
use crate::store::{Store, StoreError, filter_headers};
use crate::tasks::sleep_until;

/// What the task starts with.
pub(crate) struct FilterTaskConfig {
    pub(crate) config: FilterConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) chain: ChainHandle,
    pub(crate) peers: DataPeers,
    pub(crate) clock: Clock,
    pub(crate) suspension: Suspension,
    pub(crate) seed: u64,
}

/// See the [module](super).
pub(crate) struct FilterTask {
    config: FilterConfig,
    sync: FilterSync,
    chain: ChainHandle,
    tip: watch::Receiver<ChainStatus>,
    /// The tip that the machine knows.
    told: Option<BlockHash>,
    filters: Filters,
    peers: watch::Receiver<PeerList>,
    /// Those that the machine knows.
    known: PeerList,
    commands: mpsc::Receiver<Command>,
    read_to: watch::Receiver<Option<BlockHeight>>,
    asking: JoinSet<Answered>,
    /// Peers that did not have what they were asked for last.
    missing: BTreeMap<PeerId, Missing>,
    /// Filters that are not written yet, and the height of the first.
    unwritten: Vec<StoredFilter>,
    unwritten_from: BlockHeight,
    unwritten_bytes: usize,
    /// The first height that the machine has not delivered.
    next: BlockHeight,
    wanted_from: Option<BlockHeight>,
    changes: u64,
    /// Since when filters are wanted and nobody serves any.
    alone_since: Option<Duration>,
    /// Whether that was told.
    alone_told: bool,
    clock: Clock,
    suspension: Suspension,
}

impl FilterTask {
    /// Loads what is stored. It blocks.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) fn open(start: FilterTaskConfig) -> Result<(Self, Filters), StoreError> {
        let FilterTaskConfig { config, store, chain, peers, clock, suspension, seed } = start;
        let (filters, commands) = Filters::open(Arc::clone(&store))?;
        let headers = chain.read(|chain| filter_headers::load(store.as_ref(), chain))?;
        let mut task = Self {
            sync: FilterSync::new(
                config.sync,
                headers.unwrap_or_else(FilterHeaderChain::new),
                seed,
            ),
            tip: chain.subscribe_status(),
            told: None,
            read_to: filters.reader(),
            peers: peers.subscribe(),
            known: PeerList::default(),
            commands,
            asking: JoinSet::new(),
            missing: BTreeMap::new(),
            unwritten: Vec::new(),
            unwritten_from: BlockHeight::GENESIS,
            unwritten_bytes: 0,
            next: BlockHeight::GENESIS,
            wanted_from: None,
            changes: 0,
            alone_since: None,
            alone_told: false,
            config,
            chain,
            filters: filters.clone(),
            clock,
            suspension,
        };
        task.drop_unproven()?;
        task.begin();
        Ok((task, filters))
    }

    /// Filters above the last stored filter header prove nothing.
    fn drop_unproven(&self) -> Result<(), StoreError> {
        let end = self.sync.headers().next_height();
        self.filters.change(|held, store, batch| held.truncate(store, batch, end))
    }

    fn begin(&mut self) {
        self.with(FilterSync::handle_tip);
        if let Some(from) = self.config.from {
            let from = self.worth_keeping(from);
            self.want(from, from);
        }
    }

    /// What was dropped for want of room is not fetched again only to be dropped again.
    fn worth_keeping(&self, from: BlockHeight) -> BlockHeight {
        let is_full = self.filters.bytes() > self.config.cache_bytes / 16 * 15;
        let lowest = self.filters.held().first().map(|range| range.start);
        let lowest = lowest.filter(|lowest| is_full && *lowest > from);
        if let Some(lowest) = lowest {
            info!(
                from = from.0,
                kept_from = lowest.0,
                "the filter cache has no room for older ones"
            );
        }
        lowest.unwrap_or(from)
    }

    /// Runs until told to stop.
    ///
    /// # Errors
    /// [`StoreError`]: then the node cannot go on.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        loop {
            self.act().await?;
            self.publish();
            let silent = self.suspension.silence().is_some();
            let alone = self.look_for_company();
            let deadline = self.sync.poll_timeout().into_iter().chain(alone).min();
            let deadline = deadline.map(|elapsed| self.clock.instant(elapsed));
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(answered) = self.asking.join_next() => self.answered(answered),
                Ok(()) = self.peers.changed() => self.meet(),
                Ok(()) = self.tip.changed() => self.follow(),
                Ok(()) = self.read_to.changed() => {}
                Some(command) = self.commands.recv() => match command {
                    Command::Want { lowest, next } => self.want(lowest, next),
                    Command::Lost(height) => self.forget_page_of(height).await?,
                },
                () = turned(&self.suspension, silent) => {}
                () = sleep_until(deadline) => self.with(FilterSync::handle_timeout),
            }
        }
    }

    fn with(&mut self, act: impl FnOnce(&mut FilterSync, &HeaderChain, Now)) {
        let (now, sync) = (self.clock.now(), &mut self.sync);
        self.chain.read(|chain| act(sync, chain, now));
        let tip = self.sync.tip();
        if tip != self.told {
            self.told = tip;
            // Until all that follows from it is stored, what is read may be of either branch.
            self.filters.hide_tip();
        }
    }

    fn follow(&mut self) {
        let tip = self.tip.borrow_and_update().tip.hash;
        if Some(tip) != self.told {
            self.with(FilterSync::handle_tip);
        }
    }

    fn want(&mut self, lowest: BlockHeight, next: BlockHeight) {
        self.wanted_from = Some(self.wanted_from.map_or(next, |before| before.min(next)));
        self.next = next;
        // What is here is not fetched again, whether it was here at the start or was fetched since.
        for range in self.filters.held() {
            self.with(|sync, chain, now| sync.add_cached(chain, range, now));
        }
        self.with(|sync, chain, now| sync.resume_at(chain, lowest, next, now));
    }

    fn publish(&self) {
        let status = self.sync.status();
        self.filters.publish(FiltersStatus {
            tip: self.told,
            next: status.next,
            headers: status.headers,
            wanted_from: self.wanted_from,
            synced: status.synced,
            peers: self.known.values().filter(|entry| entry.offers.filters).count(),
            undecided: status.undecided,
            disputes: status.disputes,
            changes: self.changes,
        });
    }
}

/// Waits until the networks are silent, or go on.
async fn turned(suspension: &Suspension, silent: bool) {
    match silent {
        true => suspension.resumed().await,
        false => drop(suspension.suspended().await),
    }
}
