use std::sync::Arc;

use bitcoin::hashes::Hash as _;
use ironlight_spv::BlockHeight;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;

type Answer = Receiver<Result<Reply, DataError>>;

fn block(number: u8) -> BlockHash {
    BlockHash::from_byte_array([number; 32])
}

fn range(numbers: std::ops::Range<u8>) -> Query {
    let blocks: Arc<[BlockHash]> = numbers.map(block).collect();
    Query::Filters { start: BlockHeight(1), blocks }
}

fn ask(gathered: &mut Gathered, query: Query) -> Answer {
    let (told, answer) = oneshot::channel();
    gathered.expect(query, told);
    answer
}

/// A filter of one byte, its block's number.
fn filter(number: u8) -> Inbound {
    Inbound::CFilter { block: block(number), filter: vec![number] }
}

fn filters(numbers: std::ops::Range<u8>) -> Reply {
    Reply::Filters(numbers.map(|number| vec![number]).collect())
}

fn come(gathered: &mut Gathered, message: Inbound) -> bool {
    let arrived = gathered.arrived(message);
    assert!(arrived.asked_for || arrived.rest.is_some(), "what nobody asked for is handed on");
    arrived.asked_for
}

#[test]
fn filters_of_a_range_are_one_answer() {
    let mut gathered = Gathered::default();
    let mut answer = ask(&mut gathered, range(0..3));
    assert!(!come(&mut gathered, filter(9)), "nobody asked for it");
    for number in 0..3 {
        assert_eq!(answer.try_recv(), Err(TryRecvError::Empty));
        assert!(come(&mut gathered, filter(number)));
    }
    assert_eq!(answer.try_recv(), Ok(Ok(filters(0..3))));
    assert!(!come(&mut gathered, filter(2)), "one too many");
}

#[test]
fn ranges_and_blocks_that_are_asked_at_once_do_not_mix() {
    let mut gathered = Gathered::default();
    let mut first = ask(&mut gathered, range(0..3));
    let mut second = ask(&mut gathered, range(2..5));
    let mut whole = ask(&mut gathered, Query::Block { hash: block(2) });
    for message in [filter(0), filter(2), filter(1), filter(3)] {
        assert!(come(&mut gathered, message));
    }
    let bytes = vec![7; 100];
    assert!(come(&mut gathered, Inbound::Block { hash: block(2), bytes: bytes.clone() }));
    assert_eq!(whole.try_recv(), Ok(Ok(Reply::Block(bytes))));
    assert!(come(&mut gathered, filter(2)));
    assert_eq!(first.try_recv(), Ok(Ok(filters(0..3))));
    assert!(come(&mut gathered, filter(4)));
    assert_eq!(second.try_recv(), Ok(Ok(filters(2..5))));
}

#[test]
fn a_filter_out_of_turn_ends_its_range() {
    let mut gathered = Gathered::default();
    let mut answer = ask(&mut gathered, range(0..5));
    assert!(come(&mut gathered, filter(0)));
    assert!(!come(&mut gathered, filter(3)));
    assert_eq!(answer.try_recv(), Ok(Err(DataError::OutOfOrder { after: 1 })));
    assert!(!come(&mut gathered, filter(1)), "nothing is waited for any more");
}

#[test]
fn what_was_given_up_is_still_known_and_does_not_answer_the_next_question() {
    let mut gathered = Gathered::default();
    let given_up = ask(&mut gathered, range(0..4));
    assert!(come(&mut gathered, filter(0)) && come(&mut gathered, filter(1)));
    drop(given_up);
    let mut again = ask(&mut gathered, range(0..4));
    // The rest of the first answer, and then the second one.
    for number in [2, 3, 0, 1, 2, 3] {
        assert_eq!(again.try_recv(), Err(TryRecvError::Empty));
        assert!(come(&mut gathered, filter(number)));
    }
    assert_eq!(again.try_recv(), Ok(Ok(filters(0..4))));
    assert!(gathered.waiting.is_empty());
}

#[test]
fn a_peer_that_passed_over_a_question_still_answers_the_next() {
    let mut gathered = Gathered::default();
    drop(ask(&mut gathered, range(0..2)));
    let mut again = ask(&mut gathered, range(0..2));
    assert!(come(&mut gathered, filter(0)) && come(&mut gathered, filter(1)));
    assert_eq!(again.try_recv(), Ok(Ok(filters(0..2))));
}

