//! What SockJS sessions are sent by requests, when it is too much, stalls, or breaks off.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::time::Instant;

use tokensocket_server::{Server, SockJsOptions, SockJsSocket};
use tokensocket_tests::limit::{LIMIT, QUIET, within};
use tokensocket_tests::sockjs::{Receiver, Request, Services, echo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A body that stops half way is given up in time, takes nobody else's, and nothing of it is taken.
#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    let session = services.session("/echo");
    let mut attached = Receiver::XhrStreaming.open(&session).await;
    let request = session.request("POST", "xhr_send").body(r#"["stalled"]"#).bytes(services.address);
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut stream = tokio::net::TcpStream::connect(services.address).await.unwrap();
        stream.write_all(&request[..request.len() - 4]).await.unwrap();
        stalled.push(stream);
    }
    // The same session and others go on.
    session.send(r#"["a"]"#).await;
    attached.expect(r#"a["a"]"#).await;
    let other = services.session("/echo");
    let mut others = Receiver::XhrStreaming.open(&other).await;
    other.send(r#"["b"]"#).await;
    others.expect(r#"a["b"]"#).await;
    let start = Instant::now();
    for stream in &mut stalled {
        let mut status = [0; 12];
        let read = tokio::time::timeout(LIMIT * 2, stream.read_exact(&mut status)).await;
        match read.expect("the server gives up") {
            Ok(_) => assert_eq!(&status, b"HTTP/1.1 408"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof),
        }
    }
    assert!(start.elapsed() < LIMIT * 2);
    // Nothing of them was taken.
    session.send(r#"["c"]"#).await;
    attached.expect(r#"a["c"]"#).await;
}

/// A body that breaks off has brought nothing.
#[tokio::test]
async fn a_body_that_breaks_off_brings_nothing() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    let session = services.session("/echo");
    let mut attached = Receiver::XhrStreaming.open(&session).await;
    let request = session.request("POST", "xhr_send").body(r#"["cut"]"#).bytes(services.address);
    for reset in [false, true].repeat(5) {
        let mut stream = tokio::net::TcpStream::connect(services.address).await.unwrap();
        stream.write_all(&request[..request.len() - 2]).await.unwrap();
        if reset {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
    }
    session.send(r#"["a"]"#).await;
    attached.expect(r#"a["a"]"#).await;
}

/// A body over the limit is refused with 413, before it has all come, and the session lives.
#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Server::builder().authenticate_anyone().max_message_bytes(1000);
    let services = Services::of(server.sockjs("/echo", echo)).await;
    let session = services.session("/echo");
    let mut attached = Receiver::XhrStreaming.open(&session).await;
    let form = |body: String| {
        let request = session.request("POST", "jsonp_send").body(body);
        request.header("Content-Type", "application/x-www-form-urlencoded")
    };
    for request in [
        session.request("POST", "xhr_send").body(format!("[\"{}\"]", "x".repeat(1001))),
        session.request("POST", "xhr_send").body(vec![b'['; 10_000]),
        session.request("POST", "xhr_send").body(vec![b'['; 3_000_000]),
        form(format!("d=[\"{}\"]", "x".repeat(1001))),
        form("d=".repeat(20_000)),
    ] {
        let mut response = services.send(request).await;
        assert_eq!(response.status, 413);
        let text = response.text().await;
        assert!(!text.starts_with(['o', 'h', 'a', 'c', 'm']), "{text}");
    }
    let largest = "x".repeat(1000);
    session.send(&format!("[\"{largest}\"]")).await;
    attached.expect(&format!("a[\"{largest}\"]")).await;
    // In a form, each byte may be three, and the escape of a quote six.
    let quotes = "%5C%22".repeat(1000);
    let response = services.send(form(format!("d=%5B%22{quotes}%22%5D"))).await;
    assert_eq!(response.status, 200);
    attached.expect(&format!("a[\"{}\"]", "\\\"".repeat(1000))).await;
}

/// A body that says it is endless is refused at once.
#[tokio::test]
async fn a_body_that_claims_to_be_endless_is_refused_before_it_comes() {
    let services = Services::echo_with(SockJsOptions::new()).await;
    let session = services.session("/echo");
    assert_eq!(Receiver::Xhr.poll(&session).await, "o");
    let request =
        session.request("POST", "xhr_send").header("Content-Length", "1000000000000").without_length();
    let mut stream = request.begin(services.address).await;
    let mut status = [0; 12];
    within("the refusal", stream.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
}

/// A handler that takes nothing holds its senders back, however small what they send is.
#[tokio::test]
async fn what_a_handler_does_not_take_is_bounded() {
    let handler = |socket: SockJsSocket| async move {
        let _socket = socket;
        std::future::pending::<()>().await;
    };
    let server = Server::builder().authenticate_anyone().max_message_bytes(64 * 1024);
    let services = Services::of(server.sockjs("/s", handler)).await;
    let empties = format!("[{}\"\"]", "\"\",".repeat(20_000));
    let large = format!("[\"{}\"]", "x".repeat(60_000));
    for (body, most) in [(empties, 10), (large, 80)] {
        let session = services.session("/s");
        let _attached = Receiver::XhrStreaming.open(&session).await;
        let mut taken = 0;
        let mut connection = loop {
            let mut connection =
                session.request("POST", "xhr_send").body(body.clone()).begin(services.address).await;
            let mut status = [0; 12];
            match tokio::time::timeout(QUIET * 5, connection.read_exact(&mut status)).await {
                Ok(read) => {
                    read.unwrap();
                    assert_eq!(&status, b"HTTP/1.1 204");
                }
                // It waits for room.
                Err(_) => break connection,
            }
            taken += 1;
            assert!(taken < most, "{taken} bodies of {} bytes were taken, and nobody took them", body.len());
        };
        // Not for ever: it is told to come again later.
        let mut status = [0; 12];
        tokio::time::timeout(LIMIT * 2, connection.read_exact(&mut status)).await.unwrap().unwrap();
        assert_eq!(&status, b"HTTP/1.1 503");
    }
}

/// Requests for names that are taken by nobody cost nothing that stays.
#[tokio::test]
async fn senders_without_a_session_make_none() {
    let services = Services::echo_with(SockJsOptions::new().max_sessions(1)).await;
    for _ in 0..100 {
        assert_eq!(services.session("/echo").post(r#"["a"]"#).await.status, 404);
        let options = Request::new("OPTIONS", format!("{}/xhr", services.session("/echo").url));
        assert_eq!(services.send(options).await.status, 204);
        let get = services.session("/echo").request("GET", "jsonp");
        assert_eq!(services.send(get).await.status, 500);
    }
    assert_eq!(Receiver::Xhr.poll(&services.session("/echo")).await, "o");
}
