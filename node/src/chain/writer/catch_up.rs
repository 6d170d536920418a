//! Before the writer follows its peers it catches up by snapshot, where light nodes have one.
//!
//! What is asked of whom is [`Fetch`]'s business; here are the lines to the peers, the chain and the
//! store. Each chunk is verified by all rules and committed as every batch is, so what was interrupted
//! goes on from the stored chain. Peers that join meanwhile are kept for the sync machine.
//!
//! A chunk is opened off the async threads, when it comes. Until the minimum of work is shown, hundreds wait:
//! they are kept packed, at a sixth of the memory, and opened a second time when they are taken in. After
//! that a window of them waits at the most, and each is opened once.
//!
//! What an attacker can grow: see [`Fetch`]; an open chunk has 226 KB. No more chunks are opened at a time than
//! are in flight, and one. Of peers that have left, addresses are kept to be named in the log, [`MAX_REMEMBERED`] at most.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::chain::{Blame, HeaderError, TipChange};
use ironlight_spv::compress::snapshot::{FRAME_HEADERS, period_heights};
use ironlight_spv::peers::{Offence, PeerId};
use ironlight_spv::sync::Unanswered;
use ironlight_spv::{BlockHash, LinkedBatch, Params, Target, Work};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{HeaderNetwork, NetworkInput, SnapshotPeers, Writer};
use crate::clock::Clock;
use crate::net::data::{DataLine, DataPeers, Query, Reply};
use crate::net::swarm::wire::SnapshotOffer;
use crate::net::{Direction, PeerNetwork};
use crate::snapshot::fetch::{End, Fetch, FetchStart, MAX_REMEMBERED, Opened, Outcome, Step};
use crate::snapshot::{Chunk, frame_headers};
use crate::store::StoreError;
use crate::tasks::{blocking, sleep_until};

/// A chain whose tip is newer goes on header by header: that is a few pages.
const FRESH: Duration = Duration::from_secs(4 * 7 * 24 * 60 * 60);

/// What came of a question.
enum Answer {
    Offer(Option<SnapshotOffer>),
    Chunk { period: u32, outcome: Outcome<Kept> },
}

/// A chunk that is what its address says, and waits to be taken in.
enum Kept {
    /// Where few can wait.
    Open(Box<Chunk>),
    /// Where many can.
    Packed(Vec<u8>),
}

type Answered = (PeerId, Answer);

/// A peer with snapshots.
struct Known {
    address: String,
    /// Where it is asked, while it is connected.
    line: Option<Arc<dyn DataLine>>,
}

/// What came of doing all that was to be done.
enum Done {
    /// Nothing is to be done until something happens.
    Waits,
    /// A chunk was taken in, and there may be more to do.
    Took,
    /// It is over.
    Ended(End),
}

/// All of it, while it lasts.
struct CatchUp {
    fetch: Fetch<Kept>,
    peers: DataPeers,
    params: Arc<Params>,
    clock: Clock,
    began: Duration,
    /// Those that have snapshots, and those that had.
    known: BTreeMap<PeerId, Known>,
    /// Addresses that the user named and that have joined.
    named: BTreeSet<String>,
    asking: JoinSet<Answered>,
    headers: u64,
    bytes: u64,
    false_chunks: u32,
}

impl CatchUp {
    /// The time since it began, as the machine counts it.
    fn elapsed(&self) -> Duration {
        self.clock.now().elapsed.saturating_sub(self.began)
    }

    /// Light nodes that we chose; callers are neither believed nor asked.
    fn joined(&mut self, input: &NetworkInput) {
        match input {
            NetworkInput::Joined {
                peer,
                network: PeerNetwork::LibP2p,
                direction: Direction::Outbound,
                ..
            } => {
                // It is listed before it joins.
                let Some(entry) = self.peers.list().get(peer).cloned() else { return };
                if entry.named {
                    // Whoever is there: another identity makes no second peer of a named address.
                    let place = entry.address.split("/p2p/").next().unwrap_or_default();
                    self.named.insert(place.to_owned());
                    self.fetch.handle_named(self.named.len());
                }
                if entry.offers.snapshots && self.known.len() < MAX_REMEMBERED {
                    let known = Known { address: entry.address, line: Some(entry.line) };
                    self.known.insert(*peer, known);
                    self.fetch.handle_joined(*peer, entry.owner);
                }
            }
            NetworkInput::Left { peer, .. } => {
                // Its address stays: what it has sent may yet turn out false.
                if let Some(known) = self.known.get_mut(peer) {
                    known.line = None;
                }
                self.fetch.handle_left(*peer);
            }
            NetworkInput::Joined { .. }
            | NetworkInput::Headers { .. }
            | NetworkInput::Unanswered { .. }
            | NetworkInput::BlockInv { .. } => {}
        }
    }

