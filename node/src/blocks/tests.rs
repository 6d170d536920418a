//! Blocks from peers that behave or not, on paused time.

use bitcoin::consensus::serialize;
use ironlight_spv::peers::Offence;
use ironlight_spv::proof::MerkleBlock;

use super::testing::{Does, FakeLine, TestChain, doubled, stripped, with_a_transaction_less};
use super::*;
use crate::net::PeerNetwork::{self, Bitcoin, LibP2p};

const SECOND: Duration = Duration::from_secs(1);

struct Bench {
    chain: TestChain,
    peers: DataPeers,
    blocks: Blocks,
}

impl Bench {
    fn new(config: BlocksConfig) -> Self {
        Self::of(TestChain::new(14), config)
    }

    fn of(chain: TestChain, config: BlocksConfig) -> Self {
        let peers = DataPeers::default();
        let blocks = Blocks::new(chain.handle(), peers.clone(), config);
        Self { chain, peers, blocks }
    }

    fn peer<const N: usize>(
        &self,
        number: u64,
        network: PeerNetwork,
        script: [Does; N],
    ) -> Arc<FakeLine> {
        let line = FakeLine::new(&self.chain, script);
        line.join(&self.peers, number, network);
        line
    }

    async fn get(&self, height: usize, cause: Cause) -> Result<Arc<VerifiedBlock>, BlockError> {
        self.blocks.get(self.chain.hash(height), cause, Instant::now() + 60 * SECOND).await
    }

