//! Before the writer follows its peers it catches up by snapshot, where light nodes have one.
//!
//! What is asked of whom is [`Fetch`]'s business; here are the lines to the peers, the chain and the
//! store. Each chunk is verified by all rules and committed as every batch is, so what was interrupted
//! goes on from the stored chain. Peers that join meanwhile are kept for the sync machine.
//!
//! What an attacker can grow: see [`Fetch`]. Chunks are opened off the async threads, no more at a time
//! than are in flight.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ironlight_spv::chain::Blame;
use ironlight_spv::compress::snapshot::FRAME_HEADERS;
use ironlight_spv::peers::{NetworkGroup, Offence, PeerId};
use ironlight_spv::sync::Unanswered;
use ironlight_spv::{BlockHash, BlockHeight, Params, Work};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{HeaderNetwork, NetworkInput, SnapshotPeers, Writer};
use crate::net::data::{DataPeer, DataPeers, Query, Reply};
use crate::net::swarm::wire::SnapshotOffer;
use crate::net::{Direction, PeerNetwork};
use crate::snapshot::Chunk;
use crate::snapshot::fetch::{End, Fetch, FetchStart, Opened, Outcome, Step};
use crate::store::StoreError;
use crate::tasks::{blocking, sleep_until};

/// A chain whose tip is newer goes on header by header: that is a few pages.
const FRESH: Duration = Duration::from_secs(4 * 7 * 24 * 60 * 60);

/// What came of a question.
enum Answer {
    Offer(Option<SnapshotOffer>),
    Chunk { period: u32, outcome: Outcome<Box<Chunk>> },
}

type Answered = (PeerId, Answer);

/// The phase while it lasts.
struct Phase {
    fetch: Fetch<Box<Chunk>>,
    peers: DataPeers,
    params: Arc<Params>,
    began: Duration,
    /// Those that are connected and have snapshots.
    lines: BTreeMap<PeerId, DataPeer>,
    asking: JoinSet<Answered>,
    headers: u64,
    bytes: u64,
    false_chunks: u32,
}

impl Phase {
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
                let listed = self.peers.list().get(peer).cloned();
                let listed = listed.filter(|entry| entry.offers.snapshots);
                let owner: Option<NetworkGroup> = listed.as_ref().map(|entry| entry.owner);
                self.lines.extend(listed.map(|entry| (*peer, entry)));
                self.fetch.handle_joined(*peer, owner);
            }
            NetworkInput::Left { peer, .. } => {
                self.lines.remove(peer);
                self.fetch.handle_left(*peer);
            }
            NetworkInput::Joined { .. }
            | NetworkInput::Headers { .. }
            | NetworkInput::Unanswered { .. }
            | NetworkInput::BlockInv { .. } => {}
        }
    }

    fn ask_offer(&mut self, peer: PeerId, from: u32) {
        let Some(line) = self.lines.get(&peer).map(|entry| Arc::clone(&entry.line)) else { return };
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

    fn ask_chunk(&mut self, peer: PeerId, period: u32, address: BlockHash, retry: bool) {
        let Some(line) = self.lines.get(&peer).map(|entry| Arc::clone(&entry.line)) else { return };
        let params = Arc::clone(&self.params);
        self.asking.spawn(async move {
            let outcome = match line.ask(Query::SnapshotChunk { period, address }, retry).await {
                Ok(Reply::SnapshotChunk(bytes)) => {
                    blocking(move || open(&params, period, address, &bytes)).await
                }
                Ok(Reply::NotFound) => Outcome::NotFound,
                Ok(_other) => Outcome::NoAnswer,
                Err(Unanswered::Refused { retry_after }) => Outcome::Later(retry_after),
                Err(Unanswered::NoAnswer) => Outcome::NoAnswer,
            };
            (peer, Answer::Chunk { period, outcome })
        });
    }

    fn answered(&mut self, answered: Result<Answered, JoinError>, now: Duration) {
        match answered {
            Ok((peer, Answer::Offer(Some(SnapshotOffer { first, addresses })))) => {
                self.fetch.handle_offer(peer, first, addresses);
            }
            Ok((peer, Answer::Offer(None))) => self.fetch.handle_no_offer(peer),
            Ok((peer, Answer::Chunk { period, outcome })) => {
                self.fetch.handle_chunk(peer, period, outcome, now.saturating_sub(self.began));
            }
            // Nothing comes of that question; the standstill ends what waits for it.
            Err(error) => error!(%error, "a chunk was not opened: a defect"),
        }
    }

    fn blame(&self, peer: PeerId, offence: Offence) {
        let Some(entry) = self.lines.get(&peer) else { return };
        warn!(%peer, address = entry.address, ?offence, "a light node misled us about snapshots");
        entry.line.misbehaved(offence);
    }

    /// What there is to say at the end.
    fn report(&self, end: End, now: Duration) {
        let (headers, bytes, peers) = (self.headers, self.bytes, self.fetch.givers());
        let false_chunks = self.false_chunks;
        let millis = u64::try_from(now.saturating_sub(self.began).as_millis()).unwrap_or(u64::MAX);
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
            | End::Standstill(_) => info!(
                why = %end, headers, bytes, peers, false_chunks, millis,
                "no more by snapshot; header sync goes on"
            ),
        }
    }
}

