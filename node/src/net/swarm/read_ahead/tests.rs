//! Peers that serve one chain, or almost: whatever comes in whatever order, the machine gets what
//! it asked for.

use ironlight_spv::generate::Miner;
use ironlight_spv::{Network, Params};

use super::*;

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const C: PeerId = PeerId(3);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Genesis and what follows it.
fn chain(count: usize) -> Vec<Header> {
    let genesis = Params::new(Network::Regtest).genesis;
    let mut chain = vec![genesis];
    chain.extend(Miner::new(1).run(&genesis, count, 60));
    chain
}

fn page(chain: &[Header], wanted: &Wanted, most: u32) -> Option<HeadersPage> {
    let position = |hash: &BlockHash| chain.iter().position(|header| header.hash() == *hash);
    let first = match wanted {
        Wanted::After(locator) => locator.iter().find_map(position)? + 1,
        Wanted::From(height) => usize::try_from(height.0).ok().filter(|at| *at < chain.len())?,
        Wanted::Exactly(hash) => position(hash)?,
    };
    let end = chain.len().min(first + usize::try_from(most).unwrap());
    let height = |at: usize| BlockHeight(u32::try_from(at).unwrap());
    let headers = chain[first..end].to_vec();
    Some(HeadersPage { tip: height(chain.len() - 1), first: height(first), headers })
}

/// The machine under test with the requests that nobody has answered yet.
#[derive(Default)]
struct Setup {
    machine: ReadAhead,
    requests: VecDeque<(Ticket, PeerId, HeadersRequest)>,
    delivered: Vec<Vec<Header>>,
    asked: BTreeMap<PeerId, usize>,
    unanswered: Vec<Unanswered>,
}

impl Setup {
    fn new(peers: &[PeerId]) -> Self {
        let mut setup = Self::default();
        peers.iter().for_each(|peer| setup.machine.joined(*peer));
        setup
    }

    /// One of two peers has answered once, and both are asked for what comes after.
    fn reading_ahead(
        chain: &[Header],
        serve: &dyn Fn(PeerId, &HeadersRequest) -> Option<HeadersPage>,
    ) -> Self {
        let mut setup = Self::new(&[A, B]);
        setup.ask(vec![chain[0].hash()], true);
        setup.answer(serve);
        setup.ask(vec![chain[MESSAGE].hash()], true);
        setup
    }

    fn ask(&mut self, locator: Vec<BlockHash>, shared: bool) {
        self.machine.ask(A, Question { locator, stop: None, shared, retry: false }, at(0));
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(step) = self.machine.poll() {
            match step {
                Step::Request { ticket, to, request, .. } => {
                    *self.asked.entry(to).or_default() += 1;
                    self.requests.push_back((ticket, to, request));
                }
                Step::Deliver { peer, headers } => {
                    assert_eq!(peer, A);
                    self.delivered.push(headers);
                }
                Step::Unanswered { peer, why } => {
                    assert_eq!(peer, A);
                    self.unanswered.push(why);
                }
            }
        }
    }

    /// Lets peers answer, the last one asked first, until the machine has a message.
    fn answer(&mut self, serve: &dyn Fn(PeerId, &HeadersRequest) -> Option<HeadersPage>) {
        let before = self.delivered.len();
        while self.delivered.len() == before {
            let Some((ticket, from, request)) = self.requests.pop_back() else { return };
            match serve(from, &request) {
                Some(page) => self.machine.answered(ticket, page, at(0)),
                None => self.machine.failed(ticket, Failure::NotFound, at(0)),
            }
            self.settle();
        }
    }

    /// Asks as the sync machine does, until a message is not full, and gives what came.
    fn download(
        &mut self,
        shared: bool,
        serve: &dyn Fn(PeerId, &HeadersRequest) -> Option<HeadersPage>,
    ) -> Vec<Header> {
        let mut locator = vec![Params::new(Network::Regtest).genesis.hash()];
        loop {
            self.ask(locator, shared);
            self.answer(serve);
            let Some(last) = self.delivered.last().filter(|last| last.len() == MESSAGE) else {
                return self.delivered.concat();
            };
            locator = vec![last[MESSAGE - 1].hash()];
        }
    }
}

#[test]
fn messages_are_what_the_machine_asked_for_whatever_order_pages_come_in() {
    let chain = chain(100_123);
    let serve = |_: PeerId, request: &HeadersRequest| page(&chain, &request.wanted, request.most);
    for (peers, shared) in [(&[A][..], false), (&[A], true), (&[A, B, C], true), (&[A, B], false)] {
        let mut setup = Setup::new(peers);
        assert!(setup.download(shared, &serve) == chain[1..], "{peers:?} {shared}");
        let whole = setup.delivered.iter().filter(|message| message.len() == MESSAGE).count();
        assert_eq!(whole, setup.delivered.len() - 1, "all but the last are full");
        let helped = setup.asked.keys().any(|peer| *peer != A);
        assert_eq!(helped, shared && peers.len() > 1, "others are asked only where they may be");
    }
}

