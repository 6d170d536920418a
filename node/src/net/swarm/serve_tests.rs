//! Limits of what is served, on paused time.

use super::*;
use crate::net::swarm::wire::SnapshotOffer;
use std::future::pending;

use crate::net::swarm::source::{ServedPage, Serving};
use crate::net::swarm::wire::{FilterRange, Wanted, decode_response};
use bitcoin::Txid;
use ironlight_hardening::cache::CacheStats;
use ironlight_spv::sync::TipVerdict;
use ironlight_spv::{BlockHeight, Header};

/// A chain of empty pages.
struct Empty;

impl ChainSource for Empty {
    fn page(&self, _: &HeadersRequest) -> Option<ServedPage> {
        Some(ServedPage { body: Vec::new(), count: 0 })
    }

    fn judge(&self, _: &Header) -> TipVerdict {
        TipVerdict::Current
    }

    fn snapshot_offer(&self, from: u32) -> Option<SnapshotOffer> {
        Some(SnapshotOffer { first: from, addresses: Vec::new() })
    }

    fn snapshot_chunk(&self, _: u32, _: &BlockHash) -> Option<Arc<[u8]>> {
        None
    }

    fn cached(&self) -> CacheStats {
        CacheStats::default()
    }
}

fn a_page(client: Client) -> Asked {
    let wanted = Wanted::From(BlockHeight(0));
    Asked { client, request: Request::Headers(HeadersRequest { wanted, most: MAX_PAGE }) }
}

async fn status(server: &Server, client: Client, guarded: bool) -> (Status, Option<Duration>) {
    let sources = Sources { chain: Some(Arc::new(Empty)), data: None };
    let answer = server.answer(sources, a_page(client), guarded).await;
    let (status, extensions, _) = decode_response(&answer.bytes).unwrap();
    (status, extensions.retry_after)
}

#[tokio::test(start_paused = true)]
async fn a_peer_gets_a_whole_chain_at_once_and_then_has_to_wait() {
    let server = Server::new();
    let client = Client::new("60.1.1.1".parse().unwrap(), PeerId::random());
    for _ in 0..250 {
        assert_eq!(status(&server, client, true).await, (Status::Ok, None));
    }
    let (refused, wait) = status(&server, client, true).await;
    let wait = wait.unwrap();
    assert!(refused == Status::Busy && wait <= Duration::from_millis(80), "{wait:?}");
    let another = Client::new("70.1.1.1".parse().unwrap(), PeerId::random());
    assert_eq!(status(&server, another, true).await.0, Status::Ok, "nobody else notices");
    assert_eq!(server.report(), ServeReport { answered: 251, busy: 1, ..ServeReport::default() });
    tokio::time::sleep(wait).await;
    assert_eq!(status(&server, client, true).await.0, Status::Ok);
    for _ in 0..1000 {
        assert_eq!(status(&server, client, false).await.0, Status::Ok, "nothing limits it");
    }
}

/// Blocks of 4 MB.
struct Large(Arc<[u8]>);

impl DataSource for Large {
    fn filters(&self) -> Option<&dyn FilterSource> {
        None
    }

    fn block(&self, _: BlockHash) -> Serving<Arc<[u8]>> {
        let block = Arc::clone(&self.0);
        Box::pin(async { Ok(block) })
    }

    fn proof(&self, _: BlockHash, _: Vec<Txid>) -> Serving<Vec<u8>> {
        Box::pin(pending())
    }
}

fn request(client: Client, request: Request) -> Asked {
    Asked { client, request }
}

fn somebody() -> Client {
    Client::new("127.0.0.1".parse().unwrap(), PeerId::random())
}

fn is(response: &Response) -> (Status, Option<Duration>) {
    let (status, extensions, _) = decode_response(&response.bytes).unwrap();
    (status, extensions.retry_after)
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_are_not_piled_up() {
    let data: Arc<dyn DataSource> = Arc::new(Large(vec![0; 4_000_000].into()));
    let sources = Sources { chain: None, data: Some(data) };
    let server = Server::new();
    let hash = bitcoin::hashes::Hash::all_zeros();
    let block = || {
        let asked = request(somebody(), Request::Block(BlockRequest { hash }));
        server.answer(sources.clone(), asked, true)
    };
    let mut unread = Vec::new();
    for _ in 0..16 {
        unread.push(block().await);
        assert_eq!(is(unread.last().unwrap()).0, Status::Ok);
    }
    assert_eq!(is(&block().await), (Status::Busy, Some(PAUSE)));
    unread.pop();
    assert_eq!(is(&block().await).0, Status::Ok);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_full_node_takes_no_place_of_those_who_want_headers() {
    let data: Arc<dyn DataSource> = Arc::new(Large([].into()));
    let sources = Sources { chain: Some(Arc::new(Empty)), data: Some(data) };
    let server = Server::new();
    let block = bitcoin::hashes::Hash::all_zeros();
    let proof = || {
        let wanted = Request::Proof(ProofRequest { block, txids: Vec::new() });
        let (server, sources) = (server.clone(), sources.clone());
        async move { server.answer(sources, request(somebody(), wanted), true).await }
    };
    let waiting: Vec<_> = (0..FETCHING_AT_ONCE).map(|_| tokio::spawn(proof())).collect();
    tokio::task::yield_now().await;
    assert_eq!(is(&proof().await), (Status::Busy, Some(PAUSE)), "there is no room");
    assert_eq!(status(&server, somebody(), true).await.0, Status::Ok);
    for waiting in waiting {
        assert_eq!(is(&waiting.await.unwrap()), (Status::Busy, Some(PAUSE)), "not in time");
    }
}

#[test]
fn answers_cost_about_as_many_headers_as_they_weigh_or_as_are_read_for_them() {
    let stop = bitcoin::hashes::Hash::all_zeros();
    let range = |count| FilterRange { start: BlockHeight(0), count, stop };
    let cost = |wanted| request(somebody(), wanted).cost();
    for (wanted, cheapest, dearest) in [
        (Request::Filters(FiltersRequest::Headers(range(2000))), 1500, 2000),
        (Request::Filters(FiltersRequest::Filters(range(1))), 1_500, 2_000),
        (Request::Filters(FiltersRequest::Filters(range(1000))), 22_000, 25_000),
        (Request::Filters(FiltersRequest::Checkpoints { stop }), 50_000, 100_000),
        (Request::Block(BlockRequest { hash: stop }), 30_000, 90_000),
    ] {
        assert!((cheapest..=dearest).contains(&cost(wanted.clone())), "{wanted:?}");
    }
}

#[test]
fn a_new_identity_at_the_same_address_wins_nothing_but_where_many_share_one() {
    let client = |ip: &str| Client::new(ip.parse().unwrap(), PeerId::random());
    assert_eq!(client("60.1.1.1"), client("60.1.1.1"));
    assert_eq!(client("2a01:4f8:1:2::1"), client("2a01:4f8:1:2::9"));
    assert_ne!(client("127.0.0.1"), client("127.0.0.1"));
}

#[test]
fn an_offer_and_a_chunk_cost_about_the_headers_that_they_weigh() {
    let client = Client::new("60.1.1.1".parse().unwrap(), PeerId::random());
    let hash = bitcoin::hashes::Hash::all_zeros();
    for (asked, cost) in [
        (SnapshotsRequest::Offer { from: 0 }, 12_000),
        (SnapshotsRequest::Chunk { period: 0, hash }, 2_016),
    ] {
        assert_eq!(request(client, Request::Snapshots(asked)).cost(), cost);
    }
}
