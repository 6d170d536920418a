use bitcoin::hashes::Hash as _;

use super::*;

const TIME: UnixTime = UnixTime(1_700_000_000);

fn address(branch: u8, period: u32) -> BlockHash {
    let mut bytes = [branch; 32];
    bytes[..4].copy_from_slice(&period.to_le_bytes());
    BlockHash::from_byte_array(bytes)
}

fn genesis_parent() -> BlockHash {
    BlockHash::all_zeros()
}

fn addresses(branch: u8, periods: std::ops::Range<u32>) -> Vec<BlockHash> {
    periods.map(|period| address(branch, period)).collect()
}

fn owner(number: u8) -> NetworkGroup {
    NetworkGroup::V4([60, number])
}

fn work(of: u64) -> Work {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&of.to_be_bytes());
    Work::from_be_bytes(bytes)
}

fn start() -> FetchStart {
    FetchStart {
        first: 0,
        parent: genesis_parent(),
        tip: BlockHeight(0),
        tip_time: UnixTime(1_300_000_000),
        now: TIME,
        spacing: 600,
        work: work(0),
        minimum: None,
        expected: 2,
    }
}

/// The chunk of a period on a branch, as it should be.
fn chunk(branch: u8, period: u32) -> Outcome<u32> {
    let before = period.checked_sub(1);
    let parent = before.map_or_else(genesis_parent, |before| address(branch, before));
    Outcome::Chunk(Opened { parent, work: Some(work(1000)), chunk: period })
}

fn take(periods: std::ops::Range<u32>) -> Step<u32> {
    let first = periods.start;
    Step::Take { first, chunks: periods.map(|period| (address(0, period), period)).collect() }
}

struct Bench {
    fetch: Fetch<u32>,
    now: Duration,
    named: usize,
}

impl Bench {
    fn new(start: FetchStart) -> Self {
        Self { fetch: Fetch::new(start), now: Duration::ZERO, named: 0 }
    }

    /// Two peers of different owners that offer so many periods alike.
    fn agreed(start: FetchStart, periods: u32) -> Self {
        let mut bench = Self::new(start);
        for number in [1, 2] {
            bench.offers(number, owner(number), addresses(0, start.first..periods));
        }
        bench
    }

    fn offers(&mut self, number: u8, owner: NetworkGroup, addresses: Vec<BlockHash>) {
        let (peer, from) = (PeerId(number.into()), self.fetch.start.first);
        self.joins(number, owner);
        assert_eq!(self.steps(), [Step::AskOffer { peer, from }]);
        self.fetch.handle_offer(peer, from, addresses);
    }

    /// A peer that the user named.
    fn joins(&mut self, number: u8, owner: NetworkGroup) {
        self.named += 1;
        self.fetch.handle_named(self.named);
        self.fetch.handle_joined(PeerId(number.into()), owner);
    }

    /// Whoever is asked gives what it is asked for, until all is over.
    fn all_give(&mut self, chunk: impl Fn(u32) -> Outcome<u32>) -> (Vec<u32>, Vec<Step<u32>>) {
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        while let Some(step) = self.fetch.poll(self.now) {
            match step {
                Step::AskChunk { peer, period, .. } => self.gives(peer.0, period, chunk(period)),
                Step::Take { chunks, .. } => {
                    taken.extend(chunks.into_iter().map(|(_, chunk)| chunk))
                }
                Step::AskOffer { .. }
                | Step::Begun { .. }
                | Step::FalseChunk { .. }
                | Step::FalseChain { .. }
                | Step::End(_) => others.push(step),
            }
        }
        (taken, others)
    }

    fn steps(&mut self) -> Vec<Step<u32>> {
        std::iter::from_fn(|| self.fetch.poll(self.now)).collect()
    }

    fn gives(&mut self, peer: u64, period: u32, outcome: Outcome<u32>) {
        self.fetch.handle_chunk(PeerId(peer), period, outcome, self.now);
    }

    /// Who is asked for what.
    fn asked(&mut self) -> Vec<(u64, u32)> {
        let asked = |step| {
            let Step::AskChunk { peer, period, .. } = step else { panic!("{step:?}") };
            (peer.0, period)
        };
        self.steps().into_iter().map(asked).collect()
    }

    fn begins(&mut self) -> Vec<(u64, u32)> {
        assert!(matches!(self.fetch.poll(self.now), Some(Step::Begun { .. })));
        self.asked()
    }

    fn ends(&mut self) -> End {
        match self.steps().as_slice() {
            [Step::End(end)] => *end,
            steps => panic!("{steps:?}"),
        }
    }
}

