use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, OutPoint, ScriptBuf};
use ironlight_spv::BlockHeight;
use ironlight_spv::compress::state::{Salt, StateCompressor, StateValue as _, WalletAccount};

use super::{
    Claim, ClaimBlock, ClaimVerdict, ClaimedItem, Comparison, ImportRefused, NotComparable,
};
use crate::wallet::BlockId;
use crate::wallet::file::{FileId, FileItem, WalletFile};
use crate::wallet::states::{NotComplete, script_id, sealed_at};
use crate::wallet::testing::{Bench, Dice, GOOD, NETWORK, TPUB, TestChain, pay, script};
use crate::wallet::watch::{WatchId, WatchRequest, WatchTarget};

const FILE: FileId = FileId([1; 32]);
const SALT: Salt = Salt::Bytes([8; 32]);

fn request(number: u8, birthday: u32) -> WatchRequest {
    WatchRequest::new(WatchTarget::script(script(number)).unwrap(), BlockHeight(birthday))
}

/// A chain with payments to the scripts 1 and 2, the wallet that saw them, and its file.
fn exported() -> (TestChain, Bench, WalletFile) {
    let mut chain = TestChain::new(3);
    let mut bench = Bench::new(chain.at(0));
    for request in [request(1, 0), request(2, 4)] {
        let planned = bench.wallet.plan_watch(request).unwrap();
        bench.commit(planned);
    }
    for _ in 0..3 {
        chain.mine(&script(1), Vec::new());
    }
    let txid = chain.blocks[3].txdata[0].compute_txid();
    let spend = pay(&[OutPoint { txid, vout: 0 }], &[(script(2), 30), (script(9), 20)]);
    chain.mine(&script(0), vec![spend]);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let block = chain.tip();
    let state = sealed_at(&bench.wallet.ledger, block.height, SALT, |_| true).unwrap();
    let items = vec![FileItem::new(request(1, 0)), FileItem::new(request(2, 4))];
    (chain, bench, WalletFile { block, items, state })
}

fn imported(chain: &TestChain, file: &WalletFile) -> Bench {
    let mut bench = Bench::new(chain.tip());
    // The claims' states are not kept here.
    bench.kills = None;
    let planned = bench.wallet.plan_import(file, FILE, ClaimBlock::Expected).unwrap();
    assert_eq!(bench.commit(planned).len(), file.items.len());
    bench.reload();
    bench
}

fn claim(bench: &Bench) -> Claim {
    bench.wallet.claim().unwrap().clone()
}

fn compare(
    bench: &Bench,
    chain: &TestChain,
    file: &WalletFile,
) -> Result<Comparison, NotComparable> {
    let best = chain.hash_at(file.block.height);
    bench.wallet.compare(&claim(bench), &file.state, best)
}

/// The same accounts with one changed.
fn forged(file: &WalletFile, key: [u8; 32], change: impl Fn(&mut WalletAccount)) -> WalletFile {
    let height = file.block.height;
    let mut state = StateCompressor::new(SALT);
    for account in file.state.values(height).unwrap() {
        state.put(account.unwrap());
    }
    let mut account =
        file.state.get(&key, height).unwrap().unwrap_or_else(|| WalletAccount::blank(key));
    change(&mut account);
    state.put(account);
    state.seal(height).unwrap();
    WalletFile { state, ..file.clone() }
}

#[test]
fn a_claim_is_the_same_once_its_blocks_were_looked_at() {
    let (mut chain, _, file) = exported();
    chain.mine(&script(1), Vec::new());
    let mut bench = imported(&chain, &file);
    let early = compare(&bench, &chain, &file);
    let expected = NotComplete { height: file.block.height, complete: None };
    assert_eq!(early, Err(NotComparable::NotComplete(expected)));
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(compare(&bench, &chain, &file), Ok(Comparison::Same));
}

#[test]
fn what_else_is_watched_does_not_refute_a_claim() {
    let (chain, _, file) = exported();
    let mut bench = imported(&chain, &file);
    // A script of nobody's claim, and one of the claim from an earlier birthday on.
    for request in [request(9, 0), request(0, 0)] {
        let planned = bench.wallet.plan_watch(request).unwrap();
        bench.commit(planned);
    }
    let mut earlier = request(2, 0);
    earlier.account = "cold".parse().unwrap();
    let planned = bench.wallet.plan_watch(earlier).unwrap();
    bench.commit(planned);
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(compare(&bench, &chain, &file), Ok(Comparison::Same));
}

