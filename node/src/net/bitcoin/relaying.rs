//! Transactions on one connection: announced, asked for and sent, both ways.
//!
//! Ours: a peer gets only what was announced to it. What this node offers must not be found out by
//! asking, since whoever has a transaction first is likely its author. A message that asks for one
//! several times gets it once, and what is sent counts as the peer's talk.
//!
//! Others': only with a watched memory pool, and from one peer each. What that one does not send is
//! not asked of another: what is watched so is no proof of anything, and blocks tell in the end.
//!
//! What an attacker can grow: [`MAX_OFFERED`] ids of our own, [`MAX_QUEUED`] ids that wait,
//! [`MAX_FETCHED`] transactions under way.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitcoin::consensus::encode::deserialize;
use bitcoin::p2p::message_blockdata::Inventory;
use bitcoin::{FeeRate, Transaction, Txid};
use ironlight_spv::peers::PeerId;
use tokio::time::Instant;

use super::message::{Outbound, TransactionId};
use crate::net::relay::{MAX_OFFERED, Relay, RelayEvent};

/// Transactions asked of a peer at once (Core, `txdownloadman.h`, `MAX_PEER_TX_REQUEST_IN_FLIGHT`).
const MAX_FETCHED: usize = 100;
/// Announced transactions that wait for that; the rest is not looked at. Core announces up to 1,000
/// at once (`INVENTORY_BROADCAST_MAX`).
const MAX_QUEUED: usize = 1000;
/// No transaction is larger that full nodes relay (Core, `policy.h`, `MAX_STANDARD_TX_WEIGHT`).
const MAX_BYTES: usize = 400_000;
/// What has not come by then does not come (Core, `txdownloadman.h`, `GETDATA_TX_INTERVAL`).
const FETCH_WITHIN: Duration = Duration::from_secs(60);
/// All the money there is: a peer that wants more for a transaction means something else.
const MAX_RATE: u64 = 21_000_000 * 100_000_000;

/// The transactions of one connection.
#[derive(Debug)]
pub(super) struct Relaying {
    peer: PeerId,
    relay: Relay,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Ours that the peer was told of.
    announced: HashSet<Txid>,
    /// Ours that it told of.
    heard: HashSet<Txid>,
    /// Others' that are to be asked for.
    queued: VecDeque<TransactionId>,
    /// Those that are.
    fetched: HashSet<TransactionId>,
    /// When the last of these was asked for.
    asked: Option<Instant>,
}

/// What a peer asked for.
#[derive(Debug)]
pub(super) struct Served {
    /// The answers.
    pub(super) messages: Vec<Outbound>,
    /// How many bytes of transactions that are.
    pub(super) bytes: usize,
}

