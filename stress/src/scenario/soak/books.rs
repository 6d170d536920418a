//! What the wallet has, by the devnet's blocks and by the node's control socket.

use std::collections::BTreeSet;
use std::path::Path;

use bitcoin::{Address, ScriptBuf, WScriptHash, hashes::Hash as _};
use ironlight::api::client::{ClientError, get, post};
use ironlight::api::{BalanceDto, BirthdayDto, HistoryDto, UtxosDto, WatchRequestDto, WatchedDto};
use ironlight::devnet::Devnet;

use crate::report::Bound;

/// A script that nobody has keys for.
pub(super) fn watched() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array([7; 32]))
}

/// Has the node watch it from the first block on.
pub(super) async fn watch(directory: &Path) -> Result<(), ClientError> {
    let address = Address::from_script(&watched(), bitcoin::Network::Regtest).ok();
    let address = address.map(|address| address.to_string());
    let birthday = Some(BirthdayDto::Height(0));
    let request = WatchRequestDto { address, birthday, ..WatchRequestDto::default() };
    post::<WatchedDto>(directory, "/v1/watch", &request).await.map(drop)
}

/// Whether the wallet was looked for up to the devnet's tip.
pub(super) async fn is_done(directory: &Path, devnet: &Devnet) -> Result<bool, ClientError> {
    let BalanceDto { scan, .. } = get(directory, "/v1/balance").await?;
    let tip = devnet.tip().hash.to_string();
    Ok(scan.synced && scan.tip.is_some_and(|block| block.hash == tip))
}

/// Balance, coins and history.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Books {
    balance: u64,
    coins: BTreeSet<(String, u32, u64)>,
    /// Height, position in the block and transaction.
    history: BTreeSet<(u32, u32, String)>,
}

impl Books {
    /// As the best chain has them. The script's coins are never spent.
    pub(super) fn of_devnet(devnet: &Devnet) -> Self {
        let (script, mut books) = (watched(), Self::none());
        devnet.read(|ledger| {
            for entry in ledger.tree().from(0) {
                for (position, transaction) in (0..).zip(&entry.block.txdata) {
                    let outputs = (0..).zip(&transaction.output);
                    let own = outputs.filter(|(_, output)| output.script_pubkey == script);
                    for (vout, output) in own {
                        let txid = transaction.compute_txid().to_string();
                        books.balance += output.value.to_sat();
                        books.coins.insert((txid.clone(), vout, output.value.to_sat()));
                        books.history.insert((entry.height, position, txid));
                    }
                }
            }
        });
        books
    }

    /// As the node tells them.
    pub(super) async fn of_node(directory: &Path) -> Result<Self, ClientError> {
        let balance: BalanceDto = get(directory, "/v1/balance").await?;
        let UtxosDto { utxos, .. } = get(directory, "/v1/utxos").await?;
        let mut books = Self { balance: balance.confirmed, ..Self::none() };
        let coins = utxos.into_iter().map(|coin| (coin.txid, coin.vout, coin.value));
        books.coins.extend(coins);
        let mut next = Some("/v1/history?limit=1000".to_owned());
        while let Some(path) = next {
            let page: HistoryDto = get(directory, &path).await?;
            let entries = page.entries.into_iter();
            let entries = entries.map(|entry| (entry.height, entry.position, entry.txid));
            books.history.extend(entries);
            next = page.next.map(|before| format!("/v1/history?limit=1000&before={before}"));
        }
        Ok(books)
    }

    const fn none() -> Self {
        Self { balance: 0, coins: BTreeSet::new(), history: BTreeSet::new() }
    }

    /// The node's are the devnet's.
    pub(super) fn bounds(&self, told: &Self) -> [Bound; 3] {
        let same = |name, wanted: usize, got: usize, met: bool| {
            let others = if met { "" } else { ", not the same" };
            Bound::judged(name, &wanted, &format_args!("{got}{others}"), met)
        };
        [
            Bound::equal("balance", &self.balance, &told.balance),
            same("coins", self.coins.len(), told.coins.len(), self.coins == told.coins),
            same("history", self.history.len(), told.history.len(), self.history == told.history),
        ]
    }
}
