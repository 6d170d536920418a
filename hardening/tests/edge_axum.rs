//! The edge on axum's routes, over sockets of the loopback.

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::Bytes;
    use axum::extract::ConnectInfo;
    use axum::routing::{get, post};
    use axum::{Extension, Router};
    use ironlight_hardening::TokioTimer;
    use ironlight_hardening::edge::{ClientLayer, Edge, Freshness, TrustedProxies};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    fn edge() -> Edge<TokioTimer> {
        let proxies = TrustedProxies::new(["127.0.0.1".parse().unwrap()]);
        let client = ClientLayer::new(proxies)
            .with_peer(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
        Edge { client, max_body: 100, ..Edge::new(TokioTimer::new(), 7) }
    }

    /// `Router::layer` applies the layer to each route by itself, to those of a nested router and
    /// to the fallback too.
    async fn serve(edge: &Edge<TokioTimer>) -> SocketAddr {
        let kept = |text: &'static str| (Extension(Freshness::UntilNext), text);
        let nested = Router::new().route("/three", get(async move || kept("three")));
        let router = Router::new()
            .route("/one", get(async move || kept("one")))
            .route("/two", get(async || "two"))
            .route("/echo", post(async |body: Bytes| body))
            .nest("/nested", nested)
            .layer(edge.layer());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        address
    }

    /// The whole answer to one request on a connection of its own.
    async fn ask(address: SocketAddr, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn status(answer: &str) -> &str {
        answer.split(' ').nth(1).unwrap_or("none")
    }

    #[tokio::test]
    async fn all_routes_of_a_router_share_one_limit_and_one_cache() {
        let edge = edge();
        let address = serve(&edge).await;
        let paths = ["/one", "/two", "/nested/three", "/nowhere"];
        let mut hits = 0;
        for n in 0..60 {
            let path = paths[n % 4];
            let head = format!("GET {path} HTTP/1.1\r\nx-forwarded-for: 192.0.2.7");
            let answer = ask(address, &head, "").await;
            let expected = if path == "/nowhere" { "404" } else { "200" };
            assert_eq!(status(&answer), expected, "{n}: {answer}");
            let left = format!("ratelimit: \"light-minute\";r={}", 59 - n);
            assert!(answer.contains(&left), "each route takes from the same limit: {answer}");
            hits += usize::from(answer.contains("x-cache: hit"));
        }
        assert_eq!(hits, 2 * 14, "two routes say that they may be kept, and miss once each");
        let head = "GET /two HTTP/1.1\r\nx-forwarded-for: 192.0.2.7";
        let refused = ask(address, head, "").await;
        assert_eq!(status(&refused), "429");
        assert!(refused.contains("application/problem+json"), "{refused}");
        let other = "GET /two HTTP/1.1\r\nx-forwarded-for: 192.0.2.8";
        assert_eq!(status(&ask(address, other, "").await), "200");
    }

    #[tokio::test]
    async fn bodies_over_the_cap_are_refused_whether_announced_or_in_chunks() {
        let address = serve(&edge()).await;
        let post = |length: usize| format!("POST /echo HTTP/1.1\r\ncontent-length: {length}");
        let body = "x".repeat(100);
        let answer = ask(address, &post(100), &body).await;
        assert!(answer.ends_with(&body), "{answer}");
        // Refused by its head alone: no byte of it is sent.
        assert_eq!(status(&ask(address, &post(101), "").await), "413");
        let chunk = format!("3c\r\n{}\r\n", "x".repeat(60));
        let head = "POST /echo HTTP/1.1\r\ntransfer-encoding: chunked";
        let one = ask(address, head, &format!("{chunk}0\r\n\r\n")).await;
        assert!(one.ends_with(&"x".repeat(60)), "{one}");
        let two = ask(address, head, &format!("{chunk}{chunk}0\r\n\r\n")).await;
        assert_eq!(status(&two), "413", "{two}");
        assert!(two.contains("larger than 100 bytes"), "{two}");
    }
}