#[test]
fn a_question_that_is_asked_once_costs_one_message() {
    let chain = chain(40_000);
    let mut setup = Setup::new(&[A, B]);
    setup.ask(vec![chain[0].hash()], true);
    setup.answer(&|_, request| page(&chain, &request.wanted, request.most));
    assert_eq!(setup.delivered[0].len(), MESSAGE);
    assert_eq!(setup.asked.values().sum::<usize>(), 1);
}

#[test]
fn never_more_is_in_flight_than_the_bounds_allow() {
    let chain = chain(100_000);
    let mut setup = Setup::new(&[A, B, C]);
    let serve = |_: PeerId, request: &HeadersRequest| page(&chain, &request.wanted, request.most);
    setup.ask(vec![chain[0].hash()], true);
    setup.answer(&serve);
    setup.ask(vec![chain[MESSAGE].hash()], true);
    assert_eq!(setup.requests.len(), WINDOW);
    for peer in [A, B, C] {
        let in_flight = setup.requests.iter().filter(|(_, to, _)| *to == peer).count();
        assert!(in_flight <= IN_FLIGHT, "{peer}: {in_flight}");
    }
}

#[test]
fn pages_of_another_chain_are_not_handed_on() {
    let honest = chain(60_000);
    let mut other = honest[..9_000].to_vec();
    other.extend(Miner::new(2).run(&honest[8_999], 51_001, 60));
    let serve = |from: PeerId, request: &HeadersRequest| {
        let served = if from == A { &honest } else { &other };
        page(served, &request.wanted, request.most)
    };
    let mut setup = Setup::new(&[A, B]);
    assert!(setup.download(true, &serve) == honest[1..]);
    assert!(setup.asked[&B] >= 1, "it was tried");
}

#[test]
fn a_peer_with_a_shorter_chain_helps_as_far_as_it_can() {
    let whole = chain(80_000);
    let serve = |from: PeerId, request: &HeadersRequest| {
        let served = if from == A { &whole[..] } else { &whole[..25_000] };
        page(served, &request.wanted, request.most)
    };
    let mut setup = Setup::new(&[A, B]);
    assert!(setup.download(true, &serve) == whole[1..]);
    assert!(setup.asked[&B] >= 1);
}

#[test]
fn whose_a_header_was_is_known_by_its_hash() {
    let chain = chain(60_000);
    let served = std::cell::RefCell::new(BTreeMap::new());
    let serve = |from: PeerId, request: &HeadersRequest| {
        let page = page(&chain, &request.wanted, request.most)?;
        served.borrow_mut().insert(page.first, from);
        Some(page)
    };
    let mut setup = Setup::new(&[A, B]);
    let mut locator = vec![chain[0].hash()];
    let mut others = 0;
    loop {
        setup.ask(std::mem::take(&mut locator), true);
        setup.answer(&serve);
        let message = setup.delivered.last().unwrap();
        let first = chain.iter().position(|it| it == &message[0]).unwrap();
        let from = served.borrow()[&BlockHeight(u32::try_from(first).unwrap())];
        for header in [&message[0], &message[1], &message[message.len() - 1]] {
            assert_eq!(setup.machine.origin(A, &header.hash()), from);
        }
        others += usize::from(from == B);
        if message.len() < MESSAGE {
            break;
        }
        locator.push(message[MESSAGE - 1].hash());
    }
    assert!(others > 0, "others helped");
    let unknown = Miner::new(3).run(&chain[60_000], 1, 60)[0];
    assert_eq!(setup.machine.origin(A, &unknown.hash()), A, "what was not handed on is its own");
    assert_eq!(setup.machine.origin(A, &chain[MESSAGE].hash()), A);
}

#[test]
fn what_a_helper_owes_for_too_long_is_asked_of_the_peer_itself() {
    let chain = chain(60_000);
    let serve = |_: PeerId, request: &HeadersRequest| page(&chain, &request.wanted, request.most);
    let mut setup = Setup::reading_ahead(&chain, &serve);
    // B answers nothing.
    setup.requests.retain(|(_, to, _)| *to == A);
    setup.answer(&serve);
    while setup.machine.poll_timeout().is_none() {
        let end = setup.delivered.last().unwrap().last().unwrap().hash();
        setup.ask(vec![end], true);
        setup.answer(&serve);
    }
    let due = setup.machine.poll_timeout().unwrap();
    assert_eq!(due, PATIENCE);
    setup.machine.handle_timeout(due);
    setup.settle();
    assert!(setup.requests.iter().all(|(_, to, _)| *to == A));
    assert!(!setup.requests.is_empty());
}

