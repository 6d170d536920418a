//! Rows that are damaged or missing, and the way out.

use ironlight_spv::BlockHeight;

use super::*;
use crate::store::{MemoryStore, WriteOp};
use crate::wallet::testing::{Bench, Dice, GOOD, NETWORK, TPUB, TestChain, foreign, pay};
use crate::wallet::watch::{GapLimit, WatchRequest, WatchTarget};

/// A wallet with a row of every kind.
fn with_all_rows() -> (TestChain, Bench) {
    let mut chain = TestChain::new(4);
    let mut bench = Bench::new(chain.tip());
    let target = WatchTarget::descriptor(&format!("wpkh({TPUB}/<0;1>/*)"), NETWORK).unwrap();
    let gap_limit = GapLimit::new(3).unwrap();
    let first = target.derive(0, 0, 1).unwrap().remove(0);
    let request = WatchRequest { gap_limit, ..WatchRequest::new(target, BlockHeight(2)) };
    let planned = bench.wallet.plan_watch(request).unwrap();
    bench.commit(planned);
    let paid = pay(&[foreign(1)], &[(first.clone(), 100), (first, 200)]);
    let coin = bitcoin::OutPoint { txid: paid.compute_txid(), vout: 0 };
    chain.mine(&crate::wallet::testing::script(0), vec![paid]);
    chain.mine(&crate::wallet::testing::script(0), vec![pay(&[coin], &[])]);
    bench.sync(&chain, GOOD, &mut Dice(1));
    bench.reload();
    (chain, bench)
}