#[test]
fn a_forged_balance_is_refuted_with_its_script() {
    let (chain, _, file) = exported();
    let key = script_id(&script(2));
    let forged = forged(&file, key, |account| account.balance += 1);
    let mut bench = imported(&chain, &forged);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let Ok(Comparison::Differs(differences)) = compare(&bench, &chain, &forged) else {
        panic!("not refuted")
    };
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].script, Some(script(2)));
    let balance = |account: &Option<WalletAccount>| account.as_ref().map(|it| it.balance);
    assert_eq!(balance(&differences[0].claimed), Some(31));
    assert_eq!(balance(&differences[0].found), Some(30));
}

#[test]
fn accounts_that_are_invented_or_left_out_are_refuted() {
    let (chain, _, file) = exported();
    let unknown = forged(&file, [7; 32], |account| account.balance = 1_000);
    let mut bench = imported(&chain, &unknown);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let Ok(Comparison::Differs(differences)) = compare(&bench, &chain, &unknown) else {
        panic!("not refuted")
    };
    assert_eq!((differences.len(), &differences[0].script), (1, &None));
    assert_eq!(differences[0].found, None);

    let mut state = StateCompressor::new(SALT);
    state.seal(file.block.height).unwrap();
    let empty = WalletFile { state, ..file };
    let mut bench = imported(&chain, &empty);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let Ok(Comparison::Differs(differences)) = compare(&bench, &chain, &empty) else {
        panic!("not refuted")
    };
    let scripts: Vec<Option<ScriptBuf>> =
        differences.into_iter().map(|difference| difference.script).collect();
    assert!(scripts.len() == 2 && scripts.contains(&Some(script(1))), "{scripts:?}");
}

/// Watches a ranged descriptor.
fn ranged() -> WatchRequest {
    let text = format!("wpkh({TPUB}/0/*)");
    WatchRequest::new(WatchTarget::descriptor(&text, NETWORK).unwrap(), BlockHeight(0))
}

/// A chain that pays to the thirtieth script of a range, beyond the gap limit; the range's scripts, and a
/// wallet that watches them and has looked at no block.
fn paid_beyond_the_gap() -> (Vec<ScriptBuf>, TestChain, Bench) {
    let derived = ranged().target.derive(0, 0, 60).unwrap();
    let mut chain = TestChain::new(3);
    let mut exporter = Bench::new(chain.at(0));
    let planned = exporter.wallet.plan_watch(ranged()).unwrap();
    exporter.commit(planned);
    chain.mine(&derived[30], Vec::new());
    (derived, chain, exporter)
}

#[test]
fn a_payment_beyond_the_gap_of_its_time_does_not_refute_an_honest_file() {
    let (derived, mut chain, mut exporter) = paid_beyond_the_gap();
    exporter.sync(&chain, GOOD, &mut Dice(1));
    let block = chain.tip();
    let state = sealed_at(&exporter.wallet.ledger, block.height, SALT, |_| true).unwrap();
    assert_eq!(state.values(block.height).unwrap().count(), 0, "30 is beyond the gap");
    let items = exporter.wallet.watches().map(FileItem::of).collect();
    let file = WalletFile { block, items, state };

    // Later its gap reaches index 30.
    chain.mine(&derived[15], Vec::new());
    let mut bench = imported(&chain, &file);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let own = sealed_at(&bench.wallet.ledger, block.height, SALT, |_| true).unwrap();
    assert_eq!(own.values(block.height).unwrap().count(), 1, "the importer has seen it");
    assert_eq!(compare(&bench, &chain, &file), Ok(Comparison::Same));
}

#[test]
fn a_file_brings_the_scripts_that_its_wallet_had_derived() {
    let (derived, mut chain, mut exporter) = paid_beyond_the_gap();
    let block = chain.tip();
    chain.mine(&derived[15], Vec::new());
    exporter.sync(&chain, GOOD, &mut Dice(1));
    let state = sealed_at(&exporter.wallet.ledger, block.height, SALT, |_| true).unwrap();
    assert_eq!(state.values(block.height).unwrap().count(), 1);
    let items: Vec<FileItem> = exporter.wallet.watches().map(FileItem::of).collect();
    assert_eq!(items[0].derived, [51]);
    let file = WalletFile { block, items, state };

    // On a chain that ends there nothing else would make the importer derive index 30.
    chain.take_off(1);
    let mut bench = imported(&chain, &file);
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(compare(&bench, &chain, &file), Ok(Comparison::Same));
}

