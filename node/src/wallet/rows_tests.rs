//! Each row as docs/STORE_FORMAT.md has it.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, BlockHash, Txid};

use super::*;
use crate::wallet::testing::{NETWORK, TPUB, foreign, pay, script};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hexadecimal with spaces, and `xx*n` for n times the same byte.
fn documented(text: &str) -> String {
    let expand = |part: &str| match part.split_once('*') {
        Some((byte, times)) => byte.repeat(times.parse().unwrap()),
        None => part.to_owned(),
    };
    text.split_whitespace().map(expand).collect()
}

fn place(height: u32, position: u32) -> Place {
    Place { height: BlockHeight(height), position }
}

fn txid(byte: u8) -> Txid {
    Txid::from_byte_array([byte; 32])
}

fn block(height: u32, byte: u8) -> BlockId {
    BlockId { height: BlockHeight(height), hash: BlockHash::from_byte_array([byte; 32]) }
}

#[test]
fn tip() {
    let marks = Marks::from_blocks(vec![block(5, 1), block(6, 2)]).unwrap();
    let payload = write_tip(&marks);
    assert_eq!(hex(&payload), documented("05000000 01*32 06000000 02*32"));
    assert_eq!(read_tip(&payload), Some(marks));
    assert_eq!(read_tip(&payload[1..]), None);
}

#[test]
fn coin() {
    let outpoint = OutPoint { txid: txid(2), vout: 1 };
    let unspent = Coin {
        value: Amount::from_sat(1_000),
        script: script(1),
        made: place(7, 2),
        coinbase: false,
        spent: None,
    };
    let spent = Some(Spend { txid: txid(3), place: place(9, 3) });
    let spent = Coin { spent, coinbase: true, ..unspent.clone() };
    assert_eq!(hex(&coin_key(&outpoint)), documented("43 02*32 00000001"));
    assert_eq!(
        hex(&write_coin(&unspent)),
        documented("e803000000000000 07000000 02000000 00 0200 5101 00")
    );
    assert_eq!(
        hex(&write_coin(&spent)),
        documented("e803000000000000 07000000 02000000 01 0200 5101 01 09000000 03000000 03*32")
    );
    assert_eq!(read_outpoint(&coin_key(&outpoint)[1..]), Some(outpoint));
    for coin in [unspent, spent] {
        let payload = write_coin(&coin);
        assert_eq!(read_coin(&payload), Some(coin));
        for length in 0..payload.len() {
            assert_eq!(read_coin(&payload[..length]), None);
        }
        assert_eq!(read_coin(&[payload.as_slice(), &[0]].concat()), None);
    }
}

#[test]
fn entry() {
    let entry = Entry {
        txid: txid(4),
        block: BlockHash::from_byte_array([5; 32]),
        inputs: 2,
        output_total: Amount::from_sat(70_000),
    };
    assert_eq!(hex(&entry_key(place(7, 2))), documented("45 00000007 00000002"));
    let payload = write_entry(&entry);
    assert_eq!(hex(&payload), documented("04*32 05*32 02000000 7011010000000000"));
    assert_eq!(read_entry(&payload), Some(entry));
    assert_eq!(read_place(&entry_key(place(7, 2))[1..]), Some(place(7, 2)));
    assert_eq!(read_entry(&payload[1..]), None);
}

#[test]
fn body() {
    let transaction = pay(&[foreign(6)], &[(script(1), 1_000)]);
    assert_eq!(hex(&body_key(place(7, 2))), documented("42 00000007 00000002"));
    let payload = write_body(&transaction, &[0xaa, 0xbb]);
    let expected = "02000000 aabb \
                    02000000 01 06*32 07000000 00 ffffffff 01 e803000000000000 02 5101 00000000";
    assert_eq!(hex(&payload), documented(expected));
    assert_eq!(read_body(&payload), Some((transaction, vec![0xaa, 0xbb])));
    assert_eq!(read_body(&payload[..payload.len() - 1]), None);
    // A proof that is longer than the row.
    assert_eq!(read_body(&[0xff; 9]), None);
}

#[test]
fn item_of_a_script() {
    let item = WatchItem {
        id: WatchId(3),
        target: WatchTarget::script(script(1)).unwrap(),
        account: AccountName::default(),
        label: "rent".parse().unwrap(),
        birthday: BlockHeight(840_000),
        gap_limit: GapLimit::default(),
        derived: vec![1],
    };
    assert_eq!(hex(&item_key(item.id)), documented("49 00000003"));
    let payload = write_item(&item);
    let expected = "07 64656661756c74 04 72656e74 40d10c00 14000000 01 01000000 00 5101";
    assert_eq!(hex(&payload), documented(expected));
    assert_eq!(read_item(item.id, &payload, NETWORK), Ok(item));
    assert_eq!(read_watch(&[0, 0, 0, 3]), Some(WatchId(3)));
}

#[test]
fn item_of_a_descriptor() {
    let text = format!("wpkh({TPUB}/<0;1>/*)");
    let target = WatchTarget::descriptor(&text, NETWORK).unwrap();
    let item = WatchItem {
        id: WatchId(3),
        target,
        account: "cold".parse().unwrap(),
        label: Label::default(),
        birthday: BlockHeight(2),
        gap_limit: GapLimit::new(100).unwrap(),
        derived: vec![101, 100],
    };
    let payload = write_item(&item);
    let head = documented("04 636f6c64 00 02000000 64000000 02 65000000 64000000 01");
    let with_checksum = hex(item.target.to_string().as_bytes());
    assert_eq!(hex(&payload), head + &with_checksum);
    assert_eq!(read_item(item.id, &payload, NETWORK), Ok(item));
    let fault = read_item(WatchId(3), &payload, Network::Mainnet).unwrap_err();
    assert!(fault.contains("test networks"), "{fault}");
    let mut other = payload.clone();
    other[23] = 2;
    assert!(read_item(WatchId(3), &other, NETWORK).is_err());
    let length = payload.len() - 9;
    // Without the checksum it is the same.
    assert!(read_item(WatchId(3), &payload[..length], NETWORK).is_ok());
    assert!(read_item(WatchId(3), &payload[..10], NETWORK).is_err());
}

#[test]
fn scripts_and_jobs() {
    let owner = ScriptOwner { watch: WatchId(3), keychain: Keychain(1), index: 9 };
    assert_eq!(hex(&script_key(&owner)), documented("53 00000003 01 00000009"));
    assert_eq!(read_owner(&script_key(&owner)[1..]), Some(owner));
    let key = JobKey { watch: WatchId(3), keychain: Keychain(1), first: 20 };
    assert_eq!(hex(&job_key(&key)), documented("4a 00000003 01 00000014"));
    for (kind, last) in [(ScanKind::CatchUp, "01"), (ScanKind::LookBack, "02")] {
        let job = Job { next: BlockHeight(840_000), kind };
        assert_eq!(hex(&write_job(job)), documented("40d10c00") + last);
        assert_eq!(read_job(&write_job(job)), Some(job));
    }
    assert_eq!(read_job(&[0, 0, 0, 0, 0]), None);
    assert_eq!(read_job(&[0, 0, 0, 0, 3]), None);
}