#[test]
fn counts_have_to_be_right() {
    let mut gathered = Gathered::default();
    let hashes = |count| vec![FilterHash::all_zeros(); count];
    let message = |count| Inbound::CFHeaders {
        stop: block(9),
        previous: FilterHeader::all_zeros(),
        hashes: hashes(count),
    };
    let query = |count| Query::FilterHeaders { start: BlockHeight(1), stop: block(9), count };
    let mut ten = ask(&mut gathered, query(10));
    let mut five = ask(&mut gathered, query(5));
    assert!(come(&mut gathered, message(5)));
    let previous = FilterHeader::all_zeros();
    assert_eq!(five.try_recv(), Ok(Ok(Reply::FilterHeaders { previous, hashes: hashes(5) })));
    assert!(come(&mut gathered, message(11)));
    assert_eq!(ten.try_recv(), Ok(Err(DataError::OtherCount { got: 11, expected: 10 })));
    assert!(!come(&mut gathered, message(10)));

    let checkpoints = |count| Inbound::CFCheckpt {
        stop: block(9),
        headers: vec![FilterHeader::all_zeros(); count],
    };
    let height = BlockHeight(2999);
    let mut answer = ask(&mut gathered, Query::FilterCheckpoints { stop: block(9), height });
    assert!(come(&mut gathered, checkpoints(2)) && !come(&mut gathered, checkpoints(2)));
    let two = vec![FilterHeader::all_zeros(); 2];
    assert_eq!(answer.try_recv(), Ok(Ok(Reply::FilterCheckpoints(two))));
    let mut answer = ask(&mut gathered, Query::FilterCheckpoints { stop: block(9), height });
    assert!(come(&mut gathered, checkpoints(3)));
    assert_eq!(answer.try_recv(), Ok(Err(DataError::OtherCount { got: 3, expected: 2 })));
}

#[test]
fn a_block_that_is_not_there_is_an_answer() {
    let mut gathered = Gathered::default();
    let mut answer = ask(&mut gathered, Query::Block { hash: block(1) });
    let other = Inbound::NotFound(vec![Inventory::WitnessBlock(block(2))]);
    assert!(!come(&mut gathered, other));
    assert!(come(&mut gathered, Inbound::NotFound(vec![Inventory::WitnessBlock(block(1))])));
    assert_eq!(answer.try_recv(), Ok(Ok(Reply::NotFound)));
}

#[test]
fn what_is_gathered_is_bounded_over_all_ranges() {
    let mut gathered = Gathered::default();
    let (mut first, mut second) =
        (ask(&mut gathered, range(0..100)), ask(&mut gathered, range(100..250)));
    let large = |number| Inbound::CFilter { block: block(number), filter: vec![0; 300_000] };
    for number in (0..50).chain(100..161) {
        assert!(come(&mut gathered, large(number)));
        let bytes: usize = gathered.waiting.iter().map(|waiting| waiting.bytes).sum();
        assert!(bytes <= MAX_GATHERED);
    }
    assert_eq!(second.try_recv(), Err(TryRecvError::Empty));
    assert!(come(&mut gathered, large(161)));
    assert_eq!(second.try_recv(), Ok(Err(DataError::TooMuch)));
    // The rest of that answer is still on its way, and there is room for the first again.
    assert!((50..100).chain(162..250).all(|number| come(&mut gathered, large(number))));
    assert!(matches!(first.try_recv(), Ok(Ok(Reply::Filters(filters))) if filters.len() == 100));
    let given_up = ask(&mut gathered, range(0..100));
    assert!(come(&mut gathered, large(0)));
    drop(given_up);
    gathered.forget_given_up();
    assert!(gathered.waiting.iter().all(|waiting| waiting.bytes == 0));
}

#[test]
fn questions_are_bounded_and_those_given_up_go_first() {
    let mut gathered = Gathered::default();
    let mut oldest = ask(&mut gathered, range(0..1));
    drop(ask(&mut gathered, range(1..2)));
    let mut others: Vec<_> = (2..16).map(|n| ask(&mut gathered, range(n..n + 1))).collect();
    assert_eq!(gathered.waiting.len(), MAX_WAITING);
    others.push(ask(&mut gathered, range(20..21)));
    assert_eq!(oldest.try_recv(), Err(TryRecvError::Empty));
    others.push(ask(&mut gathered, range(21..22)));
    assert_eq!(oldest.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(gathered.waiting.len(), MAX_WAITING);
}

#[test]
fn what_came_of_a_range_before_the_end_is_an_answer() {
    let mut gathered = Gathered::default();
    let mut begun = ask(&mut gathered, range(0..3));
    let mut untouched = ask(&mut gathered, range(5..8));
    assert!(come(&mut gathered, filter(0)));
    assert!(come(&mut gathered, filter(1)));
    gathered.end();
    assert_eq!(begun.try_recv(), Ok(Ok(filters(0..2))));
    assert_eq!(untouched.try_recv(), Err(TryRecvError::Closed));
}