#[test]
fn chunks_are_asked_of_all_and_handed_out_in_order() {
    let mut bench = Bench::agreed(start(), 5);
    let asked = bench.begins();
    let of = |peer| asked.iter().filter(|(who, _)| *who == peer).count();
    assert_eq!((asked.len(), of(1), of(2)), (5, 3, 2), "{asked:?}");
    for (peer, period) in asked.iter().rev().filter(|(_, period)| *period > 0) {
        bench.gives(*peer, *period, chunk(0, *period));
    }
    assert_eq!(bench.steps(), [], "the first one is missing");
    bench.gives(asked[0].0, 0, chunk(0, 0));
    let taken = [0..4, 4..5].map(take);
    let expected: Vec<_> = taken.into_iter().chain([Step::End(End::Done)]).collect();
    assert_eq!(bench.steps(), expected);
    assert_eq!(bench.fetch.givers(), 2);
}

#[test]
fn no_more_is_in_flight_or_waiting_than_the_bounds_say() {
    let mut bench = Bench::agreed(start(), 100);
    let mut in_flight = bench.begins();
    let mut asked = in_flight.len();
    assert_eq!(asked, 2 * CHUNKS_IN_FLIGHT);
    // All but the first come, and so nothing can be handed out.
    while let Some(at) = in_flight.iter().position(|(_, period)| *period > 0) {
        let (peer, period) = in_flight.remove(at);
        bench.gives(peer, period, chunk(0, period));
        let more = bench.asked();
        asked += more.len();
        in_flight.extend(more);
    }
    assert_eq!(asked, WINDOW as usize);
}

#[test]
fn one_owner_is_not_believed_however_many_peers_it_has() {
    let mut bench = Bench::new(FetchStart { expected: 3, ..start() });
    for number in [1, 2, 3] {
        bench.offers(number, owner(7), addresses(0, 0..5));
    }
    assert_eq!(bench.ends(), End::TooFewPeers);
}

#[test]
fn the_target_is_the_last_period_that_two_offer_alike() {
    let mut bench = Bench::new(FetchStart { expected: 3, ..start() });
    bench.offers(1, owner(1), addresses(0, 0..9));
    bench.offers(2, owner(2), addresses(0, 0..5));
    let fork = [addresses(0, 0..4), addresses(1, 4..9)].concat();
    bench.offers(3, owner(3), fork);
    assert_eq!(bench.fetch.poll(bench.now), Some(Step::Begun { from: 0, to: 4 }));
    let asked = bench.asked();
    assert!(asked.iter().all(|(peer, period)| *peer != 3 || *period < 4), "{asked:?}");
    assert!(asked.iter().any(|(peer, _)| *peer == 3), "what it has alike it is asked for");
}

#[test]
fn peers_that_offer_different_chains_are_not_believed_and_not_blamed() {
    let mut bench = Bench::new(start());
    bench.offers(1, owner(1), addresses(0, 0..9));
    bench.offers(2, owner(2), addresses(1, 0..9));
    assert_eq!(bench.ends(), End::NoAgreement);
}

#[test]
fn nobody_is_waited_for_once_all_who_are_expected_have_joined() {
    let mut bench = Bench::new(FetchStart { expected: 1, ..start() });
    assert_eq!(bench.steps(), []);
    assert_eq!(bench.fetch.poll_timeout(bench.now), Some(GRACE));
    bench.fetch.handle_named(1);
    assert_eq!(bench.ends(), End::TooFewPeers);
}

#[test]
fn who_does_not_come_is_waited_for_no_longer_than_the_grace() {
    let mut bench = Bench::new(start());
    bench.offers(1, owner(1), addresses(0, 0..9));
    bench.now = GRACE.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(bench.steps(), []);
    bench.now = GRACE;
    assert_eq!(bench.ends(), End::TooFewPeers);
}

#[test]
fn an_offer_that_does_not_come_holds_up_the_others_for_a_while_only() {
    let mut bench = Bench::agreed(FetchStart { expected: 3, ..start() }, 5);
    bench.joins(3, owner(3));
    bench.now = GRACE;
    assert_eq!(bench.steps(), [Step::AskOffer { peer: PeerId(3), from: 0 }]);
    assert_eq!(bench.fetch.poll_timeout(bench.now), Some(GRACE + OFFER_PATIENCE));
    bench.now = GRACE + OFFER_PATIENCE;
    assert_eq!(bench.begins().len(), 5);
}