/// Hashes and checks what came.
fn open(params: &Params, period: u32, address: BlockHash, bytes: &[u8]) -> Outcome<Box<Chunk>> {
    match Chunk::open(params, period, address, bytes) {
        Ok(chunk) => Outcome::Chunk(Opened {
            parent: chunk.parent(),
            has_work: chunk.failure().is_none(),
            work: chunk.work(),
            chunk: Box::new(chunk),
        }),
        Err(error) => {
            warn!(period, %address, %error, "a false chunk");
            Outcome::False
        }
    }
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
        let mut phase = Phase {
            fetch: Fetch::new(start),
            peers,
            params: Arc::new(self.chain().params().clone()),
            began: self.clock.now().elapsed,
            lines: BTreeMap::new(),
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
        phase: &mut Phase,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        loop {
            if let Some(end) = self.take_steps(phase, stop).await? {
                phase.report(end, self.clock.now().elapsed);
                return Ok(());
            }
            self.publish_status();
            let now = self.clock.now().elapsed.saturating_sub(phase.began);
            let due = phase.fetch.poll_timeout(now);
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
                    phase.answered(answered, self.clock.now().elapsed);
                }
                () = sleep_until(deadline) => {}
            }
        }
    }

    /// Does all that is to be done; gives how it ended, once it has.
    async fn take_steps(
        &mut self,
        phase: &mut Phase,
        stop: &CancellationToken,
    ) -> Result<Option<End>, StoreError> {
        while !stop.is_cancelled() {
            let now = self.clock.now().elapsed.saturating_sub(phase.began);
            let Some(step) = phase.fetch.poll(now) else { break };
            match step {
                Step::AskOffer { peer, from } => phase.ask_offer(peer, from),
                Step::AskChunk { peer, period, address, retry } => {
                    phase.ask_chunk(peer, period, address, retry);
                }
                Step::Begun { from, to } => {
                    let (from, to) = (from * FRAME_HEADERS, (to + 1) * FRAME_HEADERS - 1);
                    info!(from, to, "catching up by snapshot from light nodes");
                    self.catching_up = true;
                }
                Step::Take { period, chunk } => self.take_chunk(phase, period, *chunk).await?,
                Step::FalseChunk { peer } => {
                    phase.false_chunks += 1;
                    phase.blame(peer, Offence::FalseChunk);
                }
                Step::FalseChain { peer } => phase.blame(peer, Offence::InvalidHeader),
                Step::End(end) => return Ok(Some(end)),
            }
        }
        Ok(None)
    }

    /// A period is taken in whole, or nothing of it.
    async fn take_chunk(
        &self,
        phase: &mut Phase,
        period: u32,
        chunk: Chunk,
    ) -> Result<(), StoreError> {
        let bytes = chunk.bytes();
        let verdict = self.chain().verify_linked(chunk.into_batch(), self.clock.now().unix);
        match verdict {
            Ok(batch) => {
                self.commit(batch).await?;
                phase.headers += u64::from(FRAME_HEADERS);
                phase.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
            }
            Err(error) => {
                warn!(period, %error, "refused a period of a snapshot");
                self.write().remember_invalid(&error);
                phase.fetch.handle_refused(period, error.blame() == Blame::Peer);
            }
        }
        Ok(())
    }

    /// Where the chain ends; none where there is nothing to gain, or it begins within a period.
    fn fetch_start(&self, expected: usize) -> Option<FetchStart> {
        let (chain, now) = (self.chain(), self.clock.now().unix);
        let (tip, tip_time) = (chain.tip(), chain.tip_time());
        let age = u64::from(now.0.saturating_sub(tip_time.0));
        let first = tip.height.next().0 / FRAME_HEADERS;
        let first_height = BlockHeight(first.checked_mul(FRAME_HEADERS)?);
        if Duration::from_secs(age) < FRESH || chain.start_height() > first_height {
            return None;
        }
        let parent = if first_height > tip.height {
            tip.hash
        } else {
            chain.get(first_height)?.header.prev_hash()
        };
        let minimum: Work = chain.params().minimum_chain_work;
        Some(FetchStart {
            first,
            parent,
            tip: tip.height,
            tip_time,
            now,
            spacing: chain.params().spacing,
            minimum: (tip.work < minimum).then_some(minimum),
            expected,
        })
    }
}

#[cfg(test)]
#[path = "catch_up_tests.rs"]
mod tests;