    fn line(&self, peer: PeerId) -> Option<Arc<dyn DataLine>> {
        self.known.get(&peer)?.line.clone()
    }

    fn ask_offer(&mut self, peer: PeerId, from: u32) {
        let Some(line) = self.line(peer) else { return };
        self.asking.spawn(async move {
            let offer = match line.ask(Query::SnapshotOffer { from }, false).await {
                Ok(Reply::SnapshotOffer(offer)) => Some(offer),
                Ok(_other) => None,
                Err(why) => {
                    debug!(%peer, ?why, "no offer of snapshots");
                    None
                }
            };
            (peer, Answer::Offer(offer))
        });
    }

    fn ask_chunk(&mut self, peer: PeerId, period: u32, address: BlockHash) {
        let Some(line) = self.line(peer) else { return };
        let (params, keep_open) = (Arc::clone(&self.params), self.fetch.is_shown());
        self.asking.spawn(async move {
            // The machine bounds what is asked of a second peer, so no budget has to.
            let outcome = match line.ask(Query::SnapshotChunk { period, address }, false).await {
                Ok(Reply::SnapshotChunk(bytes)) => {
                    blocking(move || check(&params, period, address, bytes, keep_open)).await
                }
                Ok(Reply::NotFound) => Outcome::NotFound,
                Ok(_other) => Outcome::NoAnswer,
                Err(Unanswered::Refused { retry_after }) => Outcome::Later(retry_after),
                Err(Unanswered::NoAnswer) => Outcome::NoAnswer,
            };
            (peer, Answer::Chunk { period, outcome })
        });
    }

    fn answered(&mut self, answered: Result<Answered, JoinError>) {
        match answered {
            Ok((peer, Answer::Offer(Some(SnapshotOffer { first, addresses })))) => {
                self.fetch.handle_offer(peer, first, addresses);
            }
            Ok((peer, Answer::Offer(None))) => self.fetch.handle_no_offer(peer),
            Ok((peer, Answer::Chunk { period, outcome })) => {
                let now = self.elapsed();
                self.fetch.handle_chunk(peer, period, outcome, now);
            }
            // Nothing comes of that question; what waits for it ends as too slow.
            Err(error) => error!(%error, "a chunk was not opened: a defect"),
        }
    }

    fn blame(&self, peer: PeerId, offence: Offence) {
        let Some(known) = self.known.get(&peer) else { return };
        let (address, left) = (&known.address, known.line.is_none());
        warn!(%peer, address, left, ?offence, "a light node misled us about snapshots");
        if let Some(line) = &known.line {
            line.misbehaved(offence);
        }
    }

    /// What there is to say at the end.
    fn report(&self, end: End) {
        let (headers, bytes, peers) = (self.headers, self.bytes, self.fetch.givers());
        let false_chunks = self.false_chunks;
        let millis = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        match end {
            End::Done => {
                info!(headers, bytes, peers, false_chunks, millis, "caught up by snapshot");
            }
            End::TooFewPeers
            | End::NoAgreement
            | End::Near { .. }
            | End::TooMany { .. }
            | End::TooLittleWork
            | End::OtherBranch { .. }
            | End::FalseChain { .. }
            | End::NotNow { .. }
            | End::NobodyLeft { .. }
            | End::TooSlow { .. } => info!(
                why = %end, headers, bytes, peers, false_chunks, millis,
                "no more by snapshot; header sync goes on"
            ),
        }
    }
}

