//! The tree and its proofs a second time, as plainly as can be, with `sha2` and nothing else of
//! the crate but the account's fields.

use std::collections::BTreeMap;

use ironlight_spv::compress::state::Account;
use sha2::{Digest as _, Sha256};

pub(crate) type Hash = [u8; 32];

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn number(mut value: u128, bytes: &mut Vec<u8>) {
    while value > 127 {
        bytes.push(u8::try_from(value % 128).expect("seven bits") + 128);
        value /= 128;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
}

pub(crate) fn encode(account: &Account) -> Vec<u8> {
    let (mut flags, mut fields) = (0, Vec::new());
    if account.balance != 0 {
        flags += 1;
        number(account.balance, &mut fields);
    }
    if account.nonce != 0 {
        flags += 2;
        number(account.nonce.into(), &mut fields);
    }
    if account.code_hash != [0; 32] {
        flags += 4;
        fields.extend(account.code_hash);
    }
    if account.storage_root != [0; 32] {
        flags += 8;
        fields.extend(account.storage_root);
    }
    [&account.key[..], &[flags], &fields].concat()
}

pub(crate) fn place(salt: Option<Hash>, key: Hash) -> Hash {
    salt.map_or(key, |salt| sha256(&[&salt, &key]))
}

fn node(tag: u8, bit: usize, first: &Hash, second: &Hash) -> Hash {
    let bit = u8::try_from(bit).expect("a place has 256 bits");
    sha256(&[&sha256(&[&[tag, bit], &[0; 14], first, second])])
}

fn leaf(place: &Hash, account: &Account) -> Hash {
    node(0, 0, place, &sha256(&[&encode(account)]))
}

fn bit_of(place: &Hash, bit: usize) -> bool {
    place[bit / 8] >> (7 - bit % 8) & 1 == 1
}

/// The root by its definition: sorted places part at the first bit in which not all are alike.
pub(crate) fn root(salt: Option<Hash>, accounts: &BTreeMap<Hash, Account>) -> Hash {
    let placed: Vec<(Hash, &Account)> =
        accounts.values().map(|account| (place(salt, account.key), account)).collect();
    if placed.is_empty() { [0; 32] } else { root_of(&placed, 0) }
}

fn root_of(placed: &[(Hash, &Account)], from: usize) -> Hash {
    if let [(place, account)] = placed {
        return leaf(place, account);
    }
    let (ones, zeros): (Vec<_>, Vec<_>) = placed.iter().partition(|(place, _)| bit_of(place, from));
    if ones.is_empty() || zeros.is_empty() {
        return root_of(placed, from + 1);
    }
    node(1, from, &root_of(&zeros, from + 1), &root_of(&ones, from + 1))
}

/// What the bytes of a proof prove about a key: the encoded value, or absence; none if nothing.
pub(crate) fn check(
    proof: &[u8],
    root: &Hash,
    salt: Option<Hash>,
    key: Hash,
) -> Option<Option<Vec<u8>>> {
    let place = place(salt, key);
    let (head, rest) = proof.split_at_checked(5)?;
    let count = usize::from(head[3]) + 256 * usize::from(head[4]);
    let (steps, rest) = rest.split_at_checked(33 * count)?;
    let steps: Vec<&[u8]> = steps.chunks(33).collect();
    if head[..2] != [0x31, 1] || !steps.is_sorted_by(|a, b| a[0] < b[0]) {
        return None;
    }
    let (mut hash, verdict) = match (head[2], rest.len()) {
        (0, 0) if count == 0 => ([0; 32], None),
        (1, 33..) if rest[..32] == key => {
            (node(0, 0, &place, &sha256(&[rest])), Some(rest.to_vec()))
        }
        (2, 64) if rest[..32] != place => {
            let other: Hash = rest[..32].try_into().ok()?;
            (node(0, 0, &other, &rest[32..].try_into().ok()?), None)
        }
        _ => return None,
    };
    for step in steps.iter().rev() {
        let (bit, sibling) = (usize::from(step[0]), step[1..].try_into().ok()?);
        hash = if bit_of(&place, bit) {
            node(1, bit, &sibling, &hash)
        } else {
            node(1, bit, &hash, &sibling)
        };
    }
    (hash == *root).then_some(verdict)
}