#[test]
fn a_helper_that_leaves_takes_nothing_with_it() {
    let chain = chain(60_000);
    let serve = |_: PeerId, request: &HeadersRequest| page(&chain, &request.wanted, request.most);
    let mut setup = Setup::reading_ahead(&chain, &serve);
    setup.machine.left(B, at(1));
    setup.requests.retain(|(_, to, _)| *to == A);
    setup.settle();
    loop {
        setup.answer(&serve);
        let last = setup.delivered.last().unwrap();
        if last.len() < MESSAGE {
            break;
        }
        let end = last[MESSAGE - 1].hash();
        setup.ask(vec![end], true);
    }
    assert!(setup.delivered.concat() == chain[1..]);
}

#[test]
fn a_peer_that_knows_nothing_of_ours_has_nothing_for_us() {
    let mut setup = Setup::new(&[A]);
    setup.ask(vec![chain(1)[1].hash()], false);
    setup.answer(&|_, _| None);
    assert_eq!(setup.delivered, [Vec::new()]);
}

#[test]
fn what_comes_to_nothing_is_told_if_the_machine_waits_for_it() {
    let chain = chain(60_000);
    let serve = |_: PeerId, request: &HeadersRequest| page(&chain, &request.wanted, request.most);
    let refused = Unanswered::Refused { retry_after: Duration::from_secs(9) };
    let fail = |setup: &mut Setup| {
        let (ticket, ..) = setup.requests.pop_front().unwrap();
        setup.machine.failed(ticket, Failure::Unanswered(refused), at(1));
        setup.settle();
    };
    let mut setup = Setup::new(&[A]);
    setup.ask(vec![chain[0].hash()], false);
    fail(&mut setup);
    assert_eq!(setup.unanswered, [refused], "the question itself");
    // The page after the one that was handed on fails before the machine asks for it: nobody waits.
    setup.ask(vec![chain[0].hash()], false);
    setup.answer(&serve);
    setup.ask(vec![chain[MESSAGE].hash()], false);
    setup.answer(&serve);
    assert_eq!((setup.delivered.len(), setup.requests.len()), (2, WINDOW_ALONE - 1));
    fail(&mut setup);
    assert_eq!(setup.unanswered, [refused]);
    setup.ask(vec![chain[2 * MESSAGE].hash()], false);
    fail(&mut setup);
    assert_eq!(setup.unanswered, [refused, refused]);
    // A helper's failure is no matter of the machine's: the peer itself is asked.
    let mut setup = Setup::reading_ahead(&chain, &serve);
    let at_b = setup.requests.iter().position(|(_, to, _)| *to == B).unwrap();
    let (ticket, ..) = setup.requests.remove(at_b).unwrap();
    setup.machine.failed(ticket, Failure::Unanswered(refused), at(1));
    setup.settle();
    assert!(setup.unanswered.is_empty());
    assert!(setup.requests.iter().filter(|(_, to, _)| *to == A).count() > 1);
}

#[test]
fn a_peer_that_moves_to_another_chain_is_asked_anew() {
    let old = chain(60_000);
    let mut new = old[..1_500].to_vec();
    new.extend(Miner::new(2).run(&old[1_499], 60_000, 60));
    let mut setup = Setup::new(&[A]);
    setup.ask(vec![old[0].hash()], false);
    setup.answer(&|_, request| page(&old, &request.wanted, request.most));
    setup.ask(vec![old[MESSAGE].hash(), old[1000].hash()], false);
    setup.answer(&|_, request| page(&new, &request.wanted, request.most));
    assert!(setup.delivered[1] == new[1001..1001 + MESSAGE]);
}

#[test]
fn a_server_that_sends_less_than_it_was_asked_for_is_asked_for_the_rest() {
    let chain = chain(20_000);
    let serve =
        |_: PeerId, request: &HeadersRequest| page(&chain, &request.wanted, request.most.min(700));
    let mut setup = Setup::new(&[A]);
    assert!(setup.download(false, &serve) == chain[1..]);
    assert!(setup.delivered.iter().rev().skip(1).all(|message| message.len() == MESSAGE));
}

#[test]
fn empty_pages_and_wild_tips_end_a_download() {
    let chain = chain(20_000);
    let mut setup = Setup::new(&[A]);
    let serve = |_: PeerId, request: &HeadersRequest| {
        let mut page = page(&chain, &request.wanted, request.most).unwrap_or(HeadersPage {
            tip: BlockHeight(0),
            first: BlockHeight(0),
            headers: vec![],
        });
        page.tip = BlockHeight(u32::MAX);
        Some(page)
    };
    setup.ask(vec![chain[0].hash()], false);
    let mut messages = 0;
    loop {
        setup.answer(&serve);
        if setup.delivered.len() == messages {
            break;
        }
        messages = setup.delivered.len();
        let end = setup.delivered[messages - 1].last().unwrap().hash();
        setup.ask(vec![end], false);
    }
    assert!(setup.requests.is_empty(), "{:?}", setup.requests);
    assert_eq!(setup.unanswered, [Unanswered::NoAnswer], "and the rest comes to nothing");
    assert!(setup.delivered.concat() == chain[1..=2 * MESSAGE], "what was whole was handed on");
    assert!(setup.asked[&A] < 10, "{:?}", setup.asked);
}