/// Hashes and checks what came.
fn check(
    params: &Params,
    period: u32,
    address: BlockHash,
    bytes: Vec<u8>,
    keep_open: bool,
) -> Outcome<Kept> {
    match Chunk::open(params, period, address, &bytes) {
        Ok(chunk) => {
            let (parent, work) = (chunk.parent(), chunk.work());
            let chunk = if keep_open { Kept::Open(Box::new(chunk)) } else { Kept::Packed(bytes) };
            Outcome::Chunk(Opened { parent, work, chunk })
        }
        Err(error) => {
            warn!(period, %address, %error, "a false chunk");
            Outcome::False
        }
    }
}

/// Chunks that follow each other, as one batch.
struct Joined {
    batch: LinkedBatch,
    /// That they had on their way.
    bytes: u64,
}

/// Opens those that are packed, and joins all. The error is the period that cannot be opened.
fn join(params: &Params, first: u32, chunks: Vec<(BlockHash, Kept)>) -> Result<Joined, u32> {
    let mut joined = Joined { batch: LinkedBatch::new(params, Vec::new()), bytes: 0 };
    for (period, (address, kept)) in (first..).zip(chunks) {
        let opened = match kept {
            Kept::Open(chunk) => Ok(*chunk),
            Kept::Packed(bytes) => Chunk::open(params, period, address, &bytes),
        };
        let chunk = opened.map_err(|error| {
            error!(%error, period, "a chunk that was opened cannot be opened again: a defect");
            period
        })?;
        joined.bytes += u64::try_from(chunk.bytes()).unwrap_or(u64::MAX);
        joined.batch.append(chunk.into_batch());
    }
    Ok(joined)
}

impl<N: HeaderNetwork> Writer<N> {
    /// Fetches whole periods until that is done, or is not worth its while. Where `stop` comes it
    /// ends at once, but for a batch that is being committed.
    ///
    /// # Errors
    /// [`StoreError`], where a chunk cannot be committed; it is not applied then.
    pub(super) async fn catch_up(&mut self, stop: &CancellationToken) -> Result<(), StoreError> {
        let Some(SnapshotPeers { peers, expected }) = self.snapshots.take() else { return Ok(()) };
        let Some(start) = self.fetch_start(expected) else { return Ok(()) };
        let mut phase = CatchUp {
            fetch: Fetch::new(start),
            peers,
            params: Arc::new(self.chain().params().clone()),
            clock: self.clock,
            began: self.clock.now().elapsed,
            known: BTreeMap::new(),
            named: BTreeSet::new(),
            asking: JoinSet::new(),
            headers: 0,
            bytes: 0,
            false_chunks: 0,
        };
        self.joined.iter().for_each(|input| phase.joined(input));
        let done = self.fetch_chunks(&mut phase, stop).await;
        self.catching_up = false;
        done
    }

