//! What a question to a running node costs: over the real control socket with the client that the command line has,
//! which connects for each; over one connection of hyper's that is kept; the router alone; and as many bytes through a
//! socket to somebody who sends bytes back, connected for each, which is what the system itself takes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::large_futures,
    missing_docs,
    reason = "a bench"
)]

use std::hint::black_box;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::body::to_bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use ironlight::api::TipDto;
use ironlight::api::client;
use ironlight::spv::generate::Miner;
use ironlight::{Network, Node, NodeConfig, Params};
use ironlight_benches::settings::CALLS;
use ironlight_tests::{Behaviour, FakeNode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tower::ServiceExt as _;

const PATH: &str = "/v1/tip";
/// What the client sends, and about what the node answers.
const QUESTION: usize = 48;
const ANSWER: usize = 400;

/// A node that has a day of headers from a full node on loopback.
async fn node() -> Node {
    let chain = Miner::new(1).run(&Params::new(Network::Regtest).genesis, 144, 600);
    let full_node = FakeNode::start(Behaviour::Honest, chain);
    let config = NodeConfig {
        connect: vec![full_node.address()],
        dns_seeds: false,
        ..NodeConfig::new(Network::Regtest)
    };
    let node = Node::start(config).await.unwrap();
    assert_eq!(node.chain().synced().await.unwrap().height.0, 144);
    node
}

/// The client of the command line.
async fn ours(directory: &Path) -> TipDto {
    client::get(directory, PATH).await.unwrap()
}

async fn routed(router: &Router) -> TipDto {
    let answer = router.clone().oneshot(request()).await.unwrap();
    serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap()
}

fn request() -> Request<Body> {
    Request::get(PATH).header("host", "ironlight").body(Body::empty()).unwrap()
}

async fn kept_connection(socket: &Path) -> SendRequest<Body> {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn over_connection(sender: &mut SendRequest<Body>) -> TipDto {
    sender.ready().await.unwrap();
    let answer = sender.send_request(request()).await.unwrap();
    let body = to_bytes(Body::new(answer.into_body()), 1 << 20).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Answers each connection's question with bytes, until the runtime ends.
async fn echo(listener: UnixListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut bytes = [0; ANSWER];
            stream.read_exact(&mut bytes[..QUESTION]).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
    }
}

async fn echoed(socket: &Path) -> [u8; ANSWER] {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(&[1; QUESTION]).await.unwrap();
    let mut bytes = [0; ANSWER];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn control(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut node = runtime.block_on(node());
    let router = node.control_router();
    let (socket, plain) =
        (directory.join(ironlight::api::socket::FILE_NAME), directory.join("echo"));
    let mut sender = runtime.block_on(async {
        node.open_control_socket(directory).unwrap();
        tokio::spawn(echo(UnixListener::bind(&plain).unwrap()));
        kept_connection(&socket).await
    });
    let answer = runtime.block_on(ours(directory));
    assert_eq!(answer.height, 144);
    assert_eq!(answer, runtime.block_on(routed(&router)));
    assert_eq!(answer, runtime.block_on(over_connection(&mut sender)));

    let mut group = criterion.benchmark_group("control");
    group.bench_function("tip over the socket: ironlight", |bencher| {
        bencher.iter(|| runtime.block_on(ours(black_box(directory))));
    });
    group.bench_function("tip over one connection: hyper", |bencher| {
        bencher.iter(|| runtime.block_on(over_connection(&mut sender)));
    });
    group.bench_function("tip by the router alone: ironlight", |bencher| {
        bencher.iter(|| runtime.block_on(routed(black_box(&router))));
    });
    group.bench_function("bytes over the socket: echo", |bencher| {
        bencher.iter(|| runtime.block_on(echoed(black_box(&plain))));
    });
    group.finish();
    drop(sender);
    runtime.block_on(node.stop()).unwrap();
}

criterion_group! { name = benches; config = CALLS.criterion(); targets = control }
criterion_main!(benches);