#[test]
fn a_false_chunk_is_its_senders_fault_and_is_asked_of_another() {
    let mut bench = Bench::new(FetchStart { expected: 3, ..start() });
    for number in [1, 2, 3] {
        bench.offers(number, owner(number), addresses(0, 0..3));
    }
    let asked = bench.begins();
    assert_eq!(asked.len(), 3);
    let period = asked.iter().find(|(peer, _)| *peer == 3).unwrap().1;
    bench.gives(3, period, Outcome::False);
    let steps = bench.steps();
    assert_eq!(steps[0], Step::FalseChunk { peer: PeerId(3) });
    let again = matches!(steps[1], Step::AskChunk { peer, period: at, .. } if peer != PeerId(3) && at == period);
    assert!(again && steps.len() == 2, "{steps:?}");
    bench.gives(3, 2, Outcome::False);
    assert_eq!(bench.steps(), [], "it is blamed once");
    bench.fetch.handle_left(PeerId(3));
    bench.joins(4, owner(3));
    assert_eq!(bench.steps(), [], "its owner is not asked again");
}

#[test]
fn without_two_that_have_not_lied_it_ends() {
    let mut bench = Bench::agreed(start(), 5);
    let (peer, period) = bench.begins()[0];
    bench.gives(peer, period, Outcome::False);
    let steps = bench.steps();
    assert_eq!(steps, [Step::FalseChunk { peer: PeerId(peer) }, Step::End(End::NoAgreement),]);
}

#[test]
fn chunks_that_contradict_each_other_are_the_fault_of_all_who_offered_them() {
    for lie in [
        Opened { parent: address(9, 9), work: Some(work(1)), chunk: 1 },
        Opened { parent: address(0, 0), work: None, chunk: 1 },
    ] {
        let mut bench = Bench::agreed(start(), 5);
        let asked = bench.begins();
        let (peer, period) = asked.into_iter().find(|(_, period)| *period == 1).unwrap();
        bench.gives(peer, period, Outcome::Chunk(lie));
        let expected = [
            Step::FalseChain { peer: PeerId(1) },
            Step::FalseChain { peer: PeerId(2) },
            Step::End(End::FalseChain { period: 1 }),
        ];
        assert_eq!(bench.steps(), expected);
    }
}

#[test]
fn a_broken_rule_is_the_fault_of_all_who_offered_it_and_our_clocks_fault_nobodys() {
    for (is_a_lie, blamed) in [(true, 2), (false, 0)] {
        let mut bench = Bench::agreed(start(), 5);
        let (peer, period) = bench.begins()[0];
        bench.gives(peer, period, chunk(0, period));
        assert_eq!(bench.fetch.poll(bench.now), Some(take(0..1)));
        bench.fetch.handle_refused(0, is_a_lie);
        let steps = bench.steps();
        assert_eq!(steps.len(), blamed + 1, "{steps:?}");
        assert!(matches!(steps[blamed], Step::End(_)));
    }
}

#[test]
fn another_branch_than_ours_is_nobodys_fault() {
    let first = FetchStart { first: 1, parent: address(5, 0), tip: BlockHeight(2015), ..start() };
    let mut bench = Bench::agreed(first, 6);
    let asked = bench.begins();
    bench.gives(asked[0].0, 1, chunk(0, 1));
    assert_eq!(bench.ends(), End::OtherBranch { period: 1 });
}

#[test]
fn a_slow_peers_chunk_is_asked_of_another_and_the_first_that_comes_counts() {
    let mut bench = Bench::agreed(start(), 3);
    let asked = bench.begins();
    let (slow, period) = asked[0];
    for (peer, period) in &asked[1..] {
        bench.gives(*peer, *period, chunk(0, *period));
    }
    assert_eq!(bench.steps(), []);
    assert_eq!(bench.fetch.poll_timeout(bench.now), Some(PATIENCE));
    bench.now = PATIENCE;
    let other = if slow == 1 { 2 } else { 1 };
    assert_eq!(bench.asked(), [(other, period)]);
    bench.gives(other, period, chunk(0, period));
    assert_eq!(bench.steps(), [take(0..3), Step::End(End::Done)]);
    bench.gives(slow, period, chunk(0, period));
    assert_eq!(bench.steps(), []);
}

