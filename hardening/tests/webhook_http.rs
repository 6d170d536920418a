//! Webhooks over real sockets on the loopback, with a client of a few lines.
#![cfg(all(feature = "tokio", feature = "webhook"))]

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use ironlight_hardening::webhook::{
        Dispatcher, Endpoint, HttpRequest, HttpResponse, MessageId, Outcome, SendConfig, Signer,
        Verifier, WebhookConfig, Webhooks, parse_retry_after,
    };
    use ironlight_hardening::{AddressGuard, TokioTimer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    async fn send(request: HttpRequest) -> io::Result<HttpResponse> {
        let mut stream = TcpStream::connect(request.address).await?;
        let (path, host) = (request.url.path(), request.url.authority());
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", request.body().len()));
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(request.body()).await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer).map_err(io::Error::other)?;
        let status = answer.get(9..12).and_then(|code| code.parse().ok());
        Ok(HttpResponse {
            status: status.ok_or_else(|| io::Error::other("no status"))?,
            retry_after: header(&answer, "retry-after").and_then(parse_retry_after),
            location: header(&answer, "location").map(str::to_owned),
        })
    }

    fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let lines = text.lines().take_while(|line| !line.is_empty());
        let mut pairs = lines.filter_map(|line| line.split_once(": "));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Takes one request, and answers.
    async fn take(listener: &TcpListener, answer: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = stream.read(&mut buffer).await.unwrap();
            text.extend_from_slice(&buffer[..count]);
            let so_far = String::from_utf8(text.clone()).unwrap();
            let length = header(&so_far, "content-length").and_then(|value| value.parse().ok());
            let body = so_far.split_once("\r\n\r\n").map(|(_, body)| body.len());
            if count == 0 || body.is_some() && body == length {
                break;
            }
        }
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    fn verify(request: &str) -> MessageId {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let value = |name| header(request, name).unwrap();
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let verifier = Verifier::new([SECRET.parse().unwrap()]).unwrap();
        let [id, at, signatures] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(value);
        verifier.verify(id, at, signatures, body.as_bytes(), now).unwrap()
    }

    #[tokio::test]
    async fn a_receiver_believes_what_arrives_and_a_retry_has_the_same_id() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let resolve = |host: String, port: u16| async move {
            assert_eq!(host, "hooks.test");
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        };
        let guard = AddressGuard::public_only().allow("127.0.0.1".parse().unwrap());
        let config = SendConfig { guard, ..SendConfig::default() };
        let machine = Dispatcher::new(WebhookConfig { allow_http: true, ..Default::default() });
        let hooks = Webhooks::new(machine, config, send, resolve, TokioTimer::new());
        let signer = Signer::new([SECRET.parse().unwrap()]).unwrap();
        let url = format!("http://hooks.test:{port}/in?a=b").parse().unwrap();
        let endpoint = Endpoint { url, events: vec!["block.new".into()], signer };
        let endpoint = hooks.register(endpoint).unwrap();
        let id = MessageId::new("msg_1").unwrap();
        let body = br#"{"height":1}"#.to_vec();
        assert_eq!(hooks.publish(id.clone(), "block.new", body), Ok(1));

        let worker = {
            let hooks = hooks.clone();
            tokio::spawn(async move { hooks.work().await })
        };
        let requests = async {
            let first = take(&listener, "500 Oops").await;
            let second = take(&listener, "410 Gone").await;
            [first, second]
        };
        let requests = tokio::time::timeout(Duration::from_secs(30), requests).await.unwrap();
        for request in &requests {
            assert!(request.starts_with("POST /in?a=b HTTP/1.1\r\n"));
            assert_eq!(header(request, "host"), Some(format!("hooks.test:{port}").as_str()));
            assert_eq!(verify(request), id);
        }
        hooks.close();
        worker.await.unwrap();
        assert!(!hooks.status(endpoint).unwrap().enabled);
        let outcomes: Vec<_> = hooks.log().into_iter().map(|entry| entry.outcome).collect();
        let answered = |code| Some(Outcome::Status { code, retry_after: None });
        assert_eq!(outcomes, [answered(500), answered(410)]);
    }
}