/// What becomes of the claim, as the node decides it.
fn decide(bench: &mut Bench, chain: &TestChain, file: &WalletFile) -> ClaimVerdict {
    let verdict = match compare(bench, chain, file).unwrap() {
        Comparison::Same => ClaimVerdict::Proven,
        Comparison::Differs(scripts) => {
            ClaimVerdict::Refuted { scripts: scripts.len().try_into().unwrap() }
        }
    };
    let planned = bench.wallet.plan_verdict(verdict).unwrap();
    bench.commit(planned);
    verdict
}

#[test]
fn a_reorg_below_the_block_of_a_proven_claim_opens_it_again() {
    // The block of the file pays to its scripts, or to nobody.
    for empty in [false, true] {
        let (mut chain, mut exporter, mut file) = exported();
        if empty {
            chain.mine(&script(0), Vec::new());
            exporter.sync(&chain, GOOD, &mut Dice(1));
            file.block = chain.tip();
            let ledger = &exporter.wallet.ledger;
            file.state = sealed_at(ledger, file.block.height, SALT, |_| true).unwrap();
        }
        let mut bench = imported(&chain, &file);
        bench.sync(&chain, GOOD, &mut Dice(1));
        assert_eq!(decide(&mut bench, &chain, &file), ClaimVerdict::Proven);
        chain.mine(&script(1), Vec::new());
        bench.sync(&chain, GOOD, &mut Dice(1));
        chain.take_off(1);
        bench.sync(&chain, GOOD, &mut Dice(1));
        assert_eq!(claim(&bench).verdict, ClaimVerdict::Proven, "all that was above it");
        chain.take_off(1);
        for _ in 0..2 {
            chain.mine(&script(0), Vec::new());
        }
        bench.sync(&chain, GOOD, &mut Dice(1));
        bench.reload();
        assert_eq!(claim(&bench).verdict, ClaimVerdict::Open, "empty: {empty}");
    }
}

#[test]
fn a_coin_that_a_rescan_finds_opens_a_refuted_claim_which_is_then_proven() {
    let (chain, _, file) = exported();
    let mut bench = imported(&chain, &file);
    // Filters that were wrong: no block matches.
    while let Some(range) = bench.wallet.next_range(chain.tip().height) {
        let up_to = chain.at(range.to.0.try_into().unwrap());
        let planned = bench.wallet.plan_scanned(&range, up_to).unwrap();
        bench.commit(planned);
    }
    let refuted = ClaimVerdict::Refuted { scripts: 2 };
    assert_eq!(decide(&mut bench, &chain, &file), refuted);
    let planned = bench.wallet.plan_rescan(None, BlockHeight(0)).unwrap();
    bench.commit(planned);
    assert_eq!(claim(&bench).verdict, refuted);
    bench.sync(&chain, GOOD, &mut Dice(1));
    bench.reload();
    assert_eq!(claim(&bench).verdict, ClaimVerdict::Open);
    assert_eq!(decide(&mut bench, &chain, &file), ClaimVerdict::Proven);
}

#[test]
fn a_claim_that_cannot_be_decided_makes_room_for_another_and_can_be_dropped() {
    let (chain, _, file) = exported();
    let mut bench = imported(&chain, &file);
    let other = FileId([2; 32]);
    assert!(bench.wallet.plan_import(&file, other, ClaimBlock::Expected).is_err());
    assert!(bench.wallet.plan_import(&file, other, ClaimBlock::Elsewhere).is_ok());
    // Of its two items one is gone.
    let planned = bench.wallet.plan_unwatch(WatchId(1)).unwrap();
    bench.commit(planned);
    assert!(bench.wallet.plan_import(&file, other, ClaimBlock::Expected).is_ok());

    let mut bench = imported(&chain, &file);
    let planned = bench.wallet.plan_forget_claim().unwrap();
    bench.commit(planned);
    bench.reload();
    assert_eq!((bench.wallet.claim(), bench.wallet.watches().count()), (None, 2));
    assert!(bench.wallet.plan_forget_claim().is_err());
    assert!(bench.wallet.plan_import(&file, other, ClaimBlock::Expected).is_ok());
}

#[test]
fn what_is_watched_already_keeps_its_label() {
    let (chain, _, mut file) = exported();
    let mut bench = Bench::new(chain.tip());
    let planned = bench.wallet.plan_watch(request(1, 0)).unwrap();
    bench.commit(planned);
    file.items[0].request.label = "of the file".parse().unwrap();
    file.items[1].request.label = "new".parse().unwrap();
    let planned = bench.wallet.plan_import(&file, FILE, ClaimBlock::Expected).unwrap();
    bench.commit(planned);
    let labels: Vec<String> = bench.wallet.watches().map(|item| item.label.to_string()).collect();
    assert_eq!(labels, ["", "new"]);
}