#[test]
fn who_fails_three_times_is_left_and_who_lacks_a_period_is_not_blamed() {
    let mut bench = Bench::agreed(start(), 12);
    let first = bench.begins();
    let mut of_one: Vec<u32> = first.iter().filter(|(peer, _)| *peer == 1).map(|of| of.1).collect();
    for _ in 0..MAX_FAILURES {
        bench.gives(1, of_one.pop().unwrap(), Outcome::NoAnswer);
    }
    bench.now = PATIENCE + PAUSE;
    let lacked = first.iter().find(|(peer, _)| *peer == 2).unwrap().1;
    bench.gives(2, lacked, Outcome::NotFound);
    let steps = bench.steps();
    assert!(!steps.iter().any(|step| matches!(step, Step::FalseChunk { .. })), "{steps:?}");
    let asks_one = |step: &&Step<u32>| matches!(step, Step::AskChunk { peer: PeerId(1), .. });
    assert_eq!(steps.iter().find(asks_one), None);
}

#[test]
fn it_ends_where_nobody_has_the_next_period() {
    let mut bench = Bench::agreed(start(), 3);
    bench.begins();
    bench.fetch.handle_left(PeerId(1));
    bench.gives(2, 0, Outcome::NotFound);
    assert_eq!(bench.ends(), End::NobodyLeft { period: 0 });
}

#[test]
fn it_ends_where_chunks_come_too_slowly_though_they_come() {
    for (count, is_over) in [(LEAST_CHUNKS - 1, true), (LEAST_CHUNKS, false)] {
        let mut bench = Bench::agreed(start(), 100);
        let mut asked = bench.begins();
        for _ in 0..count {
            let (peer, period) = asked.remove(0);
            bench.gives(peer, period, chunk(0, period));
            let steps = bench.steps();
            asked.extend(steps.iter().filter_map(|step| {
                let Step::AskChunk { peer, period, .. } = step else { return None };
                Some((peer.0, *period))
            }));
        }
        assert_eq!(bench.fetch.poll_timeout(bench.now), Some(PATIENCE));
        bench.now = RATE_TIME;
        let end = Step::End(End::TooSlow { chunks: count, time: RATE_TIME });
        assert_eq!(bench.steps().contains(&end), is_over, "{count}");
    }
}

#[test]
fn a_chain_that_ends_nearby_is_left_to_header_sync() {
    let mut bench = Bench::agreed(start(), 2);
    assert_eq!(bench.ends(), End::Near { headers: 4031 });
    let mut bench = Bench::agreed(start(), 3);
    assert_eq!(bench.begins().len(), 3);
}

#[test]
fn more_headers_than_time_allows_are_refused() {
    // A minute a header, and two hours ahead.
    let seconds = 60 * (3 * 2016 - 1) - 2 * 60 * 60;
    let in_time = FetchStart { tip_time: UnixTime(TIME.0 - seconds), ..start() };
    assert_eq!(Bench::agreed(in_time, 3).begins().len(), 3);
    let too_soon = FetchStart { tip_time: UnixTime(TIME.0 - seconds + 60), ..start() };
    let end = Bench::agreed(too_soon, 3).ends();
    assert_eq!(end, End::TooMany { headers: 6047, most: 6046 });
}

#[test]
fn below_the_minimum_all_is_held_until_it_is_shown_and_then_handed_out_in_order() {
    for (has, minimum, enough) in [(0, 100_000, true), (0, 100_001, false), (1, 100_001, true)] {
        let start = FetchStart { minimum: Some(work(minimum)), work: work(has), ..start() };
        let mut bench = Bench::agreed(start, 100);
        let (taken, others) = bench.all_give(|period| chunk(0, period));
        let (periods, end) =
            if enough { ((0..100).collect(), End::Done) } else { (vec![], End::TooLittleWork) };
        assert_eq!(taken, periods);
        assert_eq!(others, [Step::Begun { from: 0, to: 99 }, Step::End(end)]);
    }
}

#[test]
fn a_forged_beginning_is_not_taken_in_though_a_chain_with_much_work_seems_to_follow_it() {
    let mut bench = Bench::new(FetchStart { minimum: Some(work(50_000)), ..start() });
    for number in [1, 2] {
        let offered = [addresses(7, 0..60), addresses(0, 60..100)].concat();
        bench.offers(number, owner(number), offered);
    }
    let (taken, others) = bench.all_give(|period| match chunk(0, period) {
        Outcome::Chunk(opened) if period < 60 => {
            let parent = period.checked_sub(1).map_or_else(genesis_parent, |at| address(7, at));
            Outcome::Chunk(Opened { parent, work: Some(work(1)), ..opened })
        }
        genuine @ (Outcome::Chunk(_)
        | Outcome::False
        | Outcome::NotFound
        | Outcome::Later(_)
        | Outcome::NoAnswer) => genuine,
    });
    assert!(taken.is_empty(), "{taken:?}");
    assert!(others.contains(&Step::FalseChain { peer: PeerId(1) }), "{others:?}");
    assert_eq!(others.last(), Some(&Step::End(End::FalseChain { period: 60 })));
}

