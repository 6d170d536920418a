//! The task that drives filter sync.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::filter::FilterHeaderChain;
use ironlight_spv::filter::sync::{
    FilterAction, FilterEvent, FilterHeaderChange, FilterPeerTraits, FilterRequest,
    FilterRequestId, FilterSync, FilterUnanswered, Revision,
};
use ironlight_spv::peers::PeerId;
use ironlight_spv::{BlockHash, BlockHeight, HeaderChain, Now};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::ask::{Answered, Asking, Outcome, query};
use super::kept::{Command, Filters, FiltersStatus};
use super::{FilterConfig, MAX_UNREAD};
use crate::chain::{ChainHandle, ChainStatus};
use crate::clock::Clock;
use crate::events::NodeEvent;
use crate::net::data::{DataPeer, DataPeers, PeerList, Query};
use crate::net::suspend::Suspension;
use crate::net::{Direction, PeerNetwork};
use crate::store::filter_headers::FilterEntry;
use crate::store::filters::{Held, StoredFilter, record_void};
use crate::store::{Store, StoreError, WriteBatch, filter_headers};
use crate::tasks::{blocking, sleep_until};

/// Bytes of filters that are written at once.
const WRITE_BYTES: usize = 1 << 20;
/// Filters that are written at once.
const WRITE_COUNT: usize = 1000;

/// What could not be asked because peer or chain moved on is asked anew after this.
const SOON: Duration = Duration::from_millis(100);

/// So often the pause doubles: to some three seconds.
const LESS_OFTEN: u32 = 5;