#[test]
fn a_claim_of_a_block_that_left_the_chain_is_not_compared() {
    let (mut chain, _, file) = exported();
    let mut bench = imported(&chain, &file);
    chain.take_off(1);
    chain.mine(&script(0), Vec::new());
    bench.sync(&chain, GOOD, &mut Dice(1));
    let refused = compare(&bench, &chain, &file).unwrap_err();
    assert!(matches!(refused, NotComparable::OtherBranch { .. }), "{refused}");
}

#[test]
fn another_file_is_refused_while_a_claim_is_open_and_the_same_is_not() {
    let (chain, _, file) = exported();
    let mut bench = imported(&chain, &file);
    let other = FileId([2; 32]);
    let refused = bench.wallet.plan_import(&file, other, ClaimBlock::Expected).unwrap_err();
    assert!(matches!(refused, ImportRefused::Open(open) if open.height == file.block.height));
    let planned = bench.wallet.plan_import(&file, FILE, ClaimBlock::Expected).unwrap();
    bench.commit(planned);
    assert_eq!(bench.wallet.watches().count(), 2);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let planned = bench.wallet.plan_verdict(ClaimVerdict::Refuted { scripts: 3 }).unwrap();
    bench.commit(planned);
    bench.reload();
    assert_eq!(claim(&bench).verdict, ClaimVerdict::Refuted { scripts: 3 });
    // The same again does not make it open again.
    let planned = bench.wallet.plan_import(&file, FILE, ClaimBlock::Expected).unwrap();
    bench.commit(planned);
    assert_eq!(claim(&bench).verdict, ClaimVerdict::Refuted { scripts: 3 });
    assert!(bench.wallet.plan_import(&file, other, ClaimBlock::Expected).is_ok());
}

#[test]
fn a_claim_whose_item_is_removed_waits_for_its_file() {
    let (chain, _, file) = exported();
    let mut bench = imported(&chain, &file);
    bench.sync(&chain, GOOD, &mut Dice(1));
    let planned = bench.wallet.plan_unwatch(WatchId(2)).unwrap();
    bench.commit(planned);
    bench.reload();
    let refused = compare(&bench, &chain, &file).unwrap_err();
    assert_eq!(refused, NotComparable::ItemGone { watch: WatchId(2) });
    let planned = bench.wallet.plan_import(&file, FILE, ClaimBlock::Expected).unwrap();
    bench.commit(planned);
    let ids: Vec<WatchId> = claim(&bench).items.iter().map(|item| item.watch).collect();
    assert_eq!(ids, [WatchId(1), WatchId(3)]);
    bench.sync(&chain, GOOD, &mut Dice(1));
    assert_eq!(compare(&bench, &chain, &file), Ok(Comparison::Same));
    // With all of them gone, nothing is left to wait for.
    for id in [1, 3] {
        let planned = bench.wallet.plan_unwatch(WatchId(id)).unwrap();
        bench.commit(planned);
    }
    assert!(bench.wallet.plan_import(&file, FileId([2; 32]), ClaimBlock::Expected).is_ok());
}

#[test]
fn the_row_of_a_claim_is_the_documented_one() {
    let claim = Claim {
        file: FILE,
        block: BlockId { height: BlockHeight(7), hash: BlockHash::from_byte_array([2; 32]) },
        root: [3; 32],
        items: vec![ClaimedItem {
            watch: WatchId(4),
            birthday: BlockHeight(9),
            derived: vec![6, 7],
        }],
        verdict: ClaimVerdict::Refuted { scripts: 5 },
    };
    let row = super::write_claim(&claim);
    let parts: [&[u8]; 9] = [
        &[1; 32],
        &[7, 0, 0, 0],
        &[2; 32],
        &[3; 32],
        &[2],
        &[5, 0, 0, 0],
        &[4, 0, 0, 0],
        &[9, 0, 0, 0],
        &[2, 6, 0, 0, 0, 7, 0, 0, 0],
    ];
    assert_eq!(row, parts.concat());
    assert_eq!(super::read_claim(&row), Some(claim));
    assert_eq!(super::read_claim(&row[..row.len() - 1]), None);
    let mut unknown = row;
    unknown[100] = 3;
    assert_eq!(super::read_claim(&unknown), None);
}