impl Relaying {
    pub(super) fn new(peer: PeerId, relay: Relay) -> Self {
        Self { peer, relay, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The announcement of a transaction that is offered; from now on the peer may have it. None for
    /// one that is offered no more.
    pub(super) fn announce(&self, txid: Txid, by_wtxid: bool) -> Option<Outbound> {
        let transaction = self.relay.by_txid(&txid)?;
        self.remember(&mut self.state().announced, txid);
        let id = match by_wtxid {
            true => TransactionId::Wtxid(transaction.compute_wtxid()),
            false => TransactionId::Txid(txid),
        };
        Some(Outbound::Inv(vec![id]))
    }

    /// True where it is new there.
    fn remember(&self, set: &mut HashSet<Txid>, txid: Txid) -> bool {
        if set.len() >= MAX_OFFERED {
            set.retain(|txid| self.relay.by_txid(txid).is_some());
        }
        set.insert(txid)
    }

    /// What a `getdata` gets.
    pub(super) fn serve(&self, wanted: &[Inventory]) -> Served {
        let mut served = Served { messages: Vec::new(), bytes: 0 };
        let (mut once, mut missing) = (HashSet::new(), Vec::new());
        for entry in wanted {
            match self.announced(entry) {
                Some((txid, transaction)) => {
                    if once.insert(txid) {
                        self.relay.tell(RelayEvent::Requested { peer: self.peer, txid });
                        served.bytes += transaction.total_size();
                        let stripped = matches!(entry, Inventory::Transaction(_));
                        served.messages.push(Outbound::Tx { transaction, stripped });
                    }
                }
                None => missing.push(*entry),
            }
        }
        if !missing.is_empty() {
            served.messages.push(Outbound::NotFound(missing));
        }
        served
    }

    /// One of ours, if the peer was told of it.
    fn announced(&self, wanted: &Inventory) -> Option<(Txid, Arc<Transaction>)> {
        let transaction = match wanted {
            Inventory::Transaction(txid) | Inventory::WitnessTransaction(txid) => {
                self.relay.by_txid(txid)
            }
            Inventory::WTx(wtxid) => self.relay.by_wtxid(wtxid),
            Inventory::Error
            | Inventory::Block(_)
            | Inventory::CompactBlock(_)
            | Inventory::WitnessBlock(_)
            | Inventory::Unknown { .. } => None,
        }?;
        let txid = transaction.compute_txid();
        self.state().announced.contains(&txid).then_some((txid, transaction))
    }

    /// The peer announced transactions: what is to be asked of it.
    pub(super) fn heard(&self, announced: &[TransactionId]) -> Option<Outbound> {
        for id in announced {
            let offered = match id {
                TransactionId::Txid(txid) => self.relay.by_txid(txid).map(|_| *txid),
                TransactionId::Wtxid(wtxid) => {
                    self.relay.by_wtxid(wtxid).map(|transaction| transaction.compute_txid())
                }
            };
            match offered {
                Some(txid) if self.remember(&mut self.state().heard, txid) => {
                    self.relay.tell(RelayEvent::Announced { peer: self.peer, txid });
                }
                None if self.relay.watches_mempool() => {
                    let mut state = self.state();
                    if state.queued.len() < MAX_QUEUED {
                        state.queued.push_back(*id);
                    }
                }
                Some(_) | None => {}
            }
        }
        self.fetch()
    }

    /// The next ones, as many as may be under way.
    fn fetch(&self) -> Option<Outbound> {
        let mut state = self.state();
        if state.asked.is_some_and(|asked| asked.elapsed() >= FETCH_WITHIN) {
            state.fetched.drain().for_each(|id| self.relay.release(&id));
        }
        let mut wanted = Vec::new();
        while state.fetched.len() < MAX_FETCHED
            && let Some(id) = state.queued.pop_front()
        {
            if self.relay.claim(id) {
                state.fetched.insert(id);
                wanted.push(id.wanted());
            }
        }
        if wanted.is_empty() {
            return None;
        }
        state.asked = Some(Instant::now());
        Some(Outbound::GetData(wanted))
    }

    /// A transaction came: what else is to be asked for, where this one was. None where it was not.
    pub(super) fn received(&self, bytes: &[u8]) -> Option<Option<Outbound>> {
        if bytes.len() > MAX_BYTES || self.state().fetched.is_empty() {
            return None;
        }
        let transaction = deserialize::<Transaction>(bytes).ok()?;
        let txid = TransactionId::Txid(transaction.compute_txid());
        let wtxid = TransactionId::Wtxid(transaction.compute_wtxid());
        let mut state = self.state();
        if !(state.fetched.remove(&wtxid) || state.fetched.remove(&txid)) {
            return None;
        }
        drop(state);
        let transaction = Arc::new(transaction);
        self.relay.received(self.peer, transaction, bytes.len());
        Some(self.fetch())
    }

    /// The peer does not have these any more.
    pub(super) fn not_found(&self, missing: &[Inventory]) -> Option<Outbound> {
        let mut state = self.state();
        for entry in missing {
            let id = match entry {
                Inventory::Transaction(txid) | Inventory::WitnessTransaction(txid) => {
                    TransactionId::Txid(*txid)
                }
                Inventory::WTx(wtxid) => TransactionId::Wtxid(*wtxid),
                Inventory::Error
                | Inventory::Block(_)
                | Inventory::CompactBlock(_)
                | Inventory::WitnessBlock(_)
                | Inventory::Unknown { .. } => continue,
            };
            if state.fetched.remove(&id) {
                self.relay.release(&id);
            }
        }
        drop(state);
        self.fetch()
    }

    /// The peer relays nothing below so many satoshi for a thousand virtual bytes (BIP133).
    pub(super) fn fee_filter(&self, rate: u64) {
        if rate <= MAX_RATE {
            let least = FeeRate::from_sat_per_kwu(rate.div_ceil(4));
            self.relay.tell(RelayEvent::FeeFilter { peer: self.peer, least });
        }
    }
}

/// What did not come may come from others.
impl Drop for Relaying {
    fn drop(&mut self) {
        self.state().fetched.drain().for_each(|id| self.relay.release(&id));
    }
}