fn rows_of(store: &MemoryStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = Vec::new();
    store
        .scan(Table::Wallet, &[], &mut |key, stored| {
            rows.push((key.to_vec(), stored.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

fn set(store: &MemoryStore, key: &[u8], stored: Option<Vec<u8>>) {
    let mut batch = WriteBatch::new();
    match stored {
        Some(stored) => batch.put(Table::Wallet, key, stored),
        None => batch.delete(Table::Wallet, key),
    }
    store.commit(batch).unwrap();
}

fn refusal(store: &MemoryStore) -> (String, String) {
    match Wallet::load(store, NETWORK) {
        Err(LoadError::Row { table: Table::Wallet, row, fault }) => (row, fault),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn there_is_a_row_of_every_kind() {
    let (_, mut bench) = with_all_rows();
    let planned = bench.wallet.plan_rescan(None, BlockHeight(3)).unwrap();
    bench.commit(planned);
    let mut kinds: Vec<u8> = rows_of(&bench.store).iter().map(|(key, _)| key[0]).collect();
    kinds.dedup();
    assert_eq!(kinds, *b"BCEIJSnt");
}

#[test]
fn an_empty_table_is_a_wallet_that_watches_nothing() {
    let wallet = Wallet::load(&MemoryStore::new(), NETWORK).unwrap();
    assert_eq!((wallet.tip(), wallet.watches().count()), (None, 0));
}

#[test]
fn every_damaged_row_is_named_with_the_way_out() {
    let (_, bench) = with_all_rows();
    for (key, whole) in rows_of(&bench.store) {
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            set(&bench.store, &key, Some(damaged));
            let (row, fault) = refusal(&bench.store);
            assert!(row.contains(&crate::store::hex(&key)), "{row}");
            assert!(fault.contains("checksum"), "{fault}");
            let text = Wallet::load(&bench.store, NETWORK).unwrap_err().to_string();
            assert!(text.contains("salvage the wallet"), "{text}");
        }
        set(&bench.store, &key, Some(whole));
    }
    Wallet::load(&bench.store, NETWORK).unwrap();
}

#[test]
fn every_missing_row_is_noticed() {
    let (_, bench) = with_all_rows();
    for (key, whole) in rows_of(&bench.store) {
        set(&bench.store, &key, None);
        assert!(Wallet::load(&bench.store, NETWORK).is_err(), "{}", named(&key));
        set(&bench.store, &key, Some(whole));
    }
}

#[test]
fn a_sealed_row_at_another_place_or_of_another_form_is_refused() {
    let (_, bench) = with_all_rows();
    for (key, whole) in rows_of(&bench.store) {
        let payload = checksum::open(Table::Wallet, &key, &whole).unwrap();
        let longer = [payload, &[0]].concat();
        set(&bench.store, &key, Some(checksum::seal(Table::Wallet, &key, &longer)));
        // A longer script is another script, and only each keychain's first is derived again.
        let is_script = key[0] == rows::SCRIPT && key[9] != 0;
        assert_eq!(Wallet::load(&bench.store, NETWORK).is_ok(), is_script, "{}", named(&key));
        set(&bench.store, &key, Some(whole));
    }
    let job = [b"J".as_slice(), &[0, 0, 0, 9, 0, 0, 0, 0, 0]].concat();
    set(&bench.store, &job, Some(checksum::seal(Table::Wallet, &job, &[1, 0, 0, 0, 1])));
    assert!(refusal(&bench.store).1.contains("nothing is watched"));
    set(&bench.store, &job, None);
    for key in [b"X".as_slice(), b"", b"C123", b"tip2"] {
        set(&bench.store, key, Some(checksum::seal(Table::Wallet, key, b"payload")));
        let (_, fault) = refusal(&bench.store);
        assert!(fault.contains("no known form"), "{fault}");
        set(&bench.store, key, None);
    }
}

#[test]
fn salvage_keeps_what_is_watched_and_scans_again() {
    let (chain, mut bench) = with_all_rows();
    let before = (bench.wallet.balance(None), bench.wallet.history(None, None, 9));
    let ids: Vec<WatchId> = bench.wallet.watches().map(|item| item.id).collect();
    let damaged = |kind: u8| move |(key, _): &&(Vec<u8>, Vec<u8>)| key[0] == kind;
    let rows = rows_of(&bench.store);
    for kind in *b"BCESt" {
        let (key, _) = rows.iter().find(damaged(kind)).unwrap();
        set(&bench.store, key, Some(vec![1, 2, 3]));
    }
    let Salvage { batch, kept, lost } = Wallet::salvage(&bench.store, NETWORK).unwrap();
    assert_eq!((kept, lost.len()), (1, 0));
    bench.store.commit(batch).unwrap();
    bench.wallet = Wallet::load(&bench.store, NETWORK).unwrap();
    assert_eq!(bench.wallet.watches().map(|item| item.id).collect::<Vec<_>>(), ids);
    assert_eq!(bench.wallet.tip(), None);
    let planned = bench.wallet.plan_begin(chain.tip()).unwrap();
    bench.commit(planned);
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!((bench.wallet.balance(None), bench.wallet.history(None, None, 9)), before);
    bench.reload();
}

#[test]
fn salvage_names_an_item_that_is_lost_and_does_not_use_its_number_again() {
    let (_, bench) = with_all_rows();
    set(&bench.store, &rows::item_key(WatchId(1)), Some(vec![0; 20]));
    set(&bench.store, rows::NEXT_KEY, None);
    let Salvage { batch, kept, lost } = Wallet::salvage(&bench.store, NETWORK).unwrap();
    assert_eq!((kept, lost), (0, vec!["4900000001".to_owned()]));
    assert!(matches!(batch.ops(), [WriteOp::DeleteFrom { table: Table::Wallet, .. }, ..]));
    bench.store.commit(batch).unwrap();
    let wallet = Wallet::load(&bench.store, NETWORK).unwrap();
    assert_eq!(wallet.watched.next_id(), 2);
}

#[test]
fn a_transaction_comes_back_with_its_proof() {
    let (chain, bench) = with_all_rows();
    let transaction = &chain.blocks[4].txdata[1];
    let txid = transaction.compute_txid();
    let found = bench.wallet.transaction(&bench.store, &txid).unwrap().unwrap();
    assert_eq!(&found.transaction, transaction);
    assert_eq!((found.place.height.0, found.place.position), (4, 1));
    assert_eq!(found.block, chain.at(4).hash);
    assert_eq!(found.proof, 1_u32.to_le_bytes());
    let foreign = chain.blocks[4].txdata[0].compute_txid();
    assert_eq!(bench.wallet.transaction(&bench.store, &foreign).unwrap(), None);
    set(&bench.store, &rows::body_key(found.place), None);
    let missing = bench.wallet.transaction(&bench.store, &txid).unwrap_err();
    assert!(missing.to_string().contains("it is missing"), "{missing}");
}

#[test]
fn rows_of_another_network_are_refused() {
    let (_, bench) = with_all_rows();
    let refused = Wallet::load(&bench.store, Network::Mainnet).unwrap_err();
    assert!(refused.to_string().contains("keys of test networks"), "{refused}");
}