/// How often in a row a peer did not have what it was asked for, and when it is asked again.
#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    times: u32,
    until: Duration,
}

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

    fn answered(&mut self, answered: Result<Answered, tokio::task::JoinError>) {
        match answered {
            Ok(Answered { peer, id, outcome: Outcome::Answer(answer) }) => {
                self.missing.remove(&peer);
                self.with(|sync, chain, now| sync.handle_answer(chain, peer, id, answer, now));
            }
            Ok(Answered { peer, id, outcome: Outcome::NotThere }) => {
                let why = FilterUnanswered::Refused { retry_after: self.missing_for(peer) };
                self.with(|sync, chain, now| sync.handle_unanswered(chain, peer, id, why, now));
            }
            Ok(Answered { peer, id, outcome: Outcome::Unanswered(why) }) => {
                self.with(|sync, chain, now| sync.handle_unanswered(chain, peer, id, why, now));
            }
            // The machine asks elsewhere when the answer is overdue.
            Err(error) => warn!(%error, "a question to a peer failed: a defect"),
        }
    }

    /// When a peer that did not have what it was asked for is asked again: soon, and less and less
    /// often. What it was asked for at the same time counts once.
    fn missing_for(&mut self, peer: PeerId) -> Duration {
        let now = self.clock.now().elapsed;
        let missing = self.missing.entry(peer).or_default();
        if missing.until <= now {
            missing.until = now + SOON.saturating_mul(1 << missing.times.min(LESS_OFTEN));
            missing.times = missing.times.saturating_add(1);
        }
        missing.until.saturating_sub(now)
    }

    /// Tells the machine who has come, who has gone, and who has which block.
    fn meet(&mut self) {
        let list = Arc::clone(&self.peers.borrow_and_update());
        let known = std::mem::replace(&mut self.known, Arc::clone(&list));
        let serving = |list: &PeerList, peer| list.get(peer).is_some_and(|it| it.offers.filters);
        for peer in known.keys().filter(|peer| serving(&known, peer) && !serving(&list, peer)) {
            self.missing.remove(peer);
            self.with(|sync, chain, now| sync.handle_disconnected(chain, *peer, now));
        }
        for (peer, entry) in list.iter().filter(|(_, entry)| entry.offers.filters) {
            // A light node may offer filters later than it connects.
            let before = known.get(peer).filter(|old| old.offers.filters);
            if before.is_none() {
                let traits = traits(entry);
                self.with(|sync, chain, now| sync.handle_connected(chain, *peer, traits, now));
            }
            let latest = entry.latest.filter(|_| before.and_then(|old| old.latest) != entry.latest);
            if let Some(block) = latest {
                self.with(|sync, chain, now| sync.handle_peer_block(chain, *peer, block, now));
            }
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

    /// Unless whoever says so has read while it was changed.
    async fn forget_page_of(&mut self, height: BlockHeight) -> Result<(), StoreError> {
        let filters = self.filters.clone();
        let heights = height..height.next();
        let reading = move || -> Result<_, StoreError> {
            Ok((filters.read(heights.clone())?, filters.entries(heights)?))
        };
        let (found, header) = blocking(reading).await?;
        if !found.is_empty() || self.filters.readable_to(height) == height {
            return Ok(());
        }
        if header.is_empty() {
            error!(height = height.0, "a stored filter header cannot be read: restart to mend it");
            return Ok(());
        }
        warn!(height = height.0, "stored filters cannot be read: they are fetched again");
        let forget = move |held: &mut Held, store: &dyn Store, batch: &mut WriteBatch| {
            held.forget_page_of(store, batch, height)
        };
        let gone = self.change(forget).await?;
        self.forgotten([gone]);
        Ok(())
    }

    fn forgotten(&mut self, gone: impl IntoIterator<Item = Range<BlockHeight>>) {
        for gone in gone {
            self.with(|sync, chain, now| sync.remove_cached(chain, gone, now));
        }
    }

    /// Does all that the machine wants done.
    async fn act(&mut self) -> Result<(), StoreError> {
        loop {
            while let Some(action) = self.sync.poll() {
                self.take(action).await?;
            }
            self.write().await?;
            if self.consume().await? {
                continue;
            }
            // What was written or thrown away may have made the machine follow a reorg: nobody may be told of
            // what it takes back.
            match self.sync.poll() {
                Some(action) => self.take(action).await?,
                None => return Ok(()),
            }
        }
    }

    async fn take(&mut self, action: FilterAction) -> Result<(), StoreError> {
        match action {
            FilterAction::Ask { peer, id, request, retry } => self.ask(peer, id, &request, retry),
            FilterAction::Commit(change) => {
                self.write().await?;
                self.commit(change).await?;
                self.with(FilterSync::handle_committed);
            }
            FilterAction::Filter { height, filter, .. } => {
                self.deliver(height, StoredFilter::Filter(filter.into_bytes())).await?;
            }
            FilterAction::Cached { heights } => {
                self.write().await?;
                self.next = heights.end;
            }
            FilterAction::Undecided { height, late, .. } => {
                self.deliver(height, StoredFilter::Undecided).await?;
                if late {
                    // Whoever looks again must find it.
                    self.write().await?;
                    let from = self.filters.void_from(height);
                    let record = move |_: &mut Held, _: &dyn Store, batch: &mut WriteBatch| {
                        record_void(batch, from);
                        Ok(())
                    };
                    self.change(record).await?;
                    self.filters.add_void(height..height.next());
                }
            }
            FilterAction::Misbehaved { peer, offence } => {
                warn!(peer = peer.0, %offence, "peer misbehaved");
                if let Some(entry) = self.known.get(&peer) {
                    entry.line.misbehaved(offence.offence());
                }
            }
            FilterAction::Event(event) => {
                // What it may take back is among what was delivered before it.
                self.write().await?;
                self.report(&event).await?;
            }
            // The enum grows; a new action must not pass unseen.
            other => debug!(?other, "an action that this node does not know"),
        }
        Ok(())
    }

    fn ask(&mut self, peer: PeerId, id: FilterRequestId, request: &FilterRequest, retry: bool) {
        let entry = self.known.get(&peer);
        let query = self.chain.read(|chain| query(chain, request));
        let line = entry.map(|entry| Arc::clone(&entry.line));
        // A single one may be a question of evidence, which is worth asking.
        if let (Some(line), Some(Query::Filters { start, blocks })) = (&line, &query)
            && blocks.len() > 1
            && !line.may_have_filter(*start)
        {
            let outcome = Outcome::NotThere;
            self.asking.spawn(async move { Answered { peer, id, outcome } });
            return;
        }
        // One that is not known any more is answered as all others are: not from within.
        let Some((line, query)) = line.zip(query) else {
            let outcome = Outcome::Unanswered(FilterUnanswered::Refused { retry_after: SOON });
            self.asking.spawn(async move { Answered { peer, id, outcome } });
            return;
        };
        let asking = Asking { peer, id, query, retry };
        self.asking.spawn(asking.ask(line));
    }

    async fn deliver(
        &mut self,
        height: BlockHeight,
        filter: StoredFilter,
    ) -> Result<(), StoreError> {
        let end = self.unwritten_end();
        let full = self.unwritten_bytes >= WRITE_BYTES || self.unwritten.len() >= WRITE_COUNT;
        if full || height != end {
            self.write().await?;
        }
        if self.unwritten.is_empty() {
            self.unwritten_from = height;
        }
        if let StoredFilter::Filter(bytes) = &filter {
            self.unwritten_bytes = self.unwritten_bytes.saturating_add(bytes.len());
        }
        self.unwritten.push(filter);
        self.next = self.next.max(height.next());
        Ok(())
    }

    fn unwritten_end(&self) -> BlockHeight {
        self.unwritten_from.plus(u32::try_from(self.unwritten.len()).unwrap_or(u32::MAX))
    }

    /// Writes what was delivered.
    async fn write(&mut self) -> Result<(), StoreError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let (from, filters) = (self.unwritten_from, std::mem::take(&mut self.unwritten));
        self.unwritten_bytes = 0;
        let put = move |held: &mut Held, store: &dyn Store, batch: &mut WriteBatch| {
            held.put(store, batch, from, &filters)
        };
        let gone = self.change(put).await?;
        self.forgotten(gone);
        Ok(())
    }

    /// Changes what is held, off the async threads.
    async fn change<T: Send + 'static>(
        &mut self,
        change: impl FnOnce(&mut Held, &dyn Store, &mut WriteBatch) -> Result<T, StoreError>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        self.changes = self.changes.saturating_add(1);
        let filters = self.filters.clone();
        blocking(move || filters.change(change)).await
    }

    async fn commit(&mut self, change: FilterHeaderChange) -> Result<(), StoreError> {
        let chain = self.chain.clone();
        self.change(move |held, store, batch| {
            // No filter may be readable whose header is gone.
            if let FilterHeaderChange::Rollback { to } = &change {
                held.truncate(store, batch, to.next())?;
            }
            chain.read(|chain| write_headers(store, batch, chain, change))
        })
        .await
    }

    /// Keeps the bytes within their bound, and tells the machine what it may go on from. Whether it
    /// was told anything.
    async fn consume(&mut self) -> Result<bool, StoreError> {
        let most = self.config.cache_bytes;
        let reader = *self.read_to.borrow();
        if self.filters.bytes() > most {
            // A rescan from below must not lose what was just fetched for it.
            let unread = reader.unwrap_or(self.next)..self.next;
            let filters = self.filters.clone();
            let prune = move || {
                filters.change(|held, store, batch| held.prune(store, batch, most, &unread))
            };
            let gone = blocking(prune).await?;
            self.changes = self.changes.saturating_add(u64::from(!gone.is_empty()));
            self.forgotten(gone);
        }
        if self.is_ahead(reader) {
            return Ok(false);
        }
        let Some(done) = self.next.minus(1).filter(|_| self.wanted_from.is_some()) else {
            return Ok(false);
        };
        let before = self.sync.status().next;
        self.with(|sync, chain, now| sync.handle_consumed(chain, done, now));
        Ok(self.sync.status().next != before)
    }

    /// Whether so much is fetched and not read that more would only have to be thrown away.
    fn is_ahead(&self, reader: Option<BlockHeight>) -> bool {
        let unread = reader.map_or(0, |read| self.next.0.saturating_sub(read.0));
        unread > MAX_UNREAD && self.filters.bytes() > self.config.cache_bytes
    }

    async fn report(&mut self, event: &FilterEvent) -> Result<(), StoreError> {
        match event {
            FilterEvent::Synced { height, peers } => {
                info!(height = height.0, peers, "filters are there up to the tip");
            }
            FilterEvent::Revised { from, why } => {
                let from = *from;
                info!(from = from.0, ?why, "filters are fetched again");
                self.next = self.next.min(from);
                // The wallet sees a reorg by itself.
                let is_void = *why != Revision::Reorg;
                let void_from = self.filters.void_from(from);
                let truncate = move |held: &mut Held, store: &dyn Store, batch: &mut WriteBatch| {
                    if is_void {
                        record_void(batch, void_from);
                    }
                    held.truncate(store, batch, from)
                };
                self.change(truncate).await?;
                if is_void {
                    self.filters.add_void(from..BlockHeight(u32::MAX));
                }
            }
            FilterEvent::Disputed { peer, height } => {
                warn!(peer = peer.0, height = height.0, "a peer has another filter");
            }
            FilterEvent::Settled { height, settlement } => {
                info!(height = height.0, ?settlement, "a dispute about a filter is settled");
            }
            FilterEvent::Stalled { peer } => {
                debug!(peer = peer.0, "no filters in time; asking another");
            }
            FilterEvent::Lapsed { peer } => {
                warn!(peer = peer.0, "a peer took back what it said of filters; asked again later");
            }
            _ => debug!(?event, "an event that this node does not know"),
        }
        Ok(())
    }

    /// Says so where nobody serves filters for too long; gives when to look again.
    fn look_for_company(&mut self) -> Option<Duration> {
        let wanted = self.wanted_from.is_some() && self.suspension.silence().is_none();
        let alone = wanted && !self.known.values().any(|entry| entry.offers.filters);
        if !alone {
            (self.alone_since, self.alone_told) = (None, false);
            return None;
        }
        let now = self.clock.now().elapsed;
        let patience = self.config.alone_after;
        let due = *self.alone_since.get_or_insert(now) + patience;
        if self.alone_told {
            return None;
        }
        if now < due {
            return Some(due);
        }
        self.alone_told = true;
        warn!("no peer serves compact filters; dialling on");
        self.chain.publish(NodeEvent::NoFilterPeers { since: patience });
        None
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

fn traits(entry: &DataPeer) -> FilterPeerTraits {
    // The height that a full node says it has tells nothing of its branch, and it hangs up on whoever asks
    // about a block that it lacks (Bitcoin Core, `PrepareBlockFilterRequest`): it is asked about what it has
    // shown. A light node says what it does not have, so nothing is lost by asking.
    let height = match entry.network {
        PeerNetwork::Bitcoin => BlockHeight::GENESIS,
        PeerNetwork::LibP2p => BlockHeight(u32::MAX),
    };
    FilterPeerTraits {
        height,
        called: entry.direction == Direction::Inbound,
        relays: entry.network == PeerNetwork::LibP2p,
    }
}

/// A change of the filter headers as rows. Those whose blocks have left the best chain meanwhile are
/// stored as belonging to none: the machine takes them back as soon as it hears of the tip.
fn write_headers(
    store: &dyn Store,
    batch: &mut WriteBatch,
    chain: &HeaderChain,
    change: FilterHeaderChange,
) -> Result<(), StoreError> {
    match change {
        FilterHeaderChange::Restart { anchor } => {
            filter_headers::restart(batch, anchor.as_ref());
            Ok(())
        }
        FilterHeaderChange::Append(verified) => {
            let (first, headers) = (verified.first_height(), verified.headers());
            let last = first.plus(u32::try_from(headers.len()).unwrap_or(u32::MAX)).minus(1);
            let is_best = last.and_then(|last| chain.hash_at(last)) == verified.last_block();
            let block_at = |height| is_best.then(|| chain.hash_at(height)).flatten();
            let entries = headers.iter().zip(verified.hashes());
            let entries =
                entries.map(|(header, hash)| FilterEntry { header: *header, hash: *hash });
            let entries: Vec<FilterEntry> = entries.collect();
            filter_headers::append(store, batch, first, &entries, block_at)
        }
        FilterHeaderChange::Rollback { to } => filter_headers::rollback(store, batch, chain, to),
    }
}

/// Waits until the networks are silent, or go on.
async fn turned(suspension: &Suspension, silent: bool) {
    match silent {
        true => suspension.resumed().await,
        false => drop(suspension.suspended().await),
    }
}
