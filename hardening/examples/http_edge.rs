//! An axum server behind the HTTP edge, on the loopback, that asks itself a few things and ends:
//! `cargo run -p ironlight-hardening --features http,tokio --example http_edge`

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Extension, Router};
use ironlight_hardening::TokioTimer;
use ironlight_hardening::edge::{
    Access, ApiKeys, AuthLayer, ClientLayer, CostClass, Edge, EdgeLimits, Freshness, LimitLayer,
    Principal, ResponseCache, ResponseCacheConfig, ResponseCacheLayer, TrustedProxies,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// For an example only: yours comes from where you keep secrets.
const KEY: &str = "an-example-key-0";

fn edge(cache: &ResponseCache) -> Result<Edge<TokioTimer>, Box<dyn Error>> {
    let keys = ApiKeys::default();
    keys.add("operator", KEY)?;
    // axum says where a connection comes from; nobody is believed to ask for others.
    let client = ClientLayer::new(TrustedProxies::default())
        .with_peer(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
    Ok(Edge {
        client,
        limit: LimitLayer::new(EdgeLimits::default()).classify(|head| match head.path() {
            "/health" => CostClass::Exempt,
            "/proof" => CostClass::Expensive,
            _ => CostClass::by_method(head),
        }),
        auth: AuthLayer::new(keys)
            .access(|head| if head.is_safe() { Access::Open } else { Access::Keyed })
            .on_failure(|failure| println!("  (refused: {})", failure.reason)),
        // As `Edge::new` has it, but with a cache that we can reach: kept is what says so.
        cache: ResponseCacheLayer::new(cache.clone()).freshness(|_| Freshness::Never),
        max_body: 1000,
        ..Edge::new(TokioTimer::new(), std::process::id().into())
    })
}

fn router(edge: &Edge<TokioTimer>) -> Router {
    Router::new()
        .route("/health", get(async || "well"))
        .route("/tip", get(async || (Extension(Freshness::UntilNext), "height 7")))
        .route("/proof", get(async || "a long computation"))
        .route("/notes", post(async |Extension(who): Extension<Principal>| format!("by {who}")))
        .layer(edge.layer())
}

/// One request on a connection of its own; prints the status, the headers that the edge made, and
/// the body.
async fn ask(address: SocketAddr, line: &str, headers: &str) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let mut lines = head.lines();
    println!("{line} -> {}", lines.next().unwrap_or_default());
    let ours = ["x-", "ratelimit", "retry-after", "age", "www-authenticate"];
    for line in lines.filter(|line| ours.iter().any(|name| line.starts_with(name))) {
        println!("  {line}");
    }
    println!("  {body}");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = ResponseCache::new(ResponseCacheConfig::default());
    let edge = edge(&cache)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let service = router(&edge).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        let _stop_or_gone = stopped.await;
    });
    let server = tokio::spawn(server.into_future());

    ask(address, "GET /tip", "").await?;
    ask(address, "GET /tip", "x-forwarded-for: 192.0.2.7\r\n").await?;
    cache.next_generation();
    ask(address, "GET /tip", "").await?;
    ask(address, "GET /health", "").await?;
    ask(address, "POST /notes", "content-length: 0\r\n").await?;
    let key = format!("authorization: Bearer {KEY}\r\n");
    ask(address, "POST /notes", &format!("{key}content-length: 0\r\n")).await?;
    ask(address, "POST /notes", &format!("{key}content-length: 1001\r\n")).await?;
    for _ in 0..11 {
        ask(address, "GET /proof", "").await?;
    }

    drop(stop);
    server.await??;
    println!("{:?}", cache.stats());
    Ok(())
}