#[test]
fn no_more_is_held_than_the_bound_says() {
    let start = FetchStart { minimum: Some(work(u64::MAX)), ..start() };
    let mut bench = Bench::agreed(start, MAX_HELD + 100);
    let (taken, others) = bench.all_give(|period| chunk(0, period));
    assert!(taken.is_empty(), "{taken:?}");
    assert_eq!(others.last(), Some(&Step::End(End::TooLittleWork)));
    assert_eq!(bench.fetch.linked, MAX_HELD);
}

#[test]
fn where_one_lied_the_target_is_what_two_others_offer_alike() {
    for minimum in [None, Some(work(5000))] {
        let mut bench = Bench::new(FetchStart { expected: 3, minimum, ..start() });
        for (number, periods) in [(1, 9), (2, 5), (3, 9)] {
            bench.offers(number, owner(number), addresses(0, 0..periods));
        }
        let asked = bench.begins();
        for (peer, period) in &asked {
            bench.gives(
                *peer,
                *period,
                if *peer == 3 { Outcome::False } else { chunk(0, *period) },
            );
        }
        let (taken, others) = bench.all_give(|period| chunk(0, period));
        assert_eq!(taken, [0, 1, 2, 3, 4]);
        assert_eq!(others, [Step::FalseChunk { peer: PeerId(3) }, Step::End(End::Done)]);
    }
}

#[test]
fn ports_of_one_address_that_is_not_routed_are_one_owner() {
    let mut bench = Bench::new(start());
    for (number, port) in [(1, 8333), (2, 8334)] {
        let local = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        bench.offers(number, NetworkGroup::of(local), addresses(0, 0..9));
    }
    assert_eq!(bench.ends(), End::TooFewPeers);
}

#[test]
fn no_more_is_asked_twice_than_the_bound_says() {
    let mut bench = Bench::agreed(start(), 100);
    assert_eq!(bench.begins().len(), 2 * CHUNKS_IN_FLIGHT);
    bench.joins(3, owner(3));
    bench.joins(4, owner(4));
    bench.steps();
    bench.fetch.handle_offer(PeerId(3), 0, addresses(0, 0..8));
    bench.fetch.handle_offer(PeerId(4), 0, addresses(0, 0..8));
    bench.now = PATIENCE;
    assert_eq!(bench.asked().len(), MAX_DUPLICATES);
}

#[test]
fn who_joins_later_is_asked_for_what_it_has_alike() {
    let mut bench = Bench::agreed(start(), 20);
    bench.begins();
    bench.offers(3, owner(3), [addresses(0, 0..10), addresses(2, 10..30)].concat());
    let asked = bench.asked();
    let periods: Vec<_> = asked.iter().map(|(peer, period)| (*peer, *period)).collect();
    assert_eq!(periods, [(3, 8), (3, 9)], "below the fork, and asked of nobody yet");
}

#[test]
fn a_busy_peer_is_left_alone_for_as_long_as_it_says() {
    let mut bench = Bench::agreed(start(), 3);
    let asked = bench.begins();
    for (peer, period) in asked {
        bench.gives(peer, period, Outcome::Later(Duration::from_secs(3)));
    }
    assert_eq!(bench.steps(), []);
    assert_eq!(bench.fetch.poll_timeout(bench.now), Some(Duration::from_secs(3)));
    bench.now = Duration::from_secs(3);
    assert_eq!(bench.asked().len(), 3);
}

#[test]
fn no_more_peers_are_asked_than_the_bound_says() {
    let mut bench = Bench::new(FetchStart { expected: 99, ..start() });
    for number in 0..20_u8 {
        bench.joins(number, owner(number));
    }
    assert_eq!(bench.steps().len(), MAX_PEERS);
}

#[test]
fn offers_of_peers_that_left_count_for_the_bound() {
    let mut bench = Bench::new(FetchStart { expected: 99, ..start() });
    for number in 0..8_u8 {
        bench.offers(number, owner(number), addresses(0, 0..9));
        bench.fetch.handle_left(PeerId(number.into()));
    }
    bench.joins(8, owner(8));
    assert_eq!(bench.steps(), [], "no more than eight offers are held");
}