    async fn fetch_chunks(
        &mut self,
        phase: &mut CatchUp,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        loop {
            let done = self.take_steps(phase, stop).await?;
            self.publish_status();
            let now = phase.elapsed();
            let due = match done {
                Done::Ended(end) => {
                    phase.report(end);
                    return Ok(());
                }
                Done::Took => Some(now),
                Done::Waits => phase.fetch.poll_timeout(now),
            };
            let deadline = due.map(|due| self.clock.instant(phase.began + due));
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                input = self.network.next() => match input {
                    Some(input) => {
                        phase.joined(&input);
                        self.keep(input);
                    }
                    // Whoever follows hears of it, too.
                    None => return Ok(()),
                },
                Some(answered) = phase.asking.join_next() => {
                    phase.answered(answered);
                }
                () = sleep_until(deadline) => {}
            }
        }
    }

    /// Does what is to be done, up to the first chunks that are taken in: what came meanwhile comes first.
    async fn take_steps(
        &mut self,
        phase: &mut CatchUp,
        stop: &CancellationToken,
    ) -> Result<Done, StoreError> {
        while !stop.is_cancelled() {
            let now = phase.elapsed();
            let Some(step) = phase.fetch.poll(now) else { break };
            match step {
                Step::AskOffer { peer, from } => phase.ask_offer(peer, from),
                Step::AskChunk { peer, period, address } => phase.ask_chunk(peer, period, address),
                Step::Begun { from, to } => {
                    let (from, to) = (period_heights(from).start, period_heights(to).end.minus(1));
                    let (from, to) = (from.0, to.unwrap_or(from).0);
                    info!(from, to, "catching up by snapshot from light nodes");
                    self.catching_up = true;
                }
                Step::Take { first, chunks } => {
                    self.take_chunks(phase, first, chunks).await?;
                    return Ok(Done::Took);
                }
                Step::FalseChunk { peer } => {
                    phase.false_chunks += 1;
                    phase.blame(peer, Offence::FalseChunk);
                }
                Step::FalseChain { peer } => phase.blame(peer, Offence::InvalidHeader),
                Step::End(end) => return Ok(Done::Ended(end)),
            }
        }
        Ok(Done::Waits)
    }

    /// What was handed out together is taken in whole, or else the periods before the one that breaks a
    /// rule.
    async fn take_chunks(
        &self,
        phase: &mut CatchUp,
        first: u32,
        chunks: Vec<(BlockHash, Kept)>,
    ) -> Result<(), StoreError> {
        let (params, joining) = (Arc::clone(&phase.params), Arc::clone(&phase.params));
        let Joined { batch, bytes } = match blocking(move || join(&joining, first, chunks)).await {
            Ok(joined) => joined,
            Err(period) => {
                phase.fetch.handle_refused(period, false);
                return Ok(());
            }
        };
        let headers = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let verdict = self.chain().verify_linked(batch, self.clock.now().unix);
        match verdict {
            Ok(batch) => {
                self.commit(batch).await?;
                phase.headers += headers;
                phase.bytes += bytes;
            }
            Err(error) => {
                let before = u32::try_from(error.index).unwrap_or(u32::MAX) / FRAME_HEADERS;
                let period = first.saturating_add(before);
                warn!(period, %error, "refused a period of a snapshot");
                self.write().remember_invalid(&error);
                phase.fetch.handle_refused(period, error.blame() == Blame::Peer);
                phase.headers += self.keep_before(&params, &error).await?;
            }
        }
        Ok(())
    }

    /// Commits the whole periods before the header that breaks a rule, and says how many headers that are.
    async fn keep_before(&self, params: &Params, error: &HeaderError) -> Result<u64, StoreError> {
        let Some(TipChange::Extended { connected }) = error.prefix.as_ref().map(|it| it.change())
        else {
            return Ok(0);
        };
        let within = error.index % frame_headers();
        let whole = connected.len().saturating_sub(within);
        if whole == 0 {
            return Ok(0);
        }
        let headers = connected.headers().iter().take(whole).copied().collect();
        // They have passed once: it is a rare case, and a batch cannot be cut.
        let batch = LinkedBatch::new(params, headers);
        let verdict = self.chain().verify_linked(batch, self.clock.now().unix);
        let Ok(batch) = verdict else { return Ok(0) };
        self.commit(batch).await?;
        Ok(u64::try_from(whole).unwrap_or(u64::MAX))
    }

    /// Where the chain ends; none where there is nothing to gain, or it begins within a period.
    fn fetch_start(&self, expected: usize) -> Option<FetchStart> {
        let (chain, now) = (self.chain(), self.clock.now().unix);
        let (tip, tip_time) = (chain.tip(), chain.tip_time());
        let age = u64::from(now.0.saturating_sub(tip_time.0));
        let first = tip.height.next().0 / FRAME_HEADERS;
        let first_height = period_heights(first).start;
        if Duration::from_secs(age) < FRESH || chain.start_height() > first_height {
            return None;
        }
        let (parent, work) = if first_height > tip.height {
            (tip.hash, tip.work)
        } else {
            let known = chain.get(first_height)?;
            let own = Target::from_compact(known.header.compact_target()).to_work();
            (known.header.prev_hash(), known.work - own)
        };
        let minimum: Work = chain.params().minimum_chain_work;
        Some(FetchStart {
            first,
            parent,
            tip: tip.height,
            tip_time,
            now,
            spacing: chain.params().spacing,
            work,
            minimum: (tip.work < minimum).then_some(minimum),
            expected,
        })
    }
}

#[cfg(test)]
#[path = "catch_up_tests.rs"]
mod tests;
