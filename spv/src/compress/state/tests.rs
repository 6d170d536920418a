//! What cannot be reached from outside: damage in memory, full arenas, packed nodes.

use alloc::vec::Vec;

use super::arena::{Node, NodeId, Nodes, Record, Values};
use super::hash::{first_difference, is_set};
use super::{Account, Damaged, Full, Salt, StateCompressor, StateError, StateValue};
use crate::header::BlockHeight;

fn states() -> StateCompressor<Account> {
    let mut states = StateCompressor::new(Salt::Bytes([1; 32]));
    for height in 0..4u8 {
        for number in 0..20 {
            let nonce = u64::from(height * number);
            states.put(Account { nonce, balance: 5, ..Account::blank([number; 32]) });
        }
        states.seal(BlockHeight(height.into())).unwrap();
    }
    states
}

#[test]
fn a_node_is_unpacked_as_it_was_packed() {
    let (left, right) = (NodeId(Nodes::LIMIT - 1), NodeId(5));
    let nodes = [
        Node::Leaf { record: 0 },
        Node::Leaf { record: (1 << 40) - 1 },
        Node::Inner { bit: 0, left, right },
        Node::Inner { bit: 255, left: right, right: left },
    ];
    for node in nodes {
        let mut arena = Nodes::default();
        let id = arena.push(node, [3; 32]).unwrap();
        assert_eq!(arena.node(id), Ok(node));
        assert_eq!(arena.hash(id), Ok(&[3; 32]));
    }
}

#[test]
fn arenas_are_cut_off_at_any_mark_and_grow_again() {
    let mut nodes = Nodes::default();
    let mut values = Values::default();
    let mut marks = Vec::new();
    let body = [7; 900];
    for number in 0..3_000u64 {
        marks.push((nodes.len(), values.end()));
        let record = values.push(Record::Whole(&body[..usize::try_from(number % 900).unwrap()]));
        nodes.push(Node::Leaf { record }, [0; 32]).unwrap();
    }
    for at in [2_999, 2_048, 2_047, 1_024, 1_023, 1, 0] {
        let (len, end) = marks[at];
        nodes.truncate(len);
        values.truncate(end);
        assert_eq!((nodes.len(), values.end()), (len, end));
        let record = values.push(Record::Whole(&[1, 2, 3]));
        let id = nodes.push(Node::Leaf { record }, [0; 32]).unwrap();
        assert_eq!(nodes.node(id), Ok(Node::Leaf { record }));
        assert!(matches!(values.record(record), Some(Record::Whole([1, 2, 3]))));
    }
}

#[test]
fn nothing_is_sealed_where_no_node_fits() {
    let mut states = StateCompressor::new(Salt::None);
    states.tree.nodes = Nodes::all_but(1);
    let mark = states.tree.nodes.len();
    states.put(Account::blank([1; 32]));
    states.put(Account::blank([2; 32]));
    let refused = states.seal(BlockHeight(1));
    assert_eq!(refused, Err(StateError::Full(Full { nodes: Nodes::LIMIT })));
    assert!(mark < Nodes::LIMIT && states.newest().is_none());
    assert_eq!(states.seal(BlockHeight(1)).map(|sealed| sealed.accounts), Ok(2));
}

#[test]
fn every_damaged_hash_is_found() {
    let good = states();
    assert_eq!(good.verify(), Ok(()));
    for node in 0..good.tree.nodes.len() {
        let mut damaged = good.clone();
        let mut hash = *damaged.tree.nodes.hash(NodeId(node)).unwrap();
        hash[9] ^= 4;
        damaged.tree.nodes.set_hash(NodeId(node), hash).unwrap();
        assert_eq!(damaged.verify(), Err(StateError::Damaged(Damaged { node })));
    }
}

#[test]
fn missing_nodes_and_values_are_found() {
    let good = states();
    let mut damaged = good.clone();
    damaged.tree.values.truncate(good.tree.values.end() - 1);
    assert!(matches!(damaged.verify(), Err(StateError::Damaged(_))));
    let mut damaged = good.clone();
    damaged.tree.nodes.truncate(good.tree.nodes.len() - 1);
    assert!(matches!(damaged.verify(), Err(StateError::Damaged(_))));
    let mut damaged = good;
    damaged.snapshots.last_mut().unwrap().accounts += 1;
    assert!(matches!(damaged.verify(), Err(StateError::Damaged(_))));
}

#[test]
fn bits_are_counted_from_the_highest_of_the_first_byte() {
    let mut place = [0; 32];
    place[0] = 0x80;
    place[31] = 1;
    assert!(is_set(&place, 0) && is_set(&place, 255) && !is_set(&place, 1));
    assert_eq!(first_difference(&place, &[0; 32]), Some(0));
    place[0] = 0;
    assert_eq!(first_difference(&place, &[0; 32]), Some(255));
    assert_eq!(first_difference(&place, &place), None);
}

#[test]
fn a_change_is_kept_in_few_bytes() {
    let mut states = states();
    let before = states.tree.values.end();
    let account = states.get(&[3; 32], BlockHeight(3)).unwrap().unwrap();
    states.put(Account { nonce: account.nonce + 1, ..account });
    states.seal(BlockHeight(4)).unwrap();
    assert_eq!(states.tree.values.end() - before, 2 + 5 + 1 + 1);
}