    async fn prove(&self, height: usize, txids: &[Txid]) -> Result<Vec<u8>, ProveError> {
        let (hash, deadline) = (self.chain.hash(height), Instant::now() + 60 * SECOND);
        self.blocks.prove(hash, txids, Cause::Stranger, deadline).await
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_who_want_a_block_at_the_same_time_cost_one_copy_and_those_after_them_none() {
    let bench = Bench::new(BlocksConfig::default());
    let line = bench.peer(1, Bitcoin, [Does::GiveAfter(SECOND)]);
    let hash = bench.chain.hash(5);
    let wanting: Vec<_> = (0..20)
        .map(|at| {
            let cause = if at % 2 == 0 { Cause::Stranger } else { Cause::Own };
            let (blocks, deadline) = (bench.blocks.clone(), Instant::now() + 60 * SECOND);
            tokio::spawn(async move { blocks.get(hash, cause, deadline).await })
        })
        .collect();
    for wanting in wanting {
        let block = wanting.await.unwrap().unwrap();
        assert_eq!(**block.bytes(), serialize(&bench.chain.blocks[5]));
        assert_eq!((block.hash(), block.height().0), (hash, 5));
        assert_eq!(**block.txids(), bench.chain.txids(5));
        assert_eq!(block.transactions(), bench.chain.blocks[5].txdata);
    }
    bench.get(5, Cause::Own).await.unwrap();
    assert_eq!(line.asked(), 1);
    let BlocksReport { own, strangers, kept: (kept, _) } = bench.blocks.report();
    let bytes = u64::try_from(serialize(&bench.chain.blocks[5]).len()).unwrap();
    assert_eq!((strangers, own), (Fetched { blocks: 1, bytes }, Fetched::default()));
    assert_eq!(kept.len, 1);
}

#[tokio::test(start_paused = true)]
async fn a_false_block_costs_who_sent_it_and_another_peer_is_asked() {
    let chain = TestChain::new(14);
    // Three transactions.
    let block = &chain.blocks[2];
    let lies = [
        serialize(&with_a_transaction_less(block)),
        serialize(&doubled(block)),
        serialize(&stripped(block)),
        serialize(&chain.blocks[3]),
        [serialize(block), vec![0]].concat(),
        serialize(block)[..100].to_vec(),
        vec![7; 80],
        Vec::new(),
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        let bench = Bench::new(BlocksConfig::default());
        let liar = bench.peer(1, Bitcoin, [Does::Say(lie)]);
        let honest = bench.peer(2, LibP2p, [Does::Give]);
        bench.get(2, Cause::Own).await.unwrap();
        assert_eq!(liar.blamed(), [Offence::ProtocolViolation], "lie {at}");
        assert_eq!((liar.asked(), honest.asked()), (1, 1), "lie {at}");
        assert_eq!(honest.blamed(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_without_any_witness_is_taken_where_there_were_none_yet() {
    let bench = Bench::new(BlocksConfig::default());
    let header = bench.chain.chain.get(BlockHeight(2)).unwrap();
    let bytes = serialize(&stripped(&bench.chain.blocks[2]));
    for (segwit, taken) in [(3, true), (2, false)] {
        let verified = VerifiedBlock::verify(header, BlockHeight(segwit), bytes.clone());
        assert_eq!(verified.is_ok(), taken);
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_sends_us_to_another_peer_and_to_the_same_one_where_there_is_no_other() {
    let bench = Bench::new(BlocksConfig::default());
    let failing = bench.peer(1, Bitcoin, [Does::Fail, Does::Fail, Does::Give]);
    bench.get(5, Cause::Own).await.unwrap();
    assert_eq!(failing.asked(), 3);
    let busy = bench.peer(2, Bitcoin, [Does::Busy(5 * SECOND), Does::Give]);
    bench.peers.left(ironlight_spv::peers::PeerId(1));
    let began = Instant::now();
    bench.get(6, Cause::Own).await.unwrap();
    assert_eq!((busy.asked(), began.elapsed() >= 5 * SECOND), (2, true));
    assert_eq!(failing.blamed().len() + busy.blamed().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn attempts_end() {
    let bench = Bench::new(BlocksConfig::default());
    let failing = bench.peer(1, Bitcoin, [Does::Fail]);
    let hash = bench.chain.hash(5);
    let error = bench.get(5, Cause::Own).await.unwrap_err();
    assert_eq!(error, BlockError::Unanswered { hash, attempts: 8 });
    assert_eq!(failing.asked(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_block_that_nobody_has_is_not_waited_for() {
    let bench = Bench::new(BlocksConfig::default());
    let peers = [1, 2].map(|number| bench.peer(number, Bitcoin, [Does::Lacks]));
    let (hash, began) = (bench.chain.hash(5), Instant::now());
    let error = bench.get(5, Cause::Own).await.unwrap_err();
    assert_eq!(error, BlockError::NotFound { hash, asked: 2 });
    assert_eq!((peers.map(|peer| peer.asked()), began.elapsed()), ([1, 1], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_waited_for_until_the_deadline() {
    let bench = Bench::new(BlocksConfig::default());
    let (hash, began) = (bench.chain.hash(5), Instant::now());
    let error = bench.get(5, Cause::Own).await.unwrap_err();
    assert_eq!(error, BlockError::Late { hash, offering: 0 });
    assert_eq!(began.elapsed(), 60 * SECOND);
    let (block, line) = tokio::join!(bench.get(5, Cause::Own), async {
        tokio::time::sleep(30 * SECOND).await;
        bench.peer(1, Bitcoin, [Does::Give])
    });
    assert_eq!((block.unwrap().hash(), line.asked()), (hash, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_nobody_waits_for_ends() {
    let bench = Bench::new(BlocksConfig::default());
    let line = bench.peer(1, Bitcoin, [Does::Hang]);
    let (hash, deadline) = (bench.chain.hash(5), Instant::now() + SECOND);
    let error = bench.blocks.get(hash, Cause::Own, deadline).await.unwrap_err();
    assert_eq!(error, BlockError::Late { hash, offering: 1 });
    assert_eq!((line.asked(), line.dropped()), (1, 1));
    let other = bench.peer(1, Bitcoin, [Does::Give]);
    bench.get(5, Cause::Own).await.unwrap();
    assert_eq!((other.asked(), other.dropped()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn strangers_get_blocks_of_the_best_chain_and_cause_questions_to_full_nodes_only() {
    let (chain, side) = TestChain::new(14).with_side_block();
    let bench = Bench::of(chain, BlocksConfig::default());
    let light = bench.peer(1, LibP2p, [Does::Give]);
    let (hash, deadline) = (side.block_hash(), Instant::now() + SECOND);
    let error = bench.blocks.get(hash, Cause::Stranger, deadline).await.unwrap_err();
    assert_eq!(error, BlockError::NotBest { hash });
    let unknown: BlockHash = bitcoin::hashes::Hash::all_zeros();
    let error = bench.blocks.get(unknown, Cause::Stranger, deadline).await.unwrap_err();
    assert_eq!(error, BlockError::Unknown { hash: unknown });
    let error = bench.get(5, Cause::Stranger).await.unwrap_err();
    assert_eq!(error, BlockError::NotFound { hash: bench.chain.hash(5), asked: 0 });
    assert_eq!(light.asked(), 0);
    bench.get(5, Cause::Own).await.unwrap();
    bench.get(5, Cause::Stranger).await.unwrap();
    assert_eq!(light.asked(), 1, "what the node has, it gives");
}

#[tokio::test(start_paused = true)]
async fn what_strangers_cause_is_bounded_in_bytes_and_comes_back_with_time() {
    // Room for a block of the greatest length, and for one of ours before that.
    let quota = Quota { burst: 4_000_300, per: Duration::from_millis(1) };
    let bench = Bench::new(BlocksConfig { strangers: quota, ..BlocksConfig::default() });
    let line = bench.peer(1, Bitcoin, [Does::Give]);
    let first = bench.get(5, Cause::Stranger).await.unwrap();
    assert!(first.bytes().len() > 300);
    let error = bench.get(6, Cause::Stranger).await.unwrap_err();
    let BlockError::Budget { retry_after } = error else { panic!("{error:?}") };
    assert!(retry_after <= SECOND, "a byte a millisecond: {retry_after:?}");
    assert_eq!(line.asked(), 1);
    bench.get(5, Cause::Stranger).await.unwrap();
    bench.get(7, Cause::Own).await.unwrap();
    tokio::time::advance(retry_after).await;
    bench.get(6, Cause::Stranger).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_stranger_begins_and_does_not_get_is_begun_anew_for_the_node_itself() {
    let bench = Bench::new(BlocksConfig::default());
    let full = bench.peer(1, Bitcoin, [Does::LacksAfter(SECOND)]);
    let light = bench.peer(2, LibP2p, [Does::Give]);
    let (stranger, own) = tokio::join!(bench.get(5, Cause::Stranger), bench.get(5, Cause::Own));
    assert_eq!(stranger, Err(BlockError::NotFound { hash: bench.chain.hash(5), asked: 1 }));
    assert!(own.is_ok());
    assert_eq!((full.asked(), light.asked()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn proofs_hold_and_of_a_block_that_was_asked_for_lately_they_need_no_block() {
    let bench = Bench::new(BlocksConfig { cache_bytes: 0, ..BlocksConfig::default() });
    let line = bench.peer(1, Bitcoin, [Does::Give]);
    let txids = bench.chain.txids(6);
    for wanted in [&txids[..1], &txids[2..5], &txids[..]] {
        let proof = bench.prove(6, wanted).await.unwrap();
        let proof = MerkleBlock::decode(&proof).unwrap();
        assert_eq!(proof.header().hash(), bench.chain.hash(6));
        let proven: Vec<_> = proof.verify().unwrap().iter().map(|found| found.txid()).collect();
        assert_eq!(proven, wanted);
    }
    assert_eq!(line.asked(), 1);
    let stranger = bench.chain.txids(5)[0];
    let error = bench.prove(6, &[txids[0], stranger]).await.unwrap_err();
    let block = bench.chain.hash(6);
    assert_eq!(error, ProveError::NotInBlock { txid: stranger, block });
    assert_eq!(line.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn blocks_are_spread_over_the_peers_that_have_them() {
    let bench = Bench::new(BlocksConfig::default());
    let peers = [1, 2, 3].map(|number| bench.peer(number, Bitcoin, [Does::GiveAfter(SECOND)]));
    let get = |height| bench.get(height, Cause::Own);
    let fetched = tokio::join!(get(1), get(2), get(3), get(4), get(5), get(6));
    assert!(matches!(fetched, (Ok(_), Ok(_), Ok(_), Ok(_), Ok(_), Ok(_))));
    assert_eq!(peers.map(|peer| peer.asked()), [2, 2, 2]);
}
