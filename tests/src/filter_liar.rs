//! A wire to a full node that lies about compact filters.

use std::net::SocketAddr;
use std::sync::Arc;

use bitcoin::bip158::{FilterHash, FilterHeader};
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::p2p::message_filter::{CFCheckpt, CFHeaders, CFilter};
use bitcoin::{BlockHash, ScriptBuf};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What is true of a block: its height, its hash, its filter.
#[derive(Clone, Debug)]
pub struct TrueFilter {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub block: BlockHash,
    /// Its filter.
    pub filter: Vec<u8>,
}

/// How it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterLie {
    /// The filter of a block lacks a script, and all headers from there on fit that.
    Omission,
    /// The filter header of a block is made up, and so are all that follow.
    WrongHeader,
    /// Headers are true, the filter of a block is another one.
    WrongFilter,
    /// Questions about filters are not answered.
    Stall,
}

/// Tells the filters of all blocks, from genesis on.
pub type Truth = Arc<dyn Fn() -> Vec<TrueFilter> + Send + Sync>;
/// Tells a block's filter without the script; none for blocks that do not have it.
pub type Without = Arc<dyn Fn(&BlockHash) -> Option<Vec<u8>> + Send + Sync>;

/// A wire that lies about the blocks that pay to a script. It knows the truth by a closure, which is
/// asked each time, so the full node may go on.
#[derive(Clone)]
pub struct FilterLiar {
    lie: FilterLie,
    truth: Truth,
    /// Filters without the script; none for blocks that do not have it.
    without: Without,
}

impl std::fmt::Debug for FilterLiar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilterLiar").field("lie", &self.lie).finish_non_exhaustive()
    }
}

impl FilterLiar {
    /// One that tells a lie.
    #[must_use]
    pub fn new(lie: FilterLie, truth: Truth, without: Without) -> Self {
        Self { lie, truth, without }
    }

    /// Listens, and forwards to a full node what it does not lie about.
    pub async fn listen(self, full_node: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(full_node).await else { return };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(pass_on(near_in, far_out));
                tokio::spawn(self.clone().answer(far_in, near_out));
            }
        });
        address
    }

    async fn answer(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut head = [0; 24];
        while from.read_exact(&mut head).await.is_ok() {
            let length = u32::from_le_bytes(head[16..20].try_into().unwrap());
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if from.read_exact(&mut payload).await.is_err() {
                return;
            }
            let command = String::from_utf8_lossy(&head[4..16]).trim_end_matches('\0').to_owned();
            let Some(payload) = self.twist(&command, payload) else { continue };
            head[16..20].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
            let checksum = sha256d::Hash::hash(&payload).to_byte_array();
            head[20..24].copy_from_slice(&checksum[..4]);
            if to.write_all(&head).await.is_err() || to.write_all(&payload).await.is_err() {
                return;
            }
        }
    }

    /// The answer as it is told; none where it is not.
    fn twist(&self, command: &str, payload: Vec<u8>) -> Option<Vec<u8>> {
        let about_filters = matches!(command, "cfilter" | "cfheaders" | "cfcheckpt");
        if !about_filters {
            return Some(payload);
        }
        match (self.lie, command) {
            (FilterLie::Stall, _) => None,
            (FilterLie::WrongFilter | FilterLie::Omission, "cfilter") => {
                let mut told: CFilter = deserialize(&payload).unwrap();
                if let Some(filter) = (self.without)(&told.block_hash) {
                    told.filter = filter;
                }
                Some(serialize(&told))
            }
            (FilterLie::WrongFilter, _) | (FilterLie::WrongHeader, "cfilter") => Some(payload),
            (_, "cfheaders") => {
                let mut told: CFHeaders = deserialize(&payload).unwrap();
                let (mine, chain) = self.told(&told.stop_hash);
                let first = mine.len() - told.filter_hashes.len();
                let before = first.checked_sub(1).map_or(FilterHeader::all_zeros(), |at| chain[at]);
                told.previous_filter_header = before;
                told.filter_hashes = mine[first..].to_vec();
                Some(serialize(&told))
            }
            (_, _) => {
                let mut told: CFCheckpt = deserialize(&payload).unwrap();
                let (_, chain) = self.told(&told.stop_hash);
                told.filter_headers = chain.into_iter().step_by(1000).skip(1).collect();
                Some(serialize(&told))
            }
        }
    }

    /// The hashes and headers of all filters up to a block, as they are told.
    fn told(&self, stop: &BlockHash) -> (Vec<FilterHash>, Vec<FilterHeader>) {
        let truth = (self.truth)();
        let end = truth.iter().position(|entry| entry.block == *stop).unwrap();
        let told = truth[..=end].iter().map(|entry| match (self.without)(&entry.block) {
            Some(_) if self.lie == FilterLie::WrongHeader => FilterHash::from_byte_array([7; 32]),
            Some(filter) => FilterHash::hash(&filter),
            None => FilterHash::hash(&entry.filter),
        });
        let hashes: Vec<FilterHash> = told.collect();
        let mut header = FilterHeader::all_zeros();
        let chain = hashes.iter().map(|hash| {
            header = hash.filter_header(&header);
            header
        });
        let chain = chain.collect();
        (hashes, chain)
    }
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
}

/// The filter of a block as it would be without a script; none where the block does not pay to it.
#[must_use]
pub fn filter_without(
    block: &bitcoin::Block,
    spent: &[ScriptBuf],
    script: &ScriptBuf,
) -> Option<Vec<u8>> {
    let pays = |transaction: &bitcoin::Transaction| {
        transaction.output.iter().any(|output| output.script_pubkey == *script)
    };
    if !block.txdata.iter().any(pays) {
        return None;
    }
    let mut bytes = Vec::new();
    let mut writer = bitcoin::bip158::BlockFilterWriter::new(&mut bytes, block);
    let outputs = block.txdata.iter().flat_map(|transaction| &transaction.output);
    let outputs = outputs.map(|output| &output.script_pubkey).filter(|other| !other.is_op_return());
    for other in outputs.chain(spent).filter(|other| *other != script && !other.is_empty()) {
        writer.add_element(other.as_bytes());
    }
    writer.finish().unwrap();
    Some(bytes)
}
